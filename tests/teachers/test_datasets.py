import dataclasses
import functools
import json
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Corridor, CorridorParams

from purejaxrrl import networks, replay, teachers
from purejaxrrl.files import documents
from purejaxrrl.files.checkpoints import CheckpointError
from purejaxrrl.students import qdagger
from purejaxrrl.students.hyperparameters import as_arrays
from purejaxrrl.students.settings import QDagger
from purejaxrrl.teachers import datasets

SHAPE = (3, 11)  # 33 bits: more than a word
MEMORY = replay.ReplayMemory(20, 2, replay.Bits(SHAPE), max_n_step=2)
PLAYED_IN = types.SimpleNamespace(options={"sticky_action_probability": 0.0})
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
        is_first=generator.random((num_rows, 2)) < 0.2,
    )


def observed(dataset):
    memory, ring = dataset.memory, dataset.ring
    places = np.mgrid[: memory.rows, : memory.num_environments]
    return memory.codec.gather(ring.observation, ring.is_first, *places)


def fill(steps, memory=MEMORY):
    add, ring = jax.jit(memory.add), memory.init()
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
    dataset = datasets.from_replay(MEMORY, fill(steps), num_rows, last, teacher, PLAYED_IN)
    assert dataset.memory == dataclasses.replace(MEMORY, capacity=2 * (end - first), teacher_outputs=3)
    assert dataset.environment_options == {"sticky_action_probability": 0.0}
    for name in ("action", "reward", "terminated", "truncated", "is_transition", "is_first"):
        np.testing.assert_array_equal(getattr(dataset.ring, name), getattr(steps, name)[first:end])
    np.testing.assert_array_equal(observed(dataset), steps.observation[first:end])


@pytest.mark.parametrize("recorded", [False, True])
def test_a_trainings_data_get_the_final_teachers_output(teacher, recorded):
    """Whatever its past selves had said, or where nobody had been asked."""
    steps, memory = rows(14), MEMORY
    if recorded:
        steps = steps.replace(teacher_output=np.full((14, 2, 3), 9.0, np.float32))
        memory = dataclasses.replace(MEMORY, teacher_outputs=3)
    dataset = datasets.from_replay(memory, fill(steps, memory), 14, 20, teacher, PLAYED_IN)
    expected = teacher.apply(teacher.params, steps.observation[4:].reshape(20, *SHAPE)).reshape(10, 2, 3)
    np.testing.assert_allclose(dataset.ring.teacher_output, expected, rtol=1e-5, atol=1e-6)


def test_the_last_of_the_data_are_what_a_shorter_replay_would_have_been(dataset, teacher):
    shorter = datasets.last(dataset, 13)  # 6 rows of 2
    expected = datasets.from_replay(MEMORY, fill(rows(14)), 14, 12, teacher, PLAYED_IN)
    assert shorter.memory == expected.memory and shorter.fingerprint() == expected.fingerprint()
    assert shorter.teacher_sha256 == expected.teacher_sha256
    for enough in (20, 21, 1000):
        assert datasets.last(dataset, enough) is dataset
    with pytest.raises(ValueError, match="too few for 2-step returns"):
        datasets.last(dataset, 4)


def test_rows_whose_stack_of_frames_begins_before_the_last_of_the_data_are_no_transitions():
    codec = replay.codec_for((4, 4, 4), np.uint8, stacked_frames=4)
    memory = dataclasses.replace(MEMORY, capacity=16, codec=codec, max_n_step=1, teacher_outputs=1)
    first = np.zeros((8, 2), bool)
    first[4, 1] = True
    zeros = np.zeros((8, 2), np.float32)
    ring = replay.Step(
        observation=np.arange(8 * 2 * 16, dtype=np.uint8).reshape(8, 2, 4, 4), action=zeros.astype(np.int32), reward=zeros,
        terminated=zeros > 0, truncated=zeros > 0, is_transition=zeros == 0, is_first=first, teacher_output=zeros[..., None],
    )  # fmt: skip
    shorter = datasets.last(datasets.Dataset(memory, ring), 10)
    np.testing.assert_array_equal(shorter.ring.is_transition, [[row >= 3, row >= 1] for row in range(5)])
    np.testing.assert_array_equal(shorter.ring.observation, ring.observation[3:])


