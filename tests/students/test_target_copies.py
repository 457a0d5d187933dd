"""Copies to the target network that do not divide iterations or rows, in the training step: counted, unbatched, resumed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toys

from purejaxrrl.students import qdagger
from purejaxrrl.students.hyperparameters import stack
from purejaxrrl.students.settings import DQN
from purejaxrrl.students.student import Output, Student


def counting_student():
    """Its one parameter is the number of its updates, as long as the learning rate is 1 and every batch has the same gradient."""

    def apply(params, observations, key):
        return Output(jnp.zeros((observations.shape[0], 3)) + params)

    def td_loss(online, online_next, target_next, batch, hyperparameters):
        return -online.q_values[:, 0], jnp.zeros_like(batch.n_step_return)

    return Student(lambda key: jnp.float32(0.0), apply, td_loss, optimiser=lambda hyperparameters: optax.identity())


def settings_with(**values):
    same = {
        "warm_up": 16, "capacity": 400, "batch_size": 4, "learning_rate": 1.0, "evaluation_steps": 4, "online_iterations": 4,
        "evaluation_environments": 2,
    }  # fmt: skip
    return DQN(**same | values)


CASES = {
    "copies within iterations": {
        "num_environments": 8,
        "steps_per_update": 4,
        "target_period": 10,
        "iteration_steps": 88,
    },
    "copies within rows": {"num_environments": 16, "steps_per_update": 2, "target_period": 5, "iteration_steps": 96},
    "what divides": {"num_environments": 8, "steps_per_update": 4, "target_period": 10, "iteration_steps": 80},
}


@pytest.mark.parametrize("case", CASES)
def test_the_target_is_what_the_student_was_at_the_last_copy(case):
    settings = settings_with(**CASES[case])
    environment = toys.Corridor()
    program = qdagger.program(settings, environment, student=counting_student())
    assert settings.schedule.copies_end_periods == (case == "what divides")
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    state = jax.vmap(functools.partial(qdagger.init, program))(keys, stack([settings] * 2))
    step = jax.jit(jax.vmap(functools.partial(qdagger.play_and_learn, program), in_axes=(0, 0, 0, None, None)))
    per_iteration, period = settings.schedule.updates_per_iteration, settings.target_period
    for index in range(4):
        state, _ = step(state, keys, stack([settings] * 2), None, jnp.int32(index))
        due = (index + 1) * per_iteration
        # Updates that were left out while the ring was filled count for the cadence, but the student has not made them.
        left_out = due - np.asarray(state.learner.params).round(3)
        assert (left_out == left_out[0]).all() and 0 < left_out[0] <= 16
        expected = max(due // period * period - left_out[0], 0)
        np.testing.assert_array_equal(np.asarray(state.learner.target_params).round(3), expected)


def test_copies_among_updates_stay_unbatched():
    """No copy of target network or ring is made for one that is not due: as much memory as where copies end periods."""

    def temporaries(**cadence):
        settings = settings_with(capacity=400_000, network="mlp", widths=(500, 500), **cadence)
        program = qdagger.program(settings, toys.Corridor())
        keys, many = jax.vmap(jax.random.key)(jnp.arange(2)), stack([settings] * 2)
        state = jax.eval_shape(jax.vmap(functools.partial(qdagger.init, program)), keys, many)
        step = jax.vmap(functools.partial(qdagger.play_and_learn, program), in_axes=(0, 0, 0, None, None))
        compiled = jax.jit(step, donate_argnums=0).lower(state, keys, many, None, jnp.int32(0)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    divides, not_due = (temporaries(**CASES[case]) for case in ("what divides", "copies within rows"))
    assert not_due < divides + 2 * 4 * 500 * 500  # a copy of both networks would be twice that
