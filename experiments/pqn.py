"""Trains PQN (Gallici et al., 2024) and saves it as a teacher: Q-learning on lambda-returns, without replay or target network.

    python experiments/pqn.py --environment atari/breakout --frames 4e6
    python experiments/pqn.py --environment minatar/breakout --network minatar_cnn --frames 1e7 --learning-rate 5e-4 \\
        --decay-learning-rate --epsilon-end 0.05 --reward-clip 0

Published runs on Atari have --environment-options sticky_action_probability=0,noop_max=30,terminal_on_life_loss=true.
A run that was stopped goes on with --resume, and so does one that ended: with more --frames. --teacher goes on from a
teacher's parameters, for example in its game with sticky actions.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from purejaxrrl import environments, functions, networks, teachers
from purejaxrrl.environments.base import Environment, check_discrete
from purejaxrrl.errors import UserError
from purejaxrrl.evaluation import playing
from purejaxrrl.replay import acting, space
from purejaxrrl.runs import command_line, compilations, devices, experiment, run_folder
from purejaxrrl.runs import identity as run_identity
from purejaxrrl.runs.progress import ProgressBar, counted
from purejaxrrl.streams import Purpose, stream
from purejaxrrl.students.hyperparameters import LARGEST, as_arrays, declare, hyperparameter, option, replace
from purejaxrrl.students.losses import chosen
from purejaxrrl.students.settings import SIDE_BY_SIDE, check_widths
from purejaxrrl.students.student import check_not_pixels, network_options


@declare
class Options:
    environment: str = option(
        "atari/breakout", "name of the environment, for example atari/pong, minatar/breakout or gymnax/CartPole-v1"
    )
    environment_options: str = option("", "options that the environment is made with, as name=value,name=value")
    teacher: str = option(
        "",
        "folder of a teacher of the same network, with whose parameters all runs begin (a low --epsilon-start spares what they can); empty: they begin with random ones",
    )
    output: str = option("", f"folder to write to; {experiment.OUTPUT_HELP}")
    resume: bool = option(False, experiment.RESUME_HELP)
    tensorboard: bool = option(False, experiment.TENSORBOARD_HELP)
    seed: int = option(0, "seed of the first run; further runs have the numbers after it", minimum=0)
    seeds: int = option(
        1,
        "number of runs trained side by side; the first becomes the teacher",
        minimum=1,
        maximum=experiment.MOST_SEEDS,
    )
    frames: int = option(40_960_000, "environment frames of a run, rounded up to whole iterations", minimum=1)
    decay_frames: int = option(
        0,
        "environment frames, rounded up likewise, that --epsilon-fraction is a fraction of and over which --decay-learning-rate lets the rate "
        "fall; 0: --frames, or what the run that is resumed has",
        minimum=0,
    )
    card_episodes: int = option(
        128, "episodes in which the teacher is scored for its card", minimum=1, maximum=SIDE_BY_SIDE
    )
    card_epsilon: float = option(0.001, "chance of a random action while the teacher is scored", minimum=0, maximum=1)
    evaluation_limit: int = option(
        0, "agent steps after which an episode counts as it stands while the teacher is scored; 0: no limit", minimum=0
    )

    def __post_init__(self):
        experiment.check_seeds(self.seed, self.seeds)


@declare
class PQN:
    """Defaults are those of the Atari runs of the paper."""

    iteration_steps: int = hyperparameter(
        40_960, "agent steps from one checkpoint and row of metrics to the next", static=True, minimum=1
    )
    num_environments: int = hyperparameter(
        128, "number of environments that a run steps together", static=True, minimum=1, maximum=SIDE_BY_SIDE
    )
    rollout_steps: int = hyperparameter(
        32, "agent steps of each environment in a rollout, after which it is learned from", static=True, minimum=1
    )
    epochs: int = hyperparameter(2, "number of times that a rollout is learned from", static=True, minimum=1)
    minibatches: int = hyperparameter(
        32, "number of updates in an epoch, each on another part of the rollout", static=True, minimum=1
    )
    network: str = hyperparameter(
        "nature_cnn",
        "name of the network: nature_cnn for Atari, minatar_cnn for MinAtar, mlp, or one that was registered",
        static=True,
    )
    widths: tuple[int, ...] = hyperparameter((120, 84), "units of each hidden layer of network 'mlp'", static=True)
    padding: str = hyperparameter(
        "VALID", "padding of the convolutions of network 'nature_cnn'", static=True, choices=networks.PADDINGS
    )
    width: float = hyperparameter(
        1.0, "factor on the channels and units of network 'nature_cnn'", static=True, minimum=1 / 32, maximum=64
    )
    layer_norm: bool = hyperparameter(True, "normalise before every ReLU of the convolutional networks", static=True)
    initialiser: str = hyperparameter(
        "he_normal",
        "distribution of the network's initial weights",
        static=True,
        choices=networks.INITIALISERS,
    )
    decay_learning_rate: bool = hyperparameter(
        False, "let the learning rate fall to 0 over --decay-frames, linearly", static=True
    )
    learning_rate: float = hyperparameter(2.5e-4, "learning rate of the optimiser, RAdam", minimum=0)
    max_gradient_norm: float = hyperparameter(10.0, "norm to which gradients are clipped", above=0)
    discount: float = hyperparameter(
        0.99, "discount factor (gamma) of rewards, for each agent step", minimum=0, maximum=1
    )
    trace_decay: float = hyperparameter(
        0.65, "decay (lambda) of the lambda-returns: 0 is one step, 1 the whole rollout", minimum=0, maximum=1
    )
    reward_clip: float = hyperparameter(
        1.0, "absolute value to which rewards are clipped for learning, never for scores; 0: not at all", minimum=0
    )
    epsilon_start: float = hyperparameter(1.0, "chance of a random action at the first step", minimum=0, maximum=1)
    epsilon_end: float = hyperparameter(
        0.001, "chance of a random action from the end of its decay on", minimum=0, maximum=1
    )
    epsilon_fraction: float = hyperparameter(
        0.1, "fraction of --decay-frames over which the chance of a random action falls, linearly", minimum=0, maximum=1
    )

    def __post_init__(self):
        check_widths(self.widths)
        if self.rollout_transitions % self.minibatches:
            raise UserError(
                f"minibatches is {self.minibatches}, which does not divide the {self.rollout_transitions} transitions of "
                f"{self.num_environments} environments and {self.rollout_steps} steps"
            )
        if self.iteration_steps % self.rollout_transitions:
            raise UserError(
                f"iteration_steps is {self.iteration_steps}; it must be a multiple of a rollout's {self.rollout_transitions}"
            )

    @property
    def code(self) -> list[str]:
        """What results say of code that the settings name."""
        return functions.of_ones_own(networks.module(self.network)) if self.network in networks.names() else []

    @property
    def rollout_transitions(self) -> int:
        return self.num_environments * self.rollout_steps

    @property
    def rollouts_per_iteration(self) -> int:
        return self.iteration_steps // self.rollout_transitions

    @property
    def updates_per_iteration(self) -> int:
        return self.rollouts_per_iteration * self.epochs * self.minibatches


class Program(NamedTuple):
    """What is compiled for. iterations: of the whole training. decay_iterations: over which exploration and, if asked for, the rate fall."""

    settings: PQN
    environment: Environment
    env_params: Any
    network: networks.Description
    iterations: int
    decay_iterations: int


class State(NamedTuple):
    """Of one run; running_return: float32 `[N]`, of the episodes so far."""

    params: Any
    optimiser: Any
    actors: acting.Actors
    running_return: chex.Array


class Rollout(NamedTuple):
    """T steps of N environments, `[T, N, ...]`; `value` is the greatest Q-value of `observation`.

    last_value: `[N]`, of the observation after them. returns, episodes: float32 scalars, of the episodes that ended in it.
    """

    observation: chex.Array
    action: chex.Array
    reward: chex.Array
    terminated: chex.Array
    truncated: chex.Array
    is_transition: chex.Array
    value: chex.Array
    last_value: chex.Array
    returns: chex.Array
    episodes: chex.Array


def make_program(settings: PQN, environment: Environment, frames: int, decay_frames: int | None = None) -> Program:
    """decay_frames: None for `frames`. Raises ValueError where the network does not take the environment's observations, or was not made
    for them, actions are not discrete, frames are too many, or the learning rate is 0 before they end."""
    env_params = environment.default_params
    check_discrete(environment, env_params)
    observations = environment.observation_space(env_params)
    check_not_pixels(settings.network, observations)
    shape = tuple(observations.shape)
    network = networks.describe(settings.network, environment.num_actions, shape, **network_options(settings))
    given = {"frames": frames, "decay_frames": frames if decay_frames is None else decay_frames}
    iterations = {name: _iterations(settings, environment, name, number) for name, number in given.items()}
    if settings.decay_learning_rate and iterations["frames"] > iterations["decay_frames"]:
        raise UserError(
            f"frames is {frames} and decay_frames {decay_frames}, after which the learning rate is 0 (--decay-learning-rate): "
            "nothing more would be learned"
        )
    return Program(settings, environment, env_params, network, *iterations.values())


def _iterations(settings: PQN, environment: Environment, name: str, frames: int) -> int:
    """How many the frames make up, rounded up."""
    iterations = -(-frames // (settings.iteration_steps * environments.frames_per_step(environment)))
    if iterations * settings.iteration_steps > LARGEST:
        raise UserError(
            f"{name} is {frames}, {iterations} iterations of iteration_steps {settings.iteration_steps}; a run has at most {LARGEST} agent steps"
        )
    return iterations


def optimiser(settings: PQN) -> optax.GradientTransformation:
    """RAdam's direction without a rate (Liu et al., 2020), of gradients that are clipped by their global norm."""
    return optax.chain(optax.clip_by_global_norm(settings.max_gradient_norm), optax.scale_by_radam())


