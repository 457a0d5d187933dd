"""What somebody brings along, through the public interface: a module, an optimiser, a loss and its hyperparameter, a sampler."""

import dataclasses
import functools
from types import SimpleNamespace
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import Corridor, CorridorParams

from purejaxrrl import replay, teachers
from purejaxrrl.students import qdagger, student
from purejaxrrl.students.hyperparameters import hyperparameter, stack
from purejaxrrl.students.losses import term, with_term
from purejaxrrl.students.settings import DQN, QDagger
from purejaxrrl.students.student import Output, Student
from purejaxrrl.teachers import datasets

ENVIRONMENT = Corridor(longest=9)
CARD = teachers.Card("toy/corridor", "q_values", 3, (2,), 2.0, 1.0, 5, 100)
TEACHER = teachers.Teacher(lambda scale, seen: scale * jax.nn.one_hot(seen[:, 1] % 3, 3), jnp.float32(2.0), CARD)
TINY = {
    "online_iterations": 2, "iteration_steps": 400, "evaluation_steps": 3, "evaluation_environments": 3, "num_environments": 2,
    "steps_per_update": 4, "target_period": 10, "batch_size": 8, "capacity": 1000, "warm_up": 40, "max_n_step": 1, "n_step": 1,
    "epsilon_start": 1.0, "epsilon_end": 1.0,
}  # fmt: skip
ROWS = TINY["online_iterations"] * TINY["iteration_steps"] // TINY["num_environments"]


class Linear(nn.Module):
    """Linear in the time of the episode."""

    num_actions: int

    @nn.compact
    def __call__(self, observations):
        return nn.Dense(self.num_actions)(observations[:, 1:].astype(jnp.float32) / 4)


LINEAR = student.module_student(Linear(3), (2,))


def train(program, settings, data=None, seed=0):
    """Runs of those settings side by side, one seed: states and online metrics, `[runs, ...]`."""
    run = jax.jit(jax.vmap(functools.partial(qdagger.train, program), in_axes=(None, 0, None)))
    state, _, metrics = run(jax.random.key(seed), stack(settings), data)
    return jax.tree.map(np.asarray, (state, metrics))


def test_a_module_of_ones_own_learns():
    """Without a future the value of action a at time t is the reward, t + 1 + a / 4: linear in t, so it can be learned exactly."""
    settings = DQN(**TINY | {"discount": 0.0, "learning_rate": 0.05, "online_iterations": 4})
    program = qdagger.program(settings, ENVIRONMENT, student=LINEAR)
    state, metrics = train(program, [settings])
    learned = jax.tree.map(lambda leaf: leaf[0], state.learner.params["Dense_0"])
    np.testing.assert_allclose(learned["bias"], [1.0, 1.25, 1.5], atol=0.1)
    np.testing.assert_allclose(learned["kernel"], [[4.0, 4.0, 4.0]], atol=0.2)
    assert metrics["td_loss"][0, -1] < 0.01 < metrics["td_loss"][0, 0]


def momentum(hyperparameters):
    """Something else than Adam, with a count; its decay is a hyperparameter that is traced."""
    return optax.chain(optax.trace(0.5), optax.scale_by_schedule(lambda count: 1.0 / (1.0 + 0 * count)))


def test_an_optimiser_of_ones_own_starts_anew_with_the_online_phase_where_it_should():
    own = dataclasses.replace(LINEAR, optimiser=momentum)
    tiny = TINY | {"offline_iterations": 1, "offline_updates": 30, "online_iterations": 1}
    settings = [QDagger(**tiny, network="mlp", fresh_optimiser=fresh) for fresh in (True, False)]
    data = datasets.collect(jax.random.key(1), ENVIRONMENT, TEACHER, 100, num_environments=2)
    program = qdagger.program(settings[0], ENVIRONMENT, TEACHER, data, student=own)
    state, _ = train(program, settings, data.ring)
    # Of 100 updates those before the warm-up of 40 agent steps (the tenth is due with it) are left out.
    assert state.learner.optimiser[1].count.tolist() == [91, 91 + 30]


