"""Trains DQN (Mnih et al., 2015) from nothing, many seeds in one program, and saves the first as a teacher.

    python experiments/dqn.py --environment minatar/asterix --frames 1e6
    python experiments/dqn.py --head c51 --frames 2e6 --output runs/my-teacher
    python experiments/dqn.py --environment atari/pong
    python experiments/dqn.py --environment atari/pong --help   # what the defaults are there

The teacher, and beside it the end of its replay as its data, are in the output folder. A run that was stopped goes on with
--resume, and so does one that ended: with more --frames, after which its teacher is then taken, or more --longer-frames.

On Atari other defaults hold, Dopamine's, with half of its replay memory (500,000 transitions, 3.5 GB).
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from purejaxrrl import environments, replay, streams, teachers
from purejaxrrl.environments.base import Environment
from purejaxrrl.errors import UserError
from purejaxrrl.replay import space
from purejaxrrl.runs import command_line, compilations, devices, experiment, memory, run_folder, training
from purejaxrrl.runs import identity as run_identity
from purejaxrrl.runs.progress import counted
from purejaxrrl.streams import Purpose
from purejaxrrl.students import presets, qdagger
from purejaxrrl.students.hyperparameters import declare, option, replace
from purejaxrrl.students.settings import DQN, SIDE_BY_SIDE
from purejaxrrl.students.student import described
from purejaxrrl.teachers import datasets

ALGORITHMS = {"q_values": "DQN", "c51": "C51", "quantile": "QR-DQN"}
"""What a card calls a student with that head."""


@declare
class Options:
    environment: str = option(
        "minatar/breakout", "name of the environment, for example minatar/breakout, atari/pong or gymnax/CartPole-v1"
    )
    environment_options: str = option("", "options that the environment is made with, as name=value,name=value")
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
    frames: int = option(1_000_000, "environment frames after which the teacher is taken", minimum=1)
    longer_frames: int = option(
        0,
        "environment frames to train on to, for the longer run's score on the card; 0: end with the teacher",
        minimum=0,
    )
    card_episodes: int = option(
        512, "episodes in which the teacher is scored for its card", minimum=1, maximum=SIDE_BY_SIDE
    )
    keep_replay: int = option(
        100_000, "transitions from the replay's end that are saved with the teacher; 0: none", minimum=0
    )

    def __post_init__(self):
        experiment.check_seeds(self.seed, self.seeds)


def with_iterations(options: Options, settings: DQN, environment: Environment) -> DQN:
    """The settings with the iterations that the frames asked for make up. Raises ValueError where they do not divide."""
    iteration_frames = settings.iteration_steps * environments.frames_per_step(environment)
    for name in ("frames", "longer_frames"):
        if (frames := getattr(options, name)) % iteration_frames:
            raise UserError(
                f"--{name.replace('_', '-')} is {frames}, not a multiple of an iteration's {iteration_frames} "
                f"frames (--iteration-steps {settings.iteration_steps}); take {-(-frames // iteration_frames) * iteration_frames}"
            )
    if options.longer_frames and options.longer_frames <= options.frames:
        raise UserError(f"--longer-frames is {options.longer_frames}; it must be more than --frames, {options.frames}")
    if settings.warm_up >= options.frames // environments.frames_per_step(environment):
        raise UserError(
            f"--frames is {options.frames}, within the --warm-up of {settings.warm_up} agent steps: the teacher would have learned "
            f"nothing"
        )
    return replace(settings, online_iterations=max(options.frames, options.longer_frames) // iteration_frames)


def check_replay(transitions: int, memory: replay.ReplayMemory) -> None:
    """Raises ValueError where the transitions of the replay to keep are too few to learn from."""
    number = memory.num_environments
    if transitions:
        try:
            replay.check_capacity(transitions - transitions % number, number, memory.max_n_step, memory.codec.history)
        except UserError as error:
            raise UserError(f"--keep-replay is {transitions}; {error}") from None


def bytes_kept(options: Options, ring: replay.ReplayMemory, environment: Environment) -> int:
    """Of the transitions to keep, with the teacher's output, which are taken from a replay memory that stays."""
    kept = dataclasses.replace(ring, teacher_outputs=environment.num_actions)
    written = options.frames // environments.frames_per_step(environment)
    return min(options.keep_replay, kept.capacity, written) * space.bytes_of_a_transition(kept)


