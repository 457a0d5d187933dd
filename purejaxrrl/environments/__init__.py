"""Environments by name: `make("minatar/breakout")`, or `make("gymnax/CartPole-v1")` where gymnax is installed."""

import difflib
import importlib.util

from purejaxrrl.environments import minatar
from purejaxrrl.environments.base import Environment

_FACTORIES = {f"minatar/{game}": (minatar.MinAtar, game) for game in minatar.GAMES}


def names() -> tuple[str, ...]:
    """The names `make` knows, sorted."""
    return tuple(sorted(_FACTORIES))


def make(name: str, **options) -> Environment:
    """Makes the environment of that name.

    Args:
      name: for example "minatar/breakout"; `names()` lists them all.
      **options: what the environment's class takes, for example `sticky_action_probability=0.0`.

    Raises:
      ValueError: the name is unknown; the message has the nearest ones.
    """
    if name.startswith("gymnax/"):
        return _make_gymnax(name.removeprefix("gymnax/"), **options)
    if name not in _FACTORIES:
        nearest = difflib.get_close_matches(name, _FACTORIES, n=3, cutoff=0.3) or names()
        raise ValueError(f"unknown environment {name!r}; the nearest are {', '.join(nearest)}")
    factory, game = _FACTORIES[name]
    return factory(game, **options)


def _make_gymnax(name: str, **options) -> Environment:
    if importlib.util.find_spec("gymnax") is None:
        raise ValueError(f"'gymnax/{name}' needs gymnax >= 1.0; install it with: python -m pip install gymnax six")
    import gymnax

    if name not in gymnax.registered_envs:
        nearest = difflib.get_close_matches(name, gymnax.registered_envs, n=3, cutoff=0.3) or gymnax.registered_envs
        raise ValueError(f"unknown gymnax environment {name!r}; the nearest are {', '.join(nearest)}")
    return gymnax.make(name, **options)[0]


__all__ = ["Environment", "make", "names"]
