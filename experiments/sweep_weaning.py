"""Sweeps how a student is weaned: schedules x distillation coefficients x temperatures x seeds, in one vmapped program.

    python experiments/sweep_weaning.py
    python experiments/sweep_weaning.py --schedules linear,cosine --coefficients 1,3,10 --temperatures 0.1 --seeds 5

Draws the learning curves of the schedules and a heat map of the final scores. A schedule of one's own is a function and a
line in purejaxrrl/reincarnation.py; it is then known here by its name.
"""

import dataclasses
import itertools
import time
from typing import Any

import numpy as np
import reincarnate

from purejaxrrl import cli, evaluation, parallel, plotting, reincarnation, runs, training
from purejaxrrl.cli import option
from purejaxrrl.progress import clock


@dataclasses.dataclass(frozen=True)
class Config:
    environment: str = option("minatar/breakout", "the environment's name")
    teacher: str = option("", "a teacher's folder; empty: the one that comes with the library")
    data: str = option("", "folder of the teacher's data; empty: beside the teacher or in runs/data")
    output: str = option("runs/sweep_weaning", "folder to write to; an earlier run there is moved aside")
    resume: bool = option(False, "continue the sweep in --output")
    seed: int = option(0, "of the first run of each setting; the others follow")
    seeds: int = option(2, "runs of each setting")
    schedules: tuple[str, ...] = option(
        ("return_driven", "linear", "exponential", "step", "constant"),
        "weaning schedules: " + ", ".join(reincarnation.SCHEDULES),
    )
    coefficients: tuple[float, ...] = option((1.0, 3.0), "distillation coefficients at the start")
    temperatures: tuple[float, ...] = option((0.1, 1.0), "temperatures of both softmaxes")
    weaning_steps: int = option(30_000, "agent steps after which weaning is complete")
    offline_iterations: int = option(4, "iterations on the teacher's data")
    offline_updates: int = option(1_000, "updates in each of them")
    online_iterations: int = option(5, "iterations in which the students play")
    iteration_steps: int = option(10_000, "agent steps in each of them")

    def __post_init__(self):
        for name in ("schedules", "coefficients", "temperatures"):
            if not getattr(self, name):
                raise ValueError(f"--{name} is empty; give at least one")
        self.runs()

    def student(self, schedule: str, coefficient: float, temperature: float) -> reincarnate.Config:
        """The settings of one run; shapes and cadences are the same for all."""
        shared = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("schedules", "coefficients", "temperatures")
        }
        return reincarnate.Config(
            **shared,
            weaning=schedule,
            distillation_coefficient=coefficient,
            teacher_temperature=temperature,
            student_temperature=temperature,
        )

    def runs(self) -> tuple[list[int], list[reincarnation.Method], list[dict[str, Any]]]:
        """Seed, method and label of every run."""
        seeds, methods, labels = [], [], []
        for schedule, coefficient, temperature in itertools.product(
            self.schedules, self.coefficients, self.temperatures
        ):
            method = self.student(schedule, coefficient, temperature).method
            for seed in range(self.seed, self.seed + self.seeds):
                seeds.append(seed)
                methods.append(method)
                labels.append(
                    {"schedule": schedule, "coefficient_0": coefficient, "temperature": temperature, "seed": seed}
                )
        return seeds, methods, labels


def summary(rows: list[dict[str, Any]]) -> str:
    """The final normalised score of every setting, best first."""
    last = [row for row in rows if (row["phase"], row["iteration"]) == (rows[-1]["phase"], rows[-1]["iteration"])]
    settings = dict.fromkeys((row["schedule"], row["coefficient_0"], row["temperature"]) for row in last)
    scores = {
        setting: np.array(
            [row["score"] for row in last if (row["schedule"], row["coefficient_0"], row["temperature"]) == setting]
        )
        for setting in settings
    }
    ranked = sorted(scores, key=lambda setting: -evaluation.interquartile_mean(scores[setting]))
    lines = [f"{'schedule':16} {'coefficient':>11} {'temperature':>11} {'score (IQM)':>12}   95% interval"]
    for setting in ranked:
        low, high = evaluation.stratified_bootstrap_interval(scores[setting][:, None])
        schedule, coefficient, temperature = setting
        middle = evaluation.interquartile_mean(scores[setting])
        lines.append(f"{schedule:16} {coefficient:11g} {temperature:11g} {middle:12.3f}   {low:.2f} to {high:.2f}")
    return "\n".join(lines)


def main() -> None:
    parallel.use_cores()
    config = cli.parse(Config, __doc__)
    start = time.perf_counter()
    with cli.user_errors():
        seeds, methods, labels = config.runs()
        student = config.student(config.schedules[0], config.coefficients[0], config.temperatures[0])
        environment, _, dataset, program, folder = reincarnate.prepare(student, settings=config)
        print(f"{environment.name}: {len(methods)} students in one program")
        training.run(student, program, dataset, seeds, methods, labels, folder)
    text = summary(folder.rows)
    runs.write_text(folder.path / "summary.txt", text + "\n")
    plotting.sweep(folder.path / "sweep.png", folder.rows, environment.name)
    print(
        f"{text}\n\nin {folder.path}: sweep.png, metrics.csv, config.json; after {clock(time.perf_counter() - start)}"
    )


if __name__ == "__main__":
    main()
