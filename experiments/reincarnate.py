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
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

import purejaxrrl
from purejaxrrl import (
    cli,
    datasets,
    evaluation,
    learner,
    losses,
    networks,
    parallel,
    plotting,
    replay,
    rollouts,
    runs,
    teachers,
)
from purejaxrrl.cadence import Cadence, cadence
from purejaxrrl.cli import option
from purejaxrrl.environments.base import Environment
from purejaxrrl.progress import ProgressBar, clock
from purejaxrrl.reincarnation import Method, stack, weaning, weaning_coefficient


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
    evaluation_episodes: int = option(32, "episodes of the evaluation after each iteration, side by side")
    card_episodes: int = option(256, "episodes of the scores on the saved student's card")

    network: str = option("minatar_cnn", "the student's network: " + ", ".join(networks.NAMES))
    num_environments: int = option(8, "environments stepped together")
    steps_per_update: int = option(4, "agent steps between updates")
    target_period: int = option(250, "updates between copies to the target network")
    batch_size: int = option(32, "transitions in an update")
    capacity: int = option(100_000, "transitions in the student's replay memory")
    warm_up: int = option(2_000, "agent steps before the first online update")
    data_transitions: int = option(100_000, "transitions of teacher data to collect")
    data_epsilon: float = option(0.01, "the teacher's exploration while it collects them")
    max_n_step: int = option(5, "the longest return that --n-step may ask for")

    weaning: str = option(
        "return_driven", "schedule of lambda: return_driven, linear, cosine, exponential, step, constant, none"
    )
    weaning_steps: int = option(60_000, "agent steps after which weaning is complete")
    weaning_floor: float = option(0.01, "what the schedules exponential and step fall to")
    weaning_drops: int = option(4, "in how many drops the schedule step falls there")
    distillation_coefficient: float = option(3.0, "of the distillation loss, times lambda")
    teacher_temperature: float = option(0.3, "of the teacher's softmax over Q-values")
    student_temperature: float = option(0.3, "of the student's softmax over Q-values")
    n_step: int = option(3, "length of returns")
    discount: float = option(0.99, "discount")
    learning_rate: float = option(5e-4, "Adam's, at lambda = 1")
    weaned_learning_rate: float = option(1e-4, "Adam's, at lambda = 0")
    adam_eps: float = option(1.5e-4, "Adam's")
    epsilon_start: float = option(0.01, "exploration at the first online step")
    epsilon_end: float = option(0.01, "exploration at the end of its decay")
    epsilon_decay_steps: int = option(0, "agent steps over which exploration falls")
    evaluation_epsilon: float = option(0.001, "exploration of an evaluation")

    def __post_init__(self):
        for name in ("seeds", "online_iterations", "evaluation_episodes", "card_episodes"):
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
        for name in ("teacher_temperature", "student_temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be more than 0")
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
        names = [field.name for field in dataclasses.fields(Method) if field.name != "weaning"]
        values = {
            name: jnp.int32(getattr(self, name)) if name == "n_step" else jnp.float32(getattr(self, name))
            for name in names
        }
        return Method(weaning=schedule, **values)


class State(NamedTuple):
    """What an iteration takes and gives back, of one run: also lambda, and the last online evaluation's normalised score."""

    learner: learner.Learner
    actors: rollouts.Actors
    ring: replay.Step
    coefficient: chex.Array
    score: chex.Array


class Metrics(NamedTuple):
    """Of one iteration of one run: means over its updates, lambda and the learning rate at its end, and its evaluation.

    `returns` are those of the evaluation's episodes (`[episodes]`), `score` is their mean normalised by the teacher's.
    """

    td_loss: chex.Array
    distillation_loss: chex.Array
    q_value: chex.Array
    coefficient: chex.Array
    learning_rate: chex.Array
    returns: chex.Array
    score: chex.Array


