"""JSRL's roll-in and mixture against the paper's rules written out."""

import jax
import jax.numpy as jnp
import methods
import numpy as np
import pytest

from purejaxrrl.students import jsrl
from purejaxrrl.students.hyperparameters import as_arrays, replace

STEPS = 50_000
LIMIT, ACTS, AFTER = jax.jit(jsrl.roll_in_limit), jax.jit(jsrl.teacher_acts), jax.jit(jsrl.after)


def method(name, **changes):
    return as_arrays(replace(methods.settings(name, STEPS), **changes))


@pytest.mark.parametrize("first", [100, 1000, 7, 1])
def test_the_roll_in_limit_is_the_papers_int_of_eight_tenths(first):
    """m <- int(0.8 m) every 125,000 of 2.5M agent steps: here every 2,500 of 50,000."""
    values, expected = method("jsrl", roll_in_steps=first), first
    for number in range(20):
        for steps in (number * 2500, number * 2500 + 2499):
            assert float(LIMIT(values, jnp.float32(steps))) == expected, number
        expected = int(0.8 * expected)


def test_a_method_without_roll_in_or_mixture_never_follows():
    values = method("qdagger")
    roll_in = jsrl.init(64)
    for steps in (0, 10_000):
        acts, roll_in = jsrl.teacher_acts(jax.random.key(steps), roll_in, values, jnp.float32(steps))
        assert not acts.any()


def test_roll_in_lengths_are_uniform_on_1_to_m():
    values = method("jsrl", roll_in_steps=5)
    count = 50_000
    _, roll_in = jsrl.teacher_acts(jax.random.key(0), jsrl.init(count), values, jnp.float32(0))
    shares = np.bincount(np.asarray(roll_in.length), minlength=7) / count
    np.testing.assert_allclose(shares, [0, 0.2, 0.2, 0.2, 0.2, 0.2, 0], atol=5 * np.sqrt(0.16 / count))
    assert shares[0] == shares[6] == 0


def test_the_teacher_acts_for_the_first_k_steps_of_each_episode():
    """Episodes of 6 steps, the second row of each not a transition: it neither counts nor ends anything."""
    values, roll_in = method("jsrl", roll_in_steps=4), jsrl.init(200)
    led, lengths = np.zeros(200, int), None
    for time in range(18):
        acts, roll_in = jsrl.teacher_acts(jax.random.key(time), roll_in, values, jnp.float32(0))
        if time % 6 == 0:
            lengths, led = np.asarray(roll_in.length), np.zeros(200, int)
            assert set(lengths) == {1, 2, 3, 4}
        np.testing.assert_array_equal(np.asarray(roll_in.length), lengths)
        transition = time % 6 != 1
        led += np.asarray(acts) & transition
        roll_in = jsrl.after(roll_in, jnp.full(200, transition), jnp.full(200, time % 6 == 5))
        if time % 6 == 5:
            np.testing.assert_array_equal(led, lengths)


def test_as_released_the_student_rolls_in_and_the_teacher_acts_after_it():
    """At first the teacher acts at every step behind the roll-in; half way at half of them, and m is int(0.8 m) ten times over."""
    for steps, m, share in [(0, 100, 1.0), (25_000, 9, 0.5), (50_000, 0, 0.0)]:
        values, roll_in = method("jsrl_released"), jsrl.init(1_000)
        assert float(LIMIT(values, jnp.float32(steps))) == m
        behind = []
        for time in range(110):
            acts, roll_in = ACTS(jax.random.key(time), roll_in, values, jnp.float32(steps))
            is_behind = time >= np.asarray(roll_in.length)
            assert not np.asarray(acts)[~is_behind].any()
            behind.append(np.asarray(acts)[is_behind])
            roll_in = AFTER(roll_in, jnp.ones(1_000, bool), jnp.zeros(1_000, bool))
        lengths = np.asarray(roll_in.length)
        assert (lengths.min(), lengths.max()) == (min(m, 1), m)
        assert np.concatenate(behind).mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(("steps", "expected"), [(0, 1.0), (12_500, 0.75), (25_000, 0.5), (50_000, 0.0), (90_000, 0.0)])
def test_the_guides_probability_falls_to_0_over_the_budget(steps, expected):
    values = method("jsrl_released", roll_in_steps=0)
    assert float(jsrl.guide_probability(values, jnp.float32(steps))) == pytest.approx(expected)
    acts, _ = jsrl.teacher_acts(jax.random.key(1), jsrl.init(20_000), values, jnp.float32(steps))
    assert np.mean(acts) == pytest.approx(expected, abs=0.02)
    if expected in (0.0, 1.0):
        assert np.mean(acts) == expected
