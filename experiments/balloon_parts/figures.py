"""The learning curve of the balloon's students, beside their teacher."""

from pathlib import Path

import numpy as np

from balloon_parts.results import Evaluation
from purejaxrrl.evaluation import statistics
from purejaxrrl.runs.drawing import Figure, colormaps

_TEACHER = "#333333"


def learning_curve(path: Path, teacher: Evaluation, found: dict[str, list[Evaluation]]) -> None:
    """Writes a PNG: TWR50 against agent steps, and the paired differences from the teacher with 95% intervals; offline phases left of 0.

    found: the evaluations of each method, by title.
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    mean, difference = figure.subplots(1, 2)
    mean.axhline(100 * teacher.twr50.mean(), color=_TEACHER, linestyle="--", linewidth=1.2, label="teacher")
    difference.axhline(0.0, color=_TEACHER, linestyle="--", linewidth=1.2)
    earliest = 0.0
    for number, (title, evaluations) in enumerate(found.items()):
        colour, times = colormaps["tab10"](number % 10), _times(evaluations)
        earliest = min(earliest, *times)
        each = np.array([100 * evaluation.twr50.mean(1) for evaluation in evaluations])
        mean.plot(times, each, color=colour, linewidth=0.7, alpha=0.5)
        mean.plot(times, each.mean(1), color=colour, marker="o", markersize=3.5, label=f"{title}, {each.shape[1]} runs")
        paired = np.array(
            [
                statistics.crossed_difference(100 * one.twr50, 100 * teacher.twr50, replications=500)
                for one in evaluations
            ]
        )
        difference.fill_between(times, paired[:, 1], paired[:, 2], color=colour, alpha=0.2, linewidth=0)
        difference.plot(times, paired[:, 0], color=colour, marker="o", markersize=3.5)
    for axes in (mean, difference):
        if earliest < 0:
            axes.axvspan(earliest, 0, color="0.93", zorder=0)
            axes.text(earliest, 0.985, " offline", transform=axes.get_xaxis_transform(), va="top", color="0.4")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 0 else "")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(xlabel="agent steps of the student")
    mean.set(ylabel="time within 50 km, %", ylim=(0, None))
    difference.set(ylabel="less the teacher's, points, paired by episode")
    mean.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)


def _times(evaluations: list[Evaluation]) -> list[float]:
    """Agent steps; those of an offline phase, which has none, at even distances before 0."""
    offline = sum(one.phase == "offline" for one in evaluations)
    steps = [one.agent_steps for one in evaluations if one.phase == "online"]
    spacing = 0.4 * steps[0] if steps else 10_000.0
    return [one.agent_steps if one.phase == "online" else (one.iteration - offline) * spacing for one in evaluations]
