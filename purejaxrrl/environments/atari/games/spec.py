"""What is known of a game beside its ROM: actions, modes and difficulties, and its scoring rules as data."""

from __future__ import annotations

import dataclasses

from purejaxrrl.environments.atari.games.modes import Step
from purejaxrrl.environments.atari.games.ram_values import Condition, Reading

Clause = tuple[Condition, ...]
"""Conditions that must all hold; a tuple of clauses holds where any of them does."""

NEVER = Condition(0, 0, 1, 0)
UNBOUNDED = 2**30


@dataclasses.dataclass(frozen=True)
class Rules:
    """The regular part of a game's scoring rules. One step, after a frame, from the RAM:

    score     = the sum of `score`; 0 while `blank` holds; less `rollover` where it reached that
    reward    = score - last score; plus `wrap` where negative; 0 where it equals `ignored`; clipped to [min, max]
    started  |= `start`
    game over = any clause of `over`, or score in `over_score`, or byte `edge[0]` went from `edge[1]` to `edge[2]`;
                only once started where `over_needs_start`
    lives     = `lives_offset` + the sum of `lives`; `lives_exception[1]` where its condition holds; `unstarted_lives` until
                started; unchanged unless `lives_update` holds; reported as 0 at game over where `lives_zero_when_over`

    `initial_*` are the values the ALE gives at a reset, before the first frame. What does not fit is in `special_rules.py`.
    """

    score: tuple[Reading, ...] = ()
    blank: Clause = (NEVER,)
    rollover: int = UNBOUNDED
    wrap: int = 0
    ignored: int = 0
    reward_range: tuple[int, int] = (-UNBOUNDED, UNBOUNDED)
    keep_score_when_over: bool = False
    initial_score: int = 0
    start: Condition = NEVER
    over: tuple[Clause, ...] = ()
    over_score: tuple[int, int] = (UNBOUNDED, UNBOUNDED)
    over_needs_start: bool = False
    edge: tuple[int, int, int] = (0, -2, 0)
    initial_previous: int = -1
    lives: tuple[Reading, ...] = ()
    lives_offset: int = 1
    lives_exception: tuple[Condition, int] = (NEVER, 0)
    unstarted_lives: int | None = None
    lives_update: Condition = Condition(0, 0, 0, 255)
    lives_zero_when_over: bool = True
    initial_lives: int = 1


@dataclasses.dataclass(frozen=True)
class GameSpec:
    """A game that ale-py supports, as ale-py describes it.

    name: the ROM's name in `ale_py.roms`. game_id: row of the rules' tables, the place in the alphabetical list.
    minimal_actions, legal_actions: values of ALE's action enum (0..17), in ALE's order. starting_actions: one frame each,
    at the end of every reset; 40 is the console's reset switch. modes, difficulties: as ale-py offers them;
    bit 0 of a difficulty is the left switch (1 is position A), bit 1 the right one. mode_steps: what the ALE does between
    its two soft resets to reach each mode (`modes.py`); empty where the game has one mode and the ALE does nothing.
    paddle_max: the ALE's limit of the paddle where the game sets its own.
    """

    name: str
    game_id: int
    minimal_actions: tuple[int, ...]
    legal_actions: tuple[int, ...]
    starting_actions: tuple[int, ...]
    modes: tuple[int, ...]
    default_mode: int
    difficulties: tuple[int, ...]
    mode_steps: dict[int, tuple[Step, ...]]
    paddle_max: int | None
    rules: Rules
