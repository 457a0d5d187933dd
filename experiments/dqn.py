"""Trains DQN (Mnih et al., 2015) from nothing, many seeds in one program, and saves it as a teacher.

    python experiments/dqn.py --environment minatar/asterix --frames 1e6

MinAtar has no frame skip: one agent step is one frame.
"""

import dataclasses
import functools
import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

import purejaxrrl
from purejaxrrl import cli, datasets, learner, losses, networks, parallel, replay, rollouts, runs, teachers
from purejaxrrl.cadence import Cadence, cadence
from purejaxrrl.cli import option
from purejaxrrl.environments.base import Environment
from purejaxrrl.progress import ProgressBar


@dataclasses.dataclass(frozen=True)
class Config:
    environment: str = option("minatar/breakout", "the environment's name")
    output: str = option("runs/dqn", "folder to write to; an earlier run there is moved aside")
    resume: bool = option(False, "continue the run in --output")
    seed: int = option(0, "of the first run; the others follow")
    seeds: int = option(1, "runs trained side by side; the first becomes the teacher")
    frames: int = option(1_000_000, "environment frames after which the teacher is taken")
    longer_frames: int = option(0, "train on to this many frames, to put the longer run's score on the card; 0: do not")
    iteration_frames: int = option(100_000, "frames of a jitted call, between evaluations")
    network: str = option("mlp", "network: " + ", ".join(networks.NAMES))
    widths: tuple[int, ...] = option((128, 128), "the layers of network 'mlp'")
    num_environments: int = option(8, "environments stepped together")
    steps_per_update: int = option(4, "agent steps between updates")
    target_period: int = option(250, "updates between copies to the target network")
    batch_size: int = option(32, "transitions in an update")
    capacity: int = option(100_000, "transitions in the replay memory")
    warm_up: int = option(5_000, "agent steps before the first update")
    n_step: int = option(1, "length of returns")
    discount: float = option(0.99, "discount")
    learning_rate: float = option(2.5e-4, "Adam's")
    adam_eps: float = option(1.5e-4, "Adam's")
    epsilon_start: float = option(1.0, "exploration at the start")
    epsilon_end: float = option(0.01, "exploration at the end of its decay")
    epsilon_decay_steps: int = option(100_000, "agent steps over which exploration falls")
    evaluation_epsilon: float = option(0.001, "exploration of an evaluation")
    evaluation_episodes: int = option(64, "episodes of an evaluation, side by side")
    card_episodes: int = option(512, "episodes of the scores on the card")
    keep_replay: int = option(100_000, "transitions of the replay to save with the teacher; 0: none")

    def __post_init__(self):
        _ = self.cadence
        replay.check_batch(self.capacity, self.batch_size)
        if self.seeds < 1:
            raise ValueError(f"--seeds is {self.seeds}; train at least 1")
        if self.widths and min(self.widths) < 1:
            raise ValueError(f"--widths {self.widths}; a layer has at least 1 unit")
        for name in ("frames", "longer_frames"):
            if getattr(self, name) % self.iteration_frames:
                raise ValueError(
                    f"--{name} {getattr(self, name)} is not a multiple of --iteration-frames {self.iteration_frames}"
                )
        if self.frames < 1 or (self.longer_frames and self.longer_frames <= self.frames):
            raise ValueError(
                f"--frames {self.frames} must be positive and less than --longer-frames {self.longer_frames}"
            )

    @property
    def cadence(self) -> Cadence:
        return cadence(self.num_environments, self.steps_per_update, self.target_period, self.iteration_frames)

    @property
    def iterations(self) -> int:
        return max(self.frames, self.longer_frames) // self.iteration_frames


class State(NamedTuple):
    """What an iteration takes and gives back, of one run."""

    learner: learner.Learner
    actors: rollouts.Actors
    ring: replay.Step


class Metrics(NamedTuple):
    """Of one iteration of one run. `scores` are the returns of the evaluation's episodes, float32 `[episodes]`."""

    td_loss: chex.Array
    q_value: chex.Array
    scores: chex.Array


class Train(NamedTuple):
    """The functions of one run.

    init(key) -> State
    online(state, keys, index) -> (State, means): an iteration's training, without its evaluation
    iteration(state, key, index) -> (State, Metrics)
    train(key) -> (State, Metrics of all iterations): the whole run
    """

    init: Any
    online: Any
    iteration: Any
    train: Any
    memory: replay.ReplayMemory
    network: networks.Description


