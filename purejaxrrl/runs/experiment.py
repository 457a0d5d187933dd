"""What a program that trains students from a teacher is made of: its options, and everything that they name, checked and loaded."""

import contextlib
import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

import purejaxrrl
from purejaxrrl import environments, networks, replay, streams, teachers
from purejaxrrl.environments.base import Environment, options_of
from purejaxrrl.errors import UserError
from purejaxrrl.evaluation import playing
from purejaxrrl.files import atomic
from purejaxrrl.replay import space
from purejaxrrl.runs import identity, memory, run_folder
from purejaxrrl.runs.progress import counted
from purejaxrrl.streams import Purpose
from purejaxrrl.students import hyperparameters, qdagger
from purejaxrrl.students.hyperparameters import LARGEST, declare, option
from purejaxrrl.students.settings import SIDE_BY_SIDE, QDagger
from purejaxrrl.students.student import described
from purejaxrrl.teachers import datasets

_RUNS = "runs"
MOST_SEEDS = 10_000
COLLECTED = 100_000
"""Transitions of a teacher's data where no number is asked for."""
OUTPUT_HELP = "an earlier run there is moved aside; empty: runs/PROGRAM/ENVIRONMENT"
RESUME_HELP = "continue the run in --output, or begin it where there is none"
TENSORBOARD_HELP = "write every iteration's metrics for TensorBoard, too, into the folder tensorboard in --output"


@declare
class Options:
    """What is asked of a program beside hyperparameters."""

    environment: str = option(
        "minatar/breakout", "name of the environment, for example minatar/breakout, atari/pong or gymnax/CartPole-v1"
    )
    environment_options: str = option("", "options that the environment is made with, as name=value,name=value")
    teacher: str = option("", "folder of the teacher; empty: the one that comes with the library")
    teacher_fires: bool = option(
        False,
        "press FIRE for the teacher at an episode's start and after every lost life, as is done anyway where its card says so; "
        "students are taught to press it, and nobody does so for them",
    )
    scoring_episodes: int = option(
        100,
        "episodes in which a teacher is scored anew where its environment had other options",
        minimum=1,
        maximum=SIDE_BY_SIDE,
    )
    data: str = option(
        "",
        "folder of the teacher's data, collected there if it does not exist; empty: beside the teacher or in runs/data",
    )
    data_transitions: int = option(
        0,
        f"transitions of the teacher's data, the last ones where there are more; 0: all that are there, or {COLLECTED:,} are collected",
        minimum=0,
    )
    data_epsilon: float = option(
        0.01, "chance of a random action while the teacher's data are collected", minimum=0, maximum=1
    )
    output: str = option("", f"folder to write to; {OUTPUT_HELP}")
    resume: bool = option(False, RESUME_HELP)
    tensorboard: bool = option(False, TENSORBOARD_HELP)
    seed: int = option(0, "seed of the first run; further runs have the numbers after it", minimum=0)
    seeds: int = option(4, "number of runs trained side by side, each with its own seed", minimum=1, maximum=MOST_SEEDS)

    def __post_init__(self):
        check_seeds(self.seed, self.seeds)

    @property
    def seed_numbers(self) -> list[int]:
        return list(range(self.seed, self.seed + self.seeds))


def check_seeds(seed: int, seeds: int) -> None:
    """Raises ValueError where a run's seed would be none that a key can be made of."""
    if seed + seeds - 1 > LARGEST:
        raise UserError(f"seed is {seed} and seeds {seeds}; seeds are at most {LARGEST}")


class Experiment(NamedTuple):
    """What runs are made of. `data`: None where nothing learns from the teacher's. `identity`: without their checksum."""

    environment: Environment
    teacher: teachers.Teacher
    data: datasets.Dataset | None
    program: qdagger.Program
    identity: dict[str, Any]

    def start(self, options: Options, labels: Sequence[str] = ("seed",)) -> run_folder.RunFolder:
        """The folder to write to, which is this program's alone; an earlier run in it is moved aside, or resumed.

        labels: columns of the metrics that say which run a row is of.
        """
        about = self.identity | {"data_sha256": self.data.fingerprint() if self.data else None}
        return open_folder(options, about, labels)


