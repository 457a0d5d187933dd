"""What the students of a comparison have in common, by the games that they play: MinAtar's, or Atari's in one of two sizes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from purejaxrrl.environments import minatar
from purejaxrrl.errors import UserError
from purejaxrrl.students import presets
from purejaxrrl.students.hyperparameters import names
from purejaxrrl.students.settings import QDagger

ATARI = "atari/"
ATARI10 = tuple(f"{ATARI}{game}" for game in presets.PAPERS_GAMES)
"""The paper's games."""
SEVEN = "tabula_rasa", "kickstarting", "jsrl", "rehearsal", "pretraining", "dqfd", "qdagger"
"""The paper's methods, one variant of each."""


@dataclasses.dataclass(frozen=True)
class Suite:
    """games: those that are compared where none are named. flags: the benchmark's options where they are not given. settings: what
    QDagger has, and a rival where it has nothing of its own. searched: whether methods have the rates and coefficients that were found on
    MinAtar, rather than the paper's."""

    games: Sequence[str]
    settings: Mapping[str, Any]
    searched: bool = False
    flags: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# Rivals that roll in or are guided do so over the same share of the budget as on MinAtar.
_RIVALS = {name: presets.COMPARED[name] for name in ("roll_in_decay_steps", "guide_decay_steps")}
_FLAGS = "network", "target_period", "evaluation_steps", "evaluation_limit", "data_transitions"
_FROM_FLAGS = {*_FLAGS, "online_iterations", "iteration_steps", "offline_updates"}


def _on_atari(preset: Mapping[str, Any], games: Sequence[str], **flags: Any) -> Suite:
    """A preset of `reincarnate.py` as a comparison; what the benchmark has flags for are their defaults."""
    own = {name: preset[name] for name in preset if name in names(QDagger) and name not in _FROM_FLAGS}
    defaults = {name: preset[name] for name in _FLAGS if name in preset}
    return Suite(games, _RIVALS | own, flags={"methods": SEVEN} | defaults | flags)


SUITES: Mapping[str, Suite] = {
    "comparison": Suite(minatar.GAMES, presets.COMPARED, searched=True),
    "quick": _on_atari(
        presets.QUICK_ON_ATARI, ("atari/breakout",), frames=400_000, iterations=10, offline_updates=10_000, seeds=2
    ),
    "paper": _on_atari(
        presets.PRESETS["paper"], ATARI10, frames=10_000_000, iterations=10, offline_updates=1_000_000, seeds=3
    ),
}
"""By the name of the preset."""


def expanded(games: Sequence[str]) -> tuple[str, ...]:
    """The games of a command line by the names that results have: MinAtar's bare, Atari's as environments; atari10 is ten."""
    every = [name for game in games for name in (ATARI10 if game == "atari10" else (game.removeprefix("minatar/"),))]
    return tuple(dict.fromkeys(every))


def environment_name(game: str) -> str:
    return game if game.startswith(ATARI) else f"minatar/{game}"


def preset_for(games: Sequence[str]) -> str:
    """The preset of a comparison on those games where none is named: MinAtar's, or the quick one on Atari."""
    return "quick" if any(game.startswith(ATARI) for game in games) else "comparison"


def check(preset: str, games: Sequence[str]) -> None:
    """Raises UserError where a preset is unknown, or where games are not all those that it is for."""
    if preset not in SUITES:
        raise UserError(f"preset is {preset!r}; it must be one of {', '.join(SUITES)}")
    on_atari = preset != "comparison"
    kinds = {game.startswith(ATARI): game for game in games}
    if len(kinds) > 1:
        raise UserError(f"games has {kinds[True]!r} and {kinds[False]!r}; compare games of one kind at a time")
    if strange := [game for game in games if game.startswith(ATARI) != on_atari]:
        where = "Atari's games, as atari/breakout" if on_atari else "MinAtar's games"
        raise UserError(f"preset is {preset!r}, which is for {where}, and games has {strange[0]!r}")