def init(program: Program, key: chex.PRNGKey, settings: PQN) -> State:
    """A network that has learned nothing, in environments that were reset; `key` is the run's."""
    params = program.network.init(stream(key, Purpose.NETWORK))
    number = program.settings.num_environments
    actors = acting.reset(stream(key, Purpose.EPISODES), program.environment, program.env_params, number)
    return State(params, optimiser(settings).init(params), actors, jnp.zeros(number))


def play(program: Program, state: State, key: chex.PRNGKey, epsilon: chex.Array) -> tuple[State, Rollout]:
    """A rollout, epsilon-greedy; consumes `key`."""

    def step(carry, key):
        actors, running = carry
        policy_key, step_key = jax.random.split(key)
        q_values = program.network.apply(state.params, actors.observation)
        actions = acting.epsilon_greedy(policy_key, q_values, epsilon)
        actors, row, _ = acting.act(step_key, program.environment, program.env_params, actors, actions)
        running = running + row.reward
        ended = jnp.where(actors.is_first, running, 0.0).sum(), actors.is_first.sum(dtype=jnp.float32)
        kept = row.observation, row.action, row.reward, row.terminated, row.truncated, row.is_transition
        return (actors, jnp.where(actors.is_first, 0.0, running)), ((*kept, q_values.max(-1)), ended)

    keys = jax.random.split(key, program.settings.rollout_steps)
    (actors, running), (rows, ended) = jax.lax.scan(step, (state.actors, state.running_return), keys)
    last_value = program.network.apply(state.params, actors.observation).max(-1)
    rollout = Rollout(*rows, last_value, *(each.sum() for each in ended))
    return state._replace(actors=actors, running_return=running), rollout


