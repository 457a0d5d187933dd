"""The pace of a run before its first iteration, which may take hours: a few updates on the teacher's data, compiled and timed."""

import functools
import time

import chex
import jax
import jax.numpy as jnp

from purejaxrrl import replay
from purejaxrrl.runs import devices
from purejaxrrl.students import qdagger
from purejaxrrl.students.hyperparameters import as_arrays
from purejaxrrl.students.settings import ValueBased
from purejaxrrl.students.student import Learner

UPDATES = 50
"""Of each run; as many are not timed before, while the machine warms up."""


def seconds_of_an_update(
    program: qdagger.Program, learners: Learner, keys: chex.PRNGKey, settings: ValueBased, data: replay.Step
) -> float:
    """What the clock says of one update of every run side by side.

    learners, keys, settings: stacked, `[runs]`, and left as they are. data: the ring of the teacher's.
    """
    updates = functools.partial(_updates, program)
    learn = devices.over_runs(updates, len(keys), (True, True, True, False), in_turn=True)
    jax.block_until_ready(learn(learners, keys, settings, data))
    start = time.perf_counter()
    jax.block_until_ready(learn(learners, keys, settings, data))
    return (time.perf_counter() - start) / UPDATES


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
