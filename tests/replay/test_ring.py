import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
import scipy.stats
import toys

from purejaxrrl import replay
from purejaxrrl.replay import codecs

DISCOUNT = 0.9
NUM_ACTIONS = 2
MEMORY = replay.ReplayMemory(
    capacity=69, num_environments=3, codec=replay.Plain((), jnp.int32), max_n_step=5, teacher_outputs=2
)
GATHER = jax.jit(MEMORY.gather)


@functools.partial(jax.jit, static_argnums=(0, 4))
def sample(memory, key, ring, num_rows, shape, n_step, discount):
    """What the training step does for a batch: it draws places and gathers what is there."""
    draw = replay.Uniform().draw(key, memory, None, num_rows, shape)
    return memory.gather(ring, draw.row, draw.environment, n_step, discount)


def play_lane(generator, lane, num_rows, truncates):
    """Random episodes of one environment: its rows, and for each row the episode and the time in it (None: no step)."""
    rows, origins = [], []
    while len(rows) < num_rows:
        length = generator.integers(1, 8)
        episode = {
            "observations": [1000 * (lane + 1) + len(rows) + time for time in range(length + 1)],
            "rewards": generator.normal(size=length).tolist(),
            "actions": generator.integers(0, NUM_ACTIONS, length).tolist(),
            "terminates": not truncates or generator.random() < 0.5,
        }
        for time in range(length):
            last = time == length - 1
            ends = last and episode["terminates"], last and not episode["terminates"]
            rows.append(
                (episode["observations"][time], episode["actions"][time], episode["rewards"][time], *ends, True)
            )
            origins.append((episode, time))
        if not episode["terminates"]:
            rows.append((episode["observations"][length], 0, 0.0, False, False, False))
            origins.append(None)
    return rows[:num_rows], origins[:num_rows]


def play(num_rows, truncates=True, seed=0):
    """Rows of random episodes as a `Step` `[num_rows, N]`, and where each came from, `origins[row][lane]`."""
    generator = np.random.default_rng(seed)
    lanes = [play_lane(generator, lane, num_rows, truncates) for lane in range(MEMORY.num_environments)]
    columns = [np.array(column).T for column in zip(*[zip(*rows, strict=True) for rows, _ in lanes], strict=True)]
    observation, action, reward, terminated, truncated, is_transition = columns
    steps = replay.Step(
        observation=observation.astype(np.int32),
        action=action.astype(np.int32),
        reward=reward.astype(np.float32),
        terminated=terminated,
        truncated=truncated,
        is_transition=is_transition,
        is_first=np.concatenate([np.ones((1, MEMORY.num_environments), bool), (terminated | ~is_transition)[:-1]]),
        teacher_output=np.stack([observation * 0.5, -observation], axis=-1).astype(np.float32),
    )
    return steps, list(zip(*[origins for _, origins in lanes], strict=True))


@functools.cache
def adder(memory):
    return jax.jit(memory.add, donate_argnums=0)


def fill(memory, steps):
    ring = memory.init()
    for row in range(steps.action.shape[0]):
        ring = adder(memory)(ring, jax.tree.map(lambda leaf, row=row: np.asarray(leaf[row]), steps), row)
    return ring


def reference(episode, time, n_step):
    """(return, bootstrap discount, bootstrap observation or None) of an episode's step, from the definition."""
    n_step_return, discount = 0.0, 1.0
    for reward in episode["rewards"][time : time + n_step]:
        n_step_return += discount * reward
        discount *= DISCOUNT
    end = min(time + n_step, len(episode["rewards"]))
    if end == len(episode["rewards"]) and episode["terminates"]:
        return n_step_return, 0.0, None
    return n_step_return, discount, episode["observations"][end]


def admissible(num_rows):
    oldest = max(0, num_rows - MEMORY.rows)
    return [
        (row, lane) for row in range(oldest, num_rows - MEMORY.max_n_step) for lane in range(MEMORY.num_environments)
    ]


