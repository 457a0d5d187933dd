"""Pixels in the ring against a replay in plain Python: frames kept once, stacks and n-step transitions formed when gathered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Reel

from purejaxrrl import replay, teachers
from purejaxrrl.replay import acting
from purejaxrrl.teachers import datasets

LANES, ROWS, STEPS, DISCOUNT = 3, 24, 75, 0.9
REEL = Reel()
PARAMS = REEL.default_params


def played_alone(key):
    """Each lane's environment stepped by itself: for every step, what was seen, done and given, and what was seen after it.

    An environment at its time limit waits for a step, in which the ring takes its last observation.
    """
    reset, step = jax.jit(REEL.reset), jax.jit(REEL.step)
    lanes = []
    for lane in range(LANES):
        observation, state = reset(jax.random.split(key, LANES)[lane], PARAMS)
        steps, waits = [], False
        for number in range(STEPS):
            if waits:
                steps.append({"observation": steps[-1]["after"]})
                waits = False
                continue
            step_key = jax.random.split(jax.random.fold_in(key, number), LANES)[lane]
            seen, (observation, state, reward, terminated, truncated, info) = (
                observation,
                step(step_key, state, 0, PARAMS),
            )
            steps.append(
                {
                    "observation": np.asarray(seen),
                    "reward": float(reward),
                    "terminated": bool(terminated),
                    "truncated": bool(truncated and not terminated),
                    "after": np.asarray(info["final_observation"]),
                }
            )
            waits = steps[-1]["truncated"]
        lanes.append(steps)
    return lanes


def n_step(steps, row, n):
    """(return, discount of the bootstrap, observation to bootstrap from), from the definition; it may end before n steps."""
    total, discount = 0.0, 1.0
    for one in steps[row : row + n]:
        total += discount * one["reward"]
        discount *= DISCOUNT
        if one["terminated"]:
            return total, 0.0, None
        if one["truncated"]:
            return total, discount, one["after"]
    return total, discount, one["after"]


@pytest.fixture(scope="module")
def lanes():
    return played_alone(jax.random.key(7))


@pytest.fixture(scope="module")
def rings():
    """The ring after each row."""
    memory = replay.memory_for(REEL, PARAMS, ROWS * LANES, LANES, max_n_step=3)

    @jax.jit
    def run(key):
        def play(carry, number):
            actors, ring = carry
            actions = jnp.zeros(LANES, jnp.int32)
            actors, step, _ = acting.act(jax.random.fold_in(key, number), REEL, PARAMS, actors, actions)
            ring = memory.add(ring, step, number)
            return (actors, ring), ring

        return jax.lax.scan(play, (acting.reset(key, REEL, PARAMS, LANES), memory.init()), jnp.arange(STEPS))[1]

    return memory, run(jax.random.key(7))


def test_the_lanes_meet_every_case(lanes):
    steps = [one for lane in lanes for one in lane if "reward" in one]
    follows = [
        (one, after)
        for lane in lanes
        for one, after in zip(lane, lane[1:], strict=False)
        if "reward" in one and "reward" in after
    ]
    assert sum(one["truncated"] for one in steps) > 5
    lost = [one["terminated"] and (after["observation"] == one["after"]).all() for one, after in follows]
    over = [one["terminated"] and not (after["observation"] == one["after"]).all() for one, after in follows]
    assert sum(lost) > 5 and sum(over) > 5


@pytest.mark.parametrize("num_rows", [9, ROWS, ROWS + 1, 50, STEPS])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_transition_is_the_replays(lanes, rings, num_rows, n):
    """Before the ring is full, at its seam and long after: no observation, return, discount or bootstrap differs."""
    memory, every_ring = rings
    ring = jax.tree.map(lambda leaf: leaf[num_rows - 1], every_ring)
    first, end = (int(bound) for bound in memory.drawable(jnp.int32(num_rows)))
    assert (first, end) == (max(num_rows - ROWS + 3, 0) if num_rows > ROWS else 0, num_rows - 3)
    rows, places = (each.ravel() for each in np.mgrid[first:end, :LANES])
    batch = jax.tree.map(np.asarray, jax.jit(memory.gather)(ring, rows, places, n, DISCOUNT))
    for index, (row, lane) in enumerate(zip(rows, places, strict=True)):
        one = lanes[lane][row]
        np.testing.assert_array_equal(batch.observation[index], one["observation"])
        assert batch.valid[index] == ("reward" in one)
        if "reward" not in one:
            continue
        total, discount, observation = n_step(lanes[lane], row, n)
        assert batch.n_step_return[index] == pytest.approx(total, rel=1e-6, abs=1e-6)
        assert batch.bootstrap_discount[index] == pytest.approx(discount, rel=1e-6)
        if observation is not None:
            np.testing.assert_array_equal(batch.bootstrap_observation[index], observation)


@pytest.mark.parametrize("num_rows", [ROWS, 50])
def test_what_is_left_of_a_training_has_no_stack_of_frames_from_before_it(lanes, rings, num_rows):
    """Every transition of the data set is the replay's; where the ring had gone round, the first rows of some lanes are none."""
    memory, every_ring = rings
    card = teachers.Card(
        environment=REEL.name, output="logits", num_actions=2, observation_shape=(2, 3, 4), score=1.0, random_score=0.0,
        evaluation_episodes=1, frames=0,
    )  # fmt: skip
    teacher = teachers.Teacher(lambda params, seen: seen.sum((1, 2))[:, :2] * params, jnp.float32(1.0), card)
    ring = jax.tree.map(lambda leaf: leaf[num_rows - 1], every_ring)
    data = datasets.from_replay(memory, ring, num_rows, 15 * LANES, teacher, REEL)
    rows, places = (each.ravel() for each in np.mgrid[: 15 - 3, :LANES])
    batch = jax.tree.map(np.asarray, data.memory.gather(data.ring, rows, places, 1, DISCOUNT))
    valid = 0
    for index, (row, lane) in enumerate(zip(rows, places, strict=True)):
        one = lanes[lane][num_rows - 15 + row]
        if batch.valid[index]:
            valid += 1
            np.testing.assert_array_equal(batch.observation[index], one["observation"])
            np.testing.assert_array_equal(batch.teacher_output[index], one["observation"].sum((0, 1))[:2])
        elif row >= 3:
            assert "reward" not in one
    assert valid > 20 and (batch.valid[rows < 3] == 0).any()


