"""What the training step hands to what: which batch, whose value of which observation, and at which of the student's steps."""

import functools
import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import Corridor, CorridorParams

from purejaxrrl import replay, teachers
from purejaxrrl.runs import run_folder, training
from purejaxrrl.students import qdagger, weaning
from purejaxrrl.students.hyperparameters import as_arrays, stack
from purejaxrrl.students.settings import DQN, QDagger
from purejaxrrl.students.student import Learner, Output, Student, module_student
from purejaxrrl.teachers import datasets

CORRIDOR = Corridor(longest=5)  # within its limit
CARD = teachers.Card("toy/corridor", "q_values", 3, (2,), 2.0, 1.0, 5, 100)
TEACHER = teachers.Teacher(lambda scale, seen: scale * jax.nn.one_hot(seen[:, 1] % 3, 3), jnp.float32(2.0), CARD)
SMALL = {
    "online_iterations": 2, "iteration_steps": 320, "evaluation_steps": 20, "evaluation_environments": 4, "num_environments": 8,
    "steps_per_update": 8, "target_period": 10, "batch_size": 8, "capacity": 400, "warm_up": 64, "max_n_step": 1, "n_step": 1,
    "learning_rate": 1.0,
}  # fmt: skip
OFFLINE = SMALL | {
    "weaned_learning_rate": 1.0,
    "offline_iterations": 2,
    "offline_updates": 30,
    "distillation_coefficient": 0.0,
}


@pytest.fixture(scope="module")
def data():
    return datasets.collect(jax.random.key(1), CORRIDOR, TEACHER, 400, epsilon=1.0, num_environments=8)


def student_of(q_values, td_loss, params):
    """One whose parameters move by minus the gradient of `td_loss(online, target)`, of q_values(params, observations) `[B]`."""

    def apply(params, observations, key):
        return Output(jnp.zeros((observations.shape[0], 3)) + q_values(params, observations)[:, None])

    def loss(online, online_next, target_next, batch, hyperparameters):
        return td_loss(online.q_values[:, 0], target_next.q_values[:, 0]), jnp.zeros_like(batch.n_step_return)

    return Student(lambda key: params, apply, loss, optimiser=lambda hyperparameters: optax.identity())


def counting():
    """Its parameters count, by the episode's random number, how often an observation was in a batch, times its size."""
    size = 1021
    return student_of(lambda counts, seen: counts[seen[:, 0] % size], lambda online, target: -online, jnp.zeros(size))


def idle():
    """It likes action 2 best and learns nothing."""
    apply = lambda params, observations, key: Output(jnp.zeros((observations.shape[0], 3)).at[:, 2].set(1.0) + params)  # noqa: E731
    loss = lambda online, online_next, target_next, batch, hyperparameters: (0 * batch.n_step_return,) * 2  # noqa: E731
    return Student(lambda key: jnp.zeros(()), apply, loss)


def played(settings, teacher=None):
    """The actions `[rows, environments]` of an iteration of an idle student that the replay's filling takes."""
    program = qdagger.program(settings, CORRIDOR, teacher, student=idle())
    state = qdagger.init(program, jax.random.key(0), settings)
    state, _ = jax.jit(functools.partial(qdagger.play_and_learn, program))(
        state, jax.random.key(1), settings, None, jnp.int32(0)
    )
    return np.asarray(state.ring.action)[: settings.schedule.rows_per_iteration]


def test_an_offline_target_is_what_the_student_was_at_the_last_copy(data):
    """Each update adds 1 and what the target network says: 10, then 11 ten times, then 121 ten times."""
    grows = student_of(
        lambda params, seen: jnp.full(len(seen), params), lambda online, target: -online * (1 + target), jnp.zeros(())
    )
    settings = QDagger(**OFFLINE)
    program = qdagger.program(settings, CORRIDOR, TEACHER, data, student=grows)
    state = qdagger.init(program, jax.random.key(0), settings)
    step = jax.jit(functools.partial(qdagger.offline, program))
    state, _ = step(state, jax.random.key(1), settings, data.ring, jnp.int32(0))
    assert (float(state.learner.params), float(state.learner.target_params)) == (1330.0, 1330.0)