# Before the ring is full, just full, one row over its seam, in the middle and far beyond.
@pytest.mark.parametrize("num_rows", [6, 23, 24, 40, 101])
def test_n_step_targets_are_those_of_the_episodes(num_rows):
    steps, origins = play(num_rows)
    ring = fill(MEMORY, steps)
    starts = admissible(num_rows)
    rows, lanes = np.array(starts).T
    for n_step in range(1, MEMORY.max_n_step + 1):
        batch = jax.tree.map(np.asarray, GATHER(ring, rows, lanes, n_step, DISCOUNT))
        for index, (row, lane) in enumerate(starts):
            assert batch.observation[index] == steps.observation[row, lane]
            assert batch.valid[index] == (origins[row][lane] is not None)
            if origins[row][lane] is None:
                continue
            episode, time = origins[row][lane]
            n_step_return, discount, observation = reference(episode, time, n_step)
            assert batch.action[index] == episode["actions"][time]
            np.testing.assert_allclose(batch.n_step_return[index], n_step_return, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(batch.bootstrap_discount[index], discount, rtol=1e-6)
            assert observation is None or batch.bootstrap_observation[index] == observation


def test_the_random_episodes_meet_every_case():
    _, origins = play(101)
    kept = [origins[row][lane] for row, lane in admissible(101)]
    assert None in kept
    steps = [origin for origin in kept if origin is not None]
    for terminates in (True, False):
        assert any(e["terminates"] == terminates and len(e["rewards"]) - time == 1 for e, time in steps)
        assert any(e["terminates"] == terminates and len(e["rewards"]) - time == 3 for e, time in steps)
    assert any(len(e["rewards"]) - time > MEMORY.max_n_step for e, time in steps)


def test_targets_equal_rlax_n_step_bootstrapped_returns():
    num_rows, n_step = 23, 3
    steps, _ = play(num_rows, truncates=False, seed=1)
    ring = fill(MEMORY, steps)
    rows = np.arange(num_rows - MEMORY.max_n_step)
    values = np.random.default_rng(2).normal(size=5000).astype(np.float32)
    for lane in range(MEMORY.num_environments):
        batch = GATHER(ring, rows, np.full_like(rows, lane), n_step, DISCOUNT)
        targets = batch.n_step_return + batch.bootstrap_discount * values[batch.bootstrap_observation]
        discounts = DISCOUNT * (1.0 - steps.terminated[:, lane])
        next_values = values[np.append(steps.observation[1:, lane], 0)]
        expected = rlax.n_step_bootstrapped_returns(steps.reward[:, lane], discounts, next_values, n_step)
        np.testing.assert_allclose(targets, expected[: len(rows)], rtol=1e-5, atol=1e-5)


def test_n_step_beyond_the_longest_counts_as_the_longest():
    ring = fill(MEMORY, play(40)[0])
    rows, lanes = np.array(admissible(40)).T
    longest, beyond = (GATHER(ring, rows, lanes, n_step, DISCOUNT) for n_step in (MEMORY.max_n_step, 99))
    jax.tree.map(np.testing.assert_array_equal, longest, beyond)


def test_a_window_across_the_end_of_the_array_goes_on_at_its_start():
    steps, _ = play(51)
    never = np.zeros((51, 3), bool)
    steps = steps.replace(
        reward=np.arange(51, dtype=np.float32)[:, None].repeat(3, axis=1), terminated=never, truncated=never
    )
    batch = GATHER(
        fill(MEMORY, steps), np.array([44]), np.array([1]), 5, 1.0
    )  # rows 44, 45 at 21, 22; 46, ... at 0, ...
    assert batch.n_step_return[0] == 44 + 45 + 46 + 47 + 48
    assert batch.bootstrap_observation[0] == steps.observation[49, 1]


@pytest.mark.parametrize("num_rows", [6, 9, 23, 60])
def test_samples_are_uniform_over_the_admissible_rows_and_no_others(num_rows):
    identity = np.arange(num_rows * 3, dtype=np.int32).reshape(num_rows, 3)
    steps = play(num_rows)[0].replace(observation=identity)
    batch = sample(MEMORY, jax.random.key(num_rows), fill(MEMORY, steps), num_rows, (300, 200), 1, DISCOUNT)
    counts = np.bincount(np.asarray(batch.observation).ravel(), minlength=num_rows * 3)
    expected = {row * 3 + lane for row, lane in admissible(num_rows)}
    assert set(np.flatnonzero(counts)) == expected
    assert scipy.stats.chisquare(counts[sorted(expected)]).pvalue > 1e-3


def test_a_sample_is_what_gathering_its_rows_gives():
    steps = play(60)[0]
    steps = steps.replace(observation=np.arange(180, dtype=np.int32).reshape(60, 3))
    ring = fill(MEMORY, steps)
    batch = sample(MEMORY, jax.random.key(0), ring, 60, (4, 5), 3, DISCOUNT)
    assert batch.observation.shape == (4, 5)
    np.testing.assert_array_equal(batch.row * 3 + batch.environment, batch.observation)  # its place comes with it
    again = GATHER(ring, batch.observation // 3, batch.observation % 3, 3, DISCOUNT)
    jax.tree.map(np.testing.assert_array_equal, batch, again)
    other = sample(MEMORY, jax.random.key(1), ring, 60, (4, 5), 3, DISCOUNT)
    assert (other.observation != batch.observation).any()


def test_the_teachers_output_comes_with_its_transition():
    steps, _ = play(60)
    batch = sample(MEMORY, jax.random.key(0), fill(MEMORY, steps), 60, (500,), 2, DISCOUNT)
    expected = np.stack([batch.observation * 0.5, -batch.observation], axis=-1)
    np.testing.assert_array_equal(batch.teacher_output, expected)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((), jnp.float32), ((3, 5), jnp.uint8), ((7, 5), jnp.bool_), ((2, 16), jnp.bool_), ((2,), jnp.int32)],
)
def test_observations_come_back_in_the_environments_type(shape, dtype):
    memory = replay.ReplayMemory(12, 2, replay.codec_for(shape, dtype), 1)
    observations = np.random.default_rng(0).integers(0, 2 if dtype == jnp.bool_ else 200, (6, 2, *shape)).astype(dtype)
    flat = np.zeros((6, 2), np.float32)
    steps = replay.Step(observations, flat.astype(np.int32), flat, flat > 0, flat > 0, flat == 0, flat > 0)
    rows, lanes = np.mgrid[:5, :2]
    batch = jax.jit(memory.gather)(fill(memory, steps), rows, lanes, 1, DISCOUNT)
    assert batch.observation.dtype == batch.bootstrap_observation.dtype == dtype
    np.testing.assert_array_equal(batch.observation, observations[:5])
    np.testing.assert_array_equal(batch.bootstrap_observation, observations[1:])


