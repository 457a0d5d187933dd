import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl.students import weaning
from purejaxrrl.students.hyperparameters import as_arrays, stack
from purejaxrrl.students.settings import QDagger

COEFFICIENT = jax.jit(weaning.weaning_coefficient)
T_0 = 1000


def settings(kind, steps=T_0, **options):
    return QDagger(weaning=kind, weaning_steps=steps, **{f"weaning_{name}": value for name, value in options.items()})


def seen(*scores, disagreement=1.0):
    """The evidence after evaluations of those scores, the first one first."""
    evidence = weaning.no_evidence()
    for score in scores:
        evidence = weaning.evaluated(evidence, jnp.float32(score))
    return evidence.replace(regret=jnp.float32(3 * disagreement), spread=jnp.float32(3))


def coefficient(kind, agent_steps, score=0.0, previous=1.0, evidence=None, **options):
    hyperparameters = as_arrays(settings(kind, **options))
    evidence = seen(score) if evidence is None else evidence
    return float(COEFFICIENT(hyperparameters, jnp.float32(agent_steps), evidence, jnp.float32(previous)))


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
    assert set(weaning.SCHEDULES) == {
        "return_driven", "linear", "cosine", "exponential", "step", "constant", "none", "lower_bound", "disagreement",
    }  # fmt: skip


@pytest.mark.parametrize("kind", sorted(weaning.SCHEDULES.keys() - {"disagreement"}))
def test_once_zero_it_stays_zero(kind):
    assert coefficient(kind, 10, score=0.2, previous=0.0) == 0.0


def test_a_student_that_agrees_in_its_first_step_is_held_where_it_strays():
    preferences, hyperparameters = jnp.array([[0.0, 4.0, 2.0]]), as_arrays(settings("disagreement", disagreement=1.0))
    evidence, previous, course = weaning.no_evidence(), 1.0, []
    for number, action in enumerate([1, 1, 2, 0, 0]):
        evidence = weaning.watched(hyperparameters, evidence, preferences, jnp.array([action]), jnp.array([True]))
        previous = coefficient("disagreement", number, evidence=evidence, previous=previous, disagreement=1.0)
        course.append(previous)
    assert course[:2] == [0.0, 0.0] and 0.0 < course[2] < course[3]
    assert coefficient("disagreement", T_0, evidence=evidence, previous=previous, disagreement=1.0) == 0.0


def test_a_student_that_falls_back_after_passing_its_teacher_stays_weaned():
    previous, course = 1.0, []
    for agent_steps, score in [(100, 0.4), (200, 1.1), (300, 0.5), (400, 0.0)]:
        previous = coefficient("return_driven", agent_steps, score, previous)
        course.append(previous)
    np.testing.assert_allclose(course, [0.6, 0.0, 0.0, 0.0], rtol=1e-6)


def test_a_student_that_falls_back_before_leans_on_its_teacher_again():
    assert coefficient("return_driven", 300, score=0.1, previous=0.3) == pytest.approx(0.9)


SCORES = [0.9, 0.3, 0.6]  # the last: 0.6


@pytest.mark.parametrize(
    ("scores", "number", "confidence", "expected"),
    [
        ([], 3, 1.0, 1.0),  # as in the whole first iteration
        ([0.3], 1, 5.0, 0.7),  # one evaluation is the paper's rule, whatever the confidence
        (SCORES, 1, 1.0, 0.4),
        (SCORES, 2, 0.0, 1 - 0.45),
        (SCORES, 3, 0.0, 1 - 0.6),
        ([1.2], 3, 0.0, 1 - 0.4),  # evaluations that have not been count as the random policy's
        ([1.2, 1.2, 1.2], 3, 2.0, 0.0),  # all agree
        # Mean 0.6, standard deviation sqrt((0.09 + 0.09 + 0) / 2) = 0.3, standard error 0.3 / sqrt(3).
        (SCORES, 3, 1.0, 1 - 0.6 + 0.3 / math.sqrt(3)),
        (SCORES, 3, 0.5, 1 - 0.6 + 0.15 / math.sqrt(3)),
        # Mean 0.5, standard deviation 0.5 sqrt(2), standard error 0.5.
        ([1.0], 2, 1.0, 1.0),
        (SCORES, 3, 9.0, 1.0),  # clipped
        ([-5.0, -5.0], 2, 0.0, 1.0),
        (np.linspace(0, 1, 40), weaning.MOST_EVALUATIONS, 0.0, 1 - np.linspace(0, 1, 40)[-weaning.MOST_EVALUATIONS :].mean()),
    ],
)  # fmt: skip
def test_the_lower_bound_of_the_last_evaluations_by_hand(scores, number, confidence, expected):
    options = {"evidence": seen(*scores), "evaluations": number, "confidence": confidence}
    assert coefficient("lower_bound", 500, **options) == pytest.approx(expected, abs=1e-6)
    assert coefficient("lower_bound", T_0, **options) == 0.0


