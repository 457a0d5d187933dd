"""Prioritised sampling against distributions and sums worked out by hand, over the ring's seam, in lanes, under `vmap` and in training."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from purejaxrrl import replay
from purejaxrrl.replay import sum_tree

SAMPLER = replay.Prioritised(importance_weights=False)
LANES, MAX_N_STEP, HISTORY = 3, 2, 1
MEMORY = replay.ReplayMemory(
    capacity=30, num_environments=LANES, codec=replay.FrameStack((1,), HISTORY + 1), max_n_step=MAX_N_STEP
)
ADDED = jax.jit(functools.partial(SAMPLER.added, MEMORY))
LEARNED = jax.jit(SAMPLER.learned)


def step(is_transition):
    lanes = np.zeros(LANES)
    return replay.Step(lanes, lanes, lanes, lanes, lanes, is_transition=jnp.asarray(is_transition), is_first=lanes)


def float32_sum(values):
    """Halves added to each other, in numpy."""
    values = np.pad(values, (0, (1 << (len(values) - 1).bit_length()) - len(values)))
    while len(values) > 1:
        values = values[: len(values) // 2] + values[len(values) // 2 :]
    return values[0]


def assert_sums_are_recomputed(tree):
    """Every node is, to the bit, the sum of what is below it; nothing else is in the tree."""
    below = np.asarray(tree.leaves)
    for level in map(np.asarray, tree.sums):
        expected = np.zeros(level.size, np.float32)
        expected[: len(below)] = [float32_sum(group) for group in below]
        np.testing.assert_array_equal(level.ravel(), expected)
        below = level
    assert len(below) == 1


def play(num_rows, seed=0):
    """A sampler's state after random rows and priorities, and what every place's priority is by the rules: `{(row, lane): priority}`."""
    generator = np.random.default_rng(seed)
    state, expected, largest, kept = SAMPLER.init(MEMORY), {}, np.float32(1.0), {}
    for row in range(num_rows):
        is_transition = generator.random(LANES) < 0.8
        state = ADDED(state, step(is_transition), jnp.int32(row))
        kept |= {(row, lane): bool(is_transition[lane]) for lane in range(LANES)}
        first, end = (int(each) for each in MEMORY.drawable(jnp.int32(row + 1)))
        entered = {place: largest for place in kept if place[0] == end - 1 and kept[place]}
        expected = {place: value for place, value in (expected | entered).items() if first <= place[0] < end}
        if len(expected) > 4:
            chosen = [list(expected)[number] for number in generator.choice(len(expected), 4, replace=False)]
            given = generator.exponential(2.0, 5).astype(np.float32)
            rows, lanes = np.array([*chosen, (-1, 0)], np.int32).T
            state = LEARNED(state, rows, lanes, given)
            expected |= dict(zip(chosen, given[:4], strict=True))
            largest = max(largest, given[:4].max())
    return state, expected


# Before the ring is full, just full, one row over its seam, and after many turns.
@pytest.mark.parametrize("num_rows", [2, 9, 10, 11, 57])
def test_priorities_are_those_of_the_rules_whatever_the_ring_has_been_through(num_rows):
    state, expected = play(num_rows)
    by_hand = np.zeros((MEMORY.rows, LANES), np.float32)
    for (row, lane), priority in expected.items():
        by_hand[row % MEMORY.rows, lane] = priority
    np.testing.assert_array_equal(state.tree.leaves, by_hand)
    assert_sums_are_recomputed(state.tree)


@pytest.mark.parametrize("num_rows", [9, 57])
def test_places_are_drawn_in_proportion_to_their_priorities(num_rows):
    state, expected = play(num_rows)
    draws = 40_000
    single = jax.vmap(lambda key: SAMPLER.draw(key, MEMORY, state, jnp.int32(num_rows), ()))
    draw = jax.tree.map(np.asarray, jax.jit(single)(jax.random.split(jax.random.key(1), draws)))
    total = sum(expected.values())
    counts = {place: 0 for place in expected}
    for row, lane in zip(draw.row.tolist(), draw.environment.tolist(), strict=True):
        counts[row, lane] += 1  # a KeyError: what may not be drawn was
    shares = np.array([float(expected[place]) / float(total) for place in counts])
    assert scipy.stats.chisquare(list(counts.values()), draws * shares / shares.sum()).pvalue > 1e-3
    probability = [float(expected[place]) / float(total) for place in zip(draw.row, draw.environment, strict=True)]
    np.testing.assert_allclose(draw.probability, probability, rtol=1e-5)


def test_a_batch_has_one_draw_from_each_stratum():
    """Equal priorities in strata of five: no batch has two of one, and within it all are alike."""
    tree = sum_tree.set_leaves(sum_tree.empty(300, 1), jnp.arange(300), jnp.zeros(300, jnp.int32), jnp.full(300, 0.125))
    rows, _, _ = jax.jit(jax.vmap(lambda key: sum_tree.draw(key, tree, (60,))))(
        jax.random.split(jax.random.key(0), 500)
    )
    rows = np.asarray(rows)
    np.testing.assert_array_equal(rows // 5, np.broadcast_to(np.arange(60), rows.shape))
    assert scipy.stats.chisquare(np.bincount(rows.ravel() % 5)).pvalue > 1e-3


def test_of_a_million_every_one_is_as_likely_as_it_should_be():
    """More leaves than a float32 between 0 and 1 tells apart well: those of the last group, by a fine comb and by drawing."""
    rows = 50_000
    tree = sum_tree.empty(rows, 40)
    shares = np.random.default_rng(0).exponential(size=(rows, 40)).astype(np.float32)
    leaves, sums, below = jnp.asarray(shares), [], shares
    for level in tree.sums:
        filled = np.zeros(level.size, np.float32)
        filled[: len(below)] = below.sum(-1)
        sums.append(jnp.asarray(filled.reshape(level.shape)))
        below = filled.reshape(level.shape)
    tree = sum_tree.SumTree(leaves, tuple(sums))
    row, column, value = (
        np.asarray(each) for each in jax.jit(sum_tree.draw, static_argnums=2)(jax.random.key(3), tree, (20_000,))
    )
    np.testing.assert_array_equal(value, shares[row, column])
    expected = shares.sum(0, dtype=float)
    # In strata the counts vary less than they would without, so that this cannot fail for being too far off by chance.
    assert scipy.stats.chisquare(np.bincount(column, minlength=40), 20_000 * expected / expected.sum()).pvalue > 1e-3
    # Leaves of size s are drawn s times as often: the mean leaf drawn is E[s^2] / E[s].
    np.testing.assert_allclose(value.mean(), (shares.astype(float) ** 2).mean() / shares.mean(), rtol=0.03)


@pytest.mark.parametrize("zero", [0, 1])
def test_a_place_of_no_priority_is_not_drawn_by_rounding(zero):
    """Wherever the fraction falls, its ends included."""
    children = jnp.asarray([[0.1 if number % 2 != zero else 0.0 for number in range(sum_tree.FAN_OUT)]])
    fractions = jnp.concatenate([jnp.linspace(0, 1, 5_001), jnp.asarray([np.nextafter(1, 0, dtype=np.float32)])])
    batch = jnp.broadcast_to(children, (len(fractions), sum_tree.FAN_OUT))
    child, value, within = jax.jit(sum_tree._child)(batch, fractions, jnp.full(len(fractions), 0.99))
    assert (np.asarray(child) % 2 != zero).all() and (value > 0).all()
    assert ((within >= 0) & (within < 1)).all()


def test_sums_do_not_drift_in_a_hundred_thousand_updates():
    """Priorities from 1e-6 to 1e6: what is added and taken away in float32 would leave a small one nothing of its sum."""
    rows, lanes, batch = 300, 2, 5

    def update(tree, key):
        row_key, lane_key, value_key = jax.random.split(key, 3)
        values = 10.0 ** jax.random.uniform(value_key, (batch,), minval=-6, maxval=6)
        row, lane = jax.random.randint(row_key, (batch,), 0, rows), jax.random.randint(lane_key, (batch,), 0, lanes)
        return sum_tree.set_leaves(tree, row, lane, values), None

    keys = jax.random.split(jax.random.key(0), 100_000)
    tree = jax.jit(lambda tree, keys: jax.lax.scan(update, tree, keys)[0])(sum_tree.empty(rows, lanes), keys)
    assert_sums_are_recomputed(tree)
    small = sum_tree.set_leaves(tree, jnp.arange(rows), jnp.zeros(rows, jnp.int32), jnp.full(rows, 1e-6))
    small = sum_tree.set_leaves(small, jnp.arange(rows), jnp.ones(rows, jnp.int32), jnp.full(rows, 1e-6))
    np.testing.assert_allclose(small.total, 2 * rows * 1e-6, rtol=1e-5)


def test_runs_side_by_side_are_the_runs_alone():
    states = [play(30, seed)[0] for seed in (1, 2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    keys = jax.random.split(jax.random.key(0), 2)
    draw = lambda key, state: SAMPLER.draw(key, MEMORY, state, jnp.int32(30), (8,))  # noqa: E731
    together = jax.jit(jax.vmap(draw))(keys, stacked)
    after = jax.jit(jax.vmap(SAMPLER.learned))(stacked, together.row, together.environment, together.probability)
    for number, (key, state) in enumerate(zip(keys, states, strict=True)):
        alone = jax.jit(draw)(key, state)
        for mine, theirs in zip(alone, together, strict=True):
            np.testing.assert_array_equal(mine, theirs[number])
        learned = LEARNED(state, alone.row, alone.environment, alone.probability)
        jax.tree.map(lambda mine, all: np.testing.assert_array_equal(mine, all[number]), learned, after)  # noqa: B023


def test_importance_is_dopamines_or_none():
    """1 / sqrt(p), the largest 1 (dopamine.jax.agents.rainbow)."""
    draw = replay.Draw(jnp.zeros(3), jnp.zeros(3), jnp.asarray([0.01, 0.04, 0.25]))
    np.testing.assert_allclose(replay.Prioritised().importance(draw), [1.0, 0.5, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(SAMPLER.importance(draw), 1.0)


def test_without_anything_to_draw_a_place_of_probability_0_comes_and_learns_nothing():
    memory = dataclasses.replace(MEMORY, codec=replay.Plain((), jnp.int32))
    state = SAMPLER.init(memory)
    draw = jax.jit(lambda key: SAMPLER.draw(key, memory, state, jnp.int32(1), (4,)))(jax.random.key(0))
    assert ((draw.row >= -memory.rows) & (draw.row < 1)).all() and not draw.probability.any()
    assert not LEARNED(state, draw.row, draw.environment, jnp.ones(4)).tree.total
