"""The figures of the PVRL paper, drawn from written results alone (`results.load`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from results import Results, label

from purejaxrrl.evaluation import statistics
from purejaxrrl.runs.drawing import Figure, colormaps

_TEACHER, _QDAGGER = "#333333", "#c1121f"
_OTHERS = [colormaps["tab20"](number) for number in range(20) if number not in (6, 7)]  # all but the reds
_PROFILE_THRESHOLDS = np.linspace(-0.1, 2.0, 106)


def draw(folder: Path, results: Results) -> list[str]:
    """Writes all figures into `folder`; returns their names."""
    figures: dict[str, Callable[[Results], Figure]] = {
        "aggregate_curves": aggregate_curves,
        "final_scores": final_scores,
        "performance_profile": performance_profile,
        "games": game_curves,
        "weaning": weaning,
    }
    if "qdagger" in results.methods and len(results.methods) > 1:
        figures["probability_of_improvement"] = probability_of_improvement
    for name, figure in figures.items():
        figure(results).savefig(folder / f"{name}.png", dpi=150)
    return [f"{name}.png" for name in figures]


def colours(results: Results) -> dict[str, Any]:
    """A colour a method, the same in every figure; red is QDagger's alone."""
    others = [method for method in results.methods if method != "qdagger"]
    return {method: _OTHERS[number % len(_OTHERS)] for number, method in enumerate(others)} | {"qdagger": _QDAGGER}


def _line(results: Results, method: str) -> dict[str, Any]:
    """How a method's lines are drawn: QDagger's thicker and above the others."""
    ours = method == "qdagger"
    return {
        "color": colours(results)[method],
        "linewidth": 3.0 if ours else 1.5,
        "zorder": 3 if ours else 2,
        "label": results.titles[method],
    }


