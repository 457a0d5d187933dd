"""Streams are apart: no two purposes share one, and no student starts from its teacher's weights."""

import itertools

import jax
import numpy as np
import pytest

import purejaxrrl
from purejaxrrl import qdagger, streams, teachers
from purejaxrrl.environments import minatar
from purejaxrrl.students.settings import DQN, QDagger

SMALL = {"network": "mlp", "widths": (128, 128), "num_environments": 2, "capacity": 128}


def data(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_no_two_purposes_share_a_stream():
    assert len({int(purpose) for purpose in streams.Purpose}) == len(streams.Purpose)
    found = {data(streams.root(seed, purpose)) for seed in range(20) for purpose in streams.Purpose}
    assert len(found) == 20 * len(streams.Purpose)
    # Nor with what splitting the root would give, which is how streams of different lengths came to begin alike.
    split = {data(key) for seed in range(20) for key in jax.random.split(jax.random.key(seed), 8)}
    assert not found & split


def test_streams_within_streams_are_apart():
    root = jax.random.key(0)
    purposes = list(streams.Purpose)
    nested = [data(streams.stream(streams.stream(root, a), b)) for a, b in itertools.product(purposes, purposes)]
    assert len(set(nested)) == len(nested)
    assert not set(nested) & {data(streams.stream(root, purpose)) for purpose in purposes}


def initial(program, seed):
    """The weights that a run of that seed starts from, flat."""
    key = qdagger.run_key(program, jax.random.key(seed))
    params = qdagger.init(program, key, program.settings).learner.params
    return params, np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params) if leaf.ndim > 1])


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("game", minatar.GAMES)
def test_no_student_starts_from_its_teachers_weights(game):
    env = purejaxrrl.make(f"minatar/{game}")
    teacher = teachers.load(teachers.shipped(env.name))
    trained = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(teacher.params) if leaf.ndim > 1])
    own = qdagger.program(DQN(**SMALL, batch_size=8), env)
    student = qdagger.program(QDagger(**SMALL, offline_iterations=0, batch_size=8), env, teacher)
    for seed in range(3):
        _, started = initial(student, seed)
        # A network that is trained stays correlated with its start: 0.76 to 0.91 where students began with their teacher's.
        assert abs(correlation(started, trained)) < 0.05
        for other in range(3):
            assert abs(correlation(started, initial(own, other)[1])) < 0.05


def test_a_student_of_a_student_starts_elsewhere_again():
    env = purejaxrrl.make("minatar/breakout")
    teacher = teachers.load(teachers.shipped(env.name))
    settings = QDagger(**SMALL, offline_iterations=0, batch_size=8)
    first = qdagger.program(settings, env, teacher)
    params, weights = initial(first, 0)
    # The worst case: a student that has learned nothing becomes the teacher of the same seed.
    second = qdagger.program(settings, env, teachers.from_network(first.student.network, params, teacher.card))
    assert abs(correlation(weights, initial(second, 0)[1])) < 0.05
    np.testing.assert_array_equal(weights, initial(first, 0)[1])
