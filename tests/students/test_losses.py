import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from scipy.special import log_softmax, rel_entr, softmax

from purejaxrrl import teachers
from purejaxrrl.students import losses

GENERATOR = np.random.default_rng(0)
Q_VALUES, TARGET_Q_VALUES, TEACHER = GENERATOR.normal(size=(3, 64, 4)).astype(np.float32) * 2
ACTIONS = GENERATOR.integers(0, 4, 64)
RETURNS = GENERATOR.normal(size=64).astype(np.float32)
DISCOUNTS = np.where(GENERATOR.random(64) < 0.3, 0.0, 0.97).astype(np.float32)
TEMPERATURE = 0.3


def td_loss(q_values, target_q_values):
    return losses.q_learning(q_values, ACTIONS, target_q_values.max(-1), RETURNS, DISCOUNTS)


def test_q_learning_is_the_huber_loss_of_rlax_td_errors():
    errors = jax.vmap(rlax.q_learning)(Q_VALUES, ACTIONS, RETURNS, DISCOUNTS, TARGET_Q_VALUES)
    assert (abs(errors) > 1).any() and (abs(errors) < 1).any()
    np.testing.assert_allclose(td_loss(Q_VALUES, TARGET_Q_VALUES), rlax.huber_loss(errors), rtol=1e-5, atol=1e-6)


def test_q_learning_by_hand():
    # Targets 1 + 0.5 * 4 = 3 (error 1.5: linear), 1 (terminated; error 0.5: quadratic), 1 + 0.5 * -1 = 0.5 (error 0).
    loss = losses.q_learning(
        q_values=jnp.array([[1.5, 9.0], [9.0, 0.5], [0.5, 9.0]]),
        actions=jnp.array([0, 1, 0]),
        bootstrap_value=jnp.array([4.0, 7.0, -1.0]),
        n_step_return=jnp.ones(3),
        discount=jnp.array([0.5, 0.0, 0.5]),
    )
    np.testing.assert_allclose(loss, [1.0, 0.125, 0.0])


def test_the_gradient_of_q_learning_is_the_clipped_error_at_the_chosen_action():
    gradient = jax.grad(lambda q_values: td_loss(q_values, TARGET_Q_VALUES).sum())(Q_VALUES)
    expected = np.zeros_like(Q_VALUES)
    for row, action in enumerate(ACTIONS):
        target = RETURNS[row] + DISCOUNTS[row] * TARGET_Q_VALUES[row].max()
        expected[row, action] = np.clip(Q_VALUES[row, action] - target, -1.0, 1.0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


def test_q_learning_sends_no_gradient_to_the_target():
    # As Q-learning without a target network would: the same values on both sides.
    both = jax.grad(lambda q_values: td_loss(q_values, q_values).sum())(Q_VALUES)
    one = jax.grad(lambda q_values: td_loss(q_values, Q_VALUES).sum())(Q_VALUES)
    np.testing.assert_array_equal(both, one)
    target_gradient = jax.grad(lambda target: td_loss(Q_VALUES, target).sum())(TARGET_Q_VALUES)
    assert not target_gradient.any()


def test_distillation_is_the_kl_divergence_from_teacher_to_student():
    divergence = losses.distillation(jax.nn.log_softmax(TEACHER), Q_VALUES, TEMPERATURE)
    teacher, student = softmax(TEACHER.astype(np.float64), -1), softmax(Q_VALUES.astype(np.float64) / TEMPERATURE, -1)
    np.testing.assert_allclose(divergence, rel_entr(teacher, student).sum(-1), rtol=1e-4)


def test_distillation_equals_rlax_at_one_temperature_for_both():
    log_policy = teachers.log_policy(TEACHER, "q_values", TEMPERATURE)
    divergence = losses.distillation(log_policy, Q_VALUES, TEMPERATURE)
    expected = rlax.categorical_kl_divergence(TEACHER, Q_VALUES, TEMPERATURE)
    np.testing.assert_allclose(divergence, expected, rtol=1e-4, atol=1e-5)


def test_distillation_of_a_student_that_plays_as_its_teacher_is_zero():
    shifted = TEACHER + 5.0  # another value function, the same policy
    divergence = losses.distillation(teachers.log_policy(TEACHER, "q_values", 0.1), shifted, 0.1)
    np.testing.assert_allclose(divergence, 0.0, atol=1e-4)


def test_the_gradient_of_distillation_is_the_difference_of_the_policies():
    log_policy = log_softmax(TEACHER, -1)
    gradient = jax.grad(lambda q_values: losses.distillation(log_policy, q_values, TEMPERATURE).sum())(Q_VALUES)
    expected = (softmax(Q_VALUES / TEMPERATURE, -1) - softmax(TEACHER, -1)) / TEMPERATURE
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "log_policy",
    [
        np.array([[0.0, -np.inf, -np.inf, -np.inf]], np.float32),
        np.array([[np.log(0.5), -np.inf, np.log(0.5), -np.inf]], np.float32),
        # Q-values 300 apart at temperature 0.1 underflow.
        np.asarray(teachers.log_policy(np.array([[300.0, 0.0, -300.0, 1.0]], np.float32), "q_values", 0.1)),
    ],
)
def test_actions_that_the_teacher_never_takes_bring_in_no_nan(log_policy):
    divergence, gradient = jax.value_and_grad(
        lambda q_values: losses.distillation(log_policy, q_values, TEMPERATURE).sum()
    )(Q_VALUES[:1])
    teacher, student = np.exp(log_policy.astype(np.float64)), softmax(Q_VALUES[:1].astype(np.float64) / TEMPERATURE, -1)
    np.testing.assert_allclose(divergence, rel_entr(teacher, student).sum(), rtol=1e-4)
    np.testing.assert_allclose(gradient, (student - teacher) / TEMPERATURE, rtol=1e-4, atol=1e-6)


