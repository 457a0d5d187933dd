"""QDagger (Agarwal et al., 2022): a student learns from a teacher, passes it and is weaned off it. One program, many seeds.

    python experiments/reincarnate.py                                  # the shipped Breakout teacher, 4 seeds
    python experiments/reincarnate.py --environment minatar/asterix
    python experiments/reincarnate.py --teacher runs/reincarnate/student --output runs/second-generation

The student first learns from the teacher's data (TD and distillation), then plays itself, its distillation coefficient
lambda falling as its score, normalised by the teacher's, rises. MinAtar has no frame skip: one agent step is one frame.
"""

import dataclasses
import functools
import shlex
import sys
import time
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

import purejaxrrl
from purejaxrrl import (
    cli,
    datasets,
    guides,
    learner,
    networks,
    parallel,
    plotting,
    reincarnation,
    replay,
    rollouts,
    runs,
    teachers,
    training,
)
from purejaxrrl.cadence import Cadence, cadence
from purejaxrrl.cli import option
from purejaxrrl.environments.base import Environment, select
from purejaxrrl.objective import Report, Term, objective
from purejaxrrl.progress import clock
from purejaxrrl.reincarnation import Method, weaning, weaning_coefficient


@dataclasses.dataclass(frozen=True)
class Config:
    environment: str = option("minatar/breakout", "the environment's name")
    teacher: str = option("", "a teacher's folder; empty: the one that comes with the library")
    data: str = option(
        "",
        "folder of the teacher's data, collected there if it does not exist; empty: beside the teacher or in runs/data",
    )
    output: str = option("runs/reincarnate", "folder to write to; an earlier run there is moved aside")
    resume: bool = option(False, "continue the run in --output")
    seed: int = option(0, "of the first run; the others follow")
    seeds: int = option(4, "runs trained side by side")

    offline_iterations: int = option(5, "iterations on the teacher's data; 0: none")
    offline_updates: int = option(2_000, "updates in each of them")
    online_iterations: int = option(10, "iterations in which the student plays")
    iteration_steps: int = option(10_000, "agent steps in each of them")
    evaluation_steps: int = option(20_000, "agent steps of the evaluation after each iteration; episodes are finished")
    evaluation_environments: int = option(8, "environments that it plays side by side")
    card_episodes: int = option(256, "episodes of the scores on the saved student's card")

    network: str = option("minatar_cnn", "the student's network: " + ", ".join(networks.NAMES))
    widths: tuple[int, ...] = option((120, 84), "the layers of network 'mlp'")
    num_environments: int = option(8, "environments stepped together")
    steps_per_update: int = option(4, "agent steps between updates")
    target_period: int = option(250, "updates between copies to the target network")
    batch_size: int = option(32, "transitions in an update")
    capacity: int = option(100_000, "transitions in the student's replay memory")
    warm_up: int = option(2_000, "agent steps before the first online update")
    data_transitions: int = option(100_000, "transitions of teacher data to collect")
    data_epsilon: float = option(0.01, "the teacher's exploration while it collects them")
    max_n_step: int = option(5, "the longest return that --n-step may ask for")

    weaning: str = option("return_driven", "schedule of lambda: " + ", ".join(reincarnation.SCHEDULES))
    weaning_steps: int = option(60_000, "agent steps after which weaning is complete")
    weaning_floor: float = option(0.01, "what the schedules exponential and step fall to")
    weaning_drops: int = option(4, "in how many drops the schedule step falls there")
    td_coefficient: float = option(1.0, "of the temporal-difference loss")
    distillation_coefficient: float = option(3.0, "of the distillation loss, times lambda")
    best_action_only: bool = option(False, "distil the teacher's greedy action instead of its policy")
    teacher_temperature: float = option(0.3, "of the teacher's softmax over Q-values")
    student_temperature: float = option(0.3, "of the student's softmax over Q-values")
    margin_coefficient: float = option(0.0, "of the margin loss against the teacher's greedy action, times lambda")
    margin: float = option(1.0, "by which the teacher's action shall be ahead")
    elementwise_margin: bool = option(True, "the margin loss over all actions; otherwise over the worst, as in DQfD")
    cql_coefficient: float = option(0.0, "of CQL's regulariser in the offline phase")
    online_cql_coefficient: float = option(0.0, "of CQL's regulariser in the online phase")
    cql_temperature: float = option(0.1, "of the softmax in CQL's regulariser")
    rehearsal_fraction: float = option(0.0, "of an online batch, the teacher's data")
    roll_in_steps: int = option(0, "JSRL: the teacher acts for the first 1 to this many steps of an episode; 0: never")
    roll_in_decay: float = option(0.8, "JSRL: what --roll-in-steps is multiplied by, and rounded down")
    roll_in_decay_steps: int = option(5_000, "JSRL: the agent steps between that")
    guide_probability: float = option(0.0, "with which the teacher acts at any step, at first")
    guide_decay_steps: int = option(100_000, "agent steps over which that falls to 0")
    n_step: int = option(3, "length of returns")
    discount: float = option(0.99, "discount")
    offline_learning_rate: float = option(0.0, "Adam's in the offline phase; 0: --learning-rate")
    learning_rate: float = option(5e-4, "Adam's, at lambda = 1")
    weaned_learning_rate: float = option(1e-4, "Adam's, at lambda = 0")
    adam_eps: float = option(1.5e-4, "Adam's")
    fresh_optimiser: bool = option(False, "start Adam anew with the online phase")
    epsilon_start: float = option(0.01, "exploration at the first online step")
    epsilon_end: float = option(0.01, "exploration at the end of its decay")
    epsilon_decay_steps: int = option(0, "agent steps over which exploration falls")
    evaluation_epsilon: float = option(0.001, "exploration of an evaluation")

    def __post_init__(self):
        for name in ("seeds", "online_iterations", "evaluation_steps", "evaluation_environments", "card_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")
        if self.offline_iterations < 0:
            raise ValueError(f"--offline-iterations is {self.offline_iterations}; it cannot be negative")
        if self.offline_updates < 1 or self.offline_updates % self.target_period:
            raise ValueError(
                f"--offline-updates {self.offline_updates} is not a multiple of --target-period {self.target_period}"
            )
        if not 1 <= self.n_step <= self.max_n_step:
            raise ValueError(f"--n-step is {self.n_step}; it must lie between 1 and --max-n-step {self.max_n_step}")
        reincarnation.check(self)
        for capacity in (self.capacity, self.data_transitions):
            replay.check_batch(capacity, self.batch_size)
            replay.check_capacity(capacity, self.num_environments, self.max_n_step)
        _ = self.cadence, self.method

    @property
    def cadence(self) -> Cadence:
        return cadence(self.num_environments, self.steps_per_update, self.target_period, self.iteration_steps)

    @property
    def method(self) -> Method:
        """The values that a run may differ in from the others of its program."""
        schedule = weaning(self.weaning, self.weaning_steps, self.weaning_floor, self.weaning_drops)
        offline = self.offline_learning_rate or self.learning_rate
        return reincarnation.method(schedule, self, offline_learning_rate=offline)

    @property
    def rehearses(self) -> bool:
        """Whether online batches hold the teacher's data; static, as two rings are then sampled."""
        return self.rehearsal_fraction > 0


