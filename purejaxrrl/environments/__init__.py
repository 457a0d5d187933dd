"""Environments by name: `make("minatar/breakout")`, `make("atari/pong")`, `make("balloon")`; `make("gymnax/CartPole-v1")` where
gymnax is installed.
"""

import difflib
import importlib.util
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from purejaxrrl.environments import atari, balloon, minatar, options, spelling
from purejaxrrl.environments.base import Environment, for_evaluation, frames_per_step, options_of
from purejaxrrl.environments.legacy import FiveValues
from purejaxrrl.errors import UserError

_ATARI, _GYMNAX = "atari/", "gymnax/"
_FACTORIES = {f"minatar/{game}": (minatar.MinAtar, game) for game in minatar.GAMES} | {
    _ATARI + game: (atari.Atari, game) for game in atari.GAMES
}
_FACTORIES["balloon"] = (balloon.Balloon, "balloon")


def names() -> tuple[str, ...]:
    """The names `make` knows, sorted."""
    return tuple(sorted(_FACTORIES))


def make(name: str | Sequence[str], **settings: Any) -> Environment:
    """Makes the environment of that name.

    Args:
      name: for example "minatar/breakout"; `names()` lists them all. Several Atari games, as
        ["atari/breakout", "atari/pong"], make one environment whose lanes play different games (see `atari.Atari`).
      **settings: its options, for example `sticky_action_probability=0.0`: the fields of its class' `Settings`.

    Raises:
      ValueError: a name or an option is unknown, or a value out of range; the message has the nearest names.
    """
    if isinstance(name, str) and name.startswith(_GYMNAX):
        return _make_gymnax(name.removeprefix(_GYMNAX), settings)
    factory, game = _factory(name)
    options.check_names(_joined(name), factory.settings_type, settings)
    options.check_no_text(_joined(name), factory.settings_type, settings)
    # JSON has no tuples.
    return factory(game, **{key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()})


def parse_options(name: str | Sequence[str], text: str) -> dict[str, Any]:
    """Options for `make`, from a command line; nothing is compiled.

    Args:
      name: as `make` takes it.
      text: for example "sticky_action_probability=0.0,clip_rewards=true"; a value for each of several games is "mode=0+4".

    Raises:
      ValueError: a name or an option is unknown, or a value has another type or is out of range.
    """
    values = options.split(text)
    if isinstance(name, str) and name.startswith(_GYMNAX):
        return options.untyped(values)
    return options.typed(_joined(name), _factory(name)[0].settings_type, values)


def _joined(name: str | Sequence[str]) -> str:
    return name if isinstance(name, str) else "+".join(name)


def _factory(name: str | Sequence[str]) -> tuple[type, str | list[str]]:
    """The class, and the game or games that it is given."""
    if isinstance(name, str):
        spelling.check(name, _FACTORIES)
        return _FACTORIES[name]
    for one in name:
        spelling.check(one, _FACTORIES)
        if not one.startswith(_ATARI):
            raise UserError(f"{one!r} cannot be in one batch with other games; only Atari games can")
    return atari.Atari, [one.removeprefix(_ATARI) for one in name]


def _make_gymnax(name: str, settings: dict[str, Any]) -> Environment:
    spelling.check_gymnax(name)
    if importlib.util.find_spec("gymnax") is None or metadata.version("gymnax").startswith("0."):
        raise UserError(f"'gymnax/{name}' needs gymnax >= 1.0; install it with: python -m pip install 'gymnax>=1' six")
    import gymnax

    if name not in gymnax.registered_envs:
        lowered = {each.lower(): each for each in gymnax.registered_envs}
        nearest = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.3) or lowered
        nearest = [lowered[each] for each in nearest]
        raise UserError(f"unknown gymnax environment {name!r}; the nearest are {', '.join(nearest)}")
    try:
        environment = gymnax.make(name, **settings)[0]
    except TypeError as error:
        raise UserError(f"gymnax/{name} cannot be made with {settings}: {error}") from error
    environment.options = settings
    return environment


__all__ = [
    "Environment",
    "FiveValues",
    "for_evaluation",
    "frames_per_step",
    "make",
    "names",
    "options_of",
    "parse_options",
]
