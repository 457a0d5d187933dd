"""The frames of an agent step, of which only the last two are looked at, and only those are drawn.

A frame that ends before its picture is drawn to the bottom leaves there what the frame before the last drew, into the same of the
console's two pictures. So a step is played on the assumption that its last two frames are drawn from the top to the bottom, as they
nearly always are, on a canvas that holds nothing; the lanes where they were not play it again from its beginning, drawing
everything on the canvas that they had.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrrl.environments import base
from purejaxrrl.environments.atari.console import Console, ConsoleState
from purejaxrrl.environments.atari.engines import DRAW_ALL, DRAW_NOTHING, DRAW_WHOLE_LINES

LOOKED_AT = 2
"""The last frames of a step that an observation is made of."""


class Played(NamedTuple):
    """[L] each. console, executed: afterwards. reward: int32, of all frames. frames: int32, how many until the game was over."""

    console: ConsoleState
    executed: jax.Array
    reward: jax.Array
    frames: jax.Array


def play(console: Console, state: ConsoleState, executed: jax.Array, chosen: jax.Array, repeats: jax.Array) -> Played:
    """Plays F frames on L consoles.

    Args:
      executed: int32 [L], the action of the frame before, as ALE's enum. chosen: int32 [L], the agent's.
      repeats: bool [L, F], the frames in which the last executed action is repeated.
    """
    frames = repeats.shape[1]
    if console.engine != "kernel" or frames <= LOOKED_AT:
        return play_drawing_all(console, state, executed, chosen, repeats)
    looked_at = jnp.arange(frames)[:, None] >= frames - LOOKED_AT
    draws = jnp.broadcast_to(jnp.where(looked_at, DRAW_WHOLE_LINES, DRAW_NOTHING), repeats.T.shape)
    fresh = _put_canvas(state, console.fresh_canvas(state))
    played, whole = _frames(console, fresh, executed, chosen, repeats, draws)

    def replay(_: jax.Array, played: Played) -> Played:
        canvas = console.restore_canvas(~whole, state, played.console)
        rules = dataclasses.replace(state.rules, game_over=state.rules.game_over | whole)
        before = _put_canvas(dataclasses.replace(state, rules=rules), canvas)
        redone = _frames(console, before, executed, chosen, repeats, jnp.full_like(draws, DRAW_ALL))[0]
        played, again = (one._replace(console=_put_canvas(one.console, None)) for one in (played, redone))
        chosen_ones = base.select(whole, played, again)
        return chosen_ones._replace(console=_put_canvas(chosen_ones.console, redone.console.machine.canvas))

    # A loop, for through a `cond` XLA for CPU would copy the canvas where nothing is to be done.
    return jax.lax.fori_loop(0, jnp.any(~whole).astype(jnp.int32), replay, played)


def play_drawing_all(
    console: Console, state: ConsoleState, executed: jax.Array, chosen: jax.Array, repeats: jax.Array
) -> Played:
    """As `play`, every frame drawn."""
    return _frames(console, state, executed, chosen, repeats, None)[0]


def _frames(
    console: Console,
    state: ConsoleState,
    executed: jax.Array,
    chosen: jax.Array,
    repeats: jax.Array,
    draws: jax.Array | None,
) -> tuple[Played, jax.Array]:
    """The frames, given how each is drawn, int32 [F, L]; and whether those that are looked at were drawn whole, bool [L]."""

    def frame(carry, step):
        played, whole = carry
        repeats, looked_at, draws = step
        executed, before = jnp.where(repeats, played.executed, chosen), played.console
        options = () if draws is None else (draws,)
        after = jax.vmap(console.act)(before, executed, *options)
        if draws is not None:
            whole &= jnp.where(looked_at, ~before.game_over & console.is_whole(after), console.has_ended(after))
        plays = ~before.game_over
        return (Played(after, executed, played.reward + after.reward, played.frames + plays), whole), None

    zero = jnp.zeros_like(executed)
    looked_at = jnp.arange(repeats.shape[1]) >= repeats.shape[1] - LOOKED_AT
    whole = zero == 0 if draws is None else console.has_ended(state)
    start = Played(state, executed, zero, zero), whole
    return jax.lax.scan(frame, start, (repeats.T, looked_at, draws))[0]


def _put_canvas(state: ConsoleState, canvas) -> ConsoleState:
    return dataclasses.replace(state, machine=dataclasses.replace(state.machine, canvas=canvas))