def check_space(program: Program, runs: int) -> None:
    """Raises UserError where the runs' states and rollouts, and the minibatches that are gathered from these, do not fit the memory.

    It has the bytes asked for, those there, and the largest number of environments that fits.
    """
    settings, key = program.settings, jax.random.key(0)
    state = jax.eval_shape(functools.partial(init, program), key, settings)
    rollout = space.size(jax.eval_shape(functools.partial(play, program), state, key, 1.0)[1])
    learner = space.size((state.params, state.optimiser))
    of_environments = space.size(state) - learner + rollout + rollout // settings.minibatches
    asked, available = runs * (learner + of_environments), space.available_bytes(len(devices.devices_for(runs)))
    if available is None or asked <= available:
        return
    number, steps = settings.num_environments, settings.rollout_steps
    room = max(available // runs - learner, 0) * number // of_environments
    fitting = (n for n in range(min(room, number), 0, -1) if _fits(settings, n))
    largest = next(fitting, None)
    remedy = f"take --num-environments of at most {largest}" if largest else "no number of environments fits"
    raise UserError(
        f"{counted(runs, 'run')} of {number:,} environments and rollouts of {steps} steps would take {asked:,} bytes "
        f"({runs * rollout:,} of it rollouts), and {available:,} are available; {remedy}"
    )


def _fits(settings: PQN, num_environments: int) -> bool:
    """Whether minibatches and iterations are whole with so many environments."""
    transitions = num_environments * settings.rollout_steps
    return not transitions % settings.minibatches and not settings.iteration_steps % transitions


def lambda_returns(rollout: Rollout, reward: chex.Array, discount: chex.Array, trace_decay: chex.Array) -> chex.Array:
    """Peng's Q(lambda) as in PQN's equation 6, float32 `[T, N]`.

    G_t = r_t + discount * ((1 - lambda) * max Q_{t+1} + lambda * G_{t+1}); after a termination the rest is 0, and at a time limit
    it is max Q of the episode's last observation, which is the next row's.

    Args:
      reward: `[T, N]`, as it is learned from.
    """

    def backwards(carry, row):
        return_after, value_after = carry
        reward, terminated, truncated, value = row
        mixed = value_after + trace_decay * jnp.where(truncated, 0.0, return_after - value_after)
        now = reward + discount * jnp.where(terminated, 0.0, mixed)
        return (now, value), now

    rows = reward, rollout.terminated, rollout.truncated, rollout.value
    return jax.lax.scan(backwards, (rollout.last_value, rollout.last_value), rows, reverse=True)[1]


def learn(
    program: Program, settings: PQN, state: State, key: chex.PRNGKey, rollout: Rollout, learning_rates: chex.Array
) -> tuple[State, dict[str, chex.Array]]:
    """All epochs on a rollout, `[updates]` of the learning rates; consumes `key`. Returns the state, and the means over the updates of the
    loss and of Q."""
    clip = settings.reward_clip
    reward = jnp.where(clip > 0, jnp.clip(rollout.reward, -clip, clip), rollout.reward)
    target = lambda_returns(rollout, reward, settings.discount, settings.trace_decay)
    flat = jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:]),
        (rollout.observation, rollout.action, target, rollout.is_transition.astype(jnp.float32)),
    )

    def update(carry, of_update):
        (params, moments), (places, learning_rate) = carry, of_update
        observation, action, target, valid = (leaf[places] for leaf in flat)

        def loss(params):
            q_values = chosen(program.network.apply(params, observation), action)
            number = jnp.maximum(valid.sum(), 1.0)
            return (0.5 * jnp.square(q_values - target) * valid).sum() / number, (q_values * valid).sum() / number

        (value, q_value), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        direction, moments = optimiser(settings).update(gradients, moments)
        params = jax.tree.map(lambda param, step: param - learning_rate * step, params, direction)
        return (params, moments), {"td_loss": value, "q_value": q_value}

    def shuffled(key):
        places = jax.random.permutation(key, program.settings.rollout_transitions)
        return places.reshape(program.settings.minibatches, -1)

    places = jax.vmap(shuffled)(jax.random.split(key, program.settings.epochs))
    of_updates = places.reshape(-1, places.shape[-1]), learning_rates
    carry, report = jax.lax.scan(update, (state.params, state.optimiser), of_updates)
    return state._replace(params=carry[0], optimiser=carry[1]), jax.tree.map(jnp.mean, report)