@term(
    weight=lambda context, hyperparameters: hyperparameters.small_coefficient,
    small_coefficient=hyperparameter(0.0, "of the squared Q-values", minimum=0),
)
def small(context, hyperparameters):
    return (context.online.q_values**2).sum(-1)


def test_a_term_of_ones_own_is_swept_side_by_side():
    cls = with_term(DQN, small)
    settings = [cls(**TINY | {"learning_rate": 0.01}, small_coefficient=value) for value in (0.0, 0.01, 10.0)]
    program = qdagger.program(settings[0], ENVIRONMENT, student=LINEAR)
    state, metrics = train(program, settings)
    assert {"td_loss", "small_loss", "q_value"} <= set(metrics)
    off, little, much = metrics["small_loss"][:, -1]
    assert off == 0.0  # not used, so not reported
    assert little > 10 * much > 0.0
    assert metrics["q_value"][0, -1] > metrics["q_value"][1, -1] > metrics["q_value"][2, -1]
    alone, _ = train(program, settings[2:])
    chex.assert_trees_all_close(
        jax.tree.map(lambda leaf: leaf[0], alone.learner.params), jax.tree.map(lambda leaf: leaf[2], state.learner.params), rtol=1e-4, atol=1e-5
    )  # fmt: skip


class Log(NamedTuple):
    """A sampler's state: priorities `[rows, N]`, and what `learned` was told, `[updates, B]`, in order."""

    priority: Any
    number: Any
    rows: Any
    environments: Any
    priorities: Any