def aggregate_curves(results: Results) -> Figure:
    """IQM over games and seeds against frames, with 95% stratified bootstrap bands: the paper's main figure."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for method in results.methods:
        _curve(axes, results, method, np.moveaxis(results.scores(method), -1, 0))
    seeds, games = results.scores(results.methods[0]).shape[:2]
    of_what = f"{games} games, IQM of {seeds} seeds each" if games > 1 else f"{results.games[0]}, IQM of {seeds} seeds"
    _finish(axes, of_what)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def game_curves(results: Results) -> Figure:
    """IQM over seeds of every game."""
    figure = Figure(figsize=(4 * len(results.games) + 2, 4), layout="constrained")
    for axes, game in zip(figure.subplots(1, len(results.games), squeeze=False)[0], results.games, strict=True):
        for method in results.methods:
            _curve(axes, results, method, results.game_scores(game, method).T[:, :, None], replications=200)
        _finish(axes, label(results, game))
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize="small", loc="outside right center")
    return figure


def _curve(axes: Any, results: Results, method: str, scores: np.ndarray, replications: int = 500) -> None:
    """The IQM of `scores`, `[iterations, seeds, games]`, with its band."""
    intervals = [statistics.stratified_bootstrap_interval(at, replications=replications) for at in scores]
    low, high = np.array(intervals).T
    axes.fill_between(results.frames, low, high, color=colours(results)[method], alpha=0.12, linewidth=0)
    middle = [statistics.interquartile_mean(at) for at in scores]
    axes.plot(results.frames, middle, **_line(results, method))


def _finish(axes: Any, title: str) -> None:
    axes.axhline(1.0, color=_TEACHER, linestyle="--", linewidth=1.2, label="teacher")
    axes.set(xlabel="frames of the student", ylabel="teacher-normalised score", title=title, ylim=(-0.1, None))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k")
    axes.spines[["top", "right"]].set_visible(False)


def final_scores(results: Results) -> Figure:
    """IQM, median, mean, optimality gap and share of games above the teacher at the end, with 95% intervals."""
    summaries = {
        "IQM": statistics.interquartile_mean,
        "median": statistics.median,
        "mean": statistics.mean,
        "optimality gap (less is better)": statistics.optimality_gap,
        "share of games above the teacher": statistics.share_of_tasks_above,
    }
    figure = Figure(figsize=(17, 1.2 + 0.35 * len(results.methods)), layout="constrained")
    for axes, (title, statistic) in zip(
        figure.subplots(1, len(summaries), sharey=True), summaries.items(), strict=True
    ):
        for row, method in enumerate(results.methods):
            final = results.scores(method)[..., -1]
            interval = statistics.stratified_bootstrap_interval(final, statistic)
            _interval(axes, row, statistic(final), interval, colours(results)[method])
        if statistic in (statistics.interquartile_mean, statistics.median, statistics.mean):
            axes.axvline(1.0, color=_TEACHER, linestyle="--", linewidth=1.2)
        _rows(axes, [results.titles[method] for method in results.methods], title)
    return figure


def probability_of_improvement(results: Results) -> Figure:
    """P(QDagger scores higher than another method), with 95% intervals."""
    others = [method for method in results.methods if method != "qdagger"]
    figure = Figure(figsize=(7, 1.2 + 0.35 * len(others)), layout="constrained")
    axes = figure.subplots()
    ours = results.scores("qdagger")[..., -1]
    for row, method in enumerate(others):
        theirs = results.scores(method)[..., -1]
        interval = statistics.stratified_bootstrap(statistics.probability_of_improvement, ours, theirs)
        value = statistics.probability_of_improvement(ours, theirs)
        _interval(axes, row, value, interval, colours(results)[method])
    axes.axvline(0.5, color=_TEACHER, linestyle="--", linewidth=1.2)
    _rows(axes, [results.titles[method] for method in others], "P(QDagger scores higher)")
    axes.set(xlim=(0, 1.02))
    return figure


def _interval(axes: Any, row: int, value: float, interval: tuple[float, float], colour: Any) -> None:
    low, high = interval
    axes.barh(row, high - low, left=low, height=0.6, color=colour, alpha=0.6)
    axes.plot([value, value], [row - 0.3, row + 0.3], color="black")


def _rows(axes: Any, names: list[str], title: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set(title=title, ylim=(len(names) - 0.5, -0.5))
    axes.spines[["top", "right"]].set_visible(False)


def performance_profile(results: Results) -> Figure:
    """The share of runs above each score at the end, with 95% bands."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for method in results.methods:
        final = results.scores(method)[..., -1]

        def profile(scores: np.ndarray) -> np.ndarray:
            return statistics.performance_profile(scores, _PROFILE_THRESHOLDS)

        low, high = statistics.stratified_bootstrap(profile, final, replications=500)
        axes.fill_between(_PROFILE_THRESHOLDS, low, high, color=colours(results)[method], alpha=0.12, linewidth=0)
        axes.plot(_PROFILE_THRESHOLDS, profile(final), **_line(results, method))
    axes.axvline(1.0, color=_TEACHER, linestyle="--", linewidth=1.2, label="teacher")
    axes.set(xlabel="teacher-normalised score τ", ylabel="share of runs that score more than τ", ylim=(0, 1.02))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def weaning(results: Results) -> Figure:
    """Lambda at the iterations' ends, in the mean over seeds, of the methods that have one that is not 0 throughout."""
    figure = Figure(figsize=(4 * len(results.games) + 2, 3.5), layout="constrained")
    for axes, game in zip(figure.subplots(1, len(results.games), squeeze=False)[0], results.games, strict=True):
        for method in results.methods:
            course = results.coefficients(game, method).mean(0)
            if course.any():
                axes.plot(results.frames, course, marker=".", **_line(results, method))
        axes.set(
            xlabel="frames of the student",
            ylabel="λ at the iteration's end",
            title=label(results, game),
            ylim=(0, 1.05),
        )
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k")
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize="small", loc="outside right center")
    return figure
