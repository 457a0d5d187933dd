"""How the ALE selects a game mode: by pressing the console's select switch until a byte of RAM shows it.

`StellaEnvironment::reset` runs 60 no-op frames and a soft reset (4 frames with the reset switch held), starts the rules
anew, performs the steps given here, then another soft reset and the starting actions. Frames of a step are
emulated in order and the rules look at the RAM after each, except where it is said that they do not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from purejaxrrl.environments.atari.games.ram_values import Condition, Reading

Clause = tuple[Condition, ...]


@dataclasses.dataclass(frozen=True)
class Press:
    """`frames` frames with select held, unseen by the rules, then one frame of no-op, seen."""

    frames: int = 1


@dataclasses.dataclass(frozen=True)
class RandomPress:
    """`Press` of 2 + (next 32 bits of the environment's generator) % 256 frames."""


@dataclasses.dataclass(frozen=True)
class Act:
    """One ordinary frame with `action` held, as `ALEInterface.act` does it: none once the game is over, and the
    environment's generator is drawn from twice, for the sticky actions of both players."""

    action: int = 0


@dataclasses.dataclass(frozen=True)
class SoftReset:
    """Four frames with the console's reset switch held."""


@dataclasses.dataclass(frozen=True)
class Until:
    """`body` again and again, not once if not needed, until any clause holds of the RAM."""

    clauses: tuple[Clause, ...]
    body: tuple[Step, ...]


@dataclasses.dataclass(frozen=True)
class UntilChanged:
    """`body` at least once, until the byte at `index` differs from what it was before."""

    index: int
    body: tuple[Step, ...]


Step = Press | RandomPress | Act | SoftReset | Until | UntilChanged


def select(
    reading: Reading,
    modes: tuple[int, ...],
    frames: int = 2,
    before: tuple[Step, ...] = (),
    shown: Callable[[int], int] = lambda mode: mode,
) -> dict[int, tuple[Step, ...]]:
    """The usual way: press select for `frames` frames until `reading` equals `shown(mode)`, then a soft reset."""
    return select_until({mode: ((reading.equals(shown(mode)),),) for mode in modes}, frames, before)


def select_until(
    goals: dict[int, tuple[Clause, ...]], frames: int, before: tuple[Step, ...] = ()
) -> dict[int, tuple[Step, ...]]:
    """As `select`, with the clauses that end the pressing given for each mode."""
    return {mode: (*before, Until(clauses, (Press(frames),)), SoftReset()) for mode, clauses in goals.items()}