def prepare(
    name: str,
    options: Options,
    settings: QDagger,
    runs: Sequence[QDagger] = (),
    leave_out: Sequence[str] = (),
    announce: Callable[[teachers.Teacher], str] | None = None,
) -> Experiment:
    """Everything that runs of those settings need; what is wrong is found before anything is compiled or moved.

    Args:
      name: the program's.
      runs: the settings of each that is trained side by side; those of all seeds unless given.
      leave_out: hyperparameters in which its runs differ.
      announce: what is to be printed, of the teacher, before its data are collected, which may take long.

    Raises ValueError where something does not fit or cannot be loaded, and OSError where nothing can be written.
    """
    check_output(options)
    teacher = load_teacher(options)
    environment = make(options)
    before = run_folder.read_identity(_folder(options, {"program": name, "environment": environment.name})) or {}
    found = before.get("teacher") if options.resume else None
    scores = found if isinstance(found, dict) else None  # a path in the first release's runs, which are refused below
    teacher = fitted(options, teacher, environment, settings.evaluation_epsilon, settings.evaluation_limit, scores)
    student = described(settings, environment, environment.default_params)
    num_runs = len(runs) or options.seeds
    of_data = bytes_of_data(options, settings, environment, teacher) if settings.needs_data else 0
    memory.check_runs(settings, environment, student, num_runs, of_data)
    about = identity.of_run(name, environment.name, effective(options, settings, leave_out, runs), teacher)
    check_resumable(options, about)
    check_stays(options, about)
    print(memory.described(settings, environment, student, num_runs, of_data))
    if announce:
        print(announce(teacher))
    data = load_data(options, settings, environment, teacher) if settings.needs_data else None
    program = qdagger.program(settings, environment, teacher, data, student=student)
    return Experiment(environment, teacher, data, program, about)


def check_output(options: Any) -> None:
    """Raises OSError or ValueError where nothing, or not what is asked for, can be written to the output.

    To be called before anything is made or collected for it.
    """
    if options.output:
        run_folder.read_identity(options.output)
    atomic.check_writable(options.output or _RUNS)
    if options.tensorboard:
        _event_files()


def make(options: Any) -> Environment:
    """The environment that `options.environment` and `options.environment_options` say."""
    given = environments.parse_options(options.environment, options.environment_options)
    return purejaxrrl.make(options.environment, **given)


def load_teacher(options: Any) -> teachers.Teacher:
    """The teacher that the options name, as `Options` has them.

    A wrong name or another game's teacher is found before an environment is made, which may take long.
    """
    environments.parse_options(options.environment, options.environment_options)
    teacher = teachers.load(options.teacher or teachers.shipped(options.environment))
    if not options.environment.startswith("gymnax/"):  # whose own names do not say where they are from
        teachers.check_trained_on(teacher, options.environment)
    if options.teacher_fires:
        teacher = dataclasses.replace(teacher, card=dataclasses.replace(teacher.card, fire_after_life_loss=True))
    return teacher


