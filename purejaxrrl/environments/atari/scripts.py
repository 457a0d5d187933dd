"""What the ALE does at a reset, as a list of instructions for each lane: which frames are run with which switches held.

`StellaEnvironment::reset` is 60 frames of nothing, a soft reset (4 frames with the reset switch held), the steps that select
the game's mode (`games/modes.py`), another soft reset and the game's starting actions. Lanes that play different games follow
different lists, so a list is a table and not a program.
"""

from __future__ import annotations

import dataclasses
import enum
import functools

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari.controls import RESET, SELECT
from purejaxrrl.environments.atari.games import GameSpec
from purejaxrrl.environments.atari.games.modes import Act, Press, RandomPress, SoftReset, Step, Until, UntilChanged
from purejaxrrl.environments.atari.games.ram_values import DECODERS, Condition

Op = enum.IntEnum("Op", "STOP POWER FRAMES RANDOM_FRAMES RULES UNLESS REMEMBER UNCHANGED JUMP", start=0)
CLAUSES, CONDITIONS = 4, 4
DETECTION_FRAMES, NO_OP_FRAMES, SOFT_RESET_FRAMES = 60, 60, 4
BOOT, RESET_GAME = 0, 2
"""The lines at which `loadROM` and `reset_game` begin."""
_NEVER, _ALWAYS = Condition(0, 0, 1, 0), Condition(0, 0, -32768, 32767)


@dataclasses.dataclass(frozen=True)
class Line:
    """One instruction.

    POWER: the console is switched off and on. FRAMES: `count` frames with `action` held, that the rules see where `seen`, as
    `ALEInterface.act` does them where `acts`, with nothing connected and no television format known where `detects`.
    RANDOM_FRAMES: 2 to 257 of them, by the environment's generator. RULES: the rules start anew. UNLESS: goes to line
    `target` if `clauses` hold. REMEMBER: the byte `index`. UNCHANGED: goes to `target` while it is the same. JUMP: to `target`.
    """

    op: Op
    action: int = 0
    count: int = 1
    seen: bool = True
    acts: bool = False
    detects: bool = False
    target: int = 0
    index: int = 0
    clauses: tuple[tuple[Condition, ...], ...] = ()


FIELDS = tuple(field.name for field in dataclasses.fields(Line))[:-1]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Script:
    """R rows of lists, one for each of G games, as tables. lines: int32 [R, G, N, 8], the fields of `Line` but the last.
    conditions: int32 [R, G, N, CLAUSES, CONDITIONS, 4], the fields of `Condition`."""

    lines: jax.Array
    conditions: jax.Array


def boot_and_reset(spec: GameSpec, mode: int) -> tuple[Line, ...]:
    """What follows the first power switch at `loadROM`, up to the end of its reset of a game in one of its modes.

    It begins with 60 frames in which the ALE finds out the television format.
    """
    lines = [
        Line(Op.FRAMES, count=DETECTION_FRAMES, seen=False, detects=True),
        Line(Op.POWER),
        Line(Op.POWER),
        Line(Op.FRAMES, count=NO_OP_FRAMES),
        _SOFT_RESET,
        Line(Op.RULES),
    ]
    for step in spec.mode_steps[mode]:
        _compile(step, lines)
    starts = (Line(Op.FRAMES, action=action) for action in spec.starting_actions)
    return (*lines, _SOFT_RESET, *starts, Line(Op.STOP))


_SOFT_RESET = Line(Op.FRAMES, action=RESET, count=SOFT_RESET_FRAMES)


def _compile(step: Step, lines: list[Line]) -> None:
    """Appends the lines of a step."""
    if isinstance(step, SoftReset):
        lines.append(_SOFT_RESET)
    elif isinstance(step, Act):
        lines.append(Line(Op.FRAMES, action=step.action, acts=True))
    elif isinstance(step, Press):
        lines += [Line(Op.FRAMES, action=SELECT, count=step.frames, seen=False), Line(Op.FRAMES)]
    elif isinstance(step, RandomPress):
        lines += [Line(Op.RANDOM_FRAMES, action=SELECT, seen=False), Line(Op.FRAMES)]
    elif isinstance(step, Until):
        test = len(lines)
        lines.append(Line(Op.UNLESS))
        for inner in step.body:
            _compile(inner, lines)
        lines.append(Line(Op.JUMP, target=test))
        lines[test] = Line(Op.UNLESS, target=len(lines), clauses=step.clauses)
    elif isinstance(step, UntilChanged):
        lines.append(Line(Op.REMEMBER, index=step.index))
        start = len(lines)
        for inner in step.body:
            _compile(inner, lines)
        lines.append(Line(Op.UNCHANGED, target=start, index=step.index))
    else:
        raise TypeError(f"a step of a reset is one of {Step}, got {step!r}")


def pack(scripts: list[list[tuple[Line, ...]]]) -> Script:
    """Tables of rows of lists, padded to one length."""
    length = max(len(script) for row in scripts for script in row)
    padded = [[[*script, *[Line(Op.STOP)] * (length - len(script))] for script in row] for row in scripts]
    lines = [[[[getattr(line, field) for field in FIELDS] for line in script] for script in row] for row in padded]
    conditions = [[[_condition_rows(line.clauses) for line in script] for script in row] for row in padded]
    return Script(np.asarray(lines, np.int32), np.asarray(conditions, np.int32))


@functools.cache
def _condition_rows(clauses: tuple[tuple[Condition, ...], ...]) -> np.ndarray:
    """int32 [CLAUSES, CONDITIONS, 4]. Most lines have no clauses, and the tables of all games some 100,000 lines."""
    full = [*clauses, *[(_NEVER,)] * (CLAUSES - len(clauses))]
    full = [[*clause, *[_ALWAYS] * (CONDITIONS - len(clause))] for clause in full]
    if len(full) > CLAUSES or any(len(clause) > CONDITIONS for clause in full):
        raise ValueError(f"a test of a reset holds {CLAUSES} clauses of {CONDITIONS} conditions, got {clauses}")
    return np.asarray([[dataclasses.astuple(condition) for condition in clause] for clause in full], np.int32)


def holds(conditions: jax.Array, memory: jax.Array) -> jax.Array:
    """Whether any clause holds of the memory uint8 [256], given conditions int32 [CLAUSES, CONDITIONS, 4]; of one lane."""
    index, kind, low, high = (conditions[..., field] for field in range(4))
    value = jnp.asarray(DECODERS)[kind, memory[index].astype(jnp.int32)]
    return ((value >= low) & (value <= high)).all(-1).any(-1)
