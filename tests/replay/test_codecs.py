"""Codecs against what the environment made: stacks of frames above all, which a ring keeps as single frames."""

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Reel

from purejaxrrl import replay
from purejaxrrl.replay import acting

LANES, ROWS, DISCOUNT = 3, 20, 0.9
ENVIRONMENT = Reel()
MEMORY = replay.memory_for(ENVIRONMENT, ENVIRONMENT.default_params, ROWS * LANES, LANES, max_n_step=3)
GATHER = jax.jit(MEMORY.gather)


@pytest.fixture(scope="module")
def played():
    """What was seen and done in 97 steps, `[97, LANES]`, and the ring after each of them."""

    @jax.jit
    def run(key):
        def play(carry, number):
            actors, ring = carry
            actions = jnp.zeros(LANES, jnp.int32)
            actors, step, _ = acting.act(
                jax.random.fold_in(key, number), ENVIRONMENT, ENVIRONMENT.default_params, actors, actions
            )
            ring = MEMORY.add(ring, step, number)
            return (actors, ring), (step, ring)

        actors = acting.reset(key, ENVIRONMENT, ENVIRONMENT.default_params, LANES)
        return jax.lax.scan(play, (actors, MEMORY.init()), jnp.arange(97))[1]

    return jax.tree.map(np.asarray, run(jax.random.key(0)))


def after(played, num_rows):
    """The ring when that many rows were written."""
    return jax.tree.map(lambda leaf: leaf[num_rows - 1], played[1])


def drawable(num_rows):
    first, end = (int(bound) for bound in MEMORY.drawable(jnp.int32(num_rows)))
    rows, lanes = np.mgrid[first:end, :LANES]
    return rows.ravel(), lanes.ravel()


def steps_ahead(steps, row, lane, n_step):
    for taken in range(1, n_step + 1):
        if steps.terminated[row + taken - 1, lane] or steps.truncated[row + taken - 1, lane]:
            return taken
    return n_step


def test_the_play_meets_every_case(played):
    steps, _ = played
    rows, lanes = drawable(97)
    kept = jax.tree.map(lambda leaf: leaf[rows, lanes], steps)
    following = steps.is_first[rows + 1, lanes]
    assert (kept.terminated & following).any() and (kept.terminated & ~following).any()  # an end; a lost life
    assert kept.truncated.any() and (~kept.is_transition).any()
    assert (97 - ROWS) % ROWS != 0  # the oldest row is not the array's first


@pytest.mark.parametrize("num_rows", [7, 20, 21, 60, 97])
@pytest.mark.parametrize("n_step", [1, 3])
def test_gathered_stacks_are_what_the_environment_made(played, num_rows, n_step):
    """Through ends, lost lives, time limits and the seam of the ring; the stack at the bootstrap too."""
    steps, _ = played
    rows, lanes = drawable(num_rows)
    batch = jax.tree.map(np.asarray, GATHER(after(played, num_rows), rows, lanes, n_step, DISCOUNT))
    np.testing.assert_array_equal(batch.observation, steps.observation[rows, lanes])
    ahead = np.array([steps_ahead(steps, row, lane, n_step) for row, lane in zip(rows, lanes, strict=True)])
    np.testing.assert_array_equal(batch.bootstrap_observation, steps.observation[rows + ahead, lanes])
    assert batch.observation.dtype == batch.bootstrap_observation.dtype == np.uint8


def test_a_frame_is_kept_once():
    ring = jax.eval_shape(MEMORY.init)
    assert ring.observation.shape == (ROWS, LANES, 6) and ring.observation.dtype == jnp.uint8


def test_the_oldest_rows_of_a_full_ring_whose_stacks_are_cut_are_not_drawn(played):
    steps, _ = played
    for num_rows, oldest in ((6, 0), (20, 0), (21, 4), (97, 97 - ROWS + 3)):
        draw = jax.jit(lambda key, num_rows=num_rows: replay.Uniform().draw(key, MEMORY, None, num_rows, (2_000,)))
        rows = np.asarray(draw(jax.random.key(0)).row)
        assert (rows.min(), rows.max()) == (oldest, num_rows - 3 - 1)
    # And it is those: in the row before, the frames that were written over are missing.
    row = 97 - ROWS + 2
    lanes = np.flatnonzero(~steps.is_first[row - 2 : row + 1].any(0))
    batch = GATHER(after(played, 97), np.full_like(lanes, row), lanes, 1, DISCOUNT)
    assert lanes.size
    assert (batch.observation != steps.observation[row, lanes]).any((1, 2, 3)).all()


