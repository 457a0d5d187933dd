"""The one loss of all methods against sums written out by hand, and that what is not used brings in nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reincarnate
from scipy.special import log_softmax, logsumexp, softmax

from purejaxrrl import methods, objective, replay

B, A = 16, 4
GENERATOR = np.random.default_rng(1)
Q, TARGET, TEACHER = GENERATOR.normal(size=(3, B, A)) * 2
BATCH = replay.Batch(
    observation=None,
    action=GENERATOR.integers(0, A, B),
    n_step_return=GENERATOR.normal(size=B),
    bootstrap_discount=np.where(GENERATOR.random(B) < 0.3, 0.0, 0.97),
    bootstrap_observation=None,
    preferences=TEACHER,
    weight=(GENERATOR.random(B) < 0.8).astype(float),
)
LAMBDA, STEPS = 0.6, 50_000


def method(name, **changes):
    settings = methods.settings(name, STEPS) | changes
    return reincarnate.Config(**settings).method


def evaluate(method, coefficient=LAMBDA, cql=0.0, term=None, q_values=Q, target=TARGET, teacher=None):
    log_policy = log_softmax(TEACHER / 0.3, -1) if teacher is None else teacher
    loss = lambda q: objective.objective(q, target, log_policy, BATCH, method, coefficient, cql, term)  # noqa: E731
    (total, report), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.asarray(q_values))
    return total, report, gradient


def mean(values):
    return values[BATCH.weight > 0].mean()


def td_by_hand():
    errors = Q[np.arange(B), BATCH.action] - (BATCH.n_step_return + BATCH.bootstrap_discount * TARGET.max(-1))
    return mean(np.where(abs(errors) <= 1, errors**2 / 2, abs(errors) - 0.5))


def kl_by_hand(best_action_only=False):
    student = log_softmax(Q / 0.3, -1)
    if best_action_only:
        return mean(-student[np.arange(B), TEACHER.argmax(-1)])
    policy = softmax(TEACHER / 0.3, -1)
    return mean((policy * (np.log(policy) - student)).sum(-1))


def margin_by_hand(elementwise=True):
    best = TEACHER.argmax(-1)
    ahead = Q + 1.0 * (np.arange(A) != best[:, None]) - Q[np.arange(B), best][:, None]
    return mean(np.maximum(ahead, 0).mean(-1) if elementwise else ahead.max(-1))


def cql_by_hand():
    return mean(logsumexp(Q / 0.1, axis=-1) - Q[np.arange(B), BATCH.action] / 0.1)


CASES = {
    "tabula_rasa": lambda: td_by_hand(),
    "rehearsal": lambda: td_by_hand(),
    "jsrl": lambda: td_by_hand(),
    "kickstarting": lambda: td_by_hand() + LAMBDA * 3.0 * kl_by_hand(),
    "qdagger": lambda: td_by_hand() + LAMBDA * 3.0 * kl_by_hand(),
    "qdagger_best_action": lambda: td_by_hand() + LAMBDA * 3.0 * kl_by_hand(best_action_only=True),
    "dagger": lambda: LAMBDA * 3.0 * kl_by_hand(),
    "dqfd": lambda: td_by_hand() + LAMBDA * 1.0 * margin_by_hand(),
    "dqfd_large_margin": lambda: td_by_hand() + LAMBDA * 1.0 * margin_by_hand(elementwise=False),
}


@pytest.mark.parametrize("name", CASES)
def test_the_loss_of_each_method_by_hand(name):
    total, _, _ = evaluate(method(name))
    np.testing.assert_allclose(total, CASES[name](), rtol=1e-4)


def test_offline_pretraining_adds_cql_and_only_offline():
    values = method("pretraining")
    assert (float(values.cql_coefficient), float(values.online_cql_coefficient)) == (1.0, 0.0)
    total, report, _ = evaluate(values, coefficient=0.0, cql=values.cql_coefficient)
    np.testing.assert_allclose(total, td_by_hand() + cql_by_hand(), rtol=1e-4)
    np.testing.assert_allclose(report.cql_loss, cql_by_hand(), rtol=1e-4)
    online, report, _ = evaluate(values, coefficient=0.0, cql=values.online_cql_coefficient)
    np.testing.assert_allclose(online, td_by_hand(), rtol=1e-5)
    assert report.cql_loss == 0.0


def test_at_lambda_0_every_method_with_a_td_term_is_q_learning():
    for name in methods.METHODS:
        values = method(name)
        total, _, _ = evaluate(values, coefficient=0.0, cql=values.online_cql_coefficient)
        np.testing.assert_allclose(total, float(values.td_coefficient) * td_by_hand(), rtol=1e-5, err_msg=name)


def test_a_teacher_full_of_nan_does_not_reach_a_method_that_does_not_use_it():
    bad = np.full((B, A), np.nan)
    clean, dirty = evaluate(method("tabula_rasa")), evaluate(method("tabula_rasa"), teacher=bad)
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)


def test_a_target_full_of_nan_does_not_reach_dagger():
    clean, dirty = evaluate(method("dagger")), evaluate(method("dagger"), target=np.full((B, A), np.nan))
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)


def test_methods_side_by_side_have_the_losses_that_they_have_alone():
    names = list(CASES)
    from purejaxrrl.reincarnation import stack

    values = stack([method(name) for name in names])
    log_policy = log_softmax(TEACHER / 0.3, -1)
    together = jax.vmap(
        lambda method: objective.objective(jnp.asarray(Q), TARGET, log_policy, BATCH, method, LAMBDA, 0.0)[0]
    )(values)
    np.testing.assert_allclose(together, [evaluate(method(name))[0] for name in names], rtol=1e-5)


def test_a_term_of_ones_own_is_added():
    def squares(q_values, batch, method, coefficient):
        return coefficient * (q_values**2).sum(-1)

    plain, _, _ = evaluate(method("tabula_rasa"))
    total, _, gradient = evaluate(method("tabula_rasa"), term=squares)
    np.testing.assert_allclose(total - plain, LAMBDA * mean((Q**2).sum(-1)), rtol=1e-4)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rehearsal_fraction": 1.5}, "--rehearsal-fraction is 1.5; it must be between 0 and 1"),
        ({"cql_temperature": 0.0}, "--cql-temperature is 0.0; it must be more than 0"),
        ({"margin_coefficient": -1.0}, "--margin-coefficient is -1.0; it must be at least 0"),
        ({"guide_probability": float("nan")}, "--guide-probability is nan"),
    ],
)
def test_coefficients_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(reincarnate.Config(), **change)
