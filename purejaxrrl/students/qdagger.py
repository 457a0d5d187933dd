"""The training step: QDagger (Agarwal et al., 2022), with any student, and without a teacher DQN (Mnih et al., 2015).

The functions stand in the order in which data meets them: the student (or the teacher it is weaned from) acts, the transition
enters the ring with the teacher's output for it, a batch leaves it, an update follows; after an iteration the student is
evaluated, and its score moves lambda. All are of one run; `jax.vmap` over keys and settings trains a sweep in one program:

    program = qdagger.program(settings, environment, teacher, data)
    train = jax.jit(jax.vmap(functools.partial(qdagger.train, program), in_axes=(0, 0, None)))
    state, offline_metrics, online_metrics = train(keys, hyperparameters.stack([settings, ...]), data.ring)

What all runs share stays unbatched: rows, updates and cadences are counted by the iteration's index, never by a run.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import flax
import jax
import jax.numpy as jnp

from purejaxrrl import environments, replay, streams, teachers
from purejaxrrl.environments.base import Environment, check_discrete, select
from purejaxrrl.errors import UserError
from purejaxrrl.evaluation import playing
from purejaxrrl.replay import acting
from purejaxrrl.streams import Purpose, stream
from purejaxrrl.students import jsrl, losses, weaning
from purejaxrrl.students import student as students
from purejaxrrl.students.exploration import Exploration
from purejaxrrl.students.hyperparameters import as_arrays, check_same_program
from purejaxrrl.students.settings import DQN, ValueBased
from purejaxrrl.students.student import Learner, Student
from purejaxrrl.teachers.datasets import Dataset

Metrics = dict[str, chex.Array]
"""Of one iteration of one run, float32 scalars by name: the mean over its updates of every term of the loss (`td_loss`, ...) and
of the greatest Q-value (`q_value`); `lambda` and `learning_rate` at its end; of its evaluation `mean_return`, `episodes` and
`score`, the return normalised by the teacher's (the return itself without a teacher), and what an evaluation of one's own found besides;
with a teacher, `disagreement` where the student played (`weaning.Evidence`)."""

Evaluation = Callable[[chex.PRNGKey, Callable[[chex.Array], chex.Array], Any], Metrics]
"""(key, q_values, hyperparameters) -> metrics: the scalars `mean_return` and `episodes`, and anything else, of whatever shape.

q_values: observations `[B, ...]` to float32 `[B, num_actions]`, the student's without noise."""


