"""Reincarnates a controller of stratospheric balloons: QDagger from Perciatelli44, and the same student from nothing. Or scores one.

    python -m purejaxrrl.environments.balloon.fetch                          # once: the wind's decoder and Perciatelli44
    python experiments/balloon.py                                            # 3 students of each, 300,000 agent steps
    python experiments/balloon.py --full                                     # all methods, the reference's sizes
    python experiments/balloon.py --evaluate perciatelli44 --suite small
    python experiments/balloon.py --evaluate runs/balloon/training/qdagger/student --pictures 3

Students are flown through the suite after every iteration, on the same episodes as their teacher, so that they are compared episode by episode.
Training leaves the learning curve, tables with paired intervals, metrics, and of each method the first student as a teacher for
the next run (--teacher); a training that was stopped goes on with --resume.

An agent to evaluate is perciatelli44, station_seeker, random_walk, random, stay, or the folder of a saved teacher. Suites are micro (1 episode),
tiny (10), small (100), medium (1,000) and big (10,000). TWR50 is the share of time within 50 km of the station; intervals are 95%, over
episodes.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

import jax
import numpy as np
from balloon_parts import figures, flights, methods, results, training

import purejaxrrl
from purejaxrrl import teachers
from purejaxrrl.environments.balloon import agents, suites, wind_belief
from purejaxrrl.errors import UserError
from purejaxrrl.runs import command_line, compilations, devices, experiment, run_folder
from purejaxrrl.runs.progress import clock
from purejaxrrl.students.balloon import LargeStationKeeper, StationKeeper
from purejaxrrl.students.hyperparameters import declare, option, replace, with_defaults

PERCIATELLI44 = "perciatelli44"
SET_HERE = (
    "environment", "environment_options", "teacher_fires", "scoring_episodes", "evaluation_steps", "evaluation_environments",
    "evaluation_limit", "evaluation_epsilon",
)  # fmt: skip


@declare
@with_defaults(environment="balloon", data_transitions=48_000, seeds=3)
class Options(experiment.Options):
    evaluate: str = option("", "agent to score, by its name, or a saved teacher's folder; empty: train")
    methods: tuple[str, ...] = option(
        methods.DEFAULT,
        f"methods to train, of {', '.join(methods.METHODS)}; the first is compared with the others; from_nothing and "
        "fine_tuning learn by playing alone, which takes online_iterations",
    )
    full: bool = option(False, "train all methods unless some are given, with the reference's network and replay")
    output: str = option(
        "",
        "folder to write to; an earlier run there is moved aside; empty: runs/balloon/training, or named after agent and suite",
    )
    suite: str = option("small", "evaluation suite by name: micro, tiny, small, medium or big")
    exploring_episodes: float = option(
        0.8,
        "share of training episodes in which the student and a random walk in altitude take turns",
        minimum=0,
        maximum=1,
    )
    wind_belief: str = option(
        "",
        "how the wind's Gaussian process is computed: cholesky, or the faster updated_inverse; empty: cholesky to score, updated_inverse to train",
    )
    lanes: int = option(50, "number of episodes flown side by side to score an agent", minimum=1)
    pictures: int = option(1, "number of the suite's first episodes that are drawn, as PNG and GIF", minimum=0)

    def __post_init__(self):
        experiment.Options.__post_init__(self)
        if self.wind_belief and self.wind_belief not in wind_belief.METHODS:
            raise UserError(f"wind_belief is {self.wind_belief!r}; it must be one of {', '.join(wind_belief.METHODS)}")


@declare
@with_defaults(methods=tuple(methods.METHODS))
class FullOptions(Options):
    """With --full."""


def agent_of(name: str, environment: purejaxrrl.environments.Environment) -> agents.Agent:
    """The agent of that name, or the greedy one of a teacher.

    Raises:
      ValueError: there is none of that name, or the teacher is not for the balloon.
    """
    if name in agents.BY_NAME:
        return agents.BY_NAME[name]()
    if name != PERCIATELLI44 and not Path(name).is_dir():
        known = ", ".join([PERCIATELLI44, *agents.BY_NAME])
        raise UserError(f"agent {name!r} is neither a folder nor one of {known}")
    teacher = teachers.load(teachers.shipped("balloon") if name == PERCIATELLI44 else name)
    teachers.check_fits(teacher, environment, normalises=False)
    return agents.greedy(lambda observations: teacher.apply(teacher.params, observations))


def table(name: str, suite: str, scores: suites.Scores) -> str:
    """The suite's scores as a Markdown table."""
    twr = [f"{100 * value:.1f}" for value in scores.mean_with_interval("twr50")]
    returns = [f"{value:.1f}" for value in scores.mean_with_interval("returns")]
    return (
        "| agent | suite | episodes | TWR50 % | return | lost |\n| --- | --- | --- | --- | --- | --- |\n"
        f"| {name} | {suite} | {len(scores.seeds)} | {twr[0]} ({twr[1]} to {twr[2]}) "
        f"| {returns[0]} ({returns[1]} to {returns[2]}) | {suites.lost(scores)} |"
    )


