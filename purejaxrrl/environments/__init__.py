"""Environments by name: `make("minatar/breakout")`, `make("atari/pong")`; `make("gymnax/CartPole-v1")` where gymnax is installed."""

import difflib
import importlib.util
from collections.abc import Sequence

from purejaxrrl.environments import atari, minatar
from purejaxrrl.environments.base import Environment

_ATARI = "atari/"
_FACTORIES = {f"minatar/{game}": (minatar.MinAtar, game) for game in minatar.GAMES} | {
    _ATARI + game: (atari.Atari, game) for game in atari.GAMES
}


def names() -> tuple[str, ...]:
    """The names `make` knows, sorted."""
    return tuple(sorted(_FACTORIES))


def make(name: str | Sequence[str], **options) -> Environment:
    """Makes the environment of that name.

    Args:
      name: for example "minatar/breakout"; `names()` lists them all. Several Atari games, as
        ["atari/breakout", "atari/pong"], make one environment whose lanes play different games (see `atari.Atari`).
      **options: what the environment's class takes, for example `sticky_action_probability=0.0`.

    Raises:
      ValueError: a name is unknown; the message has the nearest ones.
    """
    if not isinstance(name, str):
        return _make_atari_batch(tuple(name), **options)
    if name.startswith("gymnax/"):
        return _make_gymnax(name.removeprefix("gymnax/"), **options)
    _check(name)
    factory, game = _FACTORIES[name]
    return factory(game, **options)


def _check(name: str) -> None:
    if name not in _FACTORIES:
        nearest = difflib.get_close_matches(name, _FACTORIES, n=3, cutoff=0.3) or names()
        raise ValueError(f"unknown environment {name!r}; the nearest are {', '.join(nearest)}")


def _make_atari_batch(batch: tuple[str, ...], **options) -> Environment:
    for name in batch:
        _check(name)
        if not name.startswith(_ATARI):
            raise ValueError(f"{name!r} cannot be in one batch with other games; only Atari games can")
    return atari.Atari([name.removeprefix(_ATARI) for name in batch], **options)


def _make_gymnax(name: str, **options) -> Environment:
    if importlib.util.find_spec("gymnax") is None:
        raise ValueError(f"'gymnax/{name}' needs gymnax >= 1.0; install it with: python -m pip install gymnax six")
    import gymnax

    if name not in gymnax.registered_envs:
        nearest = difflib.get_close_matches(name, gymnax.registered_envs, n=3, cutoff=0.3) or gymnax.registered_envs
        raise ValueError(f"unknown gymnax environment {name!r}; the nearest are {', '.join(nearest)}")
    return gymnax.make(name, **options)[0]


__all__ = ["Environment", "make", "names"]