def make_train(config: Config, environment: Environment, params: Any) -> Train:
    """DQN on `environment` as pure functions; `jax.vmap(train)` over keys trains many seeds."""
    pace = config.cadence
    memory = replay.memory_for(environment, params, config.capacity, config.num_environments, config.n_step)
    network = networks.describe(
        config.network,
        memory.num_actions,
        memory.observation_shape,
        **({"widths": config.widths} if config.network == "mlp" else {}),
    )
    warm_up_rows = max(config.warm_up // config.num_environments, memory.max_n_step + 1)
    no_teacher = jnp.zeros((config.num_environments, memory.num_actions))

    def init(key: chex.PRNGKey) -> State:
        network_key, actors_key = jax.random.split(key)
        actors = rollouts.reset(actors_key, environment, params, config.num_environments)
        return State(learner.init(network_key, network), actors, memory.init())

    def act(state: State, key: chex.PRNGKey, row: chex.Array) -> State:
        policy_key, step_key = jax.random.split(key)
        epsilon = rollouts.linear_epsilon(
            row * config.num_environments, config.epsilon_start, config.epsilon_end, config.epsilon_decay_steps
        )
        q_values = network.apply(state.learner.params, state.actors.observation)
        actions = rollouts.epsilon_greedy(policy_key, q_values, epsilon)
        actors, step, _ = rollouts.act(step_key, environment, params, state.actors, actions, no_teacher)
        return state._replace(actors=actors, ring=memory.add(state.ring, step, row))

    def update(agent: learner.Learner, ring: replay.Step, key: chex.PRNGKey, num_rows: chex.Array):
        batch = memory.sample(key, ring, num_rows, (config.batch_size,), config.n_step, config.discount)

        def loss(online, target):
            q_values = network.apply(online, batch.observation)
            target_q_values = network.apply(target, batch.bootstrap_observation)
            errors = losses.q_learning(
                q_values, batch.action, target_q_values, batch.n_step_return, batch.bootstrap_discount
            )
            td_loss = losses.weighted_mean(errors, batch.weight)
            return td_loss, jnp.stack([td_loss, q_values.max(-1).mean()])

        return learner.update(agent, loss, config.learning_rate, config.adam_eps)

    def online(state: State, keys: tuple[chex.PRNGKey, chex.PRNGKey], index: chex.Array) -> tuple[State, chex.Array]:
        """Acts and learns for one iteration, with a key for each; returns the means `[2]` of TD loss and Q-value over its updates."""
        act_key, update_key = keys

        def cycle(carry, number):
            state, sums = carry
            first_row = number * pace.rows_per_cycle
            for offset in range(pace.rows_per_cycle):
                row = first_row + offset
                state = act(state, jax.random.fold_in(act_key, row), row)
            num_rows = first_row + pace.rows_per_cycle

            def learn(i, carry):
                agent, sums = carry
                agent, report = update(
                    agent, state.ring, jax.random.fold_in(update_key, number * pace.updates_per_cycle + i), num_rows
                )
                return agent, sums + report

            updates = jnp.where(num_rows >= warm_up_rows, pace.updates_per_cycle, 0)
            agent, sums = jax.lax.fori_loop(0, updates, learn, (state.learner, sums))
            return (state._replace(learner=agent), sums), None

        def period(carry, number):
            cycles = number * pace.cycles_per_period + jnp.arange(pace.cycles_per_period)
            (state, sums), _ = jax.lax.scan(cycle, carry, cycles)
            return (state._replace(learner=learner.synchronise_target(state.learner)), sums), None

        periods = index * pace.periods_per_iteration + jnp.arange(pace.periods_per_iteration)
        (state, sums), _ = jax.lax.scan(period, (state, jnp.zeros(2)), periods)
        return state, sums / pace.updates_per_iteration

    def iteration(state: State, key: chex.PRNGKey, index: chex.Array) -> tuple[State, Metrics]:
        """One iteration; `index` (int32 scalar, shared by all runs) counts them, and with it rows and updates."""
        act_key, update_key, evaluation_key = jax.random.split(jax.random.fold_in(key, index), 3)
        state, (td_loss, q_value) = online(state, (act_key, update_key), index)
        q_values = functools.partial(network.apply, state.learner.params)
        policy = rollouts.epsilon_greedy_policy(q_values, config.evaluation_epsilon)
        episodes = rollouts.play_episodes(evaluation_key, environment, params, policy, config.evaluation_episodes)
        return state, Metrics(td_loss, q_value, episodes.returns)

    def train(key: chex.PRNGKey) -> tuple[State, Metrics]:
        """The whole run; the metrics have a leading axis of iterations."""
        init_key, run_key = jax.random.split(key)
        indices = jnp.arange(config.iterations)
        return jax.lax.scan(lambda state, index: iteration(state, run_key, index), init(init_key), indices)

    return Train(init, online, iteration, train, memory, network)


def save_teacher(
    path: Path, config: Config, program: Train, state: State, environment: Environment, params: Any
) -> None:
    """Writes the first run as a teacher, and the end of its replay beside it."""
    first = jax.tree.map(lambda leaf: leaf[0], state)
    teacher = teachers.graduate(
        jax.random.key(config.seed), program.network, first.learner.params, environment, params,
        epsilon=config.evaluation_epsilon, episodes=config.card_episodes, frames=config.frames, algorithm="DQN",
        seed=config.seed, version=purejaxrrl.__version__, command=shlex.join(["python", *sys.argv]),
    )  # fmt: skip
    teachers.save(path, teacher)
    if config.keep_replay:
        num_rows = config.frames // config.num_environments
        dataset = datasets.from_replay(program.memory, first.ring, num_rows, config.keep_replay, teacher)
        datasets.save(path.with_name("teacher_data"), dataset, teacher)


def add_longer_run(path: Path, config: Config, state: State, environment: Environment, params: Any) -> None:
    """Puts the score at the end of the longer run on the teacher's card."""
    teacher = teachers.load(path)
    weights = jax.tree.map(lambda leaf: leaf[0], state.learner.params)
    score = teachers.score(
        jax.random.key(config.seed),
        teacher.apply,
        weights,
        environment,
        params,
        config.evaluation_epsilon,
        config.card_episodes,
    )
    longer_run = {"frames": config.longer_frames, "score": score}
    teachers.save(path, dataclasses.replace(teacher, card=dataclasses.replace(teacher.card, longer_run=longer_run)))


def main() -> None:
    parallel.use_cores()
    config = cli.parse(Config, __doc__)
    with cli.user_errors():
        environment = purejaxrrl.make(config.environment)
        params = environment.default_params
        program = make_train(config, environment, params)
        folder = runs.RunFolder(config.output, runs.settings(config), config.resume)
        run_keys = jax.vmap(jax.random.key)(config.seed + jnp.arange(config.seeds))
        init_keys, run_keys = jax.vmap(jax.random.split, out_axes=1)(run_keys)
        iteration = parallel.over_runs(program.iteration, config.seeds, (True, True, False), donate=(0,))
        done, state = folder.restore(parallel.over_runs(program.init, config.seeds, (True,))(init_keys))

        updates = config.seeds * config.cadence.updates_per_iteration
        with ProgressBar(updates * config.iterations, updates * done) as bar:
            bar.console.print(
                f"DQN on {environment.name}: {config.seeds} runs of {config.iterations * config.iteration_frames:,} frames"
            )
            for index in range(done, config.iterations):
                state, metrics = jax.block_until_ready(iteration(state, run_keys, jnp.int32(index)))
                frames = (index + 1) * config.iteration_frames
                runs.check_finite(frames, td_loss=metrics.td_loss, q_value=metrics.q_value)
                scores = np.asarray(metrics.scores).mean(-1)
                line = f"{frames:>10,} frames  score {scores.mean():7.2f}  td {np.mean(metrics.td_loss):.4f}  q {np.mean(metrics.q_value):.2f}"
                seconds = bar.advance(updates, config.seeds * config.iteration_frames, line)
                for run in range(config.seeds):
                    folder.record(
                        {
                            "iteration": index + 1, "seed": config.seed + run, "frames": frames, "score": float(scores[run]),
                            "td_loss": float(metrics.td_loss[run]), "q_value": float(metrics.q_value[run]), "seconds": round(seconds, 3),
                        }
                    )  # fmt: skip
                # Before the checkpoint: a run that is killed between the two then takes the teacher again.
                if frames == config.frames:
                    save_teacher(folder.path / "teacher", config, program, state, environment, params)
                folder.checkpoint(index + 1, state)
        if config.longer_frames:
            add_longer_run(folder.path / "teacher", config, state, environment, params)
        card = teachers.load(folder.path / "teacher").card
        print(
            f"teacher {folder.path / 'teacher'}: score {card.score:.2f}, random {card.random_score:.2f}, longer run {card.longer_run}"
        )


if __name__ == "__main__":
    main()