@pytest.mark.parametrize("runs", [0, 2])
def test_a_ring_of_pixels_is_written_in_place_also_of_several_runs(runs):
    """Memory analysis of a compiled loop that writes and draws: what is donated comes back, and nothing of its size beside it."""
    memory = replay.ReplayMemory(40_000, 4, replay.FrameStack((84, 84), 4), max_n_step=3)

    def loop(ring, key, observation, num_rows):
        def body(carry, number):
            ring, total = carry
            flags = jnp.zeros(4, jnp.bool_)
            step = replay.Step(
                observation, flags.astype(jnp.int32), flags.astype(jnp.float32), flags, flags, ~flags, flags
            )
            ring = memory.add(ring, step, number)
            draw = replay.Uniform().draw(jax.random.fold_in(key, number), memory, None, number, (32,))
            batch = memory.gather(ring, draw.row, draw.environment, 3, 0.99)
            return (ring, total + batch.observation.astype(jnp.float32).sum()), None

        return jax.lax.scan(body, (ring, jnp.float32(0.0)), num_rows + jnp.arange(10))[0]

    function = jax.vmap(loop, in_axes=(0, 0, 0, None)) if runs else loop
    lead = (runs,) if runs else ()
    ring, key = jax.eval_shape(memory.init), jax.eval_shape(lambda: jax.random.key(0))
    frames = jax.ShapeDtypeStruct((4, 84, 84, 4), jnp.uint8)
    arguments = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*lead, *leaf.shape), leaf.dtype), (ring, key, frames))
    compiled = jax.jit(function, donate_argnums=0).lower(*arguments, jnp.int32(50_000)).compile()
    ring_bytes = replay.space.size(arguments[0])
    used = compiled.memory_analysis()
    assert ring_bytes <= used.alias_size_in_bytes <= ring_bytes * 1.001
    assert used.temp_size_in_bytes < 0.05 * ring_bytes  # two batches of stacks as floats are 3% of these


@pytest.mark.slow
def test_a_ring_of_more_elements_than_int32_counts_is_written_and_read_right():
    """2.2 GB: rows behind element 2^31, before it and across the seam, each lane with frames of its own."""
    memory = replay.ReplayMemory(310_000, 4, replay.FrameStack((84, 84), 4), max_n_step=1)
    assert memory.capacity * 7056 > 2**31

    def observation(number):
        pixel = jnp.arange(84 * 84, dtype=jnp.int32).reshape(84, 84, 1)
        return (pixel * 31 + number * 7 + jnp.arange(4)[:, None, None, None] * 101).astype(jnp.uint8) * jnp.ones(
            4, jnp.uint8
        )

    def write(number, ring):
        flags = jnp.zeros(4, jnp.bool_)
        step = replay.Step(
            observation(number),
            jnp.full(4, number),
            flags.astype(jnp.float32),
            flags,
            flags,
            ~flags,
            flags,
        )
        return memory.add(ring, step, number)

    fill = jax.jit(lambda ring, start, end: jax.lax.fori_loop(start, end, write, ring), donate_argnums=0)
    ring = jax.jit(memory.init)()
    place = ring.observation.unsafe_buffer_pointer()
    border = 2**31 // 7056 // 4
    for start, end in ((0, 10), (border - 10, border + 10), (memory.rows - 10, memory.rows + 5)):
        ring = fill(ring, start, end)
    assert ring.observation.unsafe_buffer_pointer() == place  # in place
    # Rows 0 to 4 are written over.
    rows = np.r_[8:9, border - 6 : border + 8, memory.rows - 6 : memory.rows + 3]
    batch = jax.jit(memory.gather)(ring, np.repeat(rows, 4), np.tile(np.arange(4), len(rows)), 1, DISCOUNT)
    np.testing.assert_array_equal(batch.action, np.repeat(rows, 4))
    for index, (row, lane) in enumerate((row, lane) for row in rows for lane in range(4)):
        for age in range(4):
            expected = np.asarray(observation(row - age))[lane, ..., 0]
            np.testing.assert_array_equal(batch.observation[index, ..., 3 - age], expected)