def save_teacher(path: Path, options: Options, program: qdagger.Program, state: qdagger.State) -> None:
    """Writes the first run as a teacher, and before that the end of its replay beside it: where the teacher is, both are."""
    settings = program.settings
    teacher = experiment.graduate(
        options, "the teacher", program.student.network, state.learner.params, program.environment, program.env_params,
        reward_clip=settings.reward_clip, limit=settings.evaluation_limit, epsilon=settings.evaluation_epsilon, frames=options.frames,
        algorithm=ALGORITHMS.get(settings.head, settings.head),
    )  # fmt: skip
    if options.keep_replay:
        agent_steps = options.frames // environments.frames_per_step(program.environment)
        num_rows = agent_steps // settings.num_environments
        data = datasets.from_replay(
            program.memory, state.ring, num_rows, options.keep_replay, teacher, program.environment, run=0
        )
        datasets.save(path.with_name("teacher_data"), data, teacher)
    teachers.save(path, teacher)


def add_longer_run(path: Path, options: Options, program: qdagger.Program, state: qdagger.State) -> None:
    """Puts the score at the end of the longer run on the teacher's card."""
    teacher, settings = teachers.load(path), program.settings
    experiment.say_scoring("the longer run", options.card_episodes, settings.evaluation_limit)
    score = teachers.score(
        streams.of_teacher(streams.root(options.seed, Purpose.CARD), teacher.fingerprint()), teacher.apply, jax.tree.map(lambda leaf: leaf[0], state.learner.params),
        program.evaluation_environment, program.env_params, settings.evaluation_epsilon, options.card_episodes,
        limit=settings.evaluation_limit,
    )  # fmt: skip
    longer_run = {"frames": options.longer_frames, "score": score.mean}
    teachers.save(path, dataclasses.replace(teacher, card=dataclasses.replace(teacher.card, longer_run=longer_run)))


def kept_frames(path: Path) -> int | None:
    """After how many frames the teacher that is there was taken; None where there is none."""
    return teachers.load(path).card.frames if path.exists() else None


def check_goes_on(path: Path, options: Options, done: int) -> None:
    """Raises UserError where a run that has done so many frames is to end before, or its teacher is to be one that was not kept."""
    has_done = f"but the run in {path.parent} has done {done}"
    if done > max(options.frames, options.longer_frames):
        raise UserError(
            f"--frames is {options.frames} and --longer-frames {options.longer_frames}, {has_done}; give at least that"
        )
    if done > options.frames != (kept := kept_frames(path)):
        has_teacher = f", or {kept}, of which it has a teacher" if kept and kept < done else ""
        raise UserError(f"--frames is {options.frames}, {has_done}; give at least that{has_teacher}")


def train(options: Options, program: qdagger.Program, folder: run_folder.RunFolder) -> None:
    """Trains all runs; the first becomes the teacher on the way."""
    path, frames_per_step = folder.path / "teacher", environments.frames_per_step(program.environment)

    def go_on(agent_steps: int, state: qdagger.State) -> None:
        done = agent_steps * frames_per_step
        check_goes_on(path, options, done)
        if done == options.frames != kept_frames(path):
            save_teacher(path, options, program, state)

    def take_teacher(agent_steps: int, state: qdagger.State, _: Any) -> None:
        if agent_steps * frames_per_step == options.frames:
            save_teacher(path, options, program, state)

    seeds = list(range(options.seed, options.seed + options.seeds))
    labels = [{"seed": seed} for seed in seeds]
    settings = [program.settings] * len(seeds)
    state = training.run(program, settings, seeds, labels, folder, after_iteration=take_teacher, at_start=go_on)
    if options.longer_frames:
        add_longer_run(path, options, program, state)


def main() -> None:
    devices.use_cores()
    compilations.keep()
    with command_line.user_errors():
        preset = presets.of_dqn(command_line.given("environment", ""), command_line.given("head", "q_values"))
        options, settings = command_line.parse(
            (Options, DQN), __doc__, leave_out=("online_iterations",), defaults=preset
        )
        experiment.check_output(options)
        environment = experiment.make(options)
        settings = with_iterations(options, settings, environment)
        student = described(settings, environment, environment.default_params)
        ring, _ = memory.of_run(settings, environment, student)
        check_replay(options.keep_replay, ring)
        kept = bytes_kept(options, ring, environment)
        memory.check_runs(settings, environment, student, options.seeds, kept, "keep_replay")
        program = qdagger.program(settings, environment, student=student)
        # A run that ended may go on.
        lasting = experiment.effective(options, settings, leave_out=("frames", "longer_frames"))
        identity = run_identity.of_run("dqn", environment.name, lasting)
        print(
            f"DQN on {environment.name}: {counted(options.seeds, 'run')} of {max(options.frames, options.longer_frames):,} frames"
        )
        with experiment.open_folder(options, identity) as folder:
            train(options, program, folder)
            card = teachers.load(folder.path / "teacher").card
        print(
            f"teacher {folder.path / 'teacher'}: score {card.score:.2f}, random {card.random_score:.2f}, "
            f"longer run {card.longer_run}"
        )
        if fault := teachers.not_above_random(card):
            print(f"it is no teacher for a student: its {fault}")


if __name__ == "__main__":
    main()
