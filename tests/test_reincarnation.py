import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import reincarnation

COEFFICIENT = jax.jit(reincarnation.weaning_coefficient)
T_0 = 1000


def coefficient(kind, agent_steps, score=0.0, previous=1.0, **options):
    weaning = reincarnation.weaning(kind, T_0, **options)
    return float(COEFFICIENT(weaning, jnp.float32(agent_steps), jnp.float32(score), jnp.float32(previous)))


@pytest.mark.parametrize(
    ("agent_steps", "score", "expected"),
    [
        (0, 0.0, 1.0),
        (0, 0.3, 0.7),
        (999, 0.25, 0.75),
        (500, -0.5, 1.0),  # worse than the random policy: as if it were the random policy
        (500, 1.0, 0.0),
        (500, 1.7, 0.0),
        (1000, 0.25, 0.0),  # t < t_0 no longer holds
        (5000, 0.0, 0.0),
    ],
)
def test_the_papers_rule(agent_steps, score, expected):
    assert coefficient("return_driven", agent_steps, score) == pytest.approx(expected)


# In quarters of t_0: 0, 1/4, 1/2, 3/4, just before 1, 1, 2.
TIMES = np.array([0, 250, 500, 750, 999, 1000, 2000])


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("linear", {}, [1.0, 0.75, 0.5, 0.25, 0.001, 0.0, 0.0]),
        ("cosine", {}, [1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 2.4674e-6, 0.0, 0.0]),
        ("exponential", {"floor": 1 / 16}, [1.0, 1 / 2, 1 / 4, 1 / 8, 16**-0.999, 0.0, 0.0]),
        # Three drops by 10 and the end: four equal stretches of time.
        ("step", {"floor": 1e-3, "drops": 3}, [1.0, 0.1, 0.01, 0.001, 0.001, 0.0, 0.0]),
        ("step", {"floor": 0.25, "drops": 1}, [1.0, 1.0, 0.25, 0.25, 0.25, 0.0, 0.0]),
        ("constant", {}, [1.0] * 7),
        ("none", {}, [0.0] * 7),
    ],
)
def test_schedules_in_time_by_hand(kind, options, expected):
    values = [coefficient(kind, time, score=0.9, **options) for time in TIMES]
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=2e-7)


def test_every_schedule_is_tested():
    assert set(reincarnation.SCHEDULES) == {
        "return_driven", "linear", "cosine", "exponential", "step", "constant", "none",
    }  # fmt: skip


@pytest.mark.parametrize("kind", reincarnation.SCHEDULES)
def test_once_zero_it_stays_zero(kind):
    assert coefficient(kind, 10, score=0.2, previous=0.0) == 0.0


def test_a_student_that_falls_back_after_passing_its_teacher_stays_weaned():
    previous, course = 1.0, []
    for agent_steps, score in [(100, 0.4), (200, 1.1), (300, 0.5), (400, 0.0)]:
        previous = coefficient("return_driven", agent_steps, score, previous)
        course.append(previous)
    np.testing.assert_allclose(course, [0.6, 0.0, 0.0, 0.0], rtol=1e-6)


def test_a_student_that_falls_back_before_leans_on_its_teacher_again():
    assert coefficient("return_driven", 300, score=0.1, previous=0.3) == pytest.approx(0.9)


def test_schedules_of_all_kinds_run_side_by_side_under_vmap():
    kinds = list(reincarnation.SCHEDULES)
    stacked = reincarnation.stack([reincarnation.weaning(kind, T_0, floor=0.1, drops=2) for kind in kinds])
    scores = jnp.linspace(0.0, 0.9, len(kinds))
    together = jax.vmap(reincarnation.weaning_coefficient, in_axes=(0, None, 0, None))(stacked, 400.0, scores, 1.0)
    alone = [coefficient(kind, 400, score, floor=0.1, drops=2) for kind, score in zip(kinds, scores, strict=True)]
    assert len(set(alone)) >= 6
    np.testing.assert_allclose(together, alone, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linaer", 100), "unknown weaning schedule 'linaer'.*linear"),
        (("linear", 0), "after 0 agent steps"),
        (("linear", float("nan")), "after nan agent steps"),
        (("exponential", 100, 0.0), "floor is 0.0"),
        (("exponential", 100, 1.5), "floor is 1.5"),
        (("step", 100, 0.1, 0), "in 0 drops"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        reincarnation.weaning(*arguments)


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 1e-4), (0.0, 1e-5), (0.25, 0.25 * 1e-4 + 0.75 * 1e-5)])
def test_the_learning_rate_follows_the_coefficient(weight, expected):
    fields = dict.fromkeys(reincarnation.Method.__dataclass_fields__, 0.0)
    method = reincarnation.Method(**fields | {"learning_rate": 1e-4, "weaned_learning_rate": 1e-5})
    assert method.current_learning_rate(weight) == pytest.approx(expected)


def test_stack_makes_the_leading_axis_of_vmap():
    stacked = reincarnation.stack([reincarnation.weaning("step", steps, drops=2) for steps in (10, 20, 30)])
    np.testing.assert_array_equal(stacked.steps, [10.0, 20.0, 30.0])
    np.testing.assert_array_equal(stacked.drops, [2.0, 2.0, 2.0])
