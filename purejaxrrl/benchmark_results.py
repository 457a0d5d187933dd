"""What `experiments/benchmark_pvrl.py` wrote, read back: every game, method and seed, or an error that says what differs.

Each game has folders, one a program that trained some of its methods, with `config.json` (settings, the checksums of teacher
and data, versions) and `metrics.csv`. Only finished runs count.
"""

import csv
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from purejaxrrl import evaluation, methods

KIND = "PVRL benchmark"


class ResultsError(ValueError):
    """Results that cannot be put into one figure; the message lists what differs."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One student. Arrays have one entry an iteration, the offline phase's first; `agent_steps` is 0 there."""

    agent_steps: np.ndarray
    scores: np.ndarray
    coefficients: np.ndarray


@dataclasses.dataclass(frozen=True)
class Results:
    """`runs[game][method][seed]`; `titles[method]`; `about[game]` has teacher_sha256, data_sha256 and the scores of both
    teacher and random policy; `shared` are the settings of all."""

    runs: Mapping[str, Mapping[str, Mapping[int, Run]]]
    titles: Mapping[str, str]
    about: Mapping[str, Mapping[str, Any]]
    shared: Mapping[str, Any]

    @property
    def games(self) -> list[str]:
        return list(self.runs)

    @property
    def methods(self) -> list[str]:
        """Those that every game has."""
        return [method for method in self.titles if all(method in runs for runs in self.runs.values())]

    def seeds(self, game: str) -> int:
        """The seeds that every method has there."""
        return min(len(self.runs[game][method]) for method in self.methods)

    def scores(self, method: str) -> np.ndarray:
        """Online scores `[seeds, games, iterations]`; of games with more seeds than others, the first ones."""
        count = min(self.seeds(game) for game in self.games)
        return np.stack([self.game_scores(game, method)[:count] for game in self.games], axis=1)

    def game_scores(self, game: str, method: str) -> np.ndarray:
        """Online scores of one game, `[seeds, iterations]`."""
        found = self.runs[game][method]
        return np.stack([found[seed].scores[found[seed].agent_steps > 0] for seed in sorted(found)])

    @property
    def agent_steps(self) -> np.ndarray:
        """Of the online iterations."""
        first = next(iter(self.runs[self.games[0]][self.methods[0]].values()))
        return first.agent_steps[first.agent_steps > 0]


def load(path: str | os.PathLike, games: Sequence[str] | None = None) -> Results:
    """The finished results in a benchmark's folder, of `games` or of all.

    Raises:
      ResultsError: there are none, no method has results in all games, or settings, teachers, data or versions differ.
    """
    found = [each for each in _folders(Path(path)) if not games or each[1]["game"] in games]
    if not found:
        raise ResultsError(f"{path} holds no finished results of a PVRL benchmark; run experiments/benchmark_pvrl.py")
    _check_same([(folder, about["shared"] | _versions(about)) for folder, about, _ in found])
    runs: dict[str, dict[str, dict[int, Run]]] = {}
    titles: dict[str, str] = {}
    abouts: dict[str, dict[str, Any]] = {}
    for game in dict.fromkeys(about["game"] for _, about, _ in found):
        here = [(folder, about, rows) for folder, about, rows in found if about["game"] == game]
        _check_same([(folder, _sources(about)) for folder, about, _ in here])
        abouts[game] = {name: value for _, about, _ in here for name, value in _sources(about).items()}
        runs[game] = {}
        for _, _, rows in here:
            for (method, seed), run in _runs(rows).items():
                runs[game].setdefault(method, {}).setdefault(seed, run)
    for method in dict.fromkeys(method for _, about, _ in found for method in about["methods"]):
        using = [(folder, about["methods"][method]) for folder, about, _ in found if method in about["methods"]]
        _check_same([(folder, described["settings"]) for folder, described in using])
        titles[method] = using[0][1]["title"]
    order = [method for method in methods.METHODS if method in titles]
    titles = {method: titles[method] for method in [*order, *(method for method in titles if method not in order)]}
    results = Results(runs, titles, abouts, found[0][1]["shared"])
    if not results.methods:
        raise ResultsError(
            f"no method in {path} is finished in all of {', '.join(runs)}; run the benchmark with --resume"
        )
    return results


def finished(path: str | os.PathLike, shared: Mapping[str, Any]) -> set[tuple[str, str, int]]:
    """The (game, method, seed) that need not be trained again.

    Raises:
      ResultsError: they were made with other settings than `shared`.
    """
    done = set()
    for folder, about, rows in _folders(Path(path)):
        _check_same([(folder, about["shared"]), (Path("this run"), json.loads(json.dumps(shared)))])
        done |= {(about["game"], method, seed) for method, seed in _runs(rows)}
    return done