def test_rewards_are_clipped_when_gathered_and_kept_as_they_were(played):
    steps, _ = played
    ring, (rows, lanes) = after(played, 60), drawable(60)
    np.testing.assert_array_equal(ring.reward[np.arange(40, 60) % ROWS], steps.reward[40:60])
    assert abs(steps.reward[rows, lanes]).max() > 2
    for clip in (0.0, 1.0, 2.5):
        batch = GATHER(ring, rows, lanes, 3, DISCOUNT, clip)
        rewards = np.clip(steps.reward, -clip, clip) if clip else steps.reward
        expected = [
            sum(DISCOUNT**k * rewards[row + k, lane] for k in range(steps_ahead(steps, row, lane, 3)))
            for row, lane in zip(rows, lanes, strict=True)
        ]
        np.testing.assert_allclose(batch.n_step_return, expected, rtol=1e-5, atol=1e-6)


def test_vectors_as_actions_and_extras_come_back_with_their_transition():
    extras = {"log_probability": jax.ShapeDtypeStruct((), jnp.float32), "goal": jax.ShapeDtypeStruct((2,), jnp.int32)}
    memory = replay.ReplayMemory(
        12, 2, replay.Plain((3,), jnp.float32), 1, action_shape=(4,), action_dtype=jnp.float32, extras=extras
    )
    generator = np.random.default_rng(0)
    rows, flat = 9, np.zeros((9, 2), bool)
    steps = replay.Step(
        observation=generator.normal(size=(rows, 2, 3)).astype(np.float32),
        action=generator.normal(size=(rows, 2, 4)).astype(np.float32),
        reward=np.zeros((rows, 2), np.float32),
        terminated=flat, truncated=flat, is_transition=~flat, is_first=flat,
        extras={
            "log_probability": generator.normal(size=(rows, 2)).astype(np.float32),
            "goal": generator.integers(0, 9, (rows, 2, 2)).astype(np.int32),
        },
    )  # fmt: skip
    ring, add = memory.init(), jax.jit(memory.add)
    for row in range(rows):
        ring = add(ring, jax.tree.map(lambda leaf, row=row: leaf[row], steps), row)
    places = np.mgrid[3 : rows - 1, :2]  # the ring's seam lies between rows 5 and 6
    batch = jax.jit(memory.gather)(ring, *places, 1, DISCOUNT)
    np.testing.assert_array_equal(batch.action, steps.action[3:-1])
    jax.tree.map(lambda found, made: np.testing.assert_array_equal(found, made[3:-1]), batch.extras, steps.extras)
    assert batch.extras["goal"].dtype == jnp.int32


CODECS = {
    "plain": replay.Plain((2, 3), jnp.float32),
    "bits": replay.Bits((10, 10, 4)),
    "frame stack": replay.FrameStack((2, 3), 4),
}


@pytest.mark.parametrize("name", CODECS)
def test_a_layout_comes_back_from_a_file(name):
    memory = replay.ReplayMemory(40, 2, CODECS[name], 3, teacher_outputs=5, action_shape=(2,), action_dtype=jnp.float32)
    again = replay.ReplayMemory.from_json(json.loads(json.dumps(memory.to_json())))
    for field in dataclasses.fields(memory):
        if field.name not in ("codec", "action_dtype"):
            assert getattr(again, field.name) == getattr(memory, field.name), field.name
    assert type(again.codec) is type(memory.codec) and again.codec.history == memory.codec.history
    shapes, expected = jax.eval_shape(again.init), jax.eval_shape(memory.init)
    assert jax.tree.leaves(shapes) == jax.tree.leaves(expected)
    assert hash(again) == hash(replay.ReplayMemory.from_json(again.to_json()))


def test_a_codec_of_ones_own_cannot_be_written_to_a_file():
    @dataclasses.dataclass(frozen=True)
    class Halves(replay.Plain):
        pass

    memory = replay.ReplayMemory(40, 2, Halves((2,), jnp.float32), 3)
    with pytest.raises(ValueError, match="codec of its own .Halves."):
        memory.to_json()


def test_the_codec_follows_from_shape_type_and_stack():
    assert replay.codec_for((7,), jnp.float32) == replay.Plain((7,), jnp.float32)
    assert replay.codec_for((7,), jnp.bool_) == replay.Bits((7,))
    assert replay.codec_for((84, 84, 4), jnp.uint8, 4) == replay.FrameStack((84, 84), 4)
    with pytest.raises(ValueError, match=r"\(84, 84, 3\) do not end in 4 stacked frames"):
        replay.codec_for((84, 84, 3), jnp.uint8, 4)


def test_a_ring_too_small_for_its_stacks_is_refused():
    with pytest.raises(
        ValueError, match="6 rows .* too few for 3-step returns and stacks of 4 frames; take at least 14"
    ):
        replay.ReplayMemory(12, 2, replay.FrameStack((2,), 4), 3)
    replay.ReplayMemory(14, 2, replay.FrameStack((2,), 4), 3)


def test_memory_for_takes_the_codec_that_it_is_given():
    environment = types.SimpleNamespace(reset=lambda key, params: (jnp.zeros((3,), jnp.bool_), None))
    codec = replay.Plain((3,), jnp.bool_)
    assert replay.memory_for(environment, None, 8, 2, 1, codec=codec).codec is codec
    assert replay.memory_for(environment, None, 8, 2, 1).codec == replay.Bits((3,))