class State(NamedTuple):
    """What an iteration takes and gives back, of one run: also lambda, and the last online evaluation's normalised score."""

    learner: learner.Learner
    actors: rollouts.Actors
    roll_in: guides.RollIn
    ring: replay.Step
    coefficient: chex.Array
    score: chex.Array


class Metrics(NamedTuple):
    """Of one iteration of one run: means over its updates, lambda and the learning rate at its end, and its evaluation.

    `mean_return` is that of the evaluation's `episodes`, `score` the same normalised by the teacher's.
    """

    td_loss: chex.Array
    distillation_loss: chex.Array
    margin_loss: chex.Array
    cql_loss: chex.Array
    q_value: chex.Array
    coefficient: chex.Array
    learning_rate: chex.Array
    mean_return: chex.Array
    episodes: chex.Array
    score: chex.Array


class Train(NamedTuple):
    """The functions of one run.

    init(key) -> State
    offline(state, key, method, data, index) -> (State, Metrics): an iteration on the teacher's data, a ring
    online(state, key, method, data, index) -> (State, Metrics): an iteration in which the student plays; `data` is the
      teacher's where the settings rehearse it, else None
    train(key, method) -> (State, the offline iterations' Metrics, the online iterations'): the whole run
    """

    init: Any
    offline: Any
    online: Any
    train: Any
    network: networks.Description


