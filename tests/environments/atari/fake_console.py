"""A stand-in for the console, quick to compile: a grey screen that says how many frames were played.

The executed action is the reward, a life is lost every 10 frames, and the third loss ends the game.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from purejaxrrl.environments.atari import environment, raster

LIVES, FRAMES_PER_LIFE, HEIGHT = 3, 10, 210


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Beam:
    buffer: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FakeMachine:
    canvas: raster.Canvas
    raster: Beam


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FakeState:
    machine: FakeMachine
    game: jax.Array
    frame: jax.Array
    resets: jax.Array
    reward: jax.Array
    lives: jax.Array
    game_over: jax.Array
    fault: jax.Array


def level(resets, frame):
    """The palette index shown after a number of frames; successive resets begin elsewhere."""
    return (2 * (frame + 4 * resets)) % 16


def _drawn(machine: FakeMachine, index: jax.Array) -> FakeMachine:
    buffer = 1 - machine.raster.buffer
    colours = machine.canvas.colours.at[buffer].set(index.astype(jnp.uint32) * jnp.uint32(0x01010101))
    rows = machine.canvas.rows.at[:, :, 10].set(1)
    return FakeMachine(raster.Canvas(rows, colours), Beam(buffer))


class FakeConsole:
    """What `Atari` uses of `console.Console`."""

    engine = "portable"

    def __init__(self, games, mode=None, difficulty=0, engine=None):
        self.games, self.height = tuple(games), HEIGHT

    def reset(self, state=None, game=0):
        zero = jnp.int32(0)
        resets = zero if state is None else state.resets + 1
        blank = jax.tree.map(lambda x: x[0], raster.blank_canvas(1, HEIGHT))
        machine = FakeMachine(blank, Beam(zero)) if state is None else state.machine
        return FakeState(
            machine=_drawn(machine, level(resets, zero)),
            game=jnp.asarray(game, jnp.int32) if state is None else state.game,
            frame=zero,
            resets=resets,
            reward=zero,
            lives=zero + LIVES,
            game_over=jnp.bool_(False),
            fault=jnp.bool_(False),
        )

    def first_resets(self, number):
        states = [jax.vmap(lambda game: self.reset(game=game))(jnp.arange(len(self.games)))]
        while len(states) < number:
            states.append(jax.vmap(self.reset)(states[-1]))
        return states

    def act(self, state, action):
        frame = state.frame + 1
        lives = LIVES - frame // FRAMES_PER_LIFE
        played = dataclasses.replace(
            state,
            machine=_drawn(state.machine, level(state.resets, frame)),
            frame=frame,
            lives=lives,
            game_over=lives == 0,
            reward=jnp.asarray(action, jnp.int32),
        )
        frozen = dataclasses.replace(state, reward=jnp.int32(0))
        return jax.tree.map(lambda new, old: jnp.where(state.game_over, old, new), played, frozen)


def install(patch: pytest.MonkeyPatch) -> None:
    """Has environments made of this console, whose start states are not kept on disk."""
    patch.setattr(environment, "Console", FakeConsole)
    patch.setattr(environment, "start_cache", environment.start_states)