def iteration(
    program: Program, state: State, key: chex.PRNGKey, settings: PQN, index: chex.Array
) -> tuple[State, dict[str, chex.Array]]:
    """Iteration number `index` (int32 scalar, shared by all runs) of a run with that key: the state, and its metrics."""
    settings, shape = as_arrays(settings), program.settings
    total, updates = program.decay_iterations * shape.iteration_steps, shape.epochs * shape.minibatches

    def rates_after(agent_steps):
        """Of each update on the rollout that is played then: they fall from one to the next, as in the published code."""
        done = (agent_steps + shape.rollout_transitions * jnp.arange(updates) / updates) / total
        return settings.learning_rate * (1.0 - done if shape.decay_learning_rate else jnp.ones(updates))

    def rollout(state, number):
        key_now = jax.random.fold_in(stream(key, Purpose.ONLINE), number)
        agent_steps = number * shape.rollout_transitions
        decay_steps = settings.epsilon_fraction * total
        epsilon = acting.linear_epsilon(agent_steps, settings.epsilon_start, settings.epsilon_end, decay_steps)
        state, played = play(program, state, stream(key_now, Purpose.ACT), epsilon)
        state, report = learn(
            program, settings, state, stream(key_now, Purpose.UPDATE), played, rates_after(agent_steps)
        )
        return state, report | {"epsilon": epsilon, "returns": played.returns, "episodes": played.episodes}

    numbers = index * shape.rollouts_per_iteration + jnp.arange(shape.rollouts_per_iteration)
    state, reports = jax.lax.scan(rollout, state, numbers)
    returns, episodes = reports.pop("returns").sum(), reports.pop("episodes").sum()
    means = jax.tree.map(jnp.mean, reports)
    return state, {"mean_return": returns / jnp.maximum(episodes, 1), "episodes": episodes} | means


