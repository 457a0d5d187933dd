"""The student's interface: its loss, what its optimiser does, and starting that anew."""

import contextlib
import types

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rlax

from purejaxrrl import networks
from purejaxrrl.environments import base
from purejaxrrl.students import student
from purejaxrrl.students.hyperparameters import as_arrays
from purejaxrrl.students.settings import DQN
from purejaxrrl.students.student import Output

GENERATOR = np.random.default_rng(0)
ONLINE, ONLINE_NEXT, TARGET_NEXT = GENERATOR.normal(size=(3, 32, 4)).astype(np.float32) * 2
BATCH = types.SimpleNamespace(
    action=GENERATOR.integers(0, 4, 32),
    n_step_return=GENERATOR.normal(size=32).astype(np.float32),
    bootstrap_discount=np.where(GENERATOR.random(32) < 0.3, 0.0, 0.97).astype(np.float32),
)


def huber(errors):
    return np.where(abs(errors) <= 1, errors**2 / 2, abs(errors) - 0.5)


def loss_by_hand(bootstrap_value):
    chosen = ONLINE[np.arange(32), BATCH.action]
    return huber(BATCH.n_step_return + BATCH.bootstrap_discount * bootstrap_value - chosen)


@pytest.mark.parametrize("double", [False, True])
def test_q_learning_plain_and_double_by_hand(double):
    """Double: the online network chooses the action, the target network says what it is worth (van Hasselt et al., 2016)."""
    best = ONLINE_NEXT.argmax(-1) if double else TARGET_NEXT.argmax(-1)
    expected = loss_by_hand(TARGET_NEXT[np.arange(32), best])
    online_next = Output(ONLINE_NEXT) if double else None
    loss, priority = student.q_learning(Output(ONLINE), online_next, Output(TARGET_NEXT), BATCH, None)
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6)
    # The root of the loss, and never 0 (Dopamine's prioritised agents).
    np.testing.assert_allclose(priority, np.sqrt(expected + 1e-10), rtol=1e-4, atol=1e-5)
    assert (np.asarray(priority) > 0).all()
    assert (ONLINE_NEXT.argmax(-1) != TARGET_NEXT.argmax(-1)).any()


def test_double_q_learning_is_rlaxs():
    errors = jax.vmap(rlax.double_q_learning)(
        ONLINE, BATCH.action, BATCH.n_step_return, BATCH.bootstrap_discount, TARGET_NEXT, ONLINE_NEXT
    )
    loss, _ = student.q_learning(Output(ONLINE), Output(ONLINE_NEXT), Output(TARGET_NEXT), BATCH, None)
    np.testing.assert_allclose(loss, rlax.huber_loss(errors), rtol=1e-5, atol=1e-6)


def test_neither_the_bootstrap_nor_the_priority_has_a_gradient():
    def total(online_next, target_next):
        return student.q_learning(Output(ONLINE), Output(online_next), Output(target_next), BATCH, None)[0].sum()

    for gradient in jax.grad(total, argnums=(0, 1))(ONLINE_NEXT, TARGET_NEXT):
        assert not gradient.any()
    priority = jax.grad(lambda q: student.q_learning(Output(q), None, Output(TARGET_NEXT), BATCH, None)[1].sum())(
        ONLINE
    )
    assert not priority.any()


def test_double_is_a_setting():
    environment = types.SimpleNamespace(
        num_actions=3, observation_space=lambda params: types.SimpleNamespace(shape=(10, 10, 4))
    )
    for double in (False, True):
        made = student.described(DQN(double=double), environment, None)
        assert made.looks_ahead == double and made.network == networks.describe(
            "mlp", 3, (10, 10, 4), widths=(128, 128)
        )
    with pytest.raises(ValueError, match="unknown network 'cnn'"):
        student.described(DQN(network="cnn"), environment, None)
    with pytest.raises(ValueError, match="v_min"):
        student.described(DQN(head="c51", v_min=1.0, v_max=1.0), environment, None)


HEADS = {"c51": {"num_atoms": 11, "v_min": -2.0, "v_max": 3.0}, "quantile": {"num_atoms": 7}}


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_distributional_students_have_the_published_losses(head, double):
    """C51 (Bellemare et al., 2017) and QR-DQN (Dabney et al., 2018) of a described network, against rlax on a fixed batch."""
    environment = types.SimpleNamespace(
        num_actions=4, observation_space=lambda params: types.SimpleNamespace(shape=(5,))
    )
    made = student.described(DQN(head=head, double=double, widths=(16,), **HEADS[head]), environment, None)
    online_params, target_params = made.init(jax.random.key(0)), made.init(jax.random.key(1))
    seen, following = (jnp.asarray(each) for each in GENERATOR.normal(size=(2, 32, 5)).astype(np.float32) * 3)
    online, online_next = (made.apply(online_params, each, None) for each in (seen, following))
    target_next = made.apply(target_params, following, None)
    loss, priority = made.td_loss(online, online_next if double else None, target_next, BATCH, None)
    chooser = (online_next if double else target_next).extras
    rest = BATCH.action, BATCH.n_step_return, BATCH.bootstrap_discount
    if head == "c51":
        atoms = jnp.linspace(-2.0, 3.0, 11)
        np.testing.assert_allclose(
            online.q_values, (jax.nn.softmax(online.extras) * atoms).sum(-1), rtol=1e-4, atol=1e-5
        )
        expected = jax.vmap(rlax.categorical_double_q_learning, in_axes=(None, 0, 0, 0, 0, None, 0, 0))(
            atoms, online.extras, *rest, atoms, target_next.extras, (jax.nn.softmax(chooser) * atoms).sum(-1)
        )
    else:
        np.testing.assert_allclose(online.q_values, online.extras.mean(-1), rtol=1e-4, atol=1e-5)
        quantiles, chooser, following = (
            jnp.swapaxes(each, 1, 2) for each in (online.extras, chooser, target_next.extras)
        )
        expected = jax.vmap(rlax.quantile_q_learning, in_axes=(0, None, 0, 0, 0, 0, 0, None))(
            quantiles, (np.arange(7) + 0.5) / 7, *rest, chooser, following, 1.0
        )
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(priority, np.sqrt(expected + 1e-10), rtol=1e-3)