def test_a_student_certain_of_another_action_gets_a_large_but_finite_loss():
    divergence, gradient = jax.value_and_grad(
        lambda q_values: losses.distillation(jnp.array([[0.0, -jnp.inf]]), q_values, 0.1).sum()
    )(jnp.array([[-500.0, 500.0]]))
    np.testing.assert_allclose(divergence, 10_000.0, rtol=1e-5)
    np.testing.assert_allclose(gradient, [[-10.0, 10.0]], rtol=1e-5)


def test_chosen_picks_the_actions_values():
    np.testing.assert_array_equal(losses.chosen(Q_VALUES, ACTIONS), Q_VALUES[np.arange(64), ACTIONS])


def test_the_mean_of_a_batch_leaves_out_what_is_not_valid_and_multiplies_by_importance():
    """sum(loss * importance * valid) / sum(valid): importance does not normalise."""
    valid, importance = (GENERATOR.random(64) < 0.7).astype(np.float32), GENERATOR.random(64).astype(np.float32)
    batch = types.SimpleNamespace(valid=valid, importance=importance)
    chosen = valid > 0
    assert 0 < chosen.sum() < 64
    np.testing.assert_allclose(losses.batch_mean(RETURNS, batch), (RETURNS * importance)[chosen].mean(), rtol=1e-5)
    batch.valid = np.zeros(64, np.float32)
    assert losses.batch_mean(RETURNS, batch) == 0.0


MARGIN = 0.8


def margins_by_hand(elementwise: bool) -> np.ndarray:
    """Both margin losses with loops: for each action its Q-value, plus the margin if it is not the teacher's."""
    result = []
    for q_values, teachers_action in zip(Q_VALUES, ACTIONS, strict=True):
        ahead = [
            value + (0.0 if action == teachers_action else MARGIN) - q_values[teachers_action]
            for action, value in enumerate(q_values)
        ]
        result.append(np.mean([max(value, 0.0) for value in ahead]) if elementwise else max(ahead))
    return np.array(result)


@pytest.mark.parametrize(
    ("loss", "elementwise"), [(losses.large_margin, False), (losses.elementwise_margin, True)], ids=["DQfD", "PVRL"]
)
def test_margin_losses_by_hand(loss, elementwise):
    expected = margins_by_hand(elementwise)
    assert (expected > 0).any()
    np.testing.assert_allclose(loss(Q_VALUES, ACTIONS, MARGIN), expected, rtol=1e-5, atol=1e-6)


def test_margin_losses_of_worked_examples():
    # Teacher's action 0 of value 2; margin 1. Behind by 0.5, just a margin behind, and ahead by 1.
    q_values = jnp.array([[2.0, 1.5, 1.0, 3.0], [2.0, 0.0, -5.0, 1.0]])
    actions = jnp.array([0, 0])
    np.testing.assert_allclose(losses.large_margin(q_values, actions, 1.0), [2.0, 0.0])
    np.testing.assert_allclose(losses.elementwise_margin(q_values, actions, 1.0), [(0.5 + 0.0 + 2.0) / 4, 0.0])


def test_the_elementwise_margin_pushes_every_action_within_it_and_the_large_margin_the_worst():
    q_values = jnp.array([[0.0, 0.5, 0.9, -3.0]])
    actions = jnp.array([0])
    each = jax.grad(lambda q: losses.elementwise_margin(q, actions, 1.0).sum())(q_values)
    np.testing.assert_allclose(each, [[-0.5, 0.25, 0.25, 0.0]])
    worst = jax.grad(lambda q: losses.large_margin(q, actions, 1.0).sum())(q_values)
    np.testing.assert_allclose(worst, [[-1.0, 0.0, 1.0, 0.0]])