def test_too_little_data_for_n_step_returns_is_refused(teacher):
    with pytest.raises(ValueError, match="too few for 2-step returns"):
        datasets.from_replay(MEMORY, fill(rows(10)), 10, 4, teacher, PLAYED_IN)


@pytest.fixture(scope="module")
def dataset(teacher):
    return datasets.from_replay(MEMORY, fill(rows(14)), 14, 20, teacher, PLAYED_IN)


@pytest.fixture(scope="module")
def saved(dataset, teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "teacher_data"
    datasets.save(path, dataset, teacher)
    return path


def test_saved_data_come_back_bit_for_bit(dataset, teacher, saved):
    loaded = datasets.load(saved, teacher)
    assert loaded.memory == dataset.memory
    assert loaded.environment_options == dataset.environment_options != {}
    assert loaded.fingerprint() == dataset.fingerprint()
    assert jax.tree.structure(loaded.ring) == jax.tree.structure(dataset.ring)
    jax.tree.map(np.testing.assert_array_equal, loaded.ring, dataset.ring)
    assert [leaf.dtype for leaf in jax.tree.leaves(loaded.ring)] == [
        leaf.dtype for leaf in jax.tree.leaves(dataset.ring)
    ]


def test_another_teachers_data_are_refused(saved):
    with pytest.raises(
        CheckpointError,
        match="the data of another teacher; give the folder of its data, or one that is not there",
    ):
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
        lambda about: about["memory"]["codec"].update(kind="pictures"),
        lambda about: about["memory"]["codec"].update(stored_dtype="bits"),
        lambda about: about["memory"].pop("num_environments"),
        lambda about: about["memory"].update(num_actions=3),
        lambda about: about.pop("environment_options"),
    ],
)
def test_data_that_are_not_as_described_are_refused(saved, teacher, tmp_path, change):
    copy = shutil.copytree(saved, tmp_path / "copy")
    about = json.loads((copy / "about.json").read_text())
    del about["sha256"]
    change(about)
    (copy / "about.json").write_text(documents.text(about))
    with pytest.raises(CheckpointError, match="new data are collected in it"):
        datasets.load(copy, teacher)