class Linear(nn.Module):
    num_actions: int

    @nn.compact
    def __call__(self, observations):
        return nn.Dense(self.num_actions)(observations)


def momentum(hyperparameters):
    """State of several kinds: a trace, a count, and Adam's traced epsilon."""
    decay = optax.scale_by_schedule(lambda count: 1.0 / (1.0 + count))
    return optax.chain(optax.trace(0.9), student.adam(hyperparameters), decay)


LINEAR = student.module_student(Linear(3), (2,))
WITH_MOMENTUM = student.Student(LINEAR.init, LINEAR.apply, LINEAR.td_loss, momentum)
HYPERPARAMETERS = as_arrays(DQN(adam_eps=1e-3))
SEEN, WANTED = GENERATOR.normal(size=(2, 16, 3)).astype(np.float32)


@jax.jit
def step(learner, number):
    def loss(params):
        error = WITH_MOMENTUM.apply(params, SEEN[:, :2] + number, None).q_values - WANTED
        return (error**2).mean(), error

    return student.descend(learner, WITH_MOMENTUM, loss, jnp.float32(0.1), HYPERPARAMETERS)[0]


def test_a_step_goes_against_the_optimisers_direction_at_the_rate():
    learner = student.init_learner(jax.random.key(0), WITH_MOMENTUM, HYPERPARAMETERS)
    optimiser, state = momentum(HYPERPARAMETERS), momentum(HYPERPARAMETERS).init(learner.params)
    expected = learner.params
    for number in range(3):
        gradient = jax.grad(
            lambda params, number=number: ((LINEAR.apply(params, SEEN[:, :2] + number).q_values - WANTED) ** 2).mean()
        )(expected)
        direction, state = optimiser.update(gradient, state, expected)
        expected = optax.apply_updates(expected, jax.tree.map(lambda leaf: -0.1 * leaf, direction))
        learner = step(learner, number)
    chex.assert_trees_all_close(learner.params, expected, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(learner.optimiser, state, rtol=1e-5, atol=1e-6)


def test_an_optimiser_starts_anew_exactly_whatever_it_is():
    """Momentum, schedule's count and Adam's moments: as if the parameters had just been given to it."""
    learner = student.init_learner(jax.random.key(0), WITH_MOMENTUM, HYPERPARAMETERS)
    for number in range(4):
        learner = step(learner, number)
    again = jax.jit(lambda learner: student.reset_optimiser(learner, WITH_MOMENTUM, HYPERPARAMETERS))(learner)
    chex.assert_trees_all_equal(again.params, learner.params)
    chex.assert_trees_all_equal(again.target_params, learner.target_params)
    fresh = momentum(HYPERPARAMETERS).init(learner.params)
    chex.assert_trees_all_equal_structs(again.optimiser, learner.optimiser)
    chex.assert_trees_all_equal(again.optimiser, fresh)
    changed = [
        bool((a != b).any()) for a, b in zip(*map(jax.tree.leaves, (again.optimiser, learner.optimiser)), strict=True)
    ]
    assert all(changed)
    continued = [step(start, 9).params for start in (again, learner)]
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, continued), strict=True))


def test_the_target_network_starts_as_the_online_one_and_is_copied_when_told():
    learner = student.init_learner(jax.random.key(0), WITH_MOMENTUM, HYPERPARAMETERS)
    chex.assert_trees_all_equal(learner.params, learner.target_params)
    later = step(learner, 0)
    chex.assert_trees_all_equal(later.target_params, learner.params)
    chex.assert_trees_all_equal(student.synchronise_target(later).target_params, later.params)


def test_a_module_of_ones_own_gets_the_observations_shape():
    params = LINEAR.init(jax.random.key(0))
    assert params["Dense_0"]["kernel"].shape == (2, 3)
    assert LINEAR.apply(params, jnp.ones((5, 2)), None).q_values.shape == (5, 3)
    assert LINEAR.network is None  # nobody could load it as a teacher


@pytest.mark.parametrize(
    ("size", "high", "is_refused"), [(84, 255, True), (36, 255, True), (35, 255, False), (84, 1, False)]
)
@pytest.mark.parametrize("network", ["minatar_cnn", "mlp"])
def test_pixels_that_the_nature_cnn_takes_are_for_no_network_of_vectors_or_planes(network, size, high, is_refused):
    space = base.box(0, high, (size, size, 4), jnp.uint8)
    environment = types.SimpleNamespace(num_actions=3, observation_space=lambda params: space)
    expected = pytest.raises(ValueError, match=r"not for pixels \(\d+, \d+, 4\); take 'nature_cnn'")
    with expected if is_refused else contextlib.nullcontext():
        student.described(DQN(network=network), environment, None)
    if size >= 36:
        student.described(DQN(network="nature_cnn"), environment, None)
