"""The same training run with the frames of either engine."""

import functools

import jax
import numpy as np
import pytest

import purejaxrrl
from purejaxrrl.environments.atari import engines
from purejaxrrl.students import qdagger
from purejaxrrl.students.settings import DQN

SETTINGS = DQN(
    iteration_steps=480, online_iterations=1, batch_size=8, capacity=480, warm_up=160, target_period=10,
    evaluation_environments=2, evaluation_steps=40, network="nature_cnn", width=0.125,
)  # fmt: skip


@pytest.mark.slow
def test_a_run_has_the_same_metrics_and_ends_in_the_same_student_on_both_engines():
    runs = []
    for engine in engines.ENGINES:
        environment = purejaxrrl.make(
            "atari/space_invaders", engine=engine, num_start_states=2, max_frames_in_episode=160
        )
        program = qdagger.program(SETTINGS, environment)
        state, _, metrics = jax.jit(functools.partial(qdagger.train, program))(jax.random.key(0), SETTINGS)
        runs.append(jax.device_get((metrics, state.learner, state.ring)))
    kernel, portable = runs
    assert kernel[2].reward.any(), "nobody scored, which says little"
    jax.tree.map(np.testing.assert_array_equal, kernel, portable)