def fitted(
    options: Options,
    teacher: teachers.Teacher,
    environment: Environment,
    epsilon: float,
    limit: int = 0,
    before: Mapping[str, Any] | None = None,
) -> teachers.Teacher:
    """The teacher, scored anew where the environment has other options than its card's, or it is to press FIRE.

    Args:
      epsilon, limit: as for `teachers.scored_anew`.
      before: what the run that is resumed says of its teacher, whose scores are taken where it is this one: played again on another
        machine they might round otherwise.

    Raises UserError where it is none for the environment, or an episode may never end.
    """
    playing.check_ends(environment, environment.default_params, limit)
    teachers.check_fits(teacher, environment)
    differs = teachers.preprocessing.differences(teacher.card.environment_options, environment)
    if not differs and not options.teacher_fires:
        return teacher
    if before and (before["sha256"], before["evaluation_episodes"]) == (
        teacher.fingerprint(),
        options.scoring_episodes,
    ):
        scores = {name: before[name] for name in ("score", "random_score", "evaluation_episodes")}
        errors = {"score_error": None, "random_score_error": None}
        played = {
            "environment_options": options_of(environment),
            "evaluation_limit": limit,
            "evaluation_epsilon": epsilon,
        }
        card = dataclasses.replace(teacher.card, **scores, **errors, **played)
        return dataclasses.replace(teacher, card=card)
    key, episodes = streams.root(0, Purpose.CARD), options.scoring_episodes
    say_scoring("the teacher and the random policy anew in this environment", episodes, limit)
    teacher = teachers.scored_anew(key, teacher, environment, epsilon=epsilon, episodes=episodes, limit=limit)
    teachers.check_fits(teacher, environment)
    return teacher


def graduate(
    options: Any,
    who: str,
    network: networks.Description,
    params: Any,
    environment: Environment,
    env_params: Any,
    *,
    reward_clip: float,
    limit: int,
    **about: Any,
) -> teachers.Teacher:
    """The first run's network as a teacher, scored in `options.card_episodes` episodes; its card has the command that makes it again.

    Args:
      who: it is, for what is printed.
      params: of all runs, `[runs, ...]`.
      environment: what it was trained in.
      reward_clip: of its training; 0: none.
      limit, **about: as for `teachers.graduate`: epsilon, frames, algorithm.
    """
    say_scoring(who, options.card_episodes, limit)
    return teachers.graduate(
        streams.root(options.seed, Purpose.CARD),
        network,
        jax.tree.map(lambda leaf: leaf[0], params),
        environment,
        env_params,
        episodes=options.card_episodes,
        limit=limit,
        seed=options.seed,
        version=purejaxrrl.__version__,
        command=shlex.join(["python", *sys.argv]),
        training=teachers.preprocessing.described(environment, reward_clip=reward_clip),
        **about,
    )


def say_scoring(who: str, episodes: int, limit: int) -> None:
    """Prints that somebody's episodes are played now, which may take long."""
    at_most = f" of at most {limit:,} agent steps" if limit else ""
    print(f"scoring {who}: {counted(episodes, 'episode')}{at_most}", flush=True)


def load_data(
    options: Options, settings: QDagger, environment: Environment, teacher: teachers.Teacher
) -> datasets.Dataset:
    """The teacher's data: from `options.data`, beside the teacher, or collected now and kept for the next run.

    Where a number of transitions is asked for, it is that number, wherever they come from.

    Raises ValueError where they are damaged, another teacher's, fewer than asked for, or too few to draw a batch from.
    """
    folder = _data_folder(options, settings, environment, teacher)
    if _is_there(folder):
        data = datasets.load(folder, teacher)
        if data.environment_options != options_of(environment):
            raise UserError(
                f"{folder} holds data of {environment.name} made with the options {data.environment_options or 'of the default'}; "
                f"give the same --environment-options, or another --data"
            )
        return _as_many(options, settings, data, folder)
    transitions = _to_collect(options, settings, environment, folder)
    print(f"teacher data: collecting {transitions:,} transitions, kept in {folder}")
    data = datasets.collect(
        streams.of_teacher(streams.root(0, Purpose.TEACHER_DATA), teacher.fingerprint()),
        environment,
        teacher,
        transitions,
        epsilon=options.data_epsilon,
        num_environments=settings.num_environments,
    )
    datasets.save(folder, data, teacher)
    return data


def check_data(options: Options, settings: QDagger, environment: Environment, teacher: teachers.Teacher) -> None:
    """Raises OSError or ValueError where data would have to be collected and cannot be; what is there is not looked at."""
    folder = _data_folder(options, settings, environment, teacher)
    if not _is_there(folder):
        _to_collect(options, settings, environment, folder)