def with_decay(options: Options, environment: Environment) -> Options:
    """The options with the frames of the schedules: those given, or of the run that goes on, or all."""
    before = experiment.begun(options, "pqn", environment.name) if options.resume else {}
    return replace(options, decay_frames=options.decay_frames or before.get("decay_frames") or options.frames)


def load_start(options: Options, program: Program) -> teachers.Teacher | None:
    """The teacher that the runs go on from, None where none is named. Raises ValueError where it does not fit, or is another network."""
    if not options.teacher:
        return None
    start = teachers.load(options.teacher)
    teachers.check_fits(start, program.environment, normalises=False)
    if start.card.output != "q_values":
        raise UserError(f"{options.teacher} has {start.card.output}; PQN goes on from Q-values")
    theirs, ours = ({"network": each.name} | dict(each.options) for each in (start.network, program.network))
    names = [name for name in theirs | ours if theirs.get(name) != ours.get(name)]
    if start.network != program.network:
        listed = ", ".join(f"{name} {theirs.get(name)} there, {ours.get(name)} here" for name in names)
        raise UserError(
            f"the network of {options.teacher} is another ({listed or 'of other observations'}); give the flags that it has"
        )
    return start


def train(options: Options, program: Program, folder: run_folder.RunFolder, start: teachers.Teacher | None) -> State:
    """Trains all runs, from the folder's last checkpoint if it has one, or else from `start`; returns their stacked states."""
    seeds = [options.seed + number for number in range(options.seeds)]
    keys = jax.vmap(jax.random.key)(jnp.array(seeds))
    settings = program.settings
    make = devices.over_runs(functools.partial(init, program), options.seeds, (True, False))
    advance = devices.over_runs(
        functools.partial(iteration, program), options.seeds, (True, True, False, False), donate=(0,)
    )
    restored = folder.restore(jax.eval_shape(make, keys, settings))
    if restored:
        done, state = restored.iterations, devices.spread(restored.state, options.seeds)
    else:
        done, state = 0, make(keys, settings)
        if start:
            params = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (options.seeds, *leaf.shape)), start.params)
            state = state._replace(params=devices.spread(params, options.seeds))
    if done > program.iterations:
        iteration_frames = settings.iteration_steps * environments.frames_per_step(program.environment)
        raise UserError(
            f"frames is {options.frames}, but the run in {folder.path} has done {done * iteration_frames}; give at least that"
        )
    updates = settings.updates_per_iteration * options.seeds
    frames_now = settings.iteration_steps * options.seeds * environments.frames_per_step(program.environment)
    with ProgressBar({"": program.iterations * updates}, {"": done * updates}) as bar:
        for index in range(done, program.iterations):
            bar.begin("", updates, f"iteration {index + 1} of {program.iterations}")
            state, metrics = jax.block_until_ready(advance(state, keys, settings, jnp.int32(index)))
            agent_steps = (index + 1) * settings.iteration_steps
            run_folder.check_finite(
                [{"seed": seed} for seed in seeds], f"iteration {index + 1}", td_loss=metrics["td_loss"]
            )
            ended = metrics["episodes"] > 0
            returns = (
                f"return {float(metrics['mean_return'][ended].mean()):8.2f}" if ended.any() else "no episode ended"
            )
            line = f"iteration {index + 1:3d}  {returns}  td {float(metrics['td_loss'].mean()):.4f}"
            seconds = bar.advance(line, frames_now)
            frames = agent_steps * environments.frames_per_step(program.environment)
            for run, seed in enumerate(seeds):
                values = {name: value[run].item() for name, value in metrics.items()}
                values["mean_return"] = values["mean_return"] if ended[run] else None
                about = {"iteration": index + 1, "agent_steps": agent_steps, "frames": frames, "seed": seed}
                folder.record(about | values | {"seconds": round(seconds, 3)})
            folder.checkpoint(index + 1, state)
    return state