class Train(NamedTuple):
    """The functions of one run.

    init(key) -> State
    offline(state, key, method, data, index) -> (State, Metrics): an iteration on the teacher's data, a ring
    online(state, key, method, index) -> (State, Metrics): an iteration in which the student plays
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
    return memory, networks.describe(config.network, memory.num_actions, memory.observation_shape)


def make_train(
    config: Config, environment: Environment, params: Any, teacher: teachers.Teacher, dataset: datasets.Dataset | None
) -> Train:
    """QDagger as pure functions of one run. `jax.vmap(train)` over keys and methods trains a sweep in one program.

    Args:
      config: its shapes and cadences are read here; what is in `Method` is not.
      dataset: the teacher's data; None where there is no offline phase.

    Raises:
      ValueError: teacher or data do not fit the environment.
    """
    pace = config.cadence
    memory, network = fit(config, environment, params, teacher)
    warm_up_rows = max(config.warm_up // config.num_environments, memory.max_n_step + 1)

    def init(key: chex.PRNGKey) -> State:
        network_key, actors_key = jax.random.split(key)
        actors = rollouts.reset(actors_key, environment, params, config.num_environments)
        return State(learner.init(network_key, network), actors, memory.init(), jnp.float32(1.0), jnp.float32(0.0))

    def update(agent: learner.Learner, batch: replay.Batch, method: Method, coefficient: chex.Array):
        distils = coefficient > 0
        policy = teachers.log_policy(batch.preferences, teacher.card.output, method.teacher_temperature)

        def loss(online: Any, target: Any) -> tuple[chex.Array, chex.Array]:
            q_values = network.apply(online, batch.observation)
            target_q_values = network.apply(target, batch.bootstrap_observation)
            errors = losses.q_learning(
                q_values, batch.action, target_q_values, batch.n_step_return, batch.bootstrap_discount
            )
            # Both inputs are masked, not only the result: a NaN that is multiplied by 0 in the backward pass stays a NaN.
            divergence = losses.distillation(
                jnp.where(distils, policy, 0.0), jnp.where(distils, q_values, 0.0), method.student_temperature
            )
            td_loss = losses.weighted_mean(errors, batch.weight)
            distillation_loss = jnp.where(distils, losses.weighted_mean(divergence, batch.weight), 0.0)
            total = td_loss + coefficient * method.distillation_coefficient * distillation_loss
            return total, jnp.stack([td_loss, distillation_loss, q_values.max(-1).mean()])

        return learner.update(agent, loss, method.current_learning_rate(coefficient), method.adam_eps)

    def evaluate(key: chex.PRNGKey, state: State, method: Method, sums: chex.Array, updates: int) -> Metrics:
        q_values = functools.partial(network.apply, state.learner.params)
        policy = rollouts.epsilon_greedy_policy(q_values, method.evaluation_epsilon)
        returns = rollouts.play_episodes(key, environment, params, policy, config.evaluation_episodes).returns
        score = teachers.normalised_score(returns.mean(), teacher.card)
        learning_rate = method.current_learning_rate(state.coefficient)
        return Metrics(*(sums / updates), state.coefficient, learning_rate, returns, score)

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
            agent, report = update(agent, batch, method, coefficient)
            return (agent, sums + report), None

        def period(carry, number):
            numbers = number * config.target_period + jnp.arange(config.target_period)
            (agent, sums), _ = jax.lax.scan(learn, carry, numbers)
            return (learner.synchronise_target(agent), sums), None

        periods = jnp.arange(config.offline_updates // config.target_period)
        (agent, sums), _ = jax.lax.scan(period, (state.learner, jnp.zeros(3)), periods)
        state = state._replace(learner=agent, coefficient=coefficient)
        return state, evaluate(evaluation_key, state, method, sums, config.offline_updates)

    def act(state: State, key: chex.PRNGKey, method: Method, row: chex.Array) -> State:
        policy_key, step_key = jax.random.split(key)
        agent_steps = row * config.num_environments
        epsilon = rollouts.linear_epsilon(
            agent_steps, method.epsilon_start, method.epsilon_end, method.epsilon_decay_steps
        )
        observation = state.actors.observation
        actions = rollouts.epsilon_greedy(policy_key, network.apply(state.learner.params, observation), epsilon)
        preferences = teacher.apply(teacher.params, observation)
        actors, step, _ = rollouts.act(step_key, environment, params, state.actors, actions, preferences)
        return state._replace(actors=actors, ring=memory.add(state.ring, step, row))

    def online(state: State, key: chex.PRNGKey, method: Method, index: chex.Array) -> tuple[State, Metrics]:
        """`index` (int32 scalar, shared by all runs) counts the online iterations, and with it rows and updates."""
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
                batch = memory.sample(
                    sample_key, state.ring, num_rows, (config.batch_size,), method.n_step, method.discount
                )
                agent, report = update(agent, batch, method, coefficient)
                return agent, sums + report

            updates = jnp.where(num_rows >= warm_up_rows, pace.updates_per_cycle, 0)
            agent, sums = jax.lax.fori_loop(0, updates, learn, (state.learner, sums))
            return (state._replace(learner=agent, coefficient=coefficient), sums), None

        def period(carry, number):
            cycles = number * pace.cycles_per_period + jnp.arange(pace.cycles_per_period)
            (state, sums), _ = jax.lax.scan(cycle, carry, cycles)
            return (state._replace(learner=learner.synchronise_target(state.learner)), sums), None

        periods = index * pace.periods_per_iteration + jnp.arange(pace.periods_per_iteration)
        (state, sums), _ = jax.lax.scan(period, (state, jnp.zeros(3)), periods)
        metrics = evaluate(evaluation_key, state, method, sums, pace.updates_per_iteration)
        return state._replace(score=metrics.score), metrics

    def train(key: chex.PRNGKey, method: Method) -> tuple[State, Metrics | None, Metrics]:
        init_key, offline_key, online_key = jax.random.split(key, 3)
        state, offline_metrics = init(init_key), None
        if config.offline_iterations:
            step = lambda state, index: offline(state, offline_key, method, dataset.ring, index)  # noqa: E731
            state, offline_metrics = jax.lax.scan(step, state, jnp.arange(config.offline_iterations))
        step = lambda state, index: online(state, online_key, method, index)  # noqa: E731
        state, online_metrics = jax.lax.scan(step, state, jnp.arange(config.online_iterations))
        return state, offline_metrics, online_metrics

    return Train(init, offline, online, train, network)


def load_data(
    config: Config, environment: Environment, params: Any, teacher: teachers.Teacher
) -> datasets.Dataset | None:
    """The teacher's data: from --data, beside the teacher, or collected now and kept for the next run."""
    if not config.offline_iterations:
        return None
    beside = Path(config.teacher).with_name("teacher_data") if config.teacher else None
    if config.data:
        folder = Path(config.data)
    elif beside and beside.exists():
        folder = beside
    else:
        name = f"{teacher.fingerprint()[:12]}-{config.data_transitions}-{config.num_environments}-{config.data_epsilon}"
        folder = Path("runs/data") / environment.name / name
    if folder.exists():
        dataset = datasets.load(folder, teacher)
        if dataset.memory.max_n_step < config.max_n_step:
            dataset = dataclasses.replace(
                dataset, memory=dataclasses.replace(dataset.memory, max_n_step=config.max_n_step)
            )
        print(f"teacher data: {dataset.memory.capacity:,} transitions from {folder}")
        return dataset
    print(f"teacher data: collecting {config.data_transitions:,} transitions, kept in {folder}")
    memory = replay.memory_for(environment, params, config.data_transitions, config.num_environments, config.max_n_step)
    dataset = datasets.collect(jax.random.key(0), environment, params, teacher, memory, config.data_epsilon)
    datasets.save(folder, dataset, teacher)
    return dataset


