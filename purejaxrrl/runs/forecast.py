"""The pace of a run before its first iteration, which may take hours: a few updates on the teacher's data and a few steps of the
environments, compiled and timed."""

import functools
import time
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from purejaxrrl import replay
from purejaxrrl.evaluation import playing
from purejaxrrl.replay import acting
from purejaxrrl.runs import devices
from purejaxrrl.students import qdagger
from purejaxrrl.students.hyperparameters import as_arrays
from purejaxrrl.students.settings import ValueBased
from purejaxrrl.students.student import Learner

UPDATES = STEPS = 50
"""Of each run; as many are not timed before, while the machine warms up."""


def seconds_of_an_update(
    program: qdagger.Program, learners: Learner, keys: chex.PRNGKey, settings: ValueBased, data: replay.Step
) -> float:
    """What the clock says of one update of every run side by side.

    learners, keys, settings: stacked, `[runs]`, and left as they are. data: the ring of the teacher's.
    """
    updates = functools.partial(_updates, program)
    return _seconds(updates, (True, True, True, False), learners, keys, settings, data) / UPDATES


def seconds_of_a_step(
    program: qdagger.Program, learners: Learner, keys: chex.PRNGKey, settings: ValueBased, evaluates: bool
) -> float:
    """What the clock says of one step of every run's environments: those that it plays, with the teacher's inference, or those that it is
    evaluated in.

    learners, keys, settings: as above.
    """
    steps = functools.partial(_steps, program, evaluates)
    return _seconds(steps, (True, True, True), learners, keys, settings) / STEPS


def _seconds(function: Callable[..., Any], per_run: tuple[bool, ...], *arguments: Any) -> float:
    """Of a call for all runs, once it is compiled and was called before."""
    number = len(arguments[1])
    call = devices.over_runs(function, number, per_run, in_turn=True)
    jax.block_until_ready(call(*arguments))
    start = time.perf_counter()
    jax.block_until_ready(call(*arguments))
    return time.perf_counter() - start


def _steps(
    program: qdagger.Program, evaluates: bool, learner: Learner, key: chex.PRNGKey, hyperparameters: ValueBased
) -> tuple[Learner, chex.Array]:
    settings, teacher = program.settings, program.teacher
    environment, number = program.environment, settings.num_environments
    if evaluates:
        environment, number = program.evaluation_environment, settings.evaluation_environments

    def q_values(observations: chex.Array) -> chex.Array:
        found = program.student.apply(learner.params, observations, None).q_values
        if teacher and not evaluates:  # asked, and not heard
            found += 0.0 * teacher.apply(teacher.params, observations)
        return found

    policy = acting.epsilon_greedy_policy(q_values, as_arrays(hyperparameters).evaluation_epsilon)
    played = playing.play(key, environment, program.env_params, policy, number, number * STEPS, limit=STEPS)
    return learner, played.returns.sum()


def _updates(
    program: qdagger.Program, learner: Learner, key: chex.PRNGKey, hyperparameters: ValueBased, data: replay.Step
) -> tuple[Learner, None]:
    hyperparameters = as_arrays(hyperparameters)

    def learn(learner, key):
        sample_key, noise_key = jax.random.split(key)
        batch = qdagger.sample_data(program, hyperparameters, sample_key, data)
        lambda_ = jnp.float32(1.0)
        return qdagger.update(program, hyperparameters, learner, batch, noise_key, lambda_, is_online=False)[0], None

    return jax.lax.scan(learn, learner, jax.random.split(key, UPDATES))
