"""Figures of results: learning curves with their teacher, and sweeps as curves and a heat map."""

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from purejaxrrl.evaluation import statistics
from purejaxrrl.files import atomic
from purejaxrrl.runs.drawing import Figure, colormaps
from purejaxrrl.runs.progress import counted

_STUDENT, _OTHER, _TEACHER, _RANDOM, _LAMBDA = "#1f6fb4", "#3f8f5b", "#333333", "0.6", "#d9822b"
_COEFFICIENT = "weaning coefficient λ"
_SHARE_OF_DRAWING = 0.02
"""Of the time of a run, at most."""


class Drawn:
    """A picture of the metrics so far, for the followers of a run's folder: it is whole or not at all, and drawn after each iteration
    unless that would take long beside it.

    Args:
      path: of the picture, a PNG.
      draw: the figure, of the rows.
    """

    def __init__(self, path: Path, draw: Callable[[Sequence[dict[str, Any]]], Figure]):
        self._path, self._draw = path, draw
        self._ended, self._took = -math.inf, 0.0

    def __call__(self, rows: Sequence[dict[str, Any]]) -> None:
        """Draws these rows if it is time to."""
        if rows and self._took <= _SHARE_OF_DRAWING * (time.perf_counter() - self._ended):
            self.draw(rows)

    def draw(self, rows: Sequence[dict[str, Any]]) -> None:
        """Draws these rows."""
        start = time.perf_counter()
        content = io.BytesIO()
        self._draw(rows).savefig(content, dpi=150, format="png")
        atomic.write_bytes(self._path, content.getvalue())
        self._ended = time.perf_counter()
        self._took = self._ended - start


def learning_curve(
    rows: Sequence[dict[str, Any]], title: str, others: Mapping[str, Sequence[dict[str, Any]]] | None = None
) -> Figure:
    """The students' normalised score and lambda against agent steps, the offline phase to the left of 0.

    Both have one scale: lambda is 1 where a score is the teacher's, and 0 where it is the random policy's.

    Args:
      rows: of the metrics: phase, iteration, seed, agent_steps, score, lambda.
      others: rows of other students, without lambda, by what they are called.
    """
    times, scores = _by_iteration(rows, "score")
    _, coefficients = _by_iteration(rows, "lambda")
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axes = figure.subplots()
    _teacher_and_random(axes)
    low, high = _with_band(axes, times, scores, _STUDENT, "student", ", 95% interval")
    for name, its_rows in (others or {}).items():
        ends = _with_band(axes, *_by_iteration(its_rows, "score"), _OTHER, name)
        low, high = min(low, ends[0]), max(high, ends[1])
    if times[0] < 0:
        axes.axvspan(times[0], 0, color="0.93", zorder=0)
        axes.text(times[0], 1.01, " offline", transform=axes.get_xaxis_transform(), va="bottom", color="0.4")
    axes.plot(
        times,
        coefficients.mean(1),
        color=_LAMBDA,
        linewidth=1.5,
        drawstyle="steps-pre",
        label=f"{_COEFFICIENT} (right)",
    )
    axes.set(
        xlabel="agent steps of the student",
        ylabel="teacher-normalised score",
        title=title,
        ylim=(min(0.0, low) - 0.05, max(1.0, high) + 0.05),
    )
    axes.xaxis.set_major_formatter(_thousands)
    limits = axes.get_xlim()
    axes.set_xticks([place for place in axes.get_xticks() if 0 <= place <= limits[1]])
    axes.set_xlim(limits)
    right = axes.secondary_yaxis("right")
    right.set_yticks([0.0, 0.5, 1.0])
    right.set_ylabel(_COEFFICIENT, color=_LAMBDA)
    figure.legend(loc="outside lower center", ncols=3 if others else 4, frameon=False, fontsize="small")
    axes.spines["top"].set_visible(False)
    return figure