def test_every_offline_update_has_a_batch_of_its_own(data):
    settings = QDagger(**OFFLINE)
    program = qdagger.program(settings, CORRIDOR, TEACHER, data, student=counting())
    state = qdagger.init(program, jax.random.key(0), settings)
    step = jax.jit(functools.partial(qdagger.offline, program))
    first, metrics = step(state, jax.random.key(1), settings, data.ring, jnp.int32(0))
    second, others = step(first, jax.random.key(1), settings, data.ring, jnp.int32(1))
    drawn = [np.asarray(first.learner.params), np.asarray(second.learner.params - first.learner.params)]
    assert [counts.sum() for counts in drawn] == pytest.approx([30, 30])
    assert all((counts > 0).sum() > 3 * settings.batch_size for counts in drawn), "one batch for a whole iteration"
    assert np.abs(drawn[0] - drawn[1]).max() > 0.1, "the last iteration's batches again"
    assert metrics["mean_return"] != others["mean_return"], "the last iteration's evaluation again"


def test_every_online_update_has_a_batch_of_its_own():
    """Four to a row: were they of one batch, every count would be a multiple of 4."""
    settings = DQN(**SMALL | {"steps_per_update": 2})
    program = qdagger.program(settings, CORRIDOR, student=counting())
    state = qdagger.init(program, jax.random.key(0), settings)
    step = jax.jit(functools.partial(qdagger.online, program))
    state, metrics = step(state, jax.random.key(1), settings, None, jnp.int32(0))
    counts = np.asarray(state.learner.params * settings.batch_size).round()
    assert counts.sum() > 500 and (counts % 4 != 0).sum() > 20
    before = counts
    state, others = step(state, jax.random.key(1), settings, None, jnp.int32(1))
    assert np.abs(np.asarray(state.learner.params * settings.batch_size) - 2 * before).max() > 1
    assert metrics["mean_return"] != others["mean_return"], "the last iteration's evaluation again"


class Table(nn.Module):
    """A value for each time of the corridor and action."""

    @nn.compact
    def __call__(self, observations):
        return self.param("table", nn.initializers.normal(1.0), (20, 3))[observations[:, 1].astype(jnp.int32)]


@pytest.mark.parametrize("double", [False, True])
def test_the_bootstrap_is_what_the_target_network_says_of_what_comes_after(double):
    rng, student = np.random.default_rng(0), module_student(Table(), (2,), double=double)
    settings = DQN(**SMALL)
    program = qdagger.program(settings, CORRIDOR, student=student)
    online, target = (rng.normal(size=(20, 3)).astype(np.float32) for _ in range(2))
    seen, after, action = np.arange(8), np.arange(8) + 10, rng.integers(0, 3, 8)
    returns, discount = rng.normal(size=8).astype(np.float32), np.full(8, 0.9, np.float32)
    batch = replay.Batch(
        observation=jnp.stack([jnp.zeros(8, jnp.int32), seen], 1), action=jnp.asarray(action), n_step_return=jnp.asarray(returns),
        bootstrap_discount=jnp.asarray(discount), bootstrap_observation=jnp.stack([jnp.zeros(8, jnp.int32), after], 1),
        teacher_output=None, extras=None, valid=jnp.ones(8), importance=jnp.ones(8), row=jnp.zeros(8, jnp.int32),
        environment=jnp.zeros(8, jnp.int32),
    )  # fmt: skip
    params = jax.tree.map(lambda _: jnp.asarray(online), student.init(jax.random.key(0)))
    learner = Learner(
        params, jax.tree.map(lambda _: jnp.asarray(target), params), student.optimiser(as_arrays(settings)).init(params)
    )
    _, _, report = qdagger.update(
        program, as_arrays(settings), learner, batch, jax.random.key(1), jnp.float32(0.0), is_online=True
    )
    best = (online if double else target)[after].argmax(-1)
    error = np.abs(online[seen, action] - returns - discount * target[after, best])
    huber = np.where(error <= 1, error**2 / 2, error - 0.5)
    assert float(report["td_loss"]) == pytest.approx(huber.mean(), rel=1e-5)