def rows_of(
    metrics: Metrics, labels: list[dict[str, Any]], phase: str, iteration: int, agent_steps: int, seconds: float
) -> list[dict[str, Any]]:
    """One row of the tidy CSV for each run."""
    scalars = {name: np.asarray(value) for name, value in metrics._asdict().items() if name != "returns"}
    returns = np.asarray(metrics.returns).mean(-1)
    return [
        {"phase": phase, "iteration": iteration, "agent_steps": agent_steps}
        | label
        | {"return": float(returns[run])}
        | {name: float(value[run]) for name, value in scalars.items()}
        | {"seconds": round(seconds, 3)}
        for run, label in enumerate(labels)
    ]


def run(
    config: Config,
    program: Train,
    dataset: datasets.Dataset | None,
    seeds: list[int],
    methods: list[Method],
    labels: list[dict[str, Any]],
    folder: runs.RunFolder,
) -> State:
    """Trains all runs side by side, from the folder's last checkpoint if it has one; returns their stacked states.

    Args:
      seeds, methods, labels: one each for every run; the label's entries stand in its rows of the metrics.

    Raises:
      runs.DivergenceError: a loss is not finite; the last checkpoint is from before that.
    """
    num_runs = len(methods)
    keys = jax.vmap(jax.random.key)(jnp.array(seeds))
    init_keys, offline_keys, online_keys = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
    values = stack(methods)
    done, state = folder.restore(parallel.over_runs(program.init, num_runs, (True,))(init_keys))
    offline = parallel.over_runs(program.offline, num_runs, (True, True, True, False, False), donate=(0,))
    online = parallel.over_runs(program.online, num_runs, (True, True, True, False), donate=(0,))

    phases = ["offline"] * config.offline_iterations + ["online"] * config.online_iterations
    updates = {"offline": num_runs * config.offline_updates, "online": num_runs * config.cadence.updates_per_iteration}
    with ProgressBar(sum(updates[phase] for phase in phases), sum(updates[phase] for phase in phases[:done])) as bar:
        for index, phase in list(enumerate(phases))[done:]:
            if phase == "offline":
                iteration, agent_steps = index + 1, 0
                state, metrics = offline(state, offline_keys, values, dataset.ring, jnp.int32(index))
            else:
                iteration = index + 1 - config.offline_iterations
                agent_steps = iteration * config.iteration_steps
                state, metrics = online(state, online_keys, values, jnp.int32(iteration - 1))
            metrics = jax.block_until_ready(metrics)
            runs.check_finite(agent_steps, td_loss=metrics.td_loss, distillation_loss=metrics.distillation_loss)
            line = (
                f"{phase:>7} {iteration:2d}  score {np.mean(metrics.score):6.3f}  lambda {np.mean(metrics.coefficient):.3f}  "
                f"td {np.mean(metrics.td_loss):.4f}  kl {np.mean(metrics.distillation_loss):.4f}"
            )
            seconds = bar.advance(updates[phase], num_runs * config.iteration_steps * (phase == "online"), line, phase)
            folder.rows += rows_of(metrics, labels, phase, iteration, agent_steps, seconds)
            folder.checkpoint(index + 1, state)
    return state