def test_one_lucky_evaluation_ends_the_papers_weaning_and_not_that_on_a_bound():
    """Evaluations of 0.97, 1.02, 0.9, 0.85, of which the second was luck; then t_0."""
    papers, bound, previous = [], [], [1.0, 1.0]
    for number, scores in enumerate([(0.97,), (0.97, 1.02), (0.97, 1.02, 0.9), (0.97, 1.02, 0.9, 0.85)], start=1):
        previous[0] = coefficient("return_driven", 100 * number, evidence=seen(*scores), previous=previous[0])
        previous[1] = coefficient(
            "lower_bound", 100 * number, evidence=seen(*scores), previous=previous[1], evaluations=2
        )
        papers.append(previous[0])
        bound.append(previous[1])
    np.testing.assert_allclose(papers, [0.03, 0.0, 0.0, 0.0], atol=1e-6)
    # Of two scores the standard error is half of their difference: the bound is the worse of them.
    np.testing.assert_allclose(bound, [1.0, 0.03, 0.1, 0.15], atol=1e-6)


def test_a_reversible_lambda_rises_again_until_weaning_is_complete():
    previous, course = 1.0, []
    for agent_steps, score in [(100, 0.4), (200, 1.1), (300, 0.5), (1000, 0.0), (1100, 0.0)]:
        previous = coefficient("return_driven", agent_steps, score, previous, reversible=True)
        course.append(previous)
    np.testing.assert_allclose(course, [0.6, 0.0, 0.5, 0.0, 0.0], rtol=1e-6)
    assert coefficient("none", 10, previous=0.0, reversible=True) == 0.0


@pytest.mark.parametrize(("disagreement", "expected"), [(1.0, 1.0), (0.5, 1.0), (0.2, 0.5), (0.1, 0.25), (0.0, 0.0)])
def test_weaning_by_disagreement_by_hand(disagreement, expected):
    options = {"evidence": seen(1.5, disagreement=disagreement), "disagreement": 0.4}
    assert coefficient("disagreement", 999, **options) == pytest.approx(expected)
    assert coefficient("disagreement", 1000, **options) == 0.0


def test_the_disagreement_is_the_share_that_is_lost_of_what_random_actions_lose():
    """By the teacher's values 4, 1, 1: random actions lose 2, the first none, the others 3."""
    hyperparameters = as_arrays(settings("disagreement"))
    assert float(weaning.no_evidence().disagreement) == 1.0  # as if it acted at random
    for actions, expected in [([0, 0], 0.0), ([0, 1], 0.75), ([1, 2], 1.5)]:
        values, acted = jnp.array([[4.0, 1.0, 1.0]] * 2), jnp.array([True, True])
        evidence = weaning.watched(hyperparameters, weaning.no_evidence(), values, jnp.array(actions), acted)
        assert float(evidence.disagreement) == pytest.approx(expected)
    indifferent = weaning.watched(hyperparameters, weaning.no_evidence(), jnp.ones((2, 3)), jnp.array([0, 1]), acted)
    assert float(indifferent.disagreement) == 1.0  # nothing is known of it


def test_the_disagreement_is_averaged_over_the_students_own_steps():
    """Its memory of 4 agent steps keeps exp(-1 / 4) a step; where a guide or nobody acted is not looked at."""
    hyperparameters = as_arrays(settings("disagreement", memory=4))
    step = jax.jit(weaning.watched)
    generator = np.random.default_rng(0)
    regret, spread, evidence = 0.0, 0.0, weaning.no_evidence()
    for are_students in [[True, True, False], [False] * 3, [False, False, True], [True] * 3]:
        values, actions = generator.normal(size=(3, 4)).astype(np.float32), generator.integers(0, 4, 3)
        lost = values.max(1) - values[range(3), actions], values.max(1) - values.mean(1)
        if any(are_students):
            kept = math.exp(-sum(are_students) / 4)
            regret, spread = (
                kept * mean + (1 - kept) * each[are_students].mean()
                for mean, each in zip((regret, spread), lost, strict=True)
            )
        evidence = step(hyperparameters, evidence, values, actions, jnp.array(are_students))
        np.testing.assert_allclose([evidence.regret, evidence.spread], [regret, spread], rtol=1e-5)
        assert float(evidence.disagreement) == pytest.approx(regret / spread, rel=1e-5)
    # A NaN of a step that is not looked at brings nothing in.
    after = step(hyperparameters, evidence, jnp.full((3, 4), jnp.nan), actions, jnp.zeros(3, bool))
    assert float(after.disagreement) == float(evidence.disagreement)


