"""What somebody meant by an environment's name that is not one here: other libraries' names, other spellings, games that are missing."""

import difflib
import re
from collections.abc import Collection

from purejaxrrl.environments.atari.rom import UNSUPPORTED
from purejaxrrl.errors import UserError

GYMNAX = (
    "CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Asterix-MinAtar",
    "Breakout-MinAtar", "Freeway-MinAtar", "Seaquest-MinAtar", "SpaceInvaders-MinAtar", "Catch-bsuite", "DeepSea-bsuite",
    "MemoryChain-bsuite", "UmbrellaChain-bsuite", "DiscountingChain-bsuite", "MNISTBandit-bsuite", "SimpleBandit-bsuite",
    "FourRooms-misc", "MetaMaze-misc", "PointRobot-misc", "BernoulliBandit-misc", "GaussianBandit-misc", "Reacher-misc",
    "Swimmer-misc", "Pong-misc", "FrozenLake-misc",
)  # fmt: skip
"""gymnax 1.0's, which takes seconds to import."""

_PREFIXES = {"atari": ("atari/",), "ale": ("atari/",), "minatar": ("minatar/", "gymnax/")}
_ALE_DECORATIONS = r"(NoFrameskip|Deterministic|-ram)"
_DECORATIONS = r"(NoFrameskip|Deterministic|-ramNoFrameskip|-ramDeterministic|-ram)?-v\d+$"


def check(name: str, known: Collection[str]) -> None:
    """Raises ValueError, with what was meant or why it is missing, unless `name` is in `known`."""
    if name in known:
        return
    shown = repr(name) if len(name) <= 60 else f"{name[:60]!r}..."
    library, game = _parts(name)
    if library not in ("minatar", "gymnax") and game in (missing := {_squeezed(each): each for each in UNSUPPORTED}):
        raise UserError(f"there is no environment {shown}: {UNSUPPORTED[missing[game]]}")
    nearest = _same(library, game, known) or difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if nearest:
        raise UserError(f"unknown environment {shown}; the nearest are {', '.join(nearest)}")
    kinds = ", ".join(sorted({f"{each.partition('/')[0]}/..." if "/" in each else each for each in known}))
    raise UserError(f"unknown environment {shown}; there are {kinds} and gymnax/..., such as minatar/breakout")


def check_gymnax(name: str) -> None:
    """Raises ValueError where `name` differs from one of gymnax's in its spelling alone; others gymnax has to be asked for."""
    for each in GYMNAX:
        if name != each and _squeezed(name) in (_parts(each)[1], _squeezed(each)):
            raise UserError(f"unknown gymnax environment {name!r}; the nearest are {each}")


def _parts(name: str) -> tuple[str, str]:
    """The library that a name speaks of, "" where it does not, and its game without spelling and decorations."""
    head, _, tail = name.strip().strip("/").rpartition("/")
    game = re.sub(_DECORATIONS, "", tail)
    if re.search(_ALE_DECORATIONS, tail):
        head = head or "ale"
    if game.lower().endswith("-minatar"):
        head, game = head or "minatar", game[: -len("-minatar")]
    return _squeezed(head), _squeezed(game)


def _same(library: str, game: str, known: Collection[str]) -> list[str]:
    """The names that differ from it in their spelling alone."""
    every = [*known, *(f"gymnax/{each}" for each in GYMNAX)]
    found = [each for each in every if game and game in (_parts(each)[1], _squeezed(each.rpartition("/")[2]))]
    prefixes = _PREFIXES.get(library, (f"{library}/",))
    return [each for each in found if each.startswith(prefixes)] or found


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