def bytes_of_data(options: Options, settings: QDagger, environment: Environment, teacher: teachers.Teacher) -> int:
    """Of the teacher's data, before they are there; 0 where all that a folder holds are asked for, as it is not read yet."""
    there = _is_there(_data_folder(options, settings, environment, teacher))
    transitions = options.data_transitions or (0 if there else COLLECTED)
    return transitions * space.bytes_of_a_transition(_ring_of_data(settings, environment))


def _ring_of_data(settings: QDagger, environment: Environment) -> replay.ReplayMemory:
    """As the teacher's data are kept, of another capacity."""
    return replay.memory_for(
        environment,
        environment.default_params,
        settings.capacity,
        settings.num_environments,
        settings.max_n_step,
        environment.num_actions,
    )


def _to_collect(options: Options, settings: QDagger, environment: Environment, folder: Path) -> int:
    """How many transitions of the teacher are to be collected."""
    atomic.check_writable(folder)
    transitions = options.data_transitions or COLLECTED
    ring = _ring_of_data(settings, environment)
    least = _least_transitions(settings, ring)
    if transitions < least or transitions % ring.num_environments:
        raise UserError(
            f"--data-transitions is {transitions}; it must be a multiple of the {ring.num_environments} environments "
            f"that play them, and at least {least}"
        )
    replay.check_space(dataclasses.replace(ring, capacity=transitions))
    return transitions