def write(
    folder: Path, summary: str, scores: suites.Scores, path: suites.Path, environment, num_pictures: int
) -> list[str]:
    """What an evaluation leaves; the files' names."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = np.column_stack([scores.seeds, scores.twr50, scores.returns, scores.steps, scores.status])
    rows = [f"{int(s)},{twr:.6f},{gained:.4f},{int(steps)},{int(status)}" for s, twr, gained, steps, status in columns]
    run_folder.write_text(folder / "episodes.csv", "\n".join(["seed,twr50,return,steps,status", *rows]) + "\n")
    command = shlex.join(["python", *sys.argv])
    run_folder.write_text(folder / "summary.txt", f"{summary}\n\n{command}\n")
    return ["summary.txt", "episodes.csv", *flights.draw(folder, environment, scores.seeds, path, num_pictures)]


def evaluate(options: Options) -> str:
    """Flies an agent through the suite; what is to be printed."""
    start = time.perf_counter()
    seeds = suites.seeds_of(options.suite)
    environment = purejaxrrl.make("balloon", wind_belief=options.wind_belief or "cholesky")
    agent = agent_of(options.evaluate, environment)

    def report(done: int) -> None:
        print(
            f"{done} of {len(seeds)} episodes after {clock(time.perf_counter() - start)}", file=sys.stderr, flush=True
        )

    folder = Path(options.output or f"runs/balloon/{_named(options.evaluate)}-{options.suite}")
    about = {"program": "balloon --evaluate", "agent": options.evaluate, "suite": options.suite}
    with experiment.results_folder(folder, about):
        scores, path = suites.fly(
            environment, agent, seeds, key=jax.random.key(options.seed), lanes=options.lanes, report=report
        )
        summary = table(options.evaluate, options.suite, scores)
        files = write(folder, summary, scores, path, environment, options.pictures)
    return f"{summary}\n\nin {folder}: {', '.join(files)}"


def _named(agent: str) -> str:
    """An agent's name, or the last two of a folder's, as students of several methods are called alike."""
    path = Path(agent)
    return "-".join(path.absolute().parts[-2:]) if path.is_dir() else agent


def train(options: Options, settings: StationKeeper) -> str:
    """Trains the methods and compares them; what is to be printed."""
    belief = options.wind_belief or "updated_inverse"
    options = replace(
        options, environment_options=f"wind_belief={belief}", output=options.output or "runs/balloon/training"
    )
    task = training.prepare(options, settings)
    with experiment.results_folder(options.output, task.identity(settings), options.resume) as folder:
        teacher = training.teachers_evaluation(task, folder)
        students = {name: training.train(task, name, folder) for name in options.methods}
        found = {methods.METHODS[name].title: results.evaluations(folder / name) for name in options.methods}
        last = {title: evaluations[-1] for title, evaluations in found.items()}
        summary = "\n\n".join(filter(None, (results.table(teacher, last), results.pairs(last))))
        run_folder.write_text(folder / "summary.md", f"{summary}\n\n{shlex.join(['python', *sys.argv])}\n")
        figures.learning_curve(folder / "learning_curve.png", teacher, found)
        files = ["summary.md", "learning_curve.png"]
        if options.pictures:
            files += _fly(folder, task, students[options.methods[0]])
    return f"\n{summary}\n\nin {folder}: {', '.join(files)}, and of each method metrics.csv, {results.FILE} and student"


def _fly(folder: Path, task: training.Task, student: teachers.Teacher) -> list[str]:
    """Pictures of the student's flights."""
    agent = agents.greedy(lambda observations: student.apply(student.params, observations))
    scores, path = suites.fly(task.environment, agent, task.episodes[: task.options.pictures])
    return flights.draw(folder, task.environment, scores.seeds, path, task.options.pictures)


def classes() -> tuple[type, type]:
    """Of options and settings, whose defaults --full changes."""
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    flags.add_argument("--full", action=argparse.BooleanOptionalAction, default=False)
    return (FullOptions, LargeStationKeeper) if flags.parse_known_args()[0].full else (Options, StationKeeper)


def main() -> None:
    devices.use_cores()
    compilations.keep()
    start = time.perf_counter()
    options, settings = command_line.parse(classes(), __doc__, leave_out=SET_HERE)
    afterwards = "" if options.evaluate else "the same command with --resume goes on with what is not finished"
    with command_line.user_errors(afterwards):
        printed = evaluate(options) if options.evaluate else train(options, settings)
    print(f"{printed}; after {clock(time.perf_counter() - start)}")


if __name__ == "__main__":
    main()