def table(rows: list[dict[str, Any]], card: teachers.Card, agent_steps: int) -> str:
    """Teacher, random policy and student at the last iteration, in returns and as a normalised IQM over seeds."""
    last = [row for row in rows if row["iteration"] == rows[-1]["iteration"] and row["phase"] == rows[-1]["phase"]]
    scores = np.array([[row["score"]] for row in last])
    low, high = evaluation.stratified_bootstrap_interval(scores)
    returns = np.mean([row["return"] for row in last])
    return "\n".join(
        [
            f"{card.environment:24} {'return':>10} {'normalised':>12}   {'95% interval':14} {'frames':>12}",
            f"{'random policy':24} {card.random_score:10.2f} {0.0:12.2f}   {'':14} {0:12,}",
            f"{'teacher (' + (card.algorithm or 'unknown') + ')':24} {card.score:10.2f} {1.0:12.2f}   {'':14} {card.frames:12,}",
            f"{f'student, IQM of {len(last)} seeds':24} {returns:10.2f} {evaluation.interquartile_mean(scores):12.2f}   "
            f"{f'{low:.2f} to {high:.2f}':14} {agent_steps:12,}",
        ]
    )


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
    dataset = load_data(config, environment, params, teacher)
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
        state = run(config, program, dataset, seeds, [config.method] * config.seeds, labels, folder)
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
    summary = table(folder.rows, card, agent_steps)
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