def test_schedules_of_all_kinds_run_side_by_side_under_vmap():
    kinds = list(weaning.SCHEDULES)
    stacked = stack([settings(kind, floor=0.1, drops=2) for kind in kinds])
    scores = jnp.linspace(0.0, 0.9, len(kinds))
    evidence = stack([seen(0.2, score, disagreement=0.1) for score in scores])
    many = jax.jit(jax.vmap(weaning.weaning_coefficient, in_axes=(0, None, 0, None)))
    together = many(stacked, 400.0, evidence, 1.0)
    alone = [
        coefficient(kind, 400, evidence=seen(0.2, score, disagreement=0.1), floor=0.1, drops=2)
        for kind, score in zip(kinds, scores, strict=True)
    ]
    assert len(set(alone)) >= 8
    np.testing.assert_allclose(together, alone, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "linaer"}, "unknown weaning 'linaer'.*linear"),
        ({"kind": "linear", "steps": 0}, "weaning_steps is 0; it must be greater than or equal to 1"),
        ({"kind": "linear", "steps": float("nan")}, "weaning_steps is nan; it must be a valid integer"),
        ({"kind": "exponential", "floor": 0.0}, "weaning_floor is 0.0; it must be greater than 0"),
        ({"kind": "exponential", "floor": 1.5}, "weaning_floor is 1.5; it must be less than or equal to 1"),
        ({"kind": "step", "drops": 0}, "weaning_drops is 0; it must be greater than or equal to 1"),
        ({"kind": "lower_bound", "evaluations": 0}, "weaning_evaluations is 0; it must be greater than or equal to 1"),
        ({"kind": "lower_bound", "evaluations": 17}, "weaning_evaluations is 17; it must be less than or equal to 16"),
        (
            {"kind": "lower_bound", "confidence": -1.0},
            "weaning_confidence is -1.0; it must be greater than or equal to 0",
        ),
        ({"kind": "disagreement", "disagreement": 0.0}, "weaning_disagreement is 0.0; it must be greater than 0"),
        ({"kind": "disagreement", "memory": 0}, "weaning_memory is 0; it must be greater than or equal to 1"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        settings(**arguments)


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 1e-4), (0.0, 1e-5), (0.25, 0.25 * 1e-4 + 0.75 * 1e-5)])
def test_the_learning_rate_follows_the_coefficient(weight, expected):
    qdagger = QDagger(learning_rate=1e-4, weaned_learning_rate=1e-5)
    assert qdagger.learning_rate_at(weight, is_online=True) == pytest.approx(expected)


def test_stack_makes_the_leading_axis_of_vmap():
    stacked = stack([settings("step", steps, drops=2) for steps in (10, 20, 30)])
    np.testing.assert_array_equal(stacked.weaning_steps, [10, 20, 30])
    np.testing.assert_array_equal(stacked.weaning_drops, [2, 2, 2])


def test_a_schedule_of_ones_own_is_known_by_its_name():
    """It may look at hyperparameters, and runs beside the others."""
    before = dict(weaning.SCHEDULES)
    try:
        weaning.register("floor_for_good", lambda hyperparameters, progress, score: hyperparameters.weaning_floor)
        assert weaning_of("floor_for_good", floor=0.25) == 0.25
        assert weaning_of("linear") == pytest.approx(1 - 400 / T_0)
        with pytest.raises(ValueError, match="'linear' already; take another name"):
            weaning.register("linear", lambda *arguments: 1.0)
        weaning.register("last_score", lambda hyperparameters, progress, score: score)
        weaning.register_rule("worst", lambda hyperparameters, progress, evidence: 1.0 - evidence.scores[:2].min())
        assert weaning_of("last_score") == pytest.approx(0.75)
        assert weaning_of("worst") == pytest.approx(1 - 0.25)
        weaning.register("beyond", lambda hyperparameters, progress, score: -jnp.sign(score - 0.5) * 1.4)
        assert weaning_of("beyond", reversible=True) == 0.0, "a negative one would turn the learning rate round"
        assert weaning_of("beyond", scores=(0.25, 0.25)) == 1.0
        own = [QDagger(weaning=name).code[-1] for name in ("last_score", "worst")]
        assert all(code.startswith("test_weaning:test_a_schedule") for code in own), own
        assert QDagger(weaning="linear").code == QDagger().code  # the library's code is told by its commit
    finally:
        weaning.SCHEDULES.clear()
        weaning.SCHEDULES.update(before)


def weaning_of(kind, scores=(0.25, 0.75), **options):
    """lambda after 400 agent steps, compiled anew: a registered schedule is not in what was compiled before."""
    steps, previous = jnp.float32(400), jnp.float32(1.0)
    return float(weaning.weaning_coefficient(as_arrays(settings(kind, **options)), steps, seen(*scores), previous))