def save_teacher(
    path: Path, options: Options, program: Program, state: State, start: teachers.Teacher | None
) -> teachers.Card:
    """Scores the first run and writes it as a teacher, whose frames and command are also those of the one that it began as."""
    before = start.card.frames if start else 0
    iteration_frames = program.settings.iteration_steps * environments.frames_per_step(program.environment)
    teacher = experiment.graduate(
        options, "the teacher", program.network, state.params, program.environment, program.env_params,
        reward_clip=program.settings.reward_clip, limit=options.evaluation_limit, epsilon=options.card_epsilon,
        frames=before + program.iterations * iteration_frames, algorithm="PQN",
    )  # fmt: skip
    if start and start.card.command:
        both = f"{start.card.command} && {teacher.card.command}"
        teacher = dataclasses.replace(teacher, card=dataclasses.replace(teacher.card, command=both))
    teachers.save(path, teacher)
    return teacher.card


def main() -> None:
    devices.use_cores()
    compilations.keep()
    with command_line.user_errors():
        options, settings = command_line.parse((Options, PQN), __doc__)
        experiment.check_output(options)
        environment = experiment.make(options)
        options = with_decay(options, environment)
        program = make_program(settings, environment, options.frames, options.decay_frames)
        playing.check_ends(environment, program.env_params, options.evaluation_limit)
        check_space(program, options.seeds)
        lasting = experiment.effective(options, settings, leave_out=("frames",))  # a run that ended may go on
        start = load_start(options, program)
        lasting |= {"begins_as": start.fingerprint() if start else None}
        identity = run_identity.of_run("pqn", environment.name, lasting)
        experiment.check_stays(options, identity)
        agent_steps = program.iterations * settings.iteration_steps
        frames = agent_steps * environments.frames_per_step(environment)
        asked = f"{options.frames:,} were asked for; an iteration is {frames // program.iterations:,}"
        print(
            f"PQN on {environment.name}: {counted(options.seeds, 'run')} of {frames:,} frames "
            f"({agent_steps:,} agent steps{f'; {asked}' if frames != options.frames else ''})"
        )
        with experiment.open_folder(options, identity) as folder:
            state = train(options, program, folder, start)
            card = save_teacher(folder.path / "teacher", options, program, state, start)
        print(f"teacher {folder.path / 'teacher'}: score {card.score:.2f}, random {card.random_score:.2f}")
        if fault := teachers.not_above_random(card):
            print(f"it is no teacher for a student: its {fault}")


if __name__ == "__main__":
    main()
