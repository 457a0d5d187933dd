"""Sweeps how a student is weaned: schedules x distillation coefficients x temperatures x seeds, in one vmapped program.

    python experiments/sweep_weaning.py
    python experiments/sweep_weaning.py --schedules linear,cosine --coefficients 1,3,10 --temperatures 0.1 --seeds 5
    python experiments/sweep_weaning.py --environment atari/breakout          # some 20 minutes on two CPU cores
    python experiments/sweep_weaning.py --environment atari/breakout --help   # what the defaults are there

Draws the learning curves of the schedules and a heat map of the final scores. A schedule of one's own is a function that was
registered (`purejaxrrl.weaning.register`); it is then known here by its name.

On Atari other defaults hold: students that see pixels, three schedules, one coefficient, one temperature and two seeds.
"""

import functools
import itertools
import time
from typing import Any

import numpy as np

from purejaxrrl.errors import UserError
from purejaxrrl.evaluation import statistics
from purejaxrrl.runs import command_line, compilations, devices, experiment, plotting, run_folder, training
from purejaxrrl.runs.progress import clock
from purejaxrrl.students import presets
from purejaxrrl.students.hyperparameters import declare, option, replace, with_defaults
from purejaxrrl.students.settings import QDagger
from purejaxrrl.students.weaning import SCHEDULES

_SWEPT = "weaning", "distillation_coefficient", "teacher_temperature", "student_temperature"
_LABELS = "schedule", "coefficient", "temperature", "seed"


@declare
@with_defaults(seeds=2)
class Options(experiment.Options):
    schedules: tuple[str, ...] = option(
        ("return_driven", "linear", "exponential", "step", "constant"),
        f"weaning schedules to sweep, separated by commas, of {', '.join(SCHEDULES)}",
    )
    coefficients: tuple[float, ...] = option((1.0, 3.0), "values of the distillation loss's weight to sweep")
    temperatures: tuple[float, ...] = option(
        (0.1, 1.0), "temperatures to sweep, of both the teacher's and the student's softmax"
    )

    def __post_init__(self):
        experiment.Options.__post_init__(self)
        for name in ("schedules", "coefficients", "temperatures"):
            if not getattr(self, name):
                raise UserError(f"{name} is empty; give at least one")
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise UserError(f"{name} is {getattr(self, name)}; give each once")
        for name, swept in (
            ("schedules", "weaning"),
            ("coefficients", "distillation_coefficient"),
            ("temperatures", "teacher_temperature"),
        ):
            for value in getattr(self, name):
                try:
                    QDagger(**{swept: value})
                except UserError as error:
                    raise UserError(f"{name} is {getattr(self, name)}; {error}") from None


@declare
@with_defaults(weaning_steps=30_000, offline_iterations=4, offline_updates=1_000, online_iterations=5)
class Settings(QDagger):
    """Shorter runs than one alone, as there are many."""


_ON_ATARI = {
    "schedules": ("return_driven", "linear", "constant"),
    "coefficients": (3.0,),
    "temperatures": (0.1,),
    "offline_iterations": 5,
    "offline_updates": 2_000,
    "weaning_steps": 50_000,
}
"""Beside what `reincarnate.py` has there: its offline phase, which the schedules of a seed share, and half of its agent steps. Weaning ends
with the run, since a student that was weaned earlier loses most of what it has (docs/qdagger_atari.md)."""


def defaults(environment: str) -> dict[str, Any]:
    """What flags are where they are not given, for an environment of that name; of the rest the declared defaults hold."""
    quick = presets.named("quick", environment)
    return {**quick, **_ON_ATARI} if quick else {}


def swept(options: Options, settings: QDagger) -> tuple[list[QDagger], list[int], list[dict[str, Any]]]:
    """Settings, seed and label of every run. Raises ValueError where a swept value is out of range."""
    runs, seeds, labels = [], [], []
    for schedule, coefficient, temperature in itertools.product(
        options.schedules, options.coefficients, options.temperatures
    ):
        values = dict(zip(_SWEPT, (schedule, coefficient, temperature, temperature), strict=True))
        changed = replace(settings, **values)
        for seed in options.seed_numbers:
            runs.append(changed)
            seeds.append(seed)
            labels.append(dict(zip(_LABELS, (schedule, coefficient, temperature, seed), strict=True)))
    return runs, seeds, labels


def summary(rows: list[dict[str, Any]]) -> str:
    """The final normalised score of every setting, best first."""
    scores: dict[tuple, list[float]] = {}
    for row in training.last_rows(rows):
        scores.setdefault((row["schedule"], row["coefficient"], row["temperature"]), []).append(row["score"])
    ranked = sorted(scores, key=lambda setting: -statistics.interquartile_mean(np.array(scores[setting])))
    lines = [f"{'schedule':16} {'coefficient':>11} {'temperature':>11} {'score (IQM)':>12}   95% interval"]
    for setting in ranked:
        found = np.array(scores[setting])
        low, high = statistics.stratified_bootstrap_interval(found[:, None])
        schedule, coefficient, temperature = setting
        middle = statistics.interquartile_mean(found)
        lines.append(f"{schedule:16} {coefficient:11g} {temperature:11g} {middle:12.3f}   {low:.2f} to {high:.2f}")
    return "\n".join(lines)


def main() -> None:
    devices.use_cores()
    compilations.keep()
    start = time.perf_counter()
    with command_line.user_errors():
        preset = defaults(command_line.given("environment", ""))
        options, settings = command_line.parse((Options, Settings), __doc__, leave_out=_SWEPT, defaults=preset)
        runs, seeds, labels = swept(options, settings)
        parts = experiment.prepare("sweep_weaning", options, settings, runs, leave_out=_SWEPT)
        print(f"{parts.environment.name}: {len(runs)} students in one program")
        with parts.start(options, _LABELS) as folder:
            draw = functools.partial(plotting.sweep, title=parts.environment.name)
            picture = plotting.Drawn(folder.path / "sweep.png", draw)
            folder.followers.append(picture)
            training.run(parts.program, runs, seeds, labels, folder, parts.data)
            text = summary(folder.rows)
            run_folder.write_text(folder.path / "summary.txt", text + "\n")
            picture.draw(folder.rows)
    print(
        f"{text}\n\nin {folder.path}: sweep.png, metrics.csv, config.json; after {clock(time.perf_counter() - start)}"
    )


if __name__ == "__main__":
    main()