@dataclasses.dataclass(frozen=True)
class Program:
    """What the runs of one compiled program share; `program` makes it.

    settings: of a run; the others differ from it in traced hyperparameters only.
    environment, env_params: what is played, and learned from.
    evaluation_environment: what scores are played in: the same game without what is for training only.
    memory: the layout of the student's ring. sampler: what is drawn from it.
    exploration: what acts in the student's place besides epsilon, if anything does.
    evaluation: how the student is scored; None: in episodes of `evaluation_environment`, epsilon-greedily.
    data_memory: the layout of the teacher's data; None without any.
    """

    settings: ValueBased
    environment: Environment
    env_params: Any
    evaluation_environment: Environment
    student: Student
    memory: replay.ReplayMemory
    sampler: replay.Sampler
    teacher: teachers.Teacher | None
    data_memory: replay.ReplayMemory | None
    exploration: Exploration | None = None
    evaluation: Evaluation | None = None

    @property
    def warm_up_rows(self) -> int:
        """Rows in the ring before the first update."""
        return max(self.settings.warm_up // self.settings.num_environments, self.memory.max_n_step + 1)

    @property
    def fire_action(self) -> int | None:
        """What is pressed for the teacher at an episode's start and after a lost life; None where it needs that not."""
        return teachers.fire_action(self.teacher, self.environment) if self.teacher else None


class State(NamedTuple):
    """What an iteration takes and gives back, of one run: also lambda, and with a teacher what it is weaned on."""

    learner: Learner
    actors: acting.Actors
    roll_in: jsrl.RollIn | None
    ring: replay.Step
    sampler: Any
    weaning_coefficient: chex.Array
    evidence: weaning.Evidence | None
    exploration: Any = None


def program(
    settings: ValueBased,
    environment: Environment,
    teacher: teachers.Teacher | None = None,
    data: Dataset | None = None,
    *,
    student: Student | None = None,
    sampler: replay.Sampler | None = None,
    exploration: Exploration | None = None,
    evaluation: Evaluation | None = None,
    evaluation_environment: Environment | None = None,
    env_params: Any = None,
) -> Program:
    """The program that trains runs of those settings.

    Args:
      teacher: None for a student that learns from nothing.
      data: the teacher's, where there is an offline phase or rehearsal.
      sampler: one's own; otherwise the one that the settings name.
      exploration, evaluation: see `Program`.
      evaluation_environment: the same game without what is for training only unless given (`environments.for_evaluation`).
      student: one's own; otherwise the one that the settings describe (`students.described`).
      env_params: the environment's default ones unless given.

    Raises:
      ValueError: environment, teacher, data and settings do not fit each other, a run's replay memory does not fit the machine's or the
        device's, or an evaluation may never end.
    """
    env_params = environment.default_params if env_params is None else env_params
    check_learns(settings)
    check_discrete(environment, env_params)
    _check_teacher(settings, environment, teacher, data)
    memory = replay.memory_for(
        environment,
        env_params,
        settings.capacity,
        settings.num_environments,
        settings.max_n_step,
        teacher_outputs=environment.num_actions if teacher else 0,
    )
    replay.check_space(memory)
    if student is None:
        student = students.described(settings, environment, env_params)
    students.check_follows(student, settings)
    _check_outputs(environment, env_params, student, teacher)
    if data:
        _check_data(memory, data, teacher)
    if evaluation is None:
        playing.check_ends(environment, env_params, settings.evaluation_limit)
    return Program(
        settings=settings,
        environment=environment,
        env_params=env_params,
        evaluation_environment=evaluation_environment or environments.for_evaluation(environment),
        student=student,
        memory=memory,
        sampler=sampler or settings.drawn_by,
        teacher=teacher,
        data_memory=dataclasses.replace(data.memory, max_n_step=settings.max_n_step) if data else None,
        exploration=exploration,
        evaluation=evaluation,
    )


def _check_teacher(settings: ValueBased, environment: Environment, teacher: Any, data: Dataset | None) -> None:
    if settings.learns_from_teacher != (teacher is not None):
        wanted = "learns from a teacher; give one" if teacher is None else "learns from nothing; give no teacher"
        raise UserError(f"{type(settings).__name__} {wanted}, or take {'DQN' if teacher is None else 'QDagger'}")
    if teacher is None:
        return
    teachers.check_fits(teacher, environment)
    if settings.needs_data and data is None:
        raise UserError("an offline phase or rehearsal learns from the teacher's data; give some (datasets.collect)")


def _check_outputs(environment: Environment, env_params: Any, student: Student, teacher: Any) -> None:
    """Raises ValueError where student or teacher do not make a value an action of the environment's observations."""
    observation, _ = jax.eval_shape(lambda key: environment.reset(key, env_params), jax.random.key(0))
    observations = jax.ShapeDtypeStruct((2, *observation.shape), observation.dtype)
    expected = (2, environment.num_actions)
    try:
        params = jax.eval_shape(student.init, jax.random.key(0))
        found = jax.eval_shape(lambda params, batch: student.apply(params, batch, None).q_values, params, observations)
    except (TypeError, flax.errors.FlaxError) as error:
        raise UserError(
            f"the student does not take {environment.name}'s observations {observation.shape}: {error}"
        ) from error
    if found.shape != expected:
        raise UserError(
            f"the student's Q-values of 2 observations are {found.shape}; {environment.name}'s are {expected}"
        )
    if (
        teacher
        and (found := jax.eval_shape(lambda batch: teacher.apply(teacher.params, batch), observations)).shape
        != expected
    ):
        raise UserError(f"the teacher's output for 2 observations is {found.shape}; {environment.name}'s is {expected}")


def check_learns(settings: ValueBased) -> None:
    """Raises ValueError where a student from nothing plays no longer than its replay fills."""
    steps = settings.online_iterations * settings.iteration_steps
    if isinstance(settings, DQN) and settings.warm_up >= steps:
        raise UserError(
            f"warm_up is {settings.warm_up}, all of the {steps} agent steps that the student plays; it would never learn"
        )


def _check_data(memory: replay.ReplayMemory, data: Dataset, teacher: teachers.Teacher) -> None:
    """Raises ValueError where data are another environment's or teacher's. How their ring stores observations may differ."""
    own = _of_a_batch(memory)
    for name, found in _of_a_batch(data.memory).items():
        if found != own[name]:
            raise UserError(f"the data's {name} is {found}, the environment's {own[name]}")
    if data.teacher_sha256 not in (None, teacher.fingerprint()):
        raise UserError("the data have the output of another teacher; label them anew, or give that teacher")


def _of_a_batch(memory: replay.ReplayMemory) -> dict[str, str]:
    """What a transition of the ring has when it is gathered, by type and shape."""
    place = jax.ShapeDtypeStruct((), jnp.int32)
    ring = jax.eval_shape(memory.init)
    found = jax.eval_shape(lambda ring, row, lane: memory.gather(ring, row, lane, 1, 1.0, 0.0), ring, place, place)
    parts = {name: getattr(found, name) for name in ("observation", "action", "teacher_output")}
    return {name: f"{part.dtype} {part.shape}" if part is not None else "not there" for name, part in parts.items()}


def run_key(program: Program, key: chex.PRNGKey) -> chex.PRNGKey:
    """What all streams of a run with that root key are derived from: another for each teacher."""
    return streams.of_teacher(key, program.teacher.fingerprint()) if program.teacher else key


def init(program: Program, key: chex.PRNGKey, hyperparameters: ValueBased) -> State:
    """A student that has learned nothing, in environments that were reset; `key` is the run's (`run_key`)."""
    check_same_program(program.settings, hyperparameters)
    num_environments = program.settings.num_environments
    episodes_key = stream(key, Purpose.EPISODES)
    return State(
        learner=students.init_learner(stream(key, Purpose.NETWORK), program.student, hyperparameters),
        actors=acting.reset(episodes_key, program.environment, program.env_params, num_environments),
        roll_in=jsrl.init(num_environments, fires=program.fire_action is not None) if program.teacher else None,
        ring=program.memory.init(),
        sampler=program.sampler.init(program.memory),
        weaning_coefficient=jnp.float32(1.0 if program.teacher else 0.0),
        evidence=weaning.no_evidence() if program.teacher else None,
        exploration=program.exploration.init(num_environments) if program.exploration else None,
    )


def act(program: Program, hyperparameters: ValueBased, state: State, key: chex.PRNGKey, row: chex.Array) -> State:
    """One step of all environments, recorded as row number `row` (int32 scalar, shared by all runs) of the ring."""
    policy_key, step_key, guide_key, noise_key = jax.random.split(key, 4)
    agent_steps = row * program.settings.num_environments
    observation, roll_in, teacher_output = state.actors.observation, state.roll_in, None
    evidence, exploration = state.evidence, state.exploration
    q_values = program.student.apply(state.learner.params, observation, noise_key).q_values
    epsilon = acting.linear_epsilon(
        agent_steps - hyperparameters.epsilon_hold_steps,
        hyperparameters.epsilon_start,
        hyperparameters.epsilon_end,
        hyperparameters.epsilon_decay_steps,
    )
    actions = acting.epsilon_greedy(policy_key, q_values, epsilon)
    if program.teacher:
        teacher_output = program.teacher.apply(program.teacher.params, observation)
        if program.fire_action is not None:
            teacher_output = acting.with_fire(teacher_output, roll_in.fire, program.fire_action)
        is_teachers, roll_in = jsrl.teacher_acts(guide_key, roll_in, hyperparameters, agent_steps)
        actions = jnp.where(is_teachers, teacher_output.argmax(-1).astype(jnp.int32), actions)
    if program.exploration:
        explore_key = stream(key, Purpose.EXPLORE)
        actions, exploration = program.exploration.act(explore_key, exploration, observation, actions)
    actors, step, info = acting.act(
        step_key, program.environment, program.env_params, state.actors, actions, teacher_output
    )
    if program.teacher:
        pressed = None if program.fire_action is None else actions == program.fire_action
        roll_in = jsrl.after(roll_in, step.is_transition, actors.is_first, info.get("lives"), pressed)
        preferences = teacher_output if program.teacher.card.output == "q_values" else jax.nn.softmax(teacher_output)
        are_students = step.is_transition & ~is_teachers
        evidence = weaning.watched(hyperparameters, evidence, preferences, q_values.argmax(-1), are_students)
    if program.exploration:
        exploration = program.exploration.after(exploration, step.is_transition, actors.is_first)
    return state._replace(
        actors=actors,
        roll_in=roll_in,
        evidence=evidence,
        exploration=exploration,
        ring=program.memory.add(state.ring, step, row),
        sampler=program.sampler.added(program.memory, state.sampler, step, row),
    )


def sample(
    program: Program,
    hyperparameters: ValueBased,
    state: State,
    key: chex.PRNGKey,
    num_rows: chex.Array,
    data: replay.Step | None,
) -> replay.Batch:
    """An online batch: of the student's own transitions, and where it rehearses of the teacher's; consumes `key`."""
    own_key, teachers_key, choice_key = jax.random.split(key, 3) if program.settings.rehearses else (key, None, None)
    shape = (program.settings.batch_size,)
    draw = program.sampler.draw(own_key, program.memory, state.sampler, num_rows, shape)
    batch = _gather(program.memory, state.ring, draw, hyperparameters)
    batch = batch.replace(importance=program.sampler.importance(draw))
    if not program.settings.rehearses:
        return batch
    teachers_batch = sample_data(program, hyperparameters, teachers_key, data)
    return replay.mix(choice_key, batch, teachers_batch, hyperparameters.rehearsal_fraction)


def sample_data(program: Program, hyperparameters: ValueBased, key: chex.PRNGKey, data: replay.Step) -> replay.Batch:
    """A batch of the teacher's data, drawn uniformly; consumes `key`."""
    memory = program.data_memory
    draw = replay.Uniform().draw(key, memory, None, memory.rows, (program.settings.batch_size,))
    return _gather(memory, data, draw, hyperparameters)


def _gather(
    memory: replay.ReplayMemory, ring: replay.Step, draw: replay.Draw, hyperparameters: ValueBased
) -> replay.Batch:
    return memory.gather(
        ring,
        draw.row,
        draw.environment,
        hyperparameters.n_step,
        hyperparameters.discount,
        hyperparameters.reward_clip,
    )


def update(
    program: Program,
    hyperparameters: ValueBased,
    learner: Learner,
    batch: replay.Batch,
    key: chex.PRNGKey,
    coefficient: chex.Array,
    is_online: bool,
) -> tuple[Learner, chex.Array, dict[str, chex.Array]]:
    """One step of the optimiser on a batch, with lambda as `coefficient`; consumes `key`, the network's noise.

    Returns the learner, the priorities `[B]` of the batch and the report of the loss (`losses.total`).
    """
    student = program.student
    online_key, next_key, target_key = jax.random.split(key, 3)
    log_policy = None
    if program.teacher:
        output = program.teacher.card.output
        log_policy = teachers.log_policy(batch.teacher_output, output, hyperparameters.teacher_temperature)

    def loss(params: Any) -> tuple[chex.Array, Any]:
        context = losses.Context(
            online=student.apply(params, batch.observation, online_key),
            online_next=student.apply(params, batch.bootstrap_observation, next_key) if student.looks_ahead else None,
            target_next=student.apply(learner.target_params, batch.bootstrap_observation, target_key),
            batch=batch,
            teacher_log_policy=log_policy,
            weaning_coefficient=coefficient,
            is_online=is_online,
        )
        td_weight = hyperparameters.td_weight
        seen = losses.masked(context, td_weight)
        td_loss, priority = student.td_loss(seen.online, seen.online_next, seen.target_next, batch, hyperparameters)
        total, report = losses.total(context, td_loss, td_weight, program.settings.terms, hyperparameters)
        return total, (priority, report)

    learning_rate = hyperparameters.learning_rate_at(coefficient, is_online)
    learner, (priority, report) = students.descend(learner, student, loss, learning_rate, hyperparameters)
    return learner, priority, report


def evaluate(
    program: Program,
    hyperparameters: ValueBased,
    state: State,
    key: chex.PRNGKey,
    report: dict[str, chex.Array],
    is_online: bool,
) -> Metrics:
    """Plays the student, without noise, and puts the iteration's metrics together; consumes `key`."""

    def q_values(observations: chex.Array) -> chex.Array:
        return program.student.apply(state.learner.params, observations, None).q_values

    if program.evaluation:
        played = program.evaluation(key, q_values, hyperparameters)
    else:
        played = _play_episodes(program, hyperparameters, key, q_values)
    score = played["mean_return"]
    if program.teacher:
        score = teachers.normalised_score(score, program.teacher.card)
        report = report | {"disagreement": state.evidence.disagreement}
    return report | {
        "lambda": state.weaning_coefficient,
        "learning_rate": hyperparameters.learning_rate_at(state.weaning_coefficient, is_online),
        **played,
        "score": score,
    }


def _play_episodes(program: Program, hyperparameters: ValueBased, key: chex.PRNGKey, q_values: Callable) -> Metrics:
    """An `Evaluation`: episodes, epsilon-greedily, to their ends or the settings' limit."""
    settings = program.settings
    played = playing.play(
        key,
        program.evaluation_environment,
        program.env_params,
        acting.epsilon_greedy_policy(q_values, hyperparameters.evaluation_epsilon),
        settings.evaluation_environments,
        settings.evaluation_steps,
        settings.evaluation_limit,
    )
    return {"mean_return": played.mean_return, "episodes": played.number.sum()}


def offline(
    program: Program,
    state: State,
    key: chex.PRNGKey,
    hyperparameters: ValueBased,
    data: replay.Step,
    index: chex.Array,
) -> tuple[State, Metrics]:
    """An iteration on the teacher's data, a full ring; `index` (int32 scalar, shared by all runs) counts them."""
    check_same_program(program.settings, hyperparameters)
    hyperparameters, settings = as_arrays(hyperparameters), program.settings
    key = jax.random.fold_in(key, index)
    update_key = stream(key, Purpose.UPDATE)
    coefficient = weaning.weaning_coefficient(
        hyperparameters, jnp.float32(0.0), weaning.no_evidence(), jnp.float32(1.0)
    )

    def learn(carry, number):
        learner, sums = carry
        sample_key, noise_key = _update_keys(update_key, number)
        batch = sample_data(program, hyperparameters, sample_key, data)
        learner, _, report = update(program, hyperparameters, learner, batch, noise_key, coefficient, is_online=False)
        return (learner, _add(sums, report)), None

    def period(carry, number):
        numbers = number * settings.target_period + jnp.arange(settings.target_period)
        (learner, sums), _ = jax.lax.scan(learn, carry, numbers)
        return (students.synchronise_target(learner), sums), None

    periods = jnp.arange(settings.offline_updates // settings.target_period)
    (learner, sums), _ = jax.lax.scan(period, (state.learner, _no_report(program)), periods)
    state = state._replace(learner=learner, weaning_coefficient=coefficient)
    means = _divided(sums, settings.offline_updates)
    return state, evaluate(program, hyperparameters, state, stream(key, Purpose.EVALUATE), means, is_online=False)


def online(
    program: Program,
    state: State,
    key: chex.PRNGKey,
    hyperparameters: ValueBased,
    data: replay.Step | None,
    index: chex.Array,
) -> tuple[State, Metrics]:
    """An iteration in which the student plays, and its evaluation; arguments as for `play_and_learn`."""
    state, means = play_and_learn(program, state, key, hyperparameters, data, index)
    evaluation_key = stream(jax.random.fold_in(key, index), Purpose.EVALUATE)
    metrics = evaluate(program, as_arrays(hyperparameters), state, evaluation_key, means, is_online=True)
    if program.teacher:
        state = state._replace(evidence=weaning.evaluated(state.evidence, metrics["score"]))
    return state, metrics


def play_and_learn(
    program: Program,
    state: State,
    key: chex.PRNGKey,
    hyperparameters: ValueBased,
    data: replay.Step | None,
    index: chex.Array,
) -> tuple[State, dict[str, chex.Array]]:
    """An iteration's acting and updates.

    Args:
      key: the online phase's.
      data: the teacher's, where it rehearses them.
      index: int32 scalar, shared by all runs, counts the online iterations, and with it rows and updates.

    Returns the state, and the report's means over the updates.
    """
    check_same_program(program.settings, hyperparameters)
    hyperparameters, schedule = as_arrays(hyperparameters), program.settings.schedule
    if program.settings.offline_iterations:
        state = _entered(program, hyperparameters, state, index)
    key = jax.random.fold_in(key, index)
    act_key, update_key = stream(key, Purpose.ACT), stream(key, Purpose.UPDATE)

    def cycle(carry, number):
        state, sums = carry
        num_rows = number * schedule.rows_per_cycle
        for _ in range(schedule.rows_per_cycle):
            state = act(program, hyperparameters, state, jax.random.fold_in(act_key, num_rows), num_rows)
            num_rows = num_rows + 1
        coefficient = _coefficient(program, hyperparameters, state, num_rows)

        def learn(i, carry):
            learner, sampler, sums = carry
            sample_key, noise_key = _update_keys(update_key, number * schedule.updates_per_cycle + i)
            drawn_from = state._replace(sampler=sampler)
            batch = sample(program, hyperparameters, drawn_from, sample_key, num_rows, data)
            learner, priority, report = update(
                program, hyperparameters, learner, batch, noise_key, coefficient, is_online=True
            )
            if not schedule.copies_end_periods:
                updates_so_far = number * schedule.updates_per_cycle + i + 1
                learner = students.synchronise_target_if(schedule.copy_is_due(updates_so_far), learner)
            sampler = program.sampler.learned(sampler, batch.row, batch.environment, priority)
            return learner, sampler, _add(sums, report)

        updates = jnp.where(num_rows >= program.warm_up_rows, schedule.updates_per_cycle, 0)
        learner, sampler, sums = jax.lax.fori_loop(0, updates, learn, (state.learner, state.sampler, sums))
        state = state._replace(learner=learner, sampler=sampler)
        return (state._replace(weaning_coefficient=coefficient), sums), None

    def period(carry, number):
        cycles = number * schedule.cycles_per_period + jnp.arange(schedule.cycles_per_period)
        (state, sums), _ = jax.lax.scan(cycle, carry, cycles)
        if schedule.copies_end_periods:
            state = state._replace(learner=students.synchronise_target(state.learner))
        return (state, sums), None

    periods = index * schedule.periods_per_iteration + jnp.arange(schedule.periods_per_iteration)
    (state, sums), _ = jax.lax.scan(period, (state, _no_report(program)), periods)
    return state, _divided(sums, jnp.maximum(updates_in(program, index), 1))


def train(
    program: Program, key: chex.PRNGKey, hyperparameters: ValueBased, data: replay.Step | None = None
) -> tuple[State, Metrics | None, Metrics]:
    """A whole run; consumes `key`.

    Args:
      data: the ring of the teacher's data, where there is an offline phase or rehearsal.

    Returns the last state, and the metrics of the offline iterations (None without any) and of the online ones, `[iterations]`.

    Raises:
      ValueError: the settings are not of the program, or there are no data where the program learns from them.
    """
    if data is None and (program.settings.offline_iterations or program.settings.rehearses):
        raise UserError(
            "the program learns from the teacher's data, and none were given; give the ring of its data set"
        )
    key = run_key(program, key)
    offline_key, online_key = stream(key, Purpose.OFFLINE), stream(key, Purpose.ONLINE)
    state, offline_metrics = init(program, key, hyperparameters), None
    if program.settings.offline_iterations:
        state, offline_metrics = jax.lax.scan(
            lambda state, index: offline(program, state, offline_key, hyperparameters, data, index),
            state,
            jnp.arange(program.settings.offline_iterations),
        )
    rehearsed = data if program.settings.rehearses else None
    state, online_metrics = jax.lax.scan(
        lambda state, index: online(program, state, online_key, hyperparameters, rehearsed, index),
        state,
        jnp.arange(program.settings.online_iterations),
    )
    return state, offline_metrics, online_metrics


def _entered(program: Program, hyperparameters: ValueBased, state: State, index: chex.Array) -> State:
    """The state as the online phase begins with it."""
    fresh = students.reset_optimiser(state.learner, program.student, hyperparameters)
    begins_anew = (index == 0) & hyperparameters.fresh_optimiser
    return state._replace(learner=select(begins_anew, fresh, state.learner))


def _coefficient(program: Program, hyperparameters: ValueBased, state: State, num_rows: chex.Array) -> chex.Array:
    """lambda after `num_rows` rows; 0 without a teacher."""
    if not program.teacher:
        return state.weaning_coefficient
    agent_steps = jnp.float32(num_rows * program.settings.num_environments)
    return weaning.weaning_coefficient(hyperparameters, agent_steps, state.evidence, state.weaning_coefficient)


def _update_keys(key: chex.PRNGKey, number: chex.Array) -> tuple[chex.PRNGKey, chex.PRNGKey]:
    """Of update number `number`: what draws its batch, and the network's noise."""
    return tuple(jax.random.fold_in(stream(key, purpose), number) for purpose in (Purpose.SAMPLE, Purpose.NOISE))


def updates_in(program: Program, index: chex.Array | int) -> chex.Array:
    """Updates of the online iteration `index`, int32: its first cycles have none until the ring is warm."""
    schedule = program.settings.schedule
    cold_cycles = -(-program.warm_up_rows // schedule.rows_per_cycle) - 1 - index * schedule.cycles_per_iteration
    cycles = schedule.cycles_per_iteration - jnp.clip(cold_cycles, 0, schedule.cycles_per_iteration)
    return cycles * schedule.updates_per_cycle


def _no_report(program: Program) -> dict[str, chex.Array]:
    names = "td", *(term.name for term in program.settings.terms)
    return {**{f"{name}_loss": jnp.float32(0.0) for name in names}, "q_value": jnp.float32(0.0)}


def _add(sums: dict[str, chex.Array], report: dict[str, chex.Array]) -> dict[str, chex.Array]:
    return jax.tree.map(jnp.add, sums, report)


def _divided(sums: dict[str, chex.Array], updates: chex.Array | int) -> dict[str, chex.Array]:
    return jax.tree.map(lambda total: total / updates, sums)