def _with_band(
    axes: Any, times: np.ndarray, scores: np.ndarray, colour: str, name: str, note: str = ""
) -> tuple[float, float]:
    """Draws the IQM of the seeds and its interval; returns the least and the greatest value."""
    low, middle, high = _iqm_band(scores)
    label = f"{name}, IQM of {counted(scores.shape[1], 'seed')}{note}"
    axes.fill_between(times, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(times, middle, color=colour, marker="o", markersize=3.5, label=label)
    return low.min(), high.max()


def _teacher_and_random(axes: Any) -> None:
    """The lines of the normalised scores 1 and 0."""
    axes.axhline(1.0, color=_TEACHER, linestyle="--", linewidth=1.2, label="teacher")
    axes.axhline(0.0, color=_RANDOM, linestyle=":", linewidth=1.2, label="random policy")


def _by_iteration(rows: Sequence[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Times `[iterations]` in agent steps (the offline iterations before 0) and values `[iterations, seeds]`."""
    seeds = sorted({row["seed"] for row in rows})
    moments = list(dict.fromkeys((row["phase"], row["iteration"], row["agent_steps"]) for row in rows))
    values = {(row["phase"], row["iteration"], row["seed"]): row[name] for row in rows}
    offline = sum(phase == "offline" for phase, _, _ in moments)
    spacing = 0.4 * moments[-1][2] / (len(moments) - offline) if offline < len(moments) else 10_000
    times = [steps if phase == "online" else (iteration - offline) * spacing for phase, iteration, steps in moments]
    return np.array(times, float), np.array(
        [[values[phase, iteration, seed] for seed in seeds] for phase, iteration, _ in moments]
    )


def _iqm_band(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Low end, IQM and high end for each row of `[iterations, seeds]`."""
    intervals = [statistics.stratified_bootstrap_interval(row[:, None], replications=500) for row in scores]
    middle = [statistics.interquartile_mean(row) for row in scores]
    return np.array([low for low, _ in intervals]), np.array(middle), np.array([high for _, high in intervals])


def sweep(rows: Sequence[dict[str, Any]], title: str) -> Figure:
    """A sweep's learning curves and lambda by schedule, and the final scores as a heat map.

    Args:
      rows: of the metrics, with `schedule`, `coefficient` and `temperature` for each run.
    """
    schedules = list(dict.fromkeys(row["schedule"] for row in rows))
    settings = list(dict.fromkeys((row["coefficient"], row["temperature"]) for row in rows))
    heat_height = min(3.4, 1.0 + 0.5 * len(schedules))  # inches
    figure = Figure(figsize=(11, 3.8 + heat_height), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(3.8, heat_height))
    curves, weanings, heat = (
        figure.add_subplot(grid[0, 0]),
        figure.add_subplot(grid[0, 1]),
        figure.add_subplot(grid[1, :]),
    )
    for number, schedule in enumerate(schedules):
        chosen = [row for row in rows if row["schedule"] == schedule]
        numbered = [row | {"seed": (row["coefficient"], row["temperature"], row["seed"])} for row in chosen]
        colour = colormaps["tab10"](number % 10)
        times, scores = _by_iteration(numbered, "score")
        low, middle, high = _iqm_band(scores)
        curves.fill_between(times, low, high, color=colour, alpha=0.12, linewidth=0)
        curves.plot(times, middle, color=colour, label=schedule)
        times, coefficients = _by_iteration(numbered, "lambda")
        weanings.plot(times, coefficients.mean(1), color=colour, drawstyle="steps-pre")
    _teacher_and_random(curves)
    curves.set(
        xlabel="agent steps", ylabel="teacher-normalised score", title=f"{title}: IQM over the other settings and seeds"
    )
    weanings.set(
        xlabel="agent steps", ylabel=_COEFFICIENT, title="mean of the other settings and seeds", ylim=(0, 1.05)
    )
    for axes in (curves, weanings):
        axes.xaxis.set_major_formatter(_thousands)
        axes.spines[["top", "right"]].set_visible(False)
    curves.legend(fontsize="small", framealpha=0.8, edgecolor="none")
    _heat_map(figure, heat, rows, schedules, settings)
    return figure


def _heat_map(
    figure: Figure, axes: Any, rows: Sequence[dict[str, Any]], schedules: list[str], settings: list[tuple]
) -> None:
    """Mean final score: schedules down, (coefficient, temperature) across."""
    moment = rows[-1]["phase"], rows[-1]["iteration"]
    last = [row for row in rows if (row["phase"], row["iteration"]) == moment]
    means = np.array(
        [
            [
                np.mean(
                    [
                        row["score"]
                        for row in last
                        if (row["schedule"], row["coefficient"], row["temperature"]) == (schedule, *setting)
                    ]
                )
                for setting in settings
            ]
            for schedule in schedules
        ]
    )
    image = axes.imshow(means, aspect="auto", cmap="viridis")
    axes.set_xticks(
        range(len(settings)), [f"{coefficient:g}, T = {temperature:g}" for coefficient, temperature in settings]
    )
    axes.set_yticks(range(len(schedules)), schedules)
    axes.set(xlabel="distillation coefficient, temperature", title="final teacher-normalised score, mean over seeds")
    threshold = (means.min() + means.max()) / 2
    for (row, column), value in np.ndenumerate(means):
        axes.text(
            column, row, f"{value:.2f}", ha="center", va="center", color="white" if value < threshold else "black"
        )
    figure.colorbar(image, ax=axes)


def _thousands(value: float, _: int) -> str:
    """An axis label; what lies before 0 is the offline phase, which has no agent steps."""
    return f"{value / 1000:g}k" if value > 0 else "0" if value == 0 else ""
