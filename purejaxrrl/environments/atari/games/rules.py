"""Reward, lives and game over of every supported game, from its RAM, for lanes that may play different games.

The ALE's rules (`src/ale/games/supported`) look at the RAM once after every frame. Here they are rows of tables, gathered
by the lane's game and evaluated by one small program, plus a handful of games with rules of their own (`special_rules.py`), evaluated for
every lane and selected by mask. Functions of one lane; `vmap` them.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari.games import special_rules
from purejaxrrl.environments.atari.games.catalogue import GAMES
from purejaxrrl.environments.atari.games.ram_values import DECODERS, Condition, Reading
from purejaxrrl.environments.atari.games.rule_state import RuleState
from purejaxrrl.environments.atari.games.spec import NEVER, Clause, GameSpec

__all__ = ["RuleState", "initial", "step"]

SCORE_READINGS, LIVES_READINGS, BLANK_CONDITIONS, CLAUSES, CLAUSE_CONDITIONS = 6, 2, 3, 3, 4
_ALWAYS = Condition(0, 0, 0, 255)


def _pad(items: tuple, length: int, filler) -> list:
    if len(items) > length:
        raise ValueError(f"the rules' tables hold {length} of these, got {len(items)}: {items}")
    return [*items, *[filler] * (length - len(items))]


def _readings(spec: GameSpec) -> list[Reading]:
    nothing = Reading(0, 0, 0)
    return _pad(spec.rules.score, SCORE_READINGS, nothing) + _pad(spec.rules.lives, LIVES_READINGS, nothing)


def _conditions(spec: GameSpec) -> list[Condition]:
    """Every condition of a game, in the order in which `step` takes them apart."""
    rules = spec.rules

    def clause(conditions: Clause, length: int) -> list[Condition]:
        return _pad(conditions, length, _ALWAYS)

    over = [clause(c, CLAUSE_CONDITIONS) for c in _pad(rules.over, CLAUSES, (NEVER,))]
    return [
        *(c for row in over for c in row),
        *clause(rules.blank, BLANK_CONDITIONS),
        rules.start,
        rules.lives_exception[0],
        rules.lives_update,
    ]


_SCALARS = {
    "rollover": lambda r: r.rollover,
    "wrap": lambda r: r.wrap,
    "ignored": lambda r: r.ignored,
    "reward_min": lambda r: r.reward_range[0],
    "reward_max": lambda r: r.reward_range[1],
    "keep_score_when_over": lambda r: r.keep_score_when_over,
    "initial_score": lambda r: r.initial_score,
    "over_score_min": lambda r: r.over_score[0],
    "over_score_max": lambda r: r.over_score[1],
    "over_needs_start": lambda r: r.over_needs_start,
    "edge_before": lambda r: r.edge[1],
    "edge_after": lambda r: r.edge[2],
    "initial_previous": lambda r: r.initial_previous,
    "lives_offset": lambda r: r.lives_offset,
    "lives_exception": lambda r: r.lives_exception[1],
    "unstarted_lives": lambda r: 0 if r.unstarted_lives is None else r.unstarted_lives,
    "has_unstarted_lives": lambda r: r.unstarted_lives is not None,
    "lives_zero_when_over": lambda r: r.lives_zero_when_over,
    "initial_lives": lambda r: r.initial_lives,
}


def _tables() -> dict[str, np.ndarray]:
    """One row a game, by `game_id`. `index` and `kind` [games, readings + conditions + 1]; the last is the edge's byte."""
    specs = list(GAMES.values())
    conditions = [_conditions(s) for s in specs]
    bytes_read = [
        [*_readings(s), *c, Reading(s.rules.edge[0] & 0x7F, 0)] for s, c in zip(specs, conditions, strict=True)
    ]
    tables = {
        "index": [[b.index for b in row] for row in bytes_read],
        "kind": [[b.kind for b in row] for row in bytes_read],
        "times": [[r.times for r in _readings(s)] for s in specs],
        "low": [[c.low for c in row] for row in conditions],
        "high": [[c.high for c in row] for row in conditions],
    }
    scalars = {name: [int(value(s.rules)) for s in specs] for name, value in _SCALARS.items()}
    return {name: np.asarray(rows, np.int32) for name, rows in (tables | scalars).items()}


_TABLES = _tables()


def _row(game_id: jax.Array) -> dict[str, jax.Array]:
    return {name: jnp.asarray(table)[game_id] for name, table in _TABLES.items()}


