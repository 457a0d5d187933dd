"""QDagger (Agarwal et al., 2022): a student learns from a teacher, passes it and is weaned off it. One program, many seeds.

    python experiments/reincarnate.py                                  # the shipped Breakout teacher, 4 seeds
    python experiments/reincarnate.py --environment minatar/asterix
    python experiments/reincarnate.py --environment atari/breakout     # a quarter of an hour on two CPU cores
    python experiments/reincarnate.py --environment atari/breakout --help   # what the defaults are there
    python experiments/reincarnate.py --from-nothing                   # beside the same students without a teacher
    python experiments/reincarnate.py --preset comparison              # the settings of QDagger in experiments/pvrl
    python experiments/reincarnate.py --teacher runs/reincarnate/minatar-breakout/student --output runs/second-generation
    python experiments/reincarnate.py --term my_losses:entropy --entropy-coefficient 0.1

The student first learns from the teacher's data (TD and distillation), then plays itself, its distillation coefficient
lambda falling as its score, normalised by the teacher's, rises. A term of the loss of one's own is a function
(`purejaxrrl.term`) in a module that Python finds; its hyperparameters become flags.

On Atari other defaults hold, for students that see pixels: one a CPU core, from two to four.
"""

import functools
import sys
import time
import types
from collections.abc import Mapping, Sequence
from typing import Any

from purejaxrrl import environments, streams, teachers
from purejaxrrl.runs import (
    animation,
    command_line,
    compilations,
    devices,
    experiment,
    identity,
    plotting,
    run_folder,
    training,
)
from purejaxrrl.runs.progress import clock, counted
from purejaxrrl.streams import Purpose
from purejaxrrl.students import hyperparameters, presets, qdagger
from purejaxrrl.students.hyperparameters import declare, option
from purejaxrrl.students.losses import load_term, with_term
from purejaxrrl.students.settings import SIDE_BY_SIDE, QDagger

CURVE, NOTHING = "learning_curve.png", "from_nothing"


@declare
class Options(experiment.Options):
    preset: str = option(
        "quick", f"what other flags are where they are not given: {', '.join(presets.PRESETS)} (docs/comparison.md)"
    )
    card_episodes: int = option(
        256, "episodes in which the saved student is scored for its card", minimum=1, maximum=SIDE_BY_SIDE
    )
    from_nothing: bool = option(
        False,
        "train as many of these students by DQN without a teacher and without --term, too, at the rate of lambda = 1, and draw them beside the others",
    )
    term: str = option("", "further term of the loss, one's own, as module:function; empty: none")


def settings_class() -> type:
    """QDagger's settings, with those of the term that the command line names."""
    term = command_line.given("term", "")
    return with_term(QDagger, load_term(term)) if term else QDagger


def defaults(preset: str, environment: str) -> dict[str, Any]:
    """What flags are where they are not given; the quick preset's students on Atari, which take a core each, are as many as the cores, up to
    four, or as a run has that is resumed. Raises ValueError where there is no preset of that name."""
    found = dict(presets.named(preset, environment))
    if "seeds" in found:
        place = types.SimpleNamespace(output=command_line.given("output", ""))
        before = experiment.begun(place, "reincarnate", environment) if "--resume" in sys.argv else {}
        found["seeds"] = before.get("seeds") or min(max(found["seeds"], devices.cores()), 4)
    return found


def main() -> None:
    devices.use_cores()
    compilations.keep()
    start = time.perf_counter()
    with command_line.user_errors():
        preset = defaults(command_line.given("preset", "quick"), command_line.given("environment", ""))
        options, settings = command_line.parse((Options, settings_class()), __doc__, defaults=preset)
        on_paper = options.preset == "paper"
        announce = functools.partial(papers_differences, options, settings) if on_paper else None
        if options.from_nothing:  # before the teacher's data are collected
            qdagger.check_learns(presets.from_nothing(settings))
        parts = experiment.prepare("reincarnate", options, settings, leave_out=("from_nothing",), announce=announce)
        card = parts.teacher.card
        print(
            f"{parts.environment.name}: teacher {card.score:.2f}, random {card.random_score:.2f}; "
            f"{counted(options.seeds, 'student')}, {settings.offline_iterations} offline and "
            f"{counted(settings.online_iterations, 'online iteration')}"
        )
        nothing = without_teacher(parts) if options.from_nothing else None
        seeds = options.seed_numbers
        labels = [{"seed": seed} for seed in seeds]
        with parts.start(options) as folder:
            draw = functools.partial(plotting.learning_curve, title=parts.environment.name)
            curve = plotting.Drawn(folder.path / CURVE, draw)
            folder.followers.append(curve)
            every = [settings] * len(seeds)
            state = training.run(parts.program, every, seeds, labels, folder, parts.data, forecast=on_paper)
            curve.draw(folder.rows)
            files = [CURVE, "metrics.csv", "config.json", *save_student(options, parts, folder, state)]
            summary = report(parts, folder)
            del state  # its ring makes room
            if nothing:
                print(summary)
                summary = report(parts, folder, train_from_nothing(options, parts, folder, nothing))
                files.append(NOTHING)
            print(f"{summary}\n\nin {folder.path}: {', '.join(files)}")
    print(f"after {clock(time.perf_counter() - start)}")


