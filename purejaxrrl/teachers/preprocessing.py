"""What a teacher saw its game through, and whether that is what a student's environment makes of it."""

import dataclasses
from typing import Any, TypeVar

from purejaxrrl.environments.base import Environment, for_evaluation, options_of
from purejaxrrl.errors import UserError
from purejaxrrl.files import documents

_DECIDES_WHAT_IS_SEEN_AND_DONE = "frame_skip", "full_action_set"
_PLAYS_THE_SAME_GAME = {"engine"}
Value = TypeVar("Value")
FIRE = 1
"""The ALE's action, as an Atari environment's `actions` name it."""


def described(environment: Environment, **beside: Any) -> dict[str, Any]:
    """All that an environment was made with, defaults included, as JSON holds it; what is given `beside` it is added.

    Of an Atari game: sticky probability, frame skip, minimal or full actions, FIRE at reset, no-ops, ends at lost lives, clipping,
    the longest episode, mode and difficulty.
    """
    settings = getattr(environment, "settings", None)
    values = dataclasses.asdict(settings) if dataclasses.is_dataclass(settings) else options_of(environment)
    values = {name: value for name, value in values.items() if name not in _PLAYS_THE_SAME_GAME}
    return documents.plain(values | beside)


def differences(card_options: dict[str, Any], environment: Environment) -> dict[str, tuple[Any, Any]]:
    """The options by name in which a teacher's environment differs from this one: (the teacher's, this one's), as text.

    What is for training only (`environments.for_evaluation`) does not count.
    """
    here = options_of(for_evaluation(environment))
    names = sorted(name for name in card_options.keys() | here.keys() if card_options.get(name) != here.get(name))
    return {name: (card_options.get(name, "default"), here.get(name, "default")) for name in names}


def trained_otherwise(training: dict[str, Any], environment: Environment) -> dict[str, tuple[Any, Any]]:
    """What a teacher was trained with and this environment has otherwise, by name, where both say it: (the teacher's, this one's)."""
    here = described(environment)
    names = sorted(name for name in training.keys() & here.keys() if training[name] != here[name])
    return {name: (training[name], here[name]) for name in names}


def listed(found: dict[str, tuple[Any, Any]]) -> str:
    """Differences as part of a line."""
    return ", ".join(f"{name} {theirs} there, {ours} here" for name, (theirs, ours) in found.items())


def decisive(options: dict[str, Value]) -> dict[str, Value]:
    """Those options, or differences, that make what the teacher sees, or what its actions do, another thing."""
    return {name: value for name, value in options.items() if name in _DECIDES_WHAT_IS_SEEN_AND_DONE}


def fire_action(environment: Environment) -> int:
    """The place of FIRE among the environment's actions. Raises ValueError where there is none."""
    actions = tuple(getattr(environment, "actions", ()))
    if FIRE not in actions:
        raise UserError(f"{environment.name} has no action FIRE that a teacher could press after a lost life")
    return actions.index(FIRE)