def initial(game_id: jax.Array | int, mode: jax.Array | int = 0) -> RuleState:
    """The rules' state when the ALE starts them anew, before the first frame they see.

    Args:
      game_id: int32 scalar, `GameSpec.game_id`.
      mode: int32 scalar, the game mode; only Video Checkers' rules depend on it.
    """
    row = _row(game_id)
    zero = jnp.int32(0)
    return RuleState(
        reward=zero,
        lives=row["initial_lives"],
        game_over=jnp.bool_(False),
        score=row["initial_score"],
        started=jnp.bool_(False),
        previous=row["initial_previous"],
        held_lives=row["initial_lives"],
        memory=(special_rules.initial_memory(game_id, mode), zero, zero, zero),
    )


def step(game_id: jax.Array | int, state: RuleState, ram: jax.Array, games: tuple[str, ...] | None = None) -> RuleState:
    """The rules' state after a frame.

    Args:
      game_id: int32 scalar, may be traced.
      state: the state after the last frame.
      ram: uint8 or int32 [128], the console's RAM after the frame, or [256] with the cartridge's RAM behind it
        (zeros where the cartridge has none); Klax keeps its score there.
      games: names of the games that can occur, where known: special rules of others are left out of the program.

    Raises:
      ValueError: `ram` has another shape, or has 128 bytes where `games` includes Klax.
    """
    if ram.shape not in ((128,), (256,)):
        raise ValueError(f"ram must be [128], or [256] with the cartridge's RAM; got {list(ram.shape)}")
    if ram.shape == (128,) and games is not None and "klax" in games:
        raise ValueError("Klax keeps its score in the cartridge: pass ram as [256], the cartridge's 128 bytes last")
    ram = ram.astype(jnp.int32)
    row = _row(game_id)
    state = _select(game_id, state, _regular(row, state, ram), ram, GAMES if games is None else games)
    zeroed = state.game_over & (row["lives_zero_when_over"] == 1)
    return dataclasses.replace(state, lives=jnp.where(zeroed, 0, state.held_lives))


def _select(game_id, before: RuleState, regular: RuleState, ram: jax.Array, games) -> RuleState:
    """The state of games with special rules in the lanes that play them."""
    state = regular
    for name, rule in special_rules.RULES.items():
        if name in games:
            theirs = rule(before, regular, ram)
            state = jax.tree.map(functools.partial(jnp.where, game_id == GAMES[name].game_id), theirs, state)
    return state


def _regular(row: dict[str, jax.Array], state: RuleState, ram: jax.Array) -> RuleState:
    """The rules that tables hold (`spec.Rules`)."""
    values = jnp.asarray(DECODERS)[row["kind"], ram[row["index"]]].astype(jnp.int32)
    num_readings = SCORE_READINGS + LIVES_READINGS
    readings, decoded, previous = values[:num_readings] * row["times"], values[num_readings:-1], values[-1]
    holds = (row["low"] <= decoded) & (decoded <= row["high"])
    over = holds[: CLAUSES * CLAUSE_CONDITIONS].reshape(CLAUSES, CLAUSE_CONDITIONS).all(1).any()
    blank = holds[CLAUSES * CLAUSE_CONDITIONS : -3].all()
    start, lives_exception, lives_update = holds[-3], holds[-2], holds[-1]

    score = jnp.where(blank, 0, readings[:SCORE_READINGS].sum())
    score = jnp.where(score >= row["rollover"], score - row["rollover"], score)
    started = state.started | start
    over |= (row["over_score_min"] <= score) & (score <= row["over_score_max"])
    over |= (state.previous == row["edge_before"]) & (previous == row["edge_after"])
    over &= started | (row["over_needs_start"] == 0)
    reward = _reward(row, score - state.score)
    kept = over & (row["keep_score_when_over"] == 1)

    lives = row["lives_offset"] + readings[SCORE_READINGS:].sum()
    lives = jnp.where(lives_exception, row["lives_exception"], lives)
    lives = jnp.where((row["has_unstarted_lives"] == 1) & ~started, row["unstarted_lives"], lives)
    return RuleState(
        reward=jnp.where(kept, 0, reward),
        lives=state.lives,
        game_over=over,
        score=jnp.where(kept, state.score, score),
        started=started,
        previous=previous,
        held_lives=jnp.where(lives_update, lives, state.held_lives),
        memory=state.memory,
    )


def _reward(row: dict[str, jax.Array], gain: jax.Array) -> jax.Array:
    gain = jnp.where(gain < 0, gain + row["wrap"], gain)
    gain = jnp.where(gain == row["ignored"], 0, gain)
    return jnp.clip(gain, row["reward_min"], row["reward_max"])
