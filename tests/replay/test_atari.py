"""Atari's stacks in the ring: a frame is kept once, and a stack goes on where a lost life counts as an end."""

import fake_console
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import replay
from purejaxrrl.environments.atari import environment as environment_module
from purejaxrrl.replay import acting

LANES, ROWS = 2, 40


@pytest.fixture(scope="module")
def atari():
    with pytest.MonkeyPatch.context() as patch:
        fake_console.install(patch)
        yield environment_module.Atari("breakout", terminal_on_life_loss=True, max_frames_in_episode=24)


def test_gathered_stacks_are_ataris(atari):
    """Lives are lost after 10 and 20 frames, in the third and the fifth step, and the limit comes after six steps."""
    memory = replay.memory_for(atari, atari.default_params, ROWS * LANES, LANES, max_n_step=1)
    assert memory.codec == replay.FrameStack((84, 84), 4, jnp.dtype(jnp.uint8))

    @jax.jit
    def run(key):
        def play(carry, number):
            actors, ring = carry
            actors, step, info = acting.act(
                jax.random.fold_in(key, number), atari, atari.default_params, actors, jnp.zeros(LANES, jnp.int32)
            )
            return (actors, memory.add(ring, step, number)), (step, info["game_over"])

        actors = acting.reset(key, atari, atari.default_params, LANES)
        (_, ring), played = jax.lax.scan(play, (actors, memory.init()), jnp.arange(ROWS))
        rows, lanes = jnp.mgrid[: ROWS - 1, :LANES]
        return played, memory.gather(ring, rows, lanes, 1, 0.9)

    (steps, game_over), batch = jax.tree.map(np.asarray, run(jax.random.key(0)))
    lives = steps.terminated & ~game_over
    assert lives.sum() > 5 and steps.truncated.any() and not steps.is_first[1:][lives[:-1]].any()
    np.testing.assert_array_equal(batch.observation, steps.observation[:-1])
    np.testing.assert_array_equal(batch.bootstrap_observation, steps.observation[1:])
    assert (steps.observation[..., 0][~steps.is_first] != 0).any()
