"""QDagger (Agarwal et al., 2022): a student learns from a teacher, passes it and is weaned off it. One program, many seeds.

    python experiments/reincarnate.py                                  # the shipped Breakout teacher, 4 seeds
    python experiments/reincarnate.py --environment minatar/asterix
    python experiments/reincarnate.py --environment atari/breakout     # half an hour on two CPU cores
    python experiments/reincarnate.py --environment atari/breakout --help   # what the defaults are there
    python experiments/reincarnate.py --preset comparison              # the settings of QDagger in experiments/pvrl
    python experiments/reincarnate.py --teacher runs/reincarnate/minatar-breakout/student --output runs/second-generation
    python experiments/reincarnate.py --term my_losses:entropy --entropy-coefficient 0.1

The student first learns from the teacher's data (TD and distillation), then plays itself, its distillation coefficient
lambda falling as its score, normalised by the teacher's, rises. A term of the loss of one's own is a function
(`purejaxrrl.term`) in a module that Python finds; its hyperparameters become flags.

On Atari other defaults hold, for students that see pixels.
"""

import functools
import shlex
import sys
import time

import jax

import purejaxrrl
from purejaxrrl import environments, streams, teachers
from purejaxrrl.runs import command_line, compilations, devices, experiment, plotting, run_folder, training
from purejaxrrl.runs.progress import clock, counted
from purejaxrrl.streams import Purpose
from purejaxrrl.students import hyperparameters, presets, qdagger
from purejaxrrl.students.hyperparameters import declare, option
from purejaxrrl.students.losses import load_term, with_term
from purejaxrrl.students.settings import SIDE_BY_SIDE, QDagger

CURVE = "learning_curve.png"


@declare
class Options(experiment.Options):
    preset: str = option(
        "quick", f"what other flags are where they are not given: {', '.join(presets.PRESETS)} (docs/comparison.md)"
    )
    card_episodes: int = option(
        256, "episodes in which the saved student is scored for its card", minimum=1, maximum=SIDE_BY_SIDE
    )
    term: str = option("", "further term of the loss, one's own, as module:function; empty: none")


def settings_class() -> type:
    """QDagger's settings, with those of the term that the command line names."""
    term = command_line.given("term", "")
    return with_term(QDagger, load_term(term)) if term else QDagger


def main() -> None:
    devices.use_cores()
    compilations.keep()
    start = time.perf_counter()
    with command_line.user_errors():
        preset = presets.named(command_line.given("preset", "quick"), command_line.given("environment", ""))
        options, settings = command_line.parse((Options, settings_class()), __doc__, defaults=preset)
        on_paper = options.preset == "paper"
        announce = functools.partial(papers_differences, options, settings) if on_paper else None
        parts = experiment.prepare("reincarnate", options, settings, announce=announce)
        card = parts.teacher.card
        print(
            f"{parts.environment.name}: teacher {card.score:.2f}, random {card.random_score:.2f}; "
            f"{counted(options.seeds, 'student')}, {settings.offline_iterations} offline and "
            f"{counted(settings.online_iterations, 'online iteration')}"
        )
        seeds = options.seed_numbers
        labels = [{"seed": seed} for seed in seeds]
        with parts.start(options) as folder:
            draw = functools.partial(plotting.learning_curve, title=parts.environment.name)
            curve = plotting.Drawn(folder.path / CURVE, draw)
            folder.followers.append(curve)
            every = [settings] * len(seeds)
            state = training.run(parts.program, every, seeds, labels, folder, parts.data, forecast=on_paper)
            curve.draw(folder.rows)
            finish(options, parts, folder, state)
    print(f"after {clock(time.perf_counter() - start)}")


def papers_differences(options: Options, settings: QDagger, teacher: teachers.Teacher) -> str:
    """What a run of the preset `paper` does not have as the paper has it, with what it has instead."""
    card = teacher.card
    own = {
        "teacher": f"{card.algorithm or 'of unknown make'} after {card.frames:,} frames",
        "data": "of its training where they lie beside it, or else played by it with the chance of a random action of "
        f"{options.data_epsilon}",
        "seeds": options.seeds,
    } | hyperparameters.as_dict(settings)
    return "\n".join(["not as in the paper:", *(f"- {line.format_map(own)}" for line in presets.PAPERS_DIFFERENCES)])


def finish(options: Options, parts: experiment.Experiment, folder: run_folder.RunFolder, state: qdagger.State) -> None:
    """What a finished run leaves beside its curve: the table, the first student as a teacher, and it playing."""
    environment, settings = parts.environment, parts.program.settings
    agent_steps = settings.online_iterations * settings.iteration_steps
    frames = agent_steps * environments.frames_per_step(environment)
    summary = training.table(folder.rows, parts.teacher.card, frames)
    run_folder.write_text(folder.path / "summary.txt", summary + "\n")
    files = [CURVE, "metrics.csv", "config.json"]
    if parts.program.student.network:
        student = teachers.graduate(
            streams.root(options.seed, Purpose.CARD), parts.program.student.network,
            jax.tree.map(lambda leaf: leaf[0], state.learner.params), environment, environment.default_params,
            epsilon=settings.evaluation_epsilon, episodes=options.card_episodes, frames=frames, algorithm="QDagger",
            seed=options.seed, version=purejaxrrl.__version__, command=shlex.join(["python", *sys.argv]),
            training=teachers.preprocessing.described(environment, reward_clip=settings.reward_clip),
        )  # fmt: skip
        teachers.save(folder.path / "student", student)
        if fault := teachers.not_above_random(student.card):
            print(f"the student is no teacher for the next run: its {fault}")
        files.append("student" if fault else "student (a teacher for the next run)")
        first = next(row for row in training.last_rows(folder.rows) if row["seed"] == options.seed)
        key = streams.of_teacher(streams.root(options.seed, Purpose.PICTURE), student.fingerprint())
        note = f"lambda {first['lambda']:.2f}"
        longest = settings.evaluation_limit or plotting.LONGEST_TAKE
        if plotting.animate(
            folder.path / "student.gif", key, environment, environment.default_params, student, note=note,
            epsilon=settings.evaluation_epsilon, max_steps=longest,
        ):  # fmt: skip
            files.append("student.gif")
    print(f"{summary}\n\nin {folder.path}: {', '.join(files)}")


if __name__ == "__main__":
    main()