def test_students_are_scored_with_the_exploration_of_evaluations():
    """In a corridor of one step that returns 1, and 1/2 for action 2."""
    settings = DQN(**SMALL | {"epsilon_end": 1.0, "evaluation_epsilon": 0.0})
    program = qdagger.program(settings, Corridor(longest=1), student=idle())
    state = qdagger.init(program, jax.random.key(0), settings)
    metrics = qdagger.evaluate(program, as_arrays(settings), state, jax.random.key(1), {}, is_online=True)
    assert float(metrics["mean_return"]) == 1.5


def scored(environment=CORRIDOR, params=None, **settings):
    """The metrics of an evaluation of an idle student, which likes action 2 best: a corridor of one step returns 1, and 1/2 for that."""
    settings = DQN(**SMALL | {"evaluation_epsilon": 0.0} | settings)
    program = qdagger.program(settings, environment, student=idle(), env_params=params)
    state = qdagger.init(program, jax.random.key(0), settings)
    return qdagger.evaluate(program, as_arrays(settings), state, jax.random.key(1), {}, is_online=True)


def test_an_evaluation_has_its_steps_its_limit_and_its_exploration():
    short = Corridor(longest=1)
    assert int(scored(short)["episodes"]) == 20
    assert float(scored(short, evaluation_epsilon=1.0, evaluation_steps=400)["mean_return"]) < 1.4
    endless = Corridor(longest=10**6)
    found = scored(endless, CorridorParams(limit=50), evaluation_limit=7)
    assert float(found["mean_return"]) == sum(range(1, 8)) + 7 / 2


def test_an_evaluation_is_played_in_the_environment_for_it():
    """Which has shorter episodes than the one that is trained in."""
    training = Corridor(longest=5)
    settings = DQN(**SMALL | {"evaluation_epsilon": 0.0})
    program = qdagger.program(settings, training, student=idle(), evaluation_environment=Corridor(longest=1))
    state = qdagger.init(program, jax.random.key(0), settings)
    metrics = qdagger.evaluate(program, as_arrays(settings), state, jax.random.key(1), {}, is_online=True)
    assert float(metrics["mean_return"]) == 1.5


@pytest.mark.parametrize(("reversible", "later"), [(False, 0.0), (True, 0.75)])
def test_lambda_is_what_it_was_before_where_it_is_not_to_rise_again(reversible, later):
    """An evaluation above the teacher, and one of a quarter after it."""
    settings = QDagger(**SMALL | {"offline_iterations": 0, "weaning_steps": 10**6, "weaning_reversible": reversible})
    program = qdagger.program(settings, CORRIDOR, TEACHER, student=idle())
    state = qdagger.init(program, jax.random.key(0), settings)
    step = jax.jit(functools.partial(qdagger.play_and_learn, program))
    for index, (score, expected) in enumerate([(1.2, 0.0), (0.25, later)]):
        state = state._replace(evidence=weaning.evaluated(state.evidence, jnp.float32(score)))
        state, _ = step(state, jax.random.key(1), settings, None, jnp.int32(index))
        assert float(state.weaning_coefficient) == pytest.approx(expected)


def test_exploration_is_held_and_falls_by_agent_steps():
    """Eight to a row: held for 10 rows, over after 30."""
    exploring = {"epsilon_start": 1.0, "epsilon_end": 0.0, "epsilon_hold_steps": 80, "epsilon_decay_steps": 160}
    strays = played(DQN(**SMALL | exploring | {"warm_up": 600})) != 2
    held, falling, rest = strays[:10], strays[10:30], strays[30:]
    assert held.mean() > 0.5 > falling.mean() and falling[10:].any() and not rest.any()


def test_a_guide_leaves_by_agent_steps():
    """It acts in the first row for certain, and after 10 never again."""
    guided = {
        "student_rolls_in": True,
        "guide_probability": 1.0,
        "guide_decay_steps": 80,
        "roll_in_steps": 0,
        "weaning": "none",
    }
    actions = played(
        QDagger(**SMALL | guided | {"warm_up": 600, "epsilon_start": 0.0, "epsilon_end": 0.0, "offline_iterations": 0}),
        TEACHER,
    )
    assert (actions[0] == 0).all() and (actions[1:6] != 2).any() and (actions[10:] == 2).all()