@pytest.mark.parametrize("temperature", [0.1, 1.0, 4.0])
def test_conservative_is_the_cross_entropy_of_the_datas_action(temperature):
    expected = -log_softmax(Q_VALUES.astype(np.float64) / temperature, -1)[np.arange(64), ACTIONS]
    np.testing.assert_allclose(
        losses.conservative(Q_VALUES, ACTIONS, temperature), expected, rtol=1e-4, atol=1e-5 / temperature
    )


def test_the_best_action_only_is_distilled_as_its_cross_entropy():
    log_policy = teachers.log_policy(TEACHER, "q_values", TEMPERATURE)
    divergence = losses.distillation(losses.best_action_only(log_policy), Q_VALUES, TEMPERATURE)
    student = log_softmax(Q_VALUES.astype(np.float64) / TEMPERATURE, -1)
    np.testing.assert_allclose(divergence, -student[np.arange(64), TEACHER.argmax(-1)], rtol=1e-4, atol=1e-5)


ATOMS = np.linspace(-2.0, 3.0, 11).astype(np.float32)
LOGITS, NEXT_LOGITS = GENERATOR.normal(size=(2, 64, 4, 11)).astype(np.float32) * 2
QUANTILES, NEXT_QUANTILES = GENERATOR.normal(size=(2, 64, 4, 7)).astype(np.float32) * 2


def projected_by_hand(probabilities, n_step_return, discount):
    """Algorithm 1 of Bellemare et al. (2017) for one transition, loops and all."""
    spacing, result = ATOMS[1] - ATOMS[0], np.zeros(len(ATOMS))
    for atom, probability in zip(ATOMS, probabilities, strict=True):
        place = (np.clip(n_step_return + discount * atom, ATOMS[0], ATOMS[-1]) - ATOMS[0]) / spacing
        low, high = int(np.floor(place)), int(np.ceil(place))
        if low == high:
            result[low] += probability
        else:
            result[low] += probability * (high - place)
            result[high] += probability * (place - low)
    return result


def test_c51s_projection_is_the_papers_algorithm():
    probabilities = softmax(NEXT_LOGITS[:, 0], -1)
    returns = np.concatenate([RETURNS[:60], [0.0, 0.5, 99.0, -99.0]]).astype(np.float32)  # on atoms; beyond the ends
    discounts = np.concatenate([DISCOUNTS[:60], [1.0, 1.0, 0.9, 0.0]]).astype(np.float32)
    found = losses.project(ATOMS, probabilities, returns, discounts)
    expected = [projected_by_hand(*each) for each in zip(probabilities, returns, discounts, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found[60], probabilities[60], atol=1e-5)
    np.testing.assert_allclose(np.sum(found, -1), 1.0, rtol=1e-5)
    theirs = jax.vmap(lambda r, d, p: rlax.categorical_l2_project(r + d * ATOMS, p, ATOMS))(
        returns, discounts, probabilities
    )
    np.testing.assert_allclose(found, theirs, atol=1e-5)


def test_c51s_loss_is_rlaxs_at_the_chosen_action():
    best = (softmax(NEXT_LOGITS, -1) * ATOMS).sum(-1).argmax(-1)
    target = losses.project(ATOMS, jax.nn.softmax(losses.chosen_row(NEXT_LOGITS, best)), RETURNS, DISCOUNTS)
    loss = losses.categorical(losses.chosen_row(LOGITS, ACTIONS), target)
    expected = jax.vmap(rlax.categorical_q_learning, in_axes=(None, 0, 0, 0, 0, None, 0))(
        ATOMS, LOGITS, ACTIONS, RETURNS, DISCOUNTS, ATOMS, NEXT_LOGITS
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-5)


def test_quantile_regression_is_rlaxs_at_the_chosen_action():
    best = NEXT_QUANTILES.mean(-1).argmax(-1)
    target = RETURNS[:, None] + DISCOUNTS[:, None] * losses.chosen_row(NEXT_QUANTILES, best)
    loss = losses.quantile_huber(losses.chosen_row(QUANTILES, ACTIONS), target)
    at = (np.arange(7) + 0.5) / 7
    next_quantiles = NEXT_QUANTILES.transpose(0, 2, 1)
    expected = jax.vmap(rlax.quantile_q_learning, in_axes=(0, None, 0, 0, 0, 0, 0, None))(
        QUANTILES.transpose(0, 2, 1), at, ACTIONS, RETURNS, DISCOUNTS, next_quantiles, next_quantiles, 1.0
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-5)


def test_chosen_row_picks_the_actions_rows():
    np.testing.assert_array_equal(losses.chosen_row(LOGITS, ACTIONS), LOGITS[np.arange(64), ACTIONS])