@dataclasses.dataclass(frozen=True)
class Prioritised:
    """In proportion to priorities (Schaul et al., 2016), as plainly as can be: a new transition's is 1. Keeps a log."""

    updates: int = 200
    batch_size: int = 8

    def init(self, memory):
        log = jnp.zeros((self.updates, self.batch_size), jnp.int32)
        return Log(
            jnp.zeros((memory.rows, memory.num_environments)), jnp.int32(0), log - 2, log, log.astype(jnp.float32)
        )

    def added(self, memory, state, step, num_rows):
        return state._replace(priority=state.priority.at[num_rows % memory.rows].set(1.0))

    def draw(self, key, memory, state, num_rows, shape):
        first, end = memory.drawable(num_rows)
        position = jnp.arange(memory.rows)
        row = (
            position + (num_rows - 1 - position) // memory.rows * memory.rows
        )  # what stands there, counted as rows are
        priority = jnp.where(((row >= first) & (row < end))[:, None], state.priority, 0.0).ravel()
        place = jax.random.categorical(key, jnp.log(priority), shape=shape)
        environment = place % memory.num_environments
        return replay.Draw(row[place // memory.num_environments], environment, (priority / priority.sum())[place])

    def importance(self, draw):
        return 0.001 / draw.probability

    def learned(self, state, row, environment, priority):
        known = jnp.where(row >= 0, row, state.priority.shape[0])  # others fall outside
        return Log(
            state.priority.at[known % (state.priority.shape[0] + 1), environment].set(priority, mode="drop"),
            state.number + 1,
            state.rows.at[state.number].set(row),
            state.environments.at[state.number].set(environment),
            state.priorities.at[state.number].set(priority),
        )


def judged(td_loss):
    """A student that judges transitions by themselves and learns nothing."""
    apply = lambda params, observations, key: Output(jnp.zeros((observations.shape[0], 3)) + params)  # noqa: E731
    return Student(lambda key: jnp.zeros(3), apply, td_loss)


def log_of(state):
    sampler = jax.tree.map(lambda leaf: leaf[0], state.sampler)
    return sampler, sampler.rows[: sampler.number], sampler.environments[: sampler.number]


@pytest.fixture(scope="module")
def by_action():
    """Trained with a priority of 1 for action 2, and next to nothing for others once they were learned from."""

    def td_loss(online, online_next, target_next, batch, hyperparameters):
        priority = jnp.where(batch.action == 2, 1.0, 1e-9)
        return 2.0 * batch.importance * batch.n_step_return, priority * batch.valid + 1e-12

    settings = DQN(**TINY)
    program = qdagger.program(settings, ENVIRONMENT, student=judged(td_loss), sampler=Prioritised())
    state, metrics = train(program, [settings])
    return program, jax.tree.map(lambda leaf: leaf[0], state.ring), *log_of(state), metrics


def test_a_sampler_of_ones_own_hears_the_places_and_the_priorities_of_each_batch(by_action):
    program, ring, sampler, rows, environments, _ = by_action
    assert sampler.number == 191  # the updates after the warm-up
    assert (rows >= 0).all() and rows.max() < ROWS
    action, is_transition = ring.action[rows, environments], ring.is_transition[rows, environments]
    expected = np.where(action == 2, 1.0, 1e-9) * is_transition + 1e-12
    np.testing.assert_allclose(sampler.priorities[: sampler.number], expected, rtol=1e-5)
    assert {0, 1, 2} == set(action.ravel())


def test_transitions_are_drawn_by_their_priority(by_action):
    """Those whose priority fell are not drawn in a later batch; the others are, again and again."""
    _, ring, sampler, rows, environments, _ = by_action
    batches = np.zeros(ring.action.shape, int)
    for row, environment in zip(rows, environments, strict=True):
        batches[row, environment] += 1
    kept = (ring.action == 2) & ring.is_transition
    assert batches[:ROWS][~kept[:ROWS]].max() == 1
    assert batches[kept].mean() > 3


def test_importance_multiplies_the_loss_and_does_not_normalise_it(by_action):
    """sum(loss * importance * valid) / sum(valid), recomputed from the ring and the places that were drawn."""
    program, ring, sampler, rows, environments, metrics = by_action
    # Priorities as they were at each draw, from the log alone.
    priority, expected = np.zeros(ring.action.shape), []
    rows_per_update = TINY["steps_per_update"] // TINY["num_environments"]
    first_update = 200 - sampler.number
    seen = 0
    for number, (row, environment, told) in enumerate(zip(rows, environments, sampler.priorities, strict=False)):
        num_rows = (first_update + number + 1) * rows_per_update
        priority[seen:num_rows], seen = 1.0, num_rows
        drawable = priority[: num_rows - 1]
        importance = 0.001 / (priority[row, environment] / drawable.sum())
        valid = ring.is_transition[row, environment]
        loss = 2.0 * importance * ring.reward[row, environment]
        expected.append((loss * importance * valid).sum() / valid.sum())
        priority[row, environment] = told
    # The first iteration's mean is of the 91 updates that it had.
    np.testing.assert_allclose(metrics["td_loss"][0], [np.mean(expected[:91]), np.mean(expected[91:])], rtol=1e-3)


def test_rehearsed_transitions_have_no_place_in_the_students_ring():
    def td_loss(online, online_next, target_next, batch, hyperparameters):
        return batch.n_step_return, jnp.ones_like(batch.n_step_return)

    settings = QDagger(**TINY, offline_iterations=0, rehearsal_fraction=0.25)
    data = datasets.collect(jax.random.key(1), ENVIRONMENT, TEACHER, 100, num_environments=2)
    sampler = Prioritised()
    program = qdagger.program(settings, ENVIRONMENT, TEACHER, data, student=judged(td_loss), sampler=sampler)
    state, _ = train(program, [settings], data.ring)
    _, rows, _ = log_of(state)
    assert rows.min() == -1 and rows.max() > 100
    assert abs((rows == -1).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / rows.size)


def test_evaluations_see_no_noise_and_everything_else_its_own():
    """The network's key is None there; in an update the three applications have keys that differ."""
    asked = []

    def apply(params, observations, key):
        asked.append((observations.shape[0], key is None))
        noise = jnp.float32(0.5) if key is None else jax.random.uniform(key)
        return Output(jnp.zeros((observations.shape[0], 3)) + params, noise)

    def td_loss(online, online_next, target_next, batch, hyperparameters):
        noises = online.extras, online_next.extras, target_next.extras
        differ = (noises[0] != noises[1]) & (noises[1] != noises[2]) & (noises[0] != noises[2])
        return jnp.where(differ, 1.0, 0.0) * batch.valid + 0.0 * online.q_values.sum(-1), batch.valid

    settings = DQN(**TINY)
    noisy = Student(lambda key: jnp.zeros(3), apply, td_loss, looks_ahead=True)
    program = qdagger.program(settings, ENVIRONMENT, student=noisy)
    asked.clear()  # of when the student was looked at
    _, metrics = train(program, [settings])
    acting, evaluating, learning = TINY["num_environments"], TINY["evaluation_environments"], TINY["batch_size"]
    assert set(asked) == {(acting, False), (learning, False), (evaluating, True)}
    assert metrics["td_loss"][0, 1] == 1.0


def test_the_environments_parameters_are_those_that_are_given():
    """Episodes of at most 3 steps, whose returns are at most 1 + 2 + 3 and 3 / 2 for the actions."""
    settings = DQN(**TINY | {"online_iterations": 1})
    program = qdagger.program(settings, ENVIRONMENT, student=LINEAR, env_params=CorridorParams(limit=3))
    state, metrics = train(program, [settings])
    assert state.ring.observation[..., 1].max() == 3 and state.ring.truncated.any()
    assert 0 < metrics["mean_return"][0, 0] <= 7.5


def test_a_teachers_student_needs_a_teacher_and_its_data():
    with pytest.raises(ValueError, match="QDagger learns from a teacher; give one, or take DQN"):
        qdagger.program(QDagger(**TINY), ENVIRONMENT)
    with pytest.raises(ValueError, match="DQN learns from nothing; give no teacher, or take QDagger"):
        qdagger.program(DQN(**TINY), ENVIRONMENT, TEACHER)
    data = datasets.collect(jax.random.key(1), ENVIRONMENT, TEACHER, 100, num_environments=2)
    settings = QDagger(**TINY, network="mlp")
    with pytest.raises(ValueError, match="none were given; give the ring of its data set"):
        qdagger.train(qdagger.program(settings, ENVIRONMENT, TEACHER, data), jax.random.key(0), settings)
    with pytest.raises(ValueError, match="learns from the teacher's data; give some"):
        qdagger.program(QDagger(**TINY), ENVIRONMENT, TEACHER)
    other = dataclasses.replace(TEACHER, card=dataclasses.replace(CARD, environment="toy/other"))
    with pytest.raises(ValueError, match="trained on 'toy/other', not 'toy/corridor'"):
        qdagger.program(QDagger(**TINY, offline_iterations=0), ENVIRONMENT, other)


WRONG = {
    "a student with fewer actions": (lambda: {"student": student.module_student(Linear(2), (2,))}, r"Q-values of 2 observations are \(2, 2\); toy/corridor's are \(2, 3\)"),
    "a student of other observations": (lambda: {"student": student.module_student(Linear(3), (5,))}, r"does not take toy/corridor's observations \(2,\)"),
    "a teacher with one output": (lambda: {"teacher": dataclasses.replace(TEACHER, apply=lambda scale, seen: TEACHER.apply(scale, seen)[:, :1])}, r"teacher's output for 2 observations is \(2, 1\)"),
    "data of another teacher": (lambda: {"teacher": dataclasses.replace(TEACHER, params=jnp.float32(3.0))}, "output of another teacher"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_the_environment_is_refused_before_compilation(case):
    changes, message = WRONG[case]
    data = datasets.collect(jax.random.key(1), ENVIRONMENT, TEACHER, 100, num_environments=2)
    parts = {"teacher": TEACHER, "student": LINEAR} | changes()
    with pytest.raises(ValueError, match=message):
        qdagger.program(QDagger(**TINY), ENVIRONMENT, parts["teacher"], data, student=parts["student"])


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"double": True}, {"double": True}),
        ({"td_error": "squared"}, {"squared": True}),
        ({"optimiser": "rmsprop"}, {"optimiser": student.rmsprop}),
        ({"head": "c51"}, None),
        ({"dueling": True}, None),
        ({"noisy": True}, None),
    ],
)
def test_settings_that_a_student_of_ones_own_does_not_follow_are_refused(asked, given):
    """The student says how it learns, where it is made."""
    (name,) = asked
    settings = DQN(**TINY, **asked)
    with pytest.raises(ValueError, match=f"{name} is .*, but the student that was given has its own"):
        qdagger.program(settings, ENVIRONMENT, student=LINEAR)
    if given:
        qdagger.program(settings, ENVIRONMENT, student=student.module_student(Linear(3), (2,), **given))