def test_data_of_the_first_release_are_refused_with_what_to_do(saved, teacher, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "copy")
    about = {"kind": datasets.KIND, "format": 1, "teacher": teacher.fingerprint(), "memory": {"capacity": 20}}
    (copy / "about.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match="of the first release, .*give the folder of its data, or one"):
        datasets.load(copy, teacher)


def test_data_of_a_game_with_other_options_are_other_data(dataset):
    other = dataclasses.replace(dataset, environment_options={})
    assert other.fingerprint() != dataset.fingerprint()


@pytest.fixture(scope="module")
def collected():
    """From a teacher whose action and outputs are known: it prefers the time of the episode modulo 3."""
    environment, params = Corridor(longest=9), CorridorParams(limit=6)
    card = dataclasses.replace(CARD, environment="toy/corridor", observation_shape=(2,))
    own = teachers.Teacher(lambda scale, seen: scale * jax.nn.one_hot(seen[:, 1] % 3, 3), jnp.float32(2.0), card)
    dataset = datasets.collect(
        jax.random.key(0), environment, own, 400, epsilon=0.0, num_environments=4, env_params=params
    )
    assert dataset.memory == replay.memory_for(environment, params, 400, 4, 1, teacher_outputs=3)
    return jax.tree.map(np.asarray, dataset.ring)


def test_collecting_fills_the_memory_with_the_teachers_play(collected):
    ring = collected
    assert ring.action.shape == (100, 4)
    time = ring.observation[..., 1]
    np.testing.assert_array_equal(ring.teacher_output, 2.0 * np.eye(3)[time % 3])
    np.testing.assert_array_equal(ring.action, time % 3)
    np.testing.assert_allclose(ring.reward, ring.is_transition * (time + 1 + 0.25 * (time % 3)))


def test_collected_rows_follow_each_other_in_time(collected):
    ring = collected
    going_on = ring.is_transition & ~ring.terminated
    before, after = ring.observation[:-1][going_on[:-1]], ring.observation[1:][going_on[:-1]]
    np.testing.assert_array_equal(after, before + [0, 1])
    assert ring.terminated.any() and ring.truncated.any()


def test_a_number_of_transitions_that_does_not_divide_is_refused(teacher):
    card = dataclasses.replace(teacher.card, environment="toy/corridor", observation_shape=(2,))
    teacher = dataclasses.replace(teacher, card=card)
    with pytest.raises(ValueError, match="transitions is 401; it must be a positive multiple of the 4 environments"):
        datasets.collect(jax.random.key(0), Corridor(), teacher, 401, num_environments=4)


TEACHER_OUTPUT = lambda seen: jnp.stack([seen[:, 0], -seen[:, 1], seen.sum(-1)], -1)  # noqa: E731


def episodes(seed=0, number=12):
    """Transitions of whole episodes, columns as `from_transitions` takes them; half of the episodes are cut, not terminated."""
    generator = np.random.default_rng(seed)
    rows = []
    for episode in range(number):
        length = generator.integers(1, 7)
        seen = [(100.0 * episode + time, generator.normal()) for time in range(length + 1)]
        for time in range(length):
            ends = time == length - 1 and episode % 2 == 0
            rows.append((seen[time], generator.integers(0, 3), 3 * generator.normal(), seen[time + 1], ends))
    observations, actions, rewards, next_observations, terminated = zip(*rows, strict=True)
    return [
        np.array(observations, np.float32), np.array(actions), np.array(rewards, np.float32),
        np.array(next_observations, np.float32), np.array(terminated),
    ]  # fmt: skip


def by_hand(columns, start, n_step, discount):
    """(return, bootstrap discount, bootstrap observation) from the columns alone, by following them."""
    observations, _, rewards, next_observations, terminated = columns
    total, taken, place = 0.0, 0, start
    while True:
        total += discount**taken * rewards[place]
        taken += 1
        follows = place + 1 < len(rewards) and (next_observations[place] == observations[place + 1]).all()
        if terminated[place] or taken == n_step or not follows:
            return total, 0.0 if terminated[place] else discount**taken, next_observations[place]
        place += 1


@pytest.mark.parametrize("order", ["episodes", "shuffled"])
@pytest.mark.parametrize("n_step", [1, 3])
def test_transitions_of_ones_own_make_the_n_step_targets_of_their_episodes(order, n_step):
    columns = episodes()
    if order == "shuffled":
        shuffle = np.random.default_rng(1).permutation(len(columns[0]))
        columns = [column[shuffle] for column in columns]
    observations, actions, _, _, terminated = columns
    dataset = datasets.from_transitions(TEACHER_OUTPUT, *columns)
    memory = dataclasses.replace(dataset.memory, max_n_step=3)
    rows = np.arange(memory.rows - 1)
    batch = jax.tree.map(np.asarray, jax.jit(memory.gather)(dataset.ring, rows, 0 * rows, n_step, 0.9))
    kept = np.flatnonzero(batch.valid)
    assert len(kept) == len(observations)  # every transition, in its order, and nothing else
    np.testing.assert_array_equal(batch.observation[kept], observations)
    np.testing.assert_array_equal(batch.action[kept], actions)
    np.testing.assert_allclose(batch.teacher_output[kept], TEACHER_OUTPUT(observations), rtol=1e-6)
    for place, row in enumerate(kept):
        total, discount, bootstrap = by_hand(columns, place, n_step, 0.9)
        np.testing.assert_allclose(batch.n_step_return[row], total, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batch.bootstrap_discount[row], discount, rtol=1e-6)
        if discount:
            np.testing.assert_array_equal(batch.bootstrap_observation[row], bootstrap)
    assert (batch.bootstrap_discount[kept] == 0).sum() >= terminated.sum() > 0
    assert batch.action.dtype == np.int32


def test_more_transitions_than_fit_are_refused_before_they_are_copied(monkeypatch):
    monkeypatch.setattr(datasets.replay.space, "available_bytes", lambda devices=1: 1_000)
    monkeypatch.setattr(datasets, "_labelled", lambda *_: pytest.fail("copied"))
    seen = np.arange(1_000, dtype=np.float32)[:, None] * np.ones(2, np.float32)
    with pytest.raises(
        ValueError, match=r"^999 transitions are too many: a ring of 1,001 transitions takes .* take a capacity"
    ):
        datasets.from_transitions(TEACHER_OUTPUT, seen[:-1], np.zeros(999, int), np.zeros(999), seen[1:], np.zeros(999))


def test_a_teacher_labels_transitions_of_ones_own(teacher):
    generator = np.random.default_rng(0)
    seen = generator.random((7, *SHAPE)) < 0.5
    dataset = datasets.from_transitions(teacher, seen[:-1], np.zeros(6, int), np.zeros(6), seen[1:], np.zeros(6, bool))
    np.testing.assert_array_equal(observed(dataset)[:7, 0], seen)  # bits, and the last one's next observation
    expected = teacher.apply(teacher.params, seen)
    np.testing.assert_allclose(dataset.ring.teacher_output[:7, 0], expected, rtol=1e-5, atol=1e-6)
    assert dataset.memory.teacher_outputs == 3


def test_vectors_as_actions_come_back():
    observations, _, *rest = episodes()
    actions = np.random.default_rng(2).normal(size=(len(observations), 4)).astype(np.float32)
    dataset = datasets.from_transitions(TEACHER_OUTPUT, observations, actions, *rest)
    kept = np.asarray(dataset.ring.is_transition)
    assert dataset.memory.action_shape == (4,)
    np.testing.assert_array_equal(dataset.ring.action[kept], actions)


def test_a_single_transition_is_data():
    for terminated in (True, False):
        one = np.array([[1.0, 2.0]], np.float32)
        dataset = datasets.from_transitions(TEACHER_OUTPUT, one, [1], [0.5], one + 1, [terminated])
        batch = dataset.memory.gather(dataset.ring, np.array([0]), np.array([0]), 1, 0.9)
        assert batch.valid[0] == 1 and batch.n_step_return[0] == 0.5
        assert batch.bootstrap_discount[0] == (0.0 if terminated else np.float32(0.9))


def test_numpys_own_types_become_those_of_the_ring(teacher, tmp_path):
    """float64 and int64 are numpy's defaults and not JAX's: the layout says what the ring holds, also from a file."""
    observations, actions, rewards, next_observations, terminated = episodes()
    dataset = datasets.from_transitions(
        TEACHER_OUTPUT, observations.astype(np.float64), actions.astype(np.int64), rewards.astype(np.float64),
        next_observations.astype(np.float64), terminated.astype(int),
    )  # fmt: skip
    shapes = jax.eval_shape(dataset.memory.init)
    assert [leaf.dtype for leaf in jax.tree.leaves(shapes)] == [leaf.dtype for leaf in jax.tree.leaves(dataset.ring)]
    assert jnp.dtype(dataset.memory.codec.stored_dtype) == dataset.ring.observation.dtype == jnp.float32
    datasets.save(tmp_path / "data", dataset, teacher)
    assert datasets.load(tmp_path / "data", teacher).fingerprint() == dataset.fingerprint()


def wrong(column, change):
    columns = episodes()
    columns[column] = change(columns[column])
    return columns


WRONG = {
    "lengths that differ": (wrong(1, lambda actions: actions[:-1]), r"have \[\d+, \d+, \d+, \d+, \d+\] entries"),
    "nothing": ([column[:0] for column in episodes()], "have .0, 0, 0, 0, 0. entries.*at least one transition"),
    "a reward that is no number": (wrong(2, lambda rewards: np.where(np.arange(len(rewards)) == 3, np.nan, rewards)), "reward 3 is not finite"),
    "other next observations": (wrong(3, lambda seen: seen[:, :1]), "next_observations .* must be shaped alike"),
    "rewards of several players": (wrong(2, lambda rewards: rewards[:, None]), "one number a transition"),
    "actions counted from 1": (wrong(1, lambda actions: actions + 1), r"action \d+ is 3; the teacher's actions are 0 to 2"),
    "actions that are numbers": (wrong(1, lambda actions: actions + 0.5), "actions are float32; one of 3 actions is an integer"),
    "an observation that is no number": (wrong(0, lambda seen: np.where(seen == seen.max(), np.nan, seen)), "observations are not all finite"),
    "discounts for ends": (wrong(4, lambda ends: ends + 0.5), "terminated holds .*; it must be True or False"),
    "ends of several players": (wrong(4, lambda ends: ends[:, None]), "one number a transition"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_transitions_are_refused(case):
    columns, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        datasets.from_transitions(TEACHER_OUTPUT, *columns)


def test_a_student_learns_from_transitions_of_ones_own():
    """The program draws them, all of them but the newest, with the settings' returns."""
    card = dataclasses.replace(CARD, environment="toy/corridor", observation_shape=(2,))
    own = teachers.Teacher(lambda scale, seen: scale * seen[:, :1] * jnp.arange(3.0), jnp.float32(0.1), card)
    columns = [column.astype(np.int32) if column.ndim == 2 else column for column in episodes()]
    data = datasets.from_transitions(own, *columns)
    settings = QDagger(
        max_n_step=2, n_step=2, batch_size=64, capacity=800, discount=0.5, network="mlp", reward_clip=1.0
    )
    program = qdagger.program(settings, Corridor(), own, data)
    draw = jax.jit(lambda key: qdagger.sample_data(program, as_arrays(settings), key, data.ring))
    batch = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    clipped = [*columns[:2], np.clip(columns[2], -1.0, 1.0), *columns[3:]]
    transitions = {tuple(seen): place for place, seen in enumerate(columns[0])}
    assert 0.5 < batch.valid.mean() < 1.0
    for number in np.flatnonzero(batch.valid):
        total, discount, _ = by_hand(clipped, transitions[tuple(batch.observation[number])], 2, 0.5)
        np.testing.assert_allclose(batch.n_step_return[number], total, rtol=1e-5, atol=1e-6)
        assert batch.bootstrap_discount[number] == discount


def test_data_are_saved_with_their_own_teacher_alone(dataset, teacher, tmp_path):
    other = dataclasses.replace(teacher, params=jax.tree.map(lambda leaf: leaf + 1, teacher.params))
    with pytest.raises(ValueError, match="output of another teacher"):
        datasets.save(tmp_path / "data", dataset, other)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["reward", "teacher_output"])
def test_saved_data_that_are_no_numbers_are_refused(name, dataset, teacher, tmp_path):
    column = np.array(getattr(dataset.ring, name))
    column[0] = np.nan
    bad = dataclasses.replace(dataset, ring=dataset.ring.replace(**{name: column}))
    datasets.save(tmp_path / "data", bad, teacher)
    with pytest.raises(CheckpointError, match=f"{name} holds what is no finite number"):
        datasets.load(tmp_path / "data", teacher)


CORRIDORS = dataclasses.replace(CARD, environment="toy/corridor", observation_shape=(2,))


def program_with(change=lambda columns: columns):
    """Of the corridor's own transitions, changed."""
    own = teachers.Teacher(lambda scale, seen: scale * seen[:, :1] * jnp.arange(3.0), jnp.float32(0.1), CORRIDORS)
    columns = change([column.astype(np.int32) if column.ndim == 2 else column for column in episodes()])
    data = datasets.from_transitions(own, *columns)
    return qdagger.program(QDagger(network="mlp", capacity=800), Corridor(), own, data)


def test_data_that_are_not_shaped_as_the_environments_are_refused():
    program_with()
    with pytest.raises(ValueError, match=r"the data's action is int32 \(1,\), the environment's int32 \(\)"):
        program_with(
            lambda columns: [column[:, None] if place == 1 else column for place, column in enumerate(columns)]
        )
    with pytest.raises(ValueError, match=r"the data's observation is float32 \(2,\), the environment's int32 \(2,\)"):
        program_with(lambda columns: [column.astype(np.float32) if column.ndim == 2 else column for column in columns])


def test_how_a_ring_keeps_observations_is_its_own_business(monkeypatch):
    """As transitions of Atari, given as whole stacks, go with a student's ring of frames."""
    stacks = replay.FrameStack((), 2, jnp.int32)
    monkeypatch.setattr(qdagger.replay, "memory_for", functools.partial(replay.memory_for, codec=stacks))
    assert program_with().memory.codec is stacks
    assert program_with().data_memory.codec == replay.Plain((2,), jnp.dtype(jnp.int32))