def _least_transitions(settings: QDagger, memory: replay.ReplayMemory) -> int:
    """The fewest transitions, in rows as `memory` has them, that a batch of the longest returns is drawn from."""
    least = replay.least_rows(settings.max_n_step, memory.codec.history)
    rows = max(least, -(-settings.batch_size // memory.num_environments))
    return rows * memory.num_environments


def _as_many(options: Options, settings: QDagger, data: datasets.Dataset, folder: Path) -> datasets.Dataset:
    """As many of the data as are asked for, the last ones. Raises ValueError where that is too many or too few."""
    there, wanted = data.memory.capacity, options.data_transitions
    if wanted // data.memory.num_environments > data.memory.rows:
        raise UserError(
            f"{folder} holds {there:,} transitions, and --data-transitions asks for {wanted:,}; ask for at most these (0: all), or give "
            f"another --data"
        )
    if 0 < wanted < (least := _least_transitions(settings, data.memory)):
        raise UserError(f"--data-transitions is {wanted}; it must be at least {least}, or 0: all {there:,} in {folder}")
    if wanted:
        data = datasets.last(data, wanted)
    number = data.memory.capacity
    which = "all that are there" if number == there else f"the last of {there:,} there"
    print(f"teacher data: {number:,} transitions from {folder}, {which}")
    return data


def _is_there(folder: Path) -> bool:
    """An empty folder is none."""
    return folder.exists() and not (folder.is_dir() and not atomic.names(folder))


def _data_folder(options: Options, settings: QDagger, environment: Environment, teacher: teachers.Teacher) -> Path:
    if options.data:
        return Path(options.data)
    beside = Path(os.path.abspath(options.teacher)).with_name("teacher_data") if options.teacher else None
    if beside and beside.exists():
        return beside
    numbers = f"{options.data_transitions or COLLECTED}-{settings.num_environments}-{options.data_epsilon}"
    if teacher.card.fire_after_life_loss:
        numbers += "-fire-taught"
    if made_with := options_of(environment):
        numbers += "-" + "-".join(f"{name}={value}" for name, value in sorted(made_with.items()))
    return Path("runs/data") / environment.name / f"{teacher.fingerprint()[:12]}-{numbers}"


def effective(options: Any, settings: Any, leave_out: Sequence[str] = (), runs: Sequence[Any] = ()) -> dict[str, Any]:
    """Options and hyperparameters, given or not, and the code that they and `runs` name, without what does not change the results."""
    without = {
        "output",
        "resume",
        "tensorboard",
        "data",
        "data_transitions",
        "data_epsilon",  # the data's checksum says it
        "teacher",  # its fingerprint does
        "preset",  # the values do
        "online_iterations",  # a run that ended may go on
        *leave_out,
    }
    values = hyperparameters.as_dict(options) | hyperparameters.as_dict(settings)
    code = dict.fromkeys(one for each in (settings, *runs) for one in each.code)
    return {name: value for name, value in values.items() if name not in without} | {"terms": list(code)}


def check_resumable(options: Any, identity: dict[str, Any]) -> None:
    """Raises RunError where --resume finds another run, whatever its data are: asked before they are collected."""
    if options.resume:
        run_folder.check_resumable(_folder(options, identity), identity, unknown={"data_sha256"})


def check_stays(options: Any, identity: dict[str, Any]) -> None:
    """Raises UserError where the teacher or its data lie in the output folder: with an earlier run there they would be moved aside, and a new
    run needs the folder for itself."""
    output = Path(os.path.abspath(_folder(options, identity)))
    begins = run_folder.read_identity(output) is None
    if options.resume and not begins:
        return
    why = "which is to be the run's alone" if begins else "which would be moved aside with the earlier run"
    for name in ("teacher", "data"):
        given = getattr(options, name, "")
        if given and Path(os.path.abspath(given)).is_relative_to(output):
            raise UserError(f"--{name} is {given}, in {output}, {why}; give another --output")


def begun(options: Any, program: str, environment_name: str) -> dict[str, Any]:
    """The settings of the program's run that lies where this one is to be written; empty where there is none."""
    about = run_folder.read_identity(_folder(options, {"program": program, "environment": environment_name})) or {}
    return about["settings"] if about.get("program") == program else {}


def _folder(options: Any, identity: dict[str, Any]) -> Path:
    """`options.output`, or the folder that is named after program and environment."""
    return Path(options.output or Path(_RUNS) / identity["program"] / identity["environment"].replace("/", "-"))


def open_folder(options: Any, identity: dict[str, Any], labels: Sequence[str] = ("seed",)) -> run_folder.RunFolder:
    """The folder `options.output`, or one named after program and environment, of that run; says where an earlier run went.

    labels: columns of the metrics that say which run a row is of.
    """
    path = _folder(options, identity)
    if options.resume and run_folder.read_identity(path) is None:
        print(f"there is nothing to resume in {path}; the run starts there")
    folder = run_folder.RunFolder(path, identity, options.resume)
    if folder.moved_to:
        print(f"the earlier run in {folder.path} is now in {folder.moved_to}")
    follow(options, folder, labels)
    return folder


@contextlib.contextmanager
def results_folder(path: str | os.PathLike, about: dict[str, Any], resume: bool = False) -> Iterator[Path]:
    """A folder of results of several runs, this program's alone meanwhile; earlier ones there are moved aside, or kept to `resume`.

    about: what they are results of, compared with what is there, as are code and versions.

    Raises run_folder.RunError where it holds something else, or `resume` finds other results.
    """
    lock, moved = run_folder.claim(path, identity.with_code(about), resume)
    if moved:
        print(f"the earlier results in {path} are now in {moved}")
    try:
        yield Path(path)
    finally:
        lock.release()


def follow(options: Any, folder: run_folder.RunFolder, labels: Sequence[str] = ("seed",)) -> None:
    """Has TensorBoard's files written beside the metrics, where they are asked for; `labels` as for `open_folder`."""
    if options.tensorboard:
        folder.followers.append(_event_files()(folder.path / "tensorboard", labels).write)


def _event_files() -> type:
    """What writes TensorBoard's files, imported where they are asked for only. Raises UserError where tensorboardX is missing."""
    try:
        from purejaxrrl.runs.tensorboard import EventFiles
    except ImportError as error:
        raise UserError(
            f'--tensorboard needs tensorboardX ({error}); install it with: python -m pip install -e ".[tensorboard]"'
        ) from None
    return EventFiles