def fit(
    config: Config, environment: Environment, params: Any, teacher: teachers.Teacher
) -> tuple[replay.ReplayMemory, networks.Description]:
    """The student's replay memory and network. Raises ValueError where environment, teacher and settings do not fit."""
    teachers.check_fits(teacher, environment)
    memory = replay.memory_for(environment, params, config.capacity, config.num_environments, config.max_n_step)
    options = {"widths": config.widths} if config.network == "mlp" else {}
    return memory, networks.describe(config.network, memory.num_actions, memory.observation_shape, **options)


def make_train(
    config: Config,
    environment: Environment,
    params: Any,
    teacher: teachers.Teacher,
    dataset: datasets.Dataset | None,
    term: Term | None = None,
) -> Train:
    """A student as pure functions of one run. `jax.vmap(train)` over keys and methods trains a sweep in one program.

    Args:
      config: its shapes and cadences are read here, and whether it rehearses; what is in `Method` is not.
      dataset: the teacher's data; None where there is neither an offline phase nor rehearsal.
      term: a loss of one's own, added to the others.

    Raises:
      ValueError: teacher or data do not fit the environment.
    """
    pace = config.cadence
    memory, network = fit(config, environment, params, teacher)
    warm_up_rows = max(config.warm_up // config.num_environments, memory.max_n_step + 1)

    def init(key: chex.PRNGKey) -> State:
        network_key, actors_key = jax.random.split(key)
        actors = rollouts.reset(actors_key, environment, params, config.num_environments)
        return State(
            learner.init(network_key, network),
            actors,
            guides.init(config.num_environments),
            memory.init(),
            coefficient=jnp.float32(1.0),
            score=jnp.float32(0.0),
        )

    def update(
        agent: learner.Learner, batch: replay.Batch, method: Method, coefficient: chex.Array, is_online: bool
    ) -> tuple[learner.Learner, Report]:
        policy = teachers.log_policy(batch.preferences, teacher.card.output, method.teacher_temperature)
        cql_coefficient = method.online_cql_coefficient if is_online else method.cql_coefficient

        def loss(online: Any, target: Any) -> tuple[chex.Array, Report]:
            q_values = network.apply(online, batch.observation)
            target_q_values = network.apply(target, batch.bootstrap_observation)
            return objective(q_values, target_q_values, policy, batch, method, coefficient, cql_coefficient, term)

        learning_rate = method.current_learning_rate(coefficient) if is_online else method.offline_learning_rate
        return learner.update(agent, loss, learning_rate, method.adam_eps)

    def add(sums: Report, report: Report) -> Report:
        return jax.tree.map(jnp.add, sums, report)

    def evaluate(
        key: chex.PRNGKey, state: State, method: Method, sums: Report, updates: int, learning_rate: chex.Array
    ) -> Metrics:
        q_values = functools.partial(network.apply, state.learner.params)
        policy = rollouts.epsilon_greedy_policy(q_values, method.evaluation_epsilon)
        played = rollouts.evaluate(
            key, environment, params, policy, config.evaluation_environments, config.evaluation_steps
        )
        score = teachers.normalised_score(played.mean_return, teacher.card)
        means = jax.tree.map(lambda total: total / updates, sums)
        return Metrics(*means, state.coefficient, learning_rate, played.mean_return, played.episodes, score)

    def offline(
        state: State, key: chex.PRNGKey, method: Method, data: replay.Step, index: chex.Array
    ) -> tuple[State, Metrics]:
        """`index` (int32 scalar, shared by all runs) counts the offline iterations."""
        update_key, evaluation_key = jax.random.split(jax.random.fold_in(key, index))
        coefficient = weaning_coefficient(method.weaning, jnp.float32(0.0), jnp.float32(0.0), jnp.float32(1.0))

        def learn(carry, number):
            agent, sums = carry
            batch = dataset.memory.sample(
                jax.random.fold_in(update_key, number),
                data,
                dataset.memory.rows,
                (config.batch_size,),
                method.n_step,
                method.discount,
            )
            agent, report = update(agent, batch, method, coefficient, is_online=False)
            return (agent, add(sums, report)), None

        def period(carry, number):
            numbers = number * config.target_period + jnp.arange(config.target_period)
            (agent, sums), _ = jax.lax.scan(learn, carry, numbers)
            return (learner.synchronise_target(agent), sums), None

        periods = jnp.arange(config.offline_updates // config.target_period)
        (agent, sums), _ = jax.lax.scan(period, (state.learner, Report(*jnp.zeros(5))), periods)
        state = state._replace(learner=agent, coefficient=coefficient)
        return state, evaluate(
            evaluation_key, state, method, sums, config.offline_updates, method.offline_learning_rate
        )

    def act(state: State, key: chex.PRNGKey, method: Method, row: chex.Array) -> State:
        policy_key, step_key, guide_key = jax.random.split(key, 3)
        agent_steps = row * config.num_environments
        epsilon = rollouts.linear_epsilon(
            agent_steps, method.epsilon_start, method.epsilon_end, method.epsilon_decay_steps
        )
        observation = state.actors.observation
        actions = rollouts.epsilon_greedy(policy_key, network.apply(state.learner.params, observation), epsilon)
        preferences = teacher.apply(teacher.params, observation)
        leads, roll_in = guides.leads(guide_key, state.roll_in, method, agent_steps)
        actions = jnp.where(leads, preferences.argmax(-1).astype(jnp.int32), actions)
        actors, step, _ = rollouts.act(step_key, environment, params, state.actors, actions, preferences)
        roll_in = guides.after(roll_in, step.is_transition, step.terminated | step.truncated)
        return state._replace(actors=actors, roll_in=roll_in, ring=memory.add(state.ring, step, row))

    def sample(
        key: chex.PRNGKey, ring: replay.Step, num_rows: chex.Array, method: Method, data: replay.Step | None
    ) -> replay.Batch:
        """An online batch: of the student's own transitions, and where it rehearses of the teacher's."""
        asked = (config.batch_size,), method.n_step, method.discount
        if not config.rehearses:
            return memory.sample(key, ring, num_rows, *asked)
        own_key, teachers_key, choice_key = jax.random.split(key, 3)
        batch = memory.sample(own_key, ring, num_rows, *asked)
        teachers_batch = dataset.memory.sample(teachers_key, data, dataset.memory.rows, *asked)
        return replay.mix(choice_key, batch, teachers_batch, method.rehearsal_fraction)

    def online(
        state: State, key: chex.PRNGKey, method: Method, data: replay.Step | None, index: chex.Array
    ) -> tuple[State, Metrics]:
        """`index` (int32 scalar, shared by all runs) counts the online iterations, and with it rows and updates."""
        fresh = learner.reset_optimiser(state.learner)
        state = state._replace(learner=select((index == 0) & method.fresh_optimiser, fresh, state.learner))
        act_key, update_key, evaluation_key = jax.random.split(jax.random.fold_in(key, index), 3)

        def cycle(carry, number):
            state, sums = carry
            num_rows = number * pace.rows_per_cycle
            for _ in range(pace.rows_per_cycle):
                state = act(state, jax.random.fold_in(act_key, num_rows), method, num_rows)
                num_rows = num_rows + 1
            agent_steps = jnp.float32(num_rows * config.num_environments)
            coefficient = weaning_coefficient(method.weaning, agent_steps, state.score, state.coefficient)

            def learn(i, carry):
                agent, sums = carry
                sample_key = jax.random.fold_in(update_key, number * pace.updates_per_cycle + i)
                batch = sample(sample_key, state.ring, num_rows, method, data)
                agent, report = update(agent, batch, method, coefficient, is_online=True)
                return agent, add(sums, report)

            updates = jnp.where(num_rows >= warm_up_rows, pace.updates_per_cycle, 0)
            agent, sums = jax.lax.fori_loop(0, updates, learn, (state.learner, sums))
            return (state._replace(learner=agent, coefficient=coefficient), sums), None

        def period(carry, number):
            cycles = number * pace.cycles_per_period + jnp.arange(pace.cycles_per_period)
            (state, sums), _ = jax.lax.scan(cycle, carry, cycles)
            return (state._replace(learner=learner.synchronise_target(state.learner)), sums), None

        periods = index * pace.periods_per_iteration + jnp.arange(pace.periods_per_iteration)
        (state, sums), _ = jax.lax.scan(period, (state, Report(*jnp.zeros(5))), periods)
        learning_rate = method.current_learning_rate(state.coefficient)
        metrics = evaluate(evaluation_key, state, method, sums, pace.updates_per_iteration, learning_rate)
        return state._replace(score=metrics.score), metrics

    def train(key: chex.PRNGKey, method: Method) -> tuple[State, Metrics | None, Metrics]:
        init_key, offline_key, online_key = jax.random.split(key, 3)
        state, offline_metrics = init(init_key), None
        if config.offline_iterations:
            step = lambda state, index: offline(state, offline_key, method, dataset.ring, index)  # noqa: E731
            state, offline_metrics = jax.lax.scan(step, state, jnp.arange(config.offline_iterations))
        data = dataset.ring if config.rehearses else None
        step = lambda state, index: online(state, online_key, method, data, index)  # noqa: E731
        state, online_metrics = jax.lax.scan(step, state, jnp.arange(config.online_iterations))
        return state, offline_metrics, online_metrics

    return Train(init, offline, online, train, network)


class Experiment(NamedTuple):
    """What a run is made of."""

    environment: Environment
    teacher: teachers.Teacher
    dataset: datasets.Dataset | None
    program: Train
    folder: runs.RunFolder


def prepare(config: Config, settings: Any = None) -> Experiment:
    """Everything that a run needs; what is wrong with the settings is found before anything is compiled or moved.

    Args:
      settings: what decides whether an earlier run in the folder may be resumed, where it is more than `config`.

    Raises:
      ValueError: something does not fit, or cannot be loaded or resumed.
    """
    environment = purejaxrrl.make(config.environment)
    params = environment.default_params
    teacher = teachers.load(config.teacher or teachers.shipped(environment.name))
    fit(config, environment, params, teacher)
    dataset = None
    if config.offline_iterations or config.rehearses:
        dataset = datasets.load_or_collect(config, environment, params, teacher)
    program = make_train(config, environment, params, teacher, dataset)
    decisive = runs.settings(settings or config) | {"teacher_sha256": teacher.fingerprint()}
    folder = runs.RunFolder(config.output, decisive, config.resume)
    if folder.moved_to:
        print(f"the earlier run in {folder.path} is now in {folder.moved_to}")
    return Experiment(environment, teacher, dataset, program, folder)


def main() -> None:
    parallel.use_cores()
    config = cli.parse(Config, __doc__)
    start = time.perf_counter()
    with cli.user_errors():
        environment, teacher, dataset, program, folder = prepare(config)
        print(
            f"{environment.name}: teacher {teacher.card.score:.2f}, random {teacher.card.random_score:.2f}; "
            f"{config.seeds} students, {config.offline_iterations} offline and {config.online_iterations} online iterations"
        )
        seeds = list(range(config.seed, config.seed + config.seeds))
        labels = [{"seed": seed} for seed in seeds]
        state = training.run(config, program, dataset, seeds, [config.method] * config.seeds, labels, folder)
        finish(config, folder, environment, program, state, teacher.card)
    print(f"after {clock(time.perf_counter() - start)}")


def finish(
    config: Config,
    folder: runs.RunFolder,
    environment: Environment,
    program: Train,
    state: State,
    card: teachers.Card,
) -> None:
    """What a finished run leaves: the table, the learning curve, the first student as a teacher, and it playing."""
    params = environment.default_params
    agent_steps = config.online_iterations * config.iteration_steps
    summary = training.table(folder.rows, card, agent_steps)
    runs.write_text(folder.path / "summary.txt", summary + "\n")
    plotting.learning_curve(folder.path / "learning_curve.png", folder.rows, environment.name)
    weights = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), state.learner.params)
    student = teachers.graduate(
        jax.random.key(config.seed), program.network, weights, environment, params, epsilon=config.evaluation_epsilon,
        episodes=config.card_episodes, frames=agent_steps, algorithm="QDagger", seed=config.seed,
        version=purejaxrrl.__version__, command=shlex.join(["python", *sys.argv]),
    )  # fmt: skip
    teachers.save(folder.path / "student", student)
    drawn = plotting.animate(folder.path / "student.gif", jax.random.key(config.seed), environment, params, student)
    print(summary)
    files = [
        "learning_curve.png",
        "metrics.csv",
        "config.json",
        "student (a teacher for the next run)",
        *(["student.gif"] if drawn else []),
    ]
    print(f"\nin {folder.path}: {', '.join(files)}")


if __name__ == "__main__":
    main()