def test_what_a_teacher_of_logits_thinks_of_an_action_is_its_probability():
    logits = teachers.Teacher(
        lambda scale, seen: scale * jnp.array([[1.0, 3.0, 2.0]] * len(seen)), jnp.float32(1.0),
        teachers.Card("toy/corridor", "logits", 3, (2,), 2.0, 1.0, 5, 100),
    )  # fmt: skip
    settings = QDagger(
        **SMALL | {"offline_iterations": 0, "epsilon_start": 0.0, "epsilon_end": 0.0, "weaning_memory": 100}
    )
    program = qdagger.program(settings, CORRIDOR, logits, student=idle())
    state = qdagger.init(program, jax.random.key(0), settings)
    evidence = qdagger.act(program, as_arrays(settings), state, jax.random.key(1), jnp.int32(0)).evidence
    probability = np.exp([1.0, 3.0, 2.0]) / np.exp([1.0, 3.0, 2.0]).sum()
    share = 1 - np.exp(-8 / 100)
    assert float(evidence.regret) == pytest.approx(share * (probability[1] - probability[2]), rel=1e-4)
    assert float(evidence.spread) == pytest.approx(share * (probability[1] - 1 / 3), rel=1e-4)


def test_runs_side_by_side_are_each_what_its_seed_makes_it(data, tmp_path):
    """The streams of a run: another for each teacher, apart in the phases, and the same with the program as in one function."""
    settings = QDagger(
        **OFFLINE | {"learning_rate": 0.01, "weaned_learning_rate": 0.01, "distillation_coefficient": 3.0}
    )
    program = qdagger.program(settings, CORRIDOR, TEACHER, data, student=module_student(Table(), (2,)))
    seeds = [3, 4]
    with run_folder.RunFolder(tmp_path / "run", {}, resume=False) as folder:
        training.run(program, [settings] * 2, seeds, [{"seed": seed} for seed in seeds], folder, data)
    train = jax.jit(jax.vmap(functools.partial(qdagger.train, program), in_axes=(0, 0, None)))
    _, offline, online = train(jax.vmap(jax.random.key)(jnp.array(seeds)), stack([settings] * 2), data.ring)
    for name in ("td_loss", "distillation_loss", "mean_return", "lambda", "disagreement"):
        for place, seed in enumerate(seeds):
            found = [row[name] for row in folder.rows if row["seed"] == seed]
            played = [*offline[name][place], *online[name][place]]
            if name == "disagreement":  # of what it has not played there is none
                assert found[:2] == [None, None]
                found, played = found[2:], played[2:]
            np.testing.assert_allclose(found, played, rtol=1e-4, atol=1e-6)


def test_a_run_that_was_stopped_ends_as_the_uninterrupted_one(data, tmp_path):
    """With all that a run remembers: learner, evidence, roll-in, ring and lambda."""
    settings = QDagger(
        **OFFLINE | {"learning_rate": 0.01, "weaned_learning_rate": 0.01, "distillation_coefficient": 3.0},
        weaning="disagreement",
        roll_in_steps=3,
    )
    program = qdagger.program(settings, CORRIDOR, TEACHER, data, student=module_student(Table(), (2,)))
    seeds = [3, 4]

    def train(path, resume):
        with run_folder.RunFolder(path, {}, resume) as folder:
            labels = [{"seed": seed} for seed in seeds]
            state = training.run(program, [settings] * 2, seeds, labels, folder, data)
            return state, [{name: value for name, value in row.items() if name != "seconds"} for row in folder.rows]

    whole = train(tmp_path / "whole", resume=False)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "checkpoints" / "000004")
    resumed = train(tmp_path / "stopped", resume=True)
    assert resumed[1] == whole[1]
    jax.tree.map(np.testing.assert_array_equal, resumed[0], whole[0])
