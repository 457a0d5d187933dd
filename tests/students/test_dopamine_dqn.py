"""DQN's choices against Dopamine's formulas, written by hand."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toys

from purejaxrrl import networks
from purejaxrrl.replay import acting
from purejaxrrl.students import qdagger
from purejaxrrl.students import student as students
from purejaxrrl.students.hyperparameters import as_arrays
from purejaxrrl.students.settings import DQN
from purejaxrrl.students.student import Output

RNG = np.random.default_rng(0)


def test_squared_error_is_without_the_half():
    """dopamine.jax.losses.mse_loss: (target - prediction)^2."""
    online, target_next = RNG.normal(size=(2, 16, 4)).astype(np.float32) * 3
    batch = types.SimpleNamespace(
        action=RNG.integers(0, 4, 16),
        n_step_return=RNG.normal(size=16).astype(np.float32),
        bootstrap_discount=np.where(RNG.random(16) < 0.3, 0.0, 0.99).astype(np.float32),
    )
    squared = students.described(DQN(td_error="squared"), toys.Corridor(), toys.CorridorParams())
    error = batch.n_step_return + batch.bootstrap_discount * target_next.max(-1) - online[np.arange(16), batch.action]
    loss, priority = squared.td_loss(Output(online), None, Output(target_next), batch, None)
    np.testing.assert_allclose(loss, error**2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(priority, np.sqrt(error**2 + 1e-10), rtol=1e-4, atol=1e-5)
    huber, _ = students.described(DQN(), toys.Corridor(), toys.CorridorParams()).td_loss(
        Output(online), None, Output(target_next), batch, None
    )
    np.testing.assert_allclose(huber, np.where(abs(error) <= 1, error**2 / 2, abs(error) - 0.5), rtol=1e-5, atol=1e-6)


def descended(settings, gradients, params):
    """Parameters after each of the gradients."""
    network = networks.describe("mlp", 3, (2,), widths=())
    student = students.value_student(network, optimiser=students.OPTIMISERS[settings.optimiser])
    settings = as_arrays(settings)
    learner = students.Learner(params, params, student.optimiser(settings).init(params))
    for gradient in gradients:
        loss = lambda params, gradient=gradient: ((params * gradient).sum(), None)  # noqa: E731
        learner, _ = students.descend(learner, student, loss, settings.learning_rate, settings)
        yield np.asarray(learner.params)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_rmsprop_is_centred_with_epsilon_inside_the_root(start):
    """TensorFlow 1's RMSPropOptimizer(decay=0.95, momentum=0, epsilon=1e-5, centered=True), whose mean square starts at 1; optax's at 0."""
    settings = DQN(optimiser="rmsprop", learning_rate=0.01, rmsprop_start=start)
    gradients = RNG.normal(size=(6, 5)).astype(np.float32)
    params = jnp.zeros(5)
    mean, square, by_hand = np.zeros(5), np.full(5, start), np.zeros(5)
    optimiser = optax.rmsprop(0.01, decay=0.95, eps=1e-5, initial_scale=start, centered=True)
    state, theirs = optimiser.init(params), params
    for gradient, found in zip(gradients, descended(settings, gradients, params), strict=True):
        mean = 0.95 * mean + 0.05 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        by_hand = by_hand - 0.01 * gradient / np.sqrt(square - mean**2 + 1e-5)
        np.testing.assert_allclose(found, by_hand, rtol=1e-4)
        updates, state = optimiser.update(jnp.asarray(gradient), state)
        theirs = optax.apply_updates(theirs, updates)
        np.testing.assert_allclose(found, theirs, rtol=1e-5)


def test_adam_is_dopamines():
    """optax.adam(6.25e-5, eps=1.5e-4)."""
    gradients, params = RNG.normal(size=(4, 5)).astype(np.float32), jnp.zeros(5)
    optimiser = optax.adam(6.25e-5, b1=0.9, b2=0.999, eps=1.5e-4)
    state, theirs = optimiser.init(params), params
    for gradient, found in zip(gradients, descended(DQN(learning_rate=6.25e-5), gradients, params), strict=True):
        updates, state = optimiser.update(jnp.asarray(gradient), state)
        theirs = optax.apply_updates(theirs, updates)
        np.testing.assert_allclose(found, theirs, rtol=1e-5)


@pytest.mark.parametrize("step", [0, 10_000, 20_000, 145_000, 270_000, 400_000])
def test_exploration_is_held_and_then_falls_as_dopamines(step):
    """linearly_decaying_epsilon(decay_period=250,000, step, warmup_steps=20,000, epsilon=0.01)."""
    bonus = np.clip(0.99 * (250_000 + 20_000 - step) / 250_000, 0.0, 0.99)
    settings = as_arrays(DQN(epsilon_hold_steps=20_000, epsilon_decay_steps=250_000))
    found = acting.linear_epsilon(
        jnp.int32(step) - settings.epsilon_hold_steps,
        settings.epsilon_start,
        settings.epsilon_end,
        settings.epsilon_decay_steps,
    )
    assert float(found) == pytest.approx(0.01 + bonus, abs=1e-6)


def test_all_choices_train_together():
    """The ring and the scores have rewards as they are, whatever the learner clips."""
    settings = DQN(
        optimiser="rmsprop", td_error="squared", reward_clip=1.0, rmsprop_start=1.0, iteration_steps=88, target_period=10, warm_up=16,
        capacity=400, batch_size=8, widths=(8,), evaluation_steps=8, evaluation_environments=2, evaluation_limit=5,
        online_iterations=1,
    )  # fmt: skip
    program = qdagger.program(settings, toys.Corridor())
    state = qdagger.init(program, jax.random.key(0), settings)
    assert all((leaf == 1).all() for leaf in jax.tree.leaves(state.learner.optimiser.nu))
    state, metrics = jax.jit(lambda state: qdagger.online(program, state, jax.random.key(1), settings, None, 0))(state)
    assert np.isfinite(metrics["td_loss"]) and float(state.ring.reward.max()) > 1
    assert metrics["mean_return"] > 1 and any((leaf != 1).any() for leaf in jax.tree.leaves(state.learner.optimiser.nu))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"td_error": "squared", "head": "c51"}, "td_error is 'squared', but head 'c51' has a loss of its own"),
        ({"td_error": "mse"}, "unknown td error 'mse'"),
        ({"optimiser": "rmspro"}, "unknown optimiser 'rmspro'; the nearest are rmsprop"),
        ({"evaluation_steps": 100, "evaluation_environments": 8, "evaluation_limit": 12}, "evaluation_limit is 12.*at least 13"),
    ],
)  # fmt: skip
def test_choices_that_do_not_exist_or_fit_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        DQN(**values)
