"""MarcoPolo's turns against the schedule that the reference describes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from purejaxrrl.environments.balloon.agents import Agent
from purejaxrrl.students import balloon, exploration

STUDENTS, WALKS = 7, 100


def counting():
    """Its actions are how many observations of the episode it has seen, this one included, from 100 on; its memory the first one's value, too."""

    def act(key, memory, observation):
        first, seen = memory
        first = jnp.where(seen == 0, observation, first)
        return (WALKS + seen + 1).astype(jnp.int32), (first, seen + 1)

    return Agent(lambda key: (jnp.float32(-1.0), jnp.int32(0)), act)


def turns_by_hand(length, own=80, exploring=40):
    """The reference's loop: phases are left when their time is up, as a step begins; the first step only resets it."""
    actions, exploring_now, elapsed, seen = [STUDENTS], False, 0, 1
    for _ in range(length - 1):
        elapsed += 3  # minutes
        if elapsed >= 3 * (exploring if exploring_now else own):
            exploring_now, elapsed = not exploring_now, 0
        seen += exploring_now
        actions.append(WALKS + seen if exploring_now else STUDENTS)
    return actions


def fly(explores, episodes, seed=0, lanes=64):
    """Actions `[steps, lanes]` over episodes of those lengths, each with a row at its time limit that is no step, and the last state."""
    rows = [(step < length, step == length) for length in episodes for step in range(length + 1)]

    def row(carry, inputs):
        state, number = carry
        is_transition, is_last, key = inputs
        seen = jnp.full(lanes, number, jnp.float32)
        actions, state = explores.act(key, state, seen, jnp.full(lanes, STUDENTS))
        state = explores.after(state, jnp.full(lanes, is_transition), jnp.full(lanes, is_last))
        return (state, number + 1), (actions, is_transition, state.memory[0])

    is_transition, is_last = (jnp.asarray(column) for column in zip(*rows, strict=True))
    keys = jax.random.split(jax.random.key(seed), len(rows))
    start = explores.init(lanes), jnp.int32(0)
    _, (actions, taken, first) = jax.jit(lambda: jax.lax.scan(row, start, (is_transition, is_last, keys)))()
    return np.asarray(actions)[np.asarray(taken)], np.asarray(first)[np.asarray(taken)]


def test_four_hours_of_the_student_and_two_of_the_walk():
    """Of a whole flight and one that was cut short, every step of every lane."""
    lengths = [960, 130, 960]
    actions, first = fly(exploration.MarcoPolo(counting(), episodes=0.8), lengths)
    explored = []
    for number, length in enumerate(lengths):
        begin = sum(lengths[:number])
        flown, hand = actions[begin : begin + length].T, turns_by_hand(length)
        was = (flown != STUDENTS).any(1)
        np.testing.assert_array_equal(flown[was], np.tile(hand, (was.sum(), 1)))
        explored.append(was)
        # The walk began with the episode's first observation, which a row for every time limit came before.
        assert (first[begin : begin + length] == begin + number).all()
    assert sum(action != STUDENTS for action in turns_by_hand(960)) == 320
    explored = np.array(explored)
    assert pytest.approx(explored.mean(), abs=4 * np.sqrt(0.16 / explored.size)) == 0.8
    assert (explored[0] != explored[1]).any()  # drawn for each episode


def test_the_share_of_explored_episodes_is_the_one_asked_for():
    actions, _ = fly(exploration.MarcoPolo(counting(), 0.3, own_steps=1, exploring_steps=1), [2], lanes=4_000)
    explored = int((actions[1] != STUDENTS).sum())
    assert scipy.stats.binomtest(explored, 4_000, 0.3).pvalue > 1e-3


def test_the_balloons_is_the_references():
    """`MarcoPoloExploration` with quantile.gin's probability: 4 and 2 hours of 3-minute steps, a random walk in altitude."""
    made = balloon.marco_polo()
    assert (made.episodes, 3 * made.own_steps, 3 * made.exploring_steps) == (0.8, 240, 120)
    state = made.init(2)
    actions, state = made.act(jax.random.key(0), state, jnp.zeros((2, 1099)), jnp.full(2, STUDENTS))
    np.testing.assert_array_equal(actions, STUDENTS)
    assert ((state.memory.target > 6_500) & (state.memory.target < 11_400)).all()
    np.testing.assert_array_equal(state.memory.elapsed, 0.0)