def test_boolean_observations_take_an_eighth_of_the_memory():
    ring = jax.eval_shape(replay.ReplayMemory(64, 4, replay.codec_for((10, 10, 4), jnp.bool_), 1).init)
    assert ring.observation.size * ring.observation.dtype.itemsize == 64 * 416 / 8  # 400 bits, in whole words


@pytest.mark.parametrize("shape", [(1,), (31,), (32,), (33,), (5, 13), (10, 10, 4)])
def test_packed_bits_are_the_flags_binary_number_and_come_back(shape):
    flags = np.random.default_rng(0).random((2, 3, *shape)) < 0.5
    words = np.asarray(jax.jit(codecs.pack_bits, static_argnums=1)(flags, len(shape)))
    assert words.shape == (2, 3, -(-math.prod(shape) // 32))
    assert words.dtype == np.uint32
    for lead in np.ndindex(2, 3):
        number = sum(int(flag) << bit for bit, flag in enumerate(flags[lead].ravel()))
        assert sum(int(word) << 32 * index for index, word in enumerate(words[lead])) == number
    np.testing.assert_array_equal(jax.jit(codecs.unpack_bits, static_argnums=1)(words, shape), flags)


def test_writing_a_row_to_the_rings_of_many_runs_copies_no_ring():
    memory = replay.ReplayMemory(8000, 8, replay.codec_for((10, 10, 4), jnp.bool_), 3, teacher_outputs=3)
    rings = jax.eval_shape(lambda: jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), memory.init()))
    steps = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((4, *leaf.shape[2:]), leaf.dtype), rings)
    steps = steps.replace(observation=jax.ShapeDtypeStruct((4, 8, 10, 10, 4), jnp.bool_))
    write = jax.jit(jax.vmap(memory.add, in_axes=(0, 0, None)), donate_argnums=0)
    used = write.lower(rings, steps, jnp.int32(3)).compile().memory_analysis()
    ring_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(rings))
    assert used.alias_size_in_bytes == ring_bytes
    assert used.temp_size_in_bytes < ring_bytes / 100