def _folders(path: Path) -> Iterator[tuple[Path, dict[str, Any], list[dict[str, str]]]]:
    """Folder, description and metrics of what is finished."""
    for config in sorted(path.glob("*/*/config.json"), key=lambda config: config.stat().st_mtime):
        try:
            about = json.loads(config.read_text())
        except json.JSONDecodeError as error:
            raise ResultsError(f"{config} cannot be read ({error}); move its folder away and use --resume") from None
        metrics = config.with_name("metrics.csv")
        if about.get("kind") != KIND or not metrics.exists():
            continue
        with metrics.open() as file:
            rows = list(csv.DictReader(file))
        if rows and int(rows[-1]["agent_steps"]) == about["shared"]["frames"]:
            yield config.parent, about, rows


def _runs(rows: list[dict[str, str]]) -> dict[tuple[str, int], Run]:
    by_run: dict[tuple[str, int], list[dict[str, str]]] = {}
    for row in rows:
        by_run.setdefault((row["method"], int(row["seed"])), []).append(row)

    def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    return {
        key: Run(column(rows, "agent_steps"), column(rows, "score"), column(rows, "coefficient"))
        for key, rows in by_run.items()
    }


def _versions(about: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": about["version"], "jax": about["jax"]}


def _sources(about: Mapping[str, Any]) -> dict[str, Any]:
    names = "teacher_sha256", "data_sha256", "teacher_score", "random_score"
    # Methods that need no data say nothing of it.
    return {name: about[name] for name in names if about[name] is not None}


def _check_same(descriptions: list[tuple[Path, Mapping[str, Any]]]) -> None:
    """Raises ResultsError where two of them have another value for the same name."""
    differing = []
    for name in dict.fromkeys(name for _, values in descriptions for name in values):
        having = [(folder, values[name]) for folder, values in descriptions if name in values]
        first_folder, first = having[0]
        for folder, value in having:
            if value != first:
                places = ["/".join(place.parts[-2:]) for place in (first_folder, folder)]
                differing.append(f"{name} is {first!r} in {places[0]} and {value!r} in {places[1]}")
                break
    if differing:
        raise ResultsError(f"results that differ are not put together: {'; '.join(differing)}")


def label(results: Results, game: str) -> str:
    """The game's name, and how many seeds it has where others have more."""
    most = max(results.seeds(other) for other in results.games)
    count = results.seeds(game)
    return game if count == most else f"{game} ({count} of {most} seeds)"


def report(results: Results) -> str:
    """Markdown: final scores by game and together, what they add up to, and the checksums that they were made with."""
    return "\n\n".join([_game_table(results), _aggregate_table(results), _notes(results)])


def _cell(scores: np.ndarray, statistic: Any = evaluation.interquartile_mean) -> str:
    low, high = evaluation.stratified_bootstrap_interval(scores, statistic)
    return f"{statistic(scores):.2f} ({low:.2f} to {high:.2f})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _game_table(results: Results) -> str:
    names = [label(results, game) for game in results.games]
    lines = [_row("method", *names), _row(*["---"] * (len(names) + 1))]
    for method in results.methods:
        cells = [_cell(results.game_scores(game, method)[:, -1:]) for game in results.games]
        lines.append(_row(results.titles[method], *cells))
    return "\n".join(lines)


def _aggregate_table(results: Results) -> str:
    statistics = evaluation.interquartile_mean, evaluation.median, evaluation.mean, evaluation.optimality_gap
    titles = ["IQM", "median", "mean", "optimality gap", "games above the teacher"]
    has_qdagger = "qdagger" in results.methods
    titles += ["P(QDagger is better)"] * has_qdagger
    lines = [_row("all games", *titles), _row(*["---"] * (len(titles) + 1))]
    for method in results.methods:
        final = results.scores(method)[..., -1]
        cells = [_cell(final, statistic) for statistic in statistics]
        low, high = evaluation.stratified_bootstrap_interval(final, evaluation.share_of_tasks_above)
        cells.append(f"{evaluation.share_of_tasks_above(final):.0%} ({low:.0%} to {high:.0%})")
        if has_qdagger:
            cells.append("" if method == "qdagger" else _improvement(results.scores("qdagger")[..., -1], final))
        lines.append(_row(results.titles[method], *cells))
    return "\n".join(lines)


def _improvement(ours: np.ndarray, theirs: np.ndarray) -> str:
    low, high = evaluation.stratified_bootstrap(evaluation.probability_of_improvement, ours, theirs)
    return f"{evaluation.probability_of_improvement(ours, theirs):.2f} ({low:.2f} to {high:.2f})"


def _notes(results: Results) -> str:
    count = min(results.seeds(game) for game in results.games)
    lines = [
        f"Teacher-normalised scores after {results.shared['frames']:,} frames: IQM of the seeds, and all games together of "
        f"{count} seeds each, with 95% stratified bootstrap intervals."
    ]
    partial = [method for method in results.titles if method not in results.methods]
    if partial:
        lines.append(f"Left out, as some game has no results of it: {', '.join(partial)}.")
    for game in results.games:
        about = results.about[game]
        lines.append(
            f"{game}: random {about['random_score']:.2f}, teacher {about['teacher_score']:.2f}; SHA-256 of the teacher "
            f"{about['teacher_sha256'][:16]}, of its data {(about.get('data_sha256') or 'none')[:16]}."
        )
    return "\n\n".join(lines)
