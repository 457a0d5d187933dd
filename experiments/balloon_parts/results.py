"""What the training of a method found: of every run, at every evaluation, each episode of the suite; kept in its folder.

`episodes.csv` has the columns of `Row`. Its rows are written again where a run goes on from an earlier checkpoint.
"""

import csv
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from purejaxrrl.evaluation import statistics
from purejaxrrl.runs import run_folder

FILE = "episodes.csv"
PHASES = "offline", "online"


class Row(NamedTuple):
    """run: its seed. episode: the suite's seed. twr50: share. episode_return: sum of rewards."""

    phase: str
    iteration: int
    agent_steps: int
    run: int
    episode: int
    twr50: float
    episode_return: float

    @property
    def moment(self) -> tuple[int, int]:
        return PHASES.index(self.phase), self.iteration


class Evaluation(NamedTuple):
    """Of all runs at one moment: twr50 (share) and returns, `[runs, episodes]`."""

    phase: str
    iteration: int
    agent_steps: int
    twr50: np.ndarray
    returns: np.ndarray


def record(
    folder: Path, moment: dict[str, Any], runs: list[int], episodes: np.ndarray, metrics: dict[str, np.ndarray]
) -> None:
    """Adds an evaluation to the folder's file, in place of that and of all later ones.

    Args:
      moment: has `phase`, `iteration` and `agent_steps`, as a row of the metrics.
      metrics: `seed_twr50` and `seed_returns`, `[runs, episodes]`.
    """
    when = moment["phase"], int(moment["iteration"]), int(moment["agent_steps"])
    rows = [
        Row(*when, run, int(episode), float(metrics["seed_twr50"][place, column]), float(metrics["seed_returns"][place, column]))
        for place, run in enumerate(runs)
        for column, episode in enumerate(episodes)
    ]  # fmt: skip
    earlier = [row for row in read(folder) if row.moment < rows[0].moment]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([Row._fields, *earlier, *rows])
    run_folder.write_text(folder / FILE, text.getvalue())


def read(folder: Path) -> list[Row]:
    """The rows of the folder's file; none where there is no file yet."""
    if not (folder / FILE).exists():
        return []
    with (folder / FILE).open(newline="") as file:
        return [
            Row(row["phase"], *(int(row[name]) for name in Row._fields[1:5]), float(row["twr50"]), float(row["episode_return"]))
            for row in csv.DictReader(file)
        ]  # fmt: skip


def evaluations(folder: Path) -> list[Evaluation]:
    """In the order of time."""
    moments: dict[tuple, list[Row]] = {}
    for row in read(folder):
        moments.setdefault((row.phase, row.iteration, row.agent_steps), []).append(row)

    def by_run(rows: list[Row], name: str) -> np.ndarray:
        runs = len({row.run for row in rows})
        return np.array([getattr(row, name) for row in rows]).reshape(runs, -1)

    return [Evaluation(*when, by_run(rows, "twr50"), by_run(rows, "episode_return")) for when, rows in moments.items()]


def table(teacher: Evaluation, found: dict[str, Evaluation]) -> str:
    """Markdown: each agent's last evaluation, by title, with the paired difference from the teacher's on the same episodes.

    Intervals are 95%, bootstrapped over episodes and runs.
    """
    lines = [
        "| agent | agent steps | runs | TWR50 % | less the teacher's, paired | return | less the teacher's, paired |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        _line("teacher", teacher, ["", ""]),
    ]
    for title, evaluation in found.items():
        differences = [
            _interval(statistics.crossed_difference(scale * getattr(evaluation, name), scale * getattr(teacher, name)))
            for name, scale in (("twr50", 100), ("returns", 1))
        ]
        lines.append(_line(title, evaluation, differences))
    return "\n".join(lines)


def pairs(found: dict[str, Evaluation]) -> str:
    """Markdown: the paired differences of the first method from each of the others; empty where it is the only one."""
    (first, mine), *others = found.items()
    if not others:
        return ""
    lines = [f"| {first} less | TWR50, points | return |", "| --- | --- | --- |"]
    for title, other in others:
        twr50 = statistics.crossed_difference(100 * mine.twr50, 100 * other.twr50)
        lines.append(
            f"| {title} | {_interval(twr50)} | {_interval(statistics.crossed_difference(mine.returns, other.returns))} |"
        )
    return "\n".join(lines)


def _line(title: str, evaluation: Evaluation, differences: list[str]) -> str:
    nothing = np.zeros((1, evaluation.twr50.shape[1]))
    twr50 = _interval(statistics.crossed_difference(100 * evaluation.twr50, nothing), "")
    returns = _interval(statistics.crossed_difference(evaluation.returns, nothing), "")
    return f"| {title} | {evaluation.agent_steps:,} | {len(evaluation.twr50)} | {twr50} | {differences[0]} | {returns} | {differences[1]} |"


def _interval(found: tuple[float, float, float], sign: str = "+") -> str:
    middle, low, high = (f"{value:{sign}.1f}" for value in found)
    return f"{middle} ({low} to {high})"