def papers_differences(options: Options, settings: QDagger, teacher: teachers.Teacher) -> str:
    """What a run of the preset `paper` does not have as the paper has it, with what it has instead."""
    card = teacher.card
    data = f"those in {options.data}"
    if not options.data:
        data = f"of its training only where they lie beside it, and else played by it, {options.data_epsilon:.0%} of its actions random"
    own = {
        "teacher": f"{card.algorithm or 'of unknown make'} after {card.frames:,} frames",
        "data": data,
        "seeds": options.seeds,
    } | hyperparameters.as_dict(settings)
    lines = [*presets.PAPERS_DIFFERENCES, *[presets.PAPERS_SEEDS] * (options.seeds != 3)]
    return "\n".join(["not as in the paper:", *(f"- {line.format_map(own)}" for line in lines)])


def frames_of(parts: experiment.Experiment) -> int:
    """That a student plays."""
    settings = parts.program.settings
    return settings.online_iterations * settings.iteration_steps * environments.frames_per_step(parts.environment)


def save_student(
    options: Options, parts: experiment.Experiment, folder: run_folder.RunFolder, state: qdagger.State
) -> list[str]:
    """Leaves the first student as a teacher, where it has a network that can be saved, and it playing; what it left."""
    if not parts.program.student.network:
        return []
    environment, settings = parts.environment, parts.program.settings
    student = experiment.graduate(
        options, "the student", parts.program.student.network, state.learner.params, environment, environment.default_params,
        reward_clip=settings.reward_clip, limit=settings.evaluation_limit, epsilon=settings.evaluation_epsilon, frames=frames_of(parts),
        algorithm="QDagger",
    )  # fmt: skip
    teachers.save(folder.path / "student", student)
    key = streams.of_teacher(streams.root(options.seed, Purpose.PICTURE), student.fingerprint())
    is_shown = animation.animate(
        folder.path / "student.gif", key, environment, environment.default_params, student,
        note=f"lambda {last_lambda(folder.rows, options.seed):.2f}", epsilon=settings.evaluation_epsilon,
        max_steps=settings.evaluation_limit or animation.LONGEST_TAKE,
    )  # fmt: skip
    if fault := teachers.not_above_random(student.card):
        print(f"the student is no teacher for the next run: its {fault}")
    return ["student" if fault else "student (a teacher for the next run)", *["student.gif"] * is_shown]


def last_lambda(rows: Sequence[dict[str, Any]], seed: int) -> float:
    """Of that seed's run, at its end."""
    return next(row["lambda"] for row in training.last_rows(rows) if row["seed"] == seed)


def without_teacher(parts: experiment.Experiment) -> qdagger.Program:
    """The program of the same students without a teacher. Raises ValueError where they would never learn."""
    return qdagger.program(presets.from_nothing(parts.program.settings), parts.environment)


def train_from_nothing(
    options: Options, parts: experiment.Experiment, folder: run_folder.RunFolder, program: qdagger.Program
) -> dict[str, list[dict[str, Any]]]:
    """The metrics of students without a teacher, normalised by it, by what figures call them; in a folder of their own."""
    settings = program.settings
    about = identity.of_run(
        "reincarnate --from-nothing", parts.environment.name, experiment.effective(options, settings, ("from_nothing",))
    )
    seeds = options.seed_numbers
    print(f"{counted(len(seeds), 'student')} from nothing")
    with run_folder.RunFolder(folder.path / NOTHING, about, options.resume) as own:
        experiment.follow(options, own)
        training.run(program, [settings] * len(seeds), seeds, [{"seed": seed} for seed in seeds], own)
        card = parts.teacher.card
        scores = [row | {"score": teachers.normalised_score(row["mean_return"], card)} for row in own.rows]
    return {"from nothing": scores}


def report(
    parts: experiment.Experiment,
    folder: run_folder.RunFolder,
    others: Mapping[str, Sequence[dict[str, Any]]] | None = None,
) -> str:
    """Leaves the table, which is returned, and the learning curve, with other students in both."""
    summary = training.table(folder.rows, parts.teacher.card, frames_of(parts), others)
    run_folder.write_text(folder.path / "summary.txt", summary + "\n")
    if others:
        draw = functools.partial(plotting.learning_curve, title=parts.environment.name, others=others)
        plotting.Drawn(folder.path / CURVE, draw).draw(folder.rows)
    return summary


if __name__ == "__main__":
    main()