@pytest.mark.parametrize(
    ("capacity", "num_environments", "max_n_step", "message"),
    [
        (10, 4, 1, "10 does not divide into rows of 4 environments; take a multiple of 4"),
        (12, 4, 3, "3 rows of 4 environments, too few for 3-step returns; take at least 16"),
        (12, 4, 0, "max_n_step is 0"),
        (12, 0, 1, "rows of 0 environments"),
        (0, 4, 1, "capacity of 0"),
    ],
)
def test_a_ring_that_cannot_work_is_refused(capacity, num_environments, max_n_step, message):
    with pytest.raises(ValueError, match=message):
        replay.ReplayMemory(capacity, num_environments, replay.Plain((), jnp.int32), max_n_step)


def test_the_smallest_admissible_ring_has_one_row_to_sample():
    memory = replay.ReplayMemory(16, 4, replay.Plain((), jnp.int32), max_n_step=3, teacher_outputs=2)
    steps = jax.tree.map(lambda leaf: leaf[:, :1].repeat(4, axis=1), play(4, truncates=False)[0])
    batch = sample(memory, jax.random.key(0), fill(memory, steps), 4, (64,), 3, DISCOUNT)
    assert set(np.asarray(batch.observation)) == {int(steps.observation[0, 0])}


@pytest.mark.parametrize(("batch_size", "message"), [(0, "at least 1"), (33, "batch of 33 .* capacity of 32")])
def test_a_batch_that_does_not_fit_is_refused(batch_size, message):
    replay.check_batch(32, 32)
    with pytest.raises(ValueError, match=message):
        replay.check_batch(32, batch_size)


def test_memory_for_takes_the_environments_shapes():
    memory = replay.memory_for(toys.Corridor(), None, 40, 4, 2, teacher_outputs=3)
    assert memory == replay.ReplayMemory(40, 4, replay.Plain((2,), jnp.dtype(jnp.int32)), 2, teacher_outputs=3)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_a_mixture_has_the_others_transitions_in_the_fraction_asked_for(fraction):
    """Whole transitions are taken: every field of one comes from the same batch."""
    size = 40_000

    def batch(value: float) -> replay.Batch:
        fields = {name: jnp.full(size, value) for name in replay.Batch.__dataclass_fields__}
        return replay.Batch(**fields | {"observation": jnp.full((size, 2), value)})

    mixed = replay.mix(jax.random.key(0), batch(0.0), batch(1.0), jnp.float32(fraction))
    share = float(mixed.n_step_return.mean())
    assert share == pytest.approx(fraction, abs=5 * math.sqrt(fraction * (1 - fraction) / size))
    # Places in the ring are the student's own; the others' are of another ring.
    np.testing.assert_array_equal(mixed.row, -np.asarray(mixed.n_step_return))
    for field in jax.tree.leaves(mixed.replace(row=mixed.environment)):
        np.testing.assert_array_equal(np.asarray(field).reshape(size, -1)[:, 0], mixed.n_step_return)