def test_a_module_is_trained_by_the_squared_error_where_that_is_asked_for():
    losses = []
    for squared in (False, True):
        made = student.module_student(Linear(3), (2,), squared=squared)
        batch = SimpleNamespace(
            action=jnp.zeros(1, int), n_step_return=jnp.ones(1) * 5, bootstrap_discount=jnp.zeros(1)
        )
        zeros = student.Output(jnp.zeros((1, 3)))
        losses.append(float(made.td_loss(zeros, None, zeros, batch, None)[0][0]))
    assert losses == [4.5, 25.0]


def test_a_term_of_another_shape_is_refused():
    @term()
    def summed(context, hyperparameters):
        return context.online.q_values.sum()

    settings = with_term(DQN, summed)(**TINY)
    program = qdagger.program(settings, ENVIRONMENT, student=LINEAR)
    with pytest.raises(ValueError, match=r"the term 'summed' returns \(\); it must be \(8,\)"):
        jax.eval_shape(functools.partial(qdagger.train, program), jax.random.key(0), settings)
    with pytest.raises(ValueError, match="'<lambda>' needs a name"):
        term()(lambda context, hyperparameters: 0.0)
    with pytest.raises(ValueError, match="is no Term; decorate"):
        with_term(DQN, len)


@pytest.mark.parametrize(("changes", "message"), [
    ({"epsilon": float("nan")}, "epsilon is nan"),
    ({"epsilon": 1.5}, "epsilon is 1.5"),
    ({"transitions": 101}, "transitions is 101; it must be a positive multiple of the 2 environments"),
    ({"teacher": dataclasses.replace(TEACHER, card=dataclasses.replace(CARD, environment="toy/other"))}, "trained on 'toy/other'"),
])  # fmt: skip
def test_data_that_cannot_be_collected_are_refused(changes, message):
    asked = {"teacher": TEACHER, "transitions": 100, "epsilon": 0.1} | changes
    with pytest.raises(ValueError, match=message):
        datasets.collect(jax.random.key(1), ENVIRONMENT, num_environments=2, **asked)


def test_a_warm_up_that_never_ends_is_refused():
    with pytest.raises(ValueError, match="warm_up is 1000000, all of the 800 agent steps"):
        qdagger.program(DQN(**TINY | {"warm_up": 1_000_000}), ENVIRONMENT, student=LINEAR)


def test_settings_of_another_program_are_refused():
    program = qdagger.program(DQN(**TINY), ENVIRONMENT, student=LINEAR)
    with pytest.raises(ValueError, match="batch_size is 8 in one and 16 in another run"):
        qdagger.init(program, jax.random.key(0), DQN(**TINY | {"batch_size": 16}))
