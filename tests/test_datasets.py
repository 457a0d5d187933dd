import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Corridor, CorridorParams

from purejaxrrl import datasets, networks, replay, teachers
from purejaxrrl.checkpoints import CheckpointError

SHAPE = (3, 11)  # 33 bits: more than a word
MEMORY = replay.ReplayMemory(20, 2, SHAPE, jnp.bool_, 3, max_n_step=2)
NETWORK = networks.describe("mlp", 3, SHAPE, widths=(4,))
CARD = teachers.Card("toy/bits", "q_values", 3, SHAPE, 2.0, 1.0, 5, 100)


def make_teacher(seed):
    return teachers.from_network(NETWORK, NETWORK.init(jax.random.key(seed)), CARD)


@pytest.fixture(scope="module")
def teacher():
    return make_teacher(0)


def rows(num_rows):
    """Random rows `[num_rows, 2]`; the reward numbers them."""
    generator = np.random.default_rng(0)
    return replay.Step(
        observation=generator.random((num_rows, 2, *SHAPE)) < 0.5,
        action=generator.integers(0, 3, (num_rows, 2)).astype(np.int32),
        reward=np.arange(num_rows * 2, dtype=np.float32).reshape(num_rows, 2),
        terminated=generator.random((num_rows, 2)) < 0.2,
        truncated=np.zeros((num_rows, 2), bool),
        is_transition=generator.random((num_rows, 2)) < 0.9,
        preferences=generator.normal(size=(num_rows, 2, 3)).astype(np.float32),
    )


def fill(steps):
    add, ring = jax.jit(MEMORY.add), MEMORY.init()
    for row in range(len(steps.reward)):
        ring = add(ring, jax.tree.map(lambda leaf, row=row: leaf[row], steps), row)
    return ring


# (rows written, transitions asked for, the first and the last row kept)
@pytest.mark.parametrize(
    ("num_rows", "last", "first", "end"),
    [
        (10, 20, 0, 10),
        (14, 20, 4, 14),
        (27, 12, 21, 27),
        (27, 13, 21, 27),
        (27, 500, 17, 27),
        (6, 500, 0, 6),
        (6, 8, 2, 6),
    ],
)
def test_the_end_of_a_training_is_kept_in_the_order_of_time(teacher, num_rows, last, first, end):
    steps = rows(num_rows)
    dataset = datasets.from_replay(MEMORY, fill(steps), num_rows, last, teacher)
    assert dataset.memory == dataclasses.replace(MEMORY, capacity=2 * (end - first))
    for name in ("action", "reward", "terminated", "truncated", "is_transition"):
        np.testing.assert_array_equal(getattr(dataset.ring, name), getattr(steps, name)[first:end])
    np.testing.assert_array_equal(dataset.memory.observations(dataset.ring.observation), steps.observation[first:end])


def test_a_trainings_data_get_the_final_teachers_preferences(teacher):
    steps = rows(14)
    dataset = datasets.from_replay(MEMORY, fill(steps), 14, 20, teacher)
    expected = teacher.apply(teacher.params, steps.observation[4:].reshape(20, *SHAPE)).reshape(10, 2, 3)
    np.testing.assert_allclose(dataset.ring.preferences, expected, rtol=1e-5, atol=1e-6)
    assert abs(np.asarray(expected) - steps.preferences[4:]).max() > 0.1


def test_too_little_data_for_n_step_returns_is_refused(teacher):
    with pytest.raises(ValueError, match="too few for 2-step returns"):
        datasets.from_replay(MEMORY, fill(rows(10)), 10, 4, teacher)


@pytest.fixture(scope="module")
def dataset(teacher):
    return datasets.from_replay(MEMORY, fill(rows(14)), 14, 20, teacher)


@pytest.fixture(scope="module")
def saved(dataset, teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "teacher_data"
    datasets.save(path, dataset, teacher)
    return path


def test_saved_data_come_back_bit_for_bit(dataset, teacher, saved):
    loaded = datasets.load(saved, teacher)
    assert loaded.memory == dataset.memory
    assert jax.tree.structure(loaded.ring) == jax.tree.structure(dataset.ring)
    jax.tree.map(np.testing.assert_array_equal, loaded.ring, dataset.ring)
    assert [leaf.dtype for leaf in jax.tree.leaves(loaded.ring)] == [
        leaf.dtype for leaf in jax.tree.leaves(dataset.ring)
    ]


def test_another_teachers_data_are_refused(saved):
    with pytest.raises(CheckpointError, match="the data of another teacher; remove it, and it is collected afresh"):
        datasets.load(saved, make_teacher(1))


def test_a_teacher_is_no_data(teacher, tmp_path):
    teachers.save(tmp_path / "teacher", teacher)
    with pytest.raises(CheckpointError, match="'purejaxrrl teacher', not 'purejaxrrl teacher data'"):
        datasets.load(tmp_path / "teacher", teacher)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.pop("teacher"),
        lambda about: about.pop("memory"),
        lambda about: about["memory"].update(capacity=40),
        lambda about: about["memory"].update(capacity=21),
        lambda about: about["memory"].update(observation_dtype="bits"),
        lambda about: about["memory"].pop("num_actions"),
    ],
)
def test_data_that_are_not_as_described_are_refused(saved, teacher, tmp_path, change):
    copy = shutil.copytree(saved, tmp_path / "copy")
    about = json.loads((copy / "about.json").read_text())
    change(about)
    (copy / "about.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match="collected afresh"):
        datasets.load(copy, teacher)


@pytest.fixture(scope="module")
def collected():
    """From a teacher whose action and outputs are known: it prefers the time of the episode modulo 3."""
    environment, params = Corridor(longest=9), CorridorParams(limit=6)
    card = dataclasses.replace(CARD, environment="toy/corridor", observation_shape=(2,))
    own = teachers.Teacher(lambda scale, seen: scale * jax.nn.one_hot(seen[:, 1] % 3, 3), jnp.float32(2.0), card)
    memory = replay.memory_for(environment, params, 400, 4, 2)
    dataset = datasets.collect(jax.random.key(0), environment, params, own, memory, 0.0)
    assert dataset.memory == memory
    return jax.tree.map(np.asarray, dataset.ring)


def test_collecting_fills_the_memory_with_the_teachers_play(collected):
    ring = collected
    assert ring.action.shape == (100, 4)
    time = ring.observation[..., 1]
    np.testing.assert_array_equal(ring.preferences, 2.0 * np.eye(3)[time % 3])
    np.testing.assert_array_equal(ring.action, time % 3)
    np.testing.assert_allclose(ring.reward, ring.is_transition * (time + 1 + 0.25 * (time % 3)))


def test_collected_rows_follow_each_other_in_time(collected):
    ring = collected
    going_on = ring.is_transition & ~ring.terminated
    before, after = ring.observation[:-1][going_on[:-1]], ring.observation[1:][going_on[:-1]]
    np.testing.assert_array_equal(after, before + [0, 1])
    assert ring.terminated.any() and ring.truncated.any()
