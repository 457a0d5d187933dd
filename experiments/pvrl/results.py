"""What `benchmark_pvrl.py` wrote, read back: every game, method and seed, or an error that says what differs.

Each game has folders, one a program that trained some of its methods, with `config.json` (settings, the checksums of teacher
and data, versions) and `metrics.csv`. Only finished runs count.
"""

import csv
import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import methods
import numpy as np

from purejaxrrl.errors import UserError
from purejaxrrl.files import documents, validation
from purejaxrrl.runs import run_folder
from purejaxrrl.runs.identity import with_code

KIND = "PVRL benchmark"


class ResultsError(UserError):
    """Results that cannot be put into one figure; the message lists what differs."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One student. Arrays have one entry an iteration, the offline phase's first; `agent_steps` is 0 there."""

    agent_steps: np.ndarray
    scores: np.ndarray
    coefficients: np.ndarray

    @property
    def iterations(self) -> int:
        """Of the online phase."""
        return int((self.agent_steps > 0).sum())

    def until(self, iterations: int) -> "Run":
        """Without later online iterations than so many."""
        kept = len(self.agent_steps) - self.iterations + iterations
        return Run(self.agent_steps[:kept], self.scores[:kept], self.coefficients[:kept])


@dataclasses.dataclass(frozen=True)
class Results:
    """`runs[game][method][seed]`, all with as many online iterations; `titles[method]`; `about[game]` has teacher_sha256, data_sha256 and the
    scores of both teacher and random policy; `shared` are the settings of all; `longest`: online iterations of the longest run, which
    may be more than others have."""

    runs: Mapping[str, Mapping[str, Mapping[int, Run]]]
    titles: Mapping[str, str]
    about: Mapping[str, Mapping[str, Any]]
    shared: Mapping[str, Any]
    longest: int

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

    def offline_scores(self, method: str) -> np.ndarray | None:
        """As `scores`, `[seeds, games]`, where the offline phase ended; None of a method without one."""
        count = min(self.seeds(game) for game in self.games)
        games = []
        for runs in (self.runs[game][method] for game in self.games):
            ends = [runs[seed].scores[runs[seed].agent_steps == 0][-1:] for seed in sorted(runs)[:count]]
            games.append(np.concatenate(ends))
        return np.stack(games, axis=1) if all(len(scores) == count for scores in games) else None

    def coefficients(self, game: str, method: str) -> np.ndarray:
        """Lambda at the online iterations' ends, `[seeds, iterations]`."""
        found = self.runs[game][method]
        return np.stack([found[seed].coefficients[found[seed].agent_steps > 0] for seed in sorted(found)])

    def pairs(
        self, method: str, other: str, games: Sequence[str], evaluations: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores of two methods, means of so many last evaluations, `[seeds, games]` each, a row's entries of one game being of the same seed.

        Only seeds that both have count; of games with more of them than others, the first ones.

        Raises ResultsError where they have none in common.
        """
        shared = {game: sorted(self.runs[game][method].keys() & self.runs[game][other].keys()) for game in games}
        count = min(map(len, shared.values()))
        if not count:
            raise ResultsError(f"{method} and {other} have no seed in common in some game of {', '.join(games)}")

        def last(name: str) -> np.ndarray:
            runs = [[self.runs[game][name][seed] for seed in shared[game][:count]] for game in games]
            return np.array(
                [[run.scores[run.agent_steps > 0][-evaluations:].mean() for run in each] for each in runs]
            ).T

        return last(method), last(other)

    @property
    def agent_steps(self) -> np.ndarray:
        """Of the online iterations."""
        first = next(iter(self.runs[self.games[0]][self.methods[0]].values()))
        return first.agent_steps[first.agent_steps > 0]

    @property
    def frames(self) -> np.ndarray:
        """Of the student after each online iteration."""
        return self.agent_steps * (self.shared["frames"] / self.agent_steps[self.shared["iterations"] - 1])


def load(path: str | os.PathLike, games: Sequence[str] | None = None) -> Results:
    """The finished results in a benchmark's folder, of `games` or of all, for as many iterations as each of them has.

    Raises:
      ResultsError: there are none, no method has results in all games, or settings, teachers, data, commits or versions differ.
    """
    found = [each for each in _folders(Path(path)) if not games or each[1]["game"] in games]
    if not found:
        raise ResultsError(
            f"{path} holds no finished results of a PVRL benchmark; run experiments/pvrl/benchmark_pvrl.py"
        )
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
                known = runs[game].setdefault(method, {}).setdefault(seed, run)
                if not all(np.array_equal(*pair) for pair in zip(_columns(known), _columns(run), strict=True)):
                    raise ResultsError(f"{path} has two results of {game}, {method}, seed {seed}; move one away")
    for method in dict.fromkeys(method for _, about, _ in found for method in about["methods"]):
        using = [(folder, about["methods"][method]) for folder, about, _ in found if method in about["methods"]]
        _check_same([(folder, _method(method, described)) for folder, described in using])
        titles[method] = using[0][1]["title"]
    order = [method for method in methods.METHODS if method in titles]
    titles = {method: titles[method] for method in [*order, *(method for method in titles if method not in order)]}
    lengths = [
        run.iterations for of_game in runs.values() for of_method in of_game.values() for run in of_method.values()
    ]
    runs = {
        game: {
            method: {seed: run.until(min(lengths)) for seed, run in each.items()} for method, each in of_game.items()
        }
        for game, of_game in runs.items()
    }
    results = Results(runs, titles, abouts, found[0][1]["shared"], max(lengths))
    if not results.methods:
        raise ResultsError(
            f"no method in {path} is finished in all of {', '.join(runs)}; run the benchmark with --resume"
        )
    return results


def finished(
    path: str | os.PathLike,
    game: str,
    shared: Mapping[str, Any],
    described: Mapping[str, Mapping[str, Any]],
    iterations: int,
) -> set[tuple[str, int]]:
    """The (method, seed) of a game that need not be trained again.

    Args:
      shared: the options that this run's results share with all others.
      described: the methods of this run, each with all of its `settings` and its `terms`, which hold other code of its own, too.
      iterations: as many online iterations as they are to have at least.

    Raises:
      ResultsError: results there were made with other options or another commit or version, or a method of the same name with other settings or terms.
    """
    done = set()
    for folder, about, rows in _folders(Path(path), resume=True):
        here = Path("this run")
        _check_same([(folder, about["shared"] | _versions(about)), (here, _as_read(shared) | _versions(with_code({})))])
        for method in about["methods"].keys() & described.keys() if about["game"] == game else ():
            _check_same(
                [
                    (folder, _method(method, about["methods"][method])),
                    (here, _method(method, _as_read(described[method]))),
                ]
            )
            done |= {(method, seed) for each, seed in _runs(rows) if each == method and _online(rows) >= iterations}
    return done


def check_sources(path: str | os.PathLike, game: str, about: Mapping[str, Any]) -> None:
    """Raises ResultsError where results of the game were made with another teacher, its scores or other data."""
    found = [
        (folder, _sources(there)) for folder, there, _ in _folders(Path(path), resume=True) if there["game"] == game
    ]
    _check_same([*found, (Path("this run"), _sources(about))])


def scored_teacher(path: str | os.PathLike, game: str, episodes: int) -> dict[str, Any] | None:
    """What earlier results of the game say of its teacher, as `experiment.fitted` takes it; None where there are none.

    episodes: that it was scored in, which the results of one commit have in common.
    """
    for _, about, _ in _every(Path(path), resume=True):
        if about["game"] == game:
            scores = {"score": about["teacher_score"], "random_score": about["random_score"]}
            return scores | {"sha256": about["teacher_sha256"], "evaluation_episodes": episodes}
    return None


def _method(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a method's results, by names that say whose it is."""
    values = described["settings"] | {"terms": described["terms"]}
    return {f"{name}'s {setting}": value for setting, value in values.items()}


def _as_read(values: Mapping[str, Any]) -> Any:
    """As JSON gives it back: lists for tuples."""
    return json.loads(json.dumps(values))


def begun(path: str | os.PathLike, game: str, iterations: int) -> list[tuple[list[str], list[int]]]:
    """Methods and seeds of each program of a game that has fewer online iterations, as they were put together.

    A program that did not end is none any more where another has finished some of its runs: those would be there twice.
    """
    programs = [
        (list(about["methods"]), list(about["seeds"]), _online(rows), _online(rows) >= about["shared"]["iterations"])
        for _, about, rows in _every(Path(path), resume=True)
        if about["game"] == game and rows
    ]
    done = {(name, seed) for names, seeds, _, ended in programs if ended for name in names for seed in seeds}
    return [
        (names, seeds)
        for names, seeds, trained, ended in programs
        if trained < iterations and (ended or done.isdisjoint((name, seed) for name in names for seed in seeds))
    ]


def _folders(path: Path, resume: bool = False) -> Iterator[tuple[Path, dict[str, Any], list[dict[str, str]]]]:
    """As `_every`, of what is finished, whether or not it was then extended."""
    return (each for each in _every(path, resume) if _online(each[2]) >= each[1]["shared"]["iterations"])


def _online(rows: list[dict[str, str]]) -> int:
    """Online iterations that these metrics have."""
    return len({float(row["agent_steps"]) for row in rows} - {0.0})


def _every(path: Path, resume: bool) -> Iterator[tuple[Path, dict[str, Any], list[dict[str, str]]]]:
    """Folder, description and metrics of what was begun.

    resume: leave out metrics that are not as they were written, which the checkpoint beside them has.

    Raises ResultsError where a folder is not as the benchmark writes it.
    """
    for config in sorted(path.glob("*/*/config.json"), key=lambda config: (config.stat().st_mtime, config)):
        try:
            if not run_folder.metrics_are_whole(config.parent):
                if resume:
                    continue
                raise ResultsError("metrics.csv is not what its checksum says")
            about = _described(config)
            rows = _rows(config.with_name("metrics.csv"), about) if about else []
        except (OSError, UserError) as error:
            raise ResultsError(
                f"{config.parent} cannot be read ({error}); use --resume, and where that does not help move it away before"
            ) from None
        if about:
            yield config.parent, about, rows


@validation.validated
class _Method:
    title: str
    settings: dict[str, Any]
    terms: validation.sequence_of(str)


@validation.validated
class _About:
    """What is read of a folder's description; there may be more in it."""

    game: str
    shared: dict[str, Any]
    methods: dict[str, validation.nested(_Method)]
    seeds: validation.sequence_of(validation.Count)
    teacher_sha256: str
    data_sha256: str | None
    teacher_score: validation.Number
    random_score: validation.Number
    commit: str | None
    versions: dict[str, Any]


def _described(config: Path) -> dict[str, Any] | None:
    """A folder's description; None where it is of another program's. Raises UserError or OSError where it is damaged."""
    content = documents.read(config)[0]
    about = content.get("identity", content)  # the first release's configs were nothing else
    if not isinstance(about, dict) or about.get("kind") != KIND or not config.with_name("metrics.csv").exists():
        return None
    if "versions" not in about:
        raise ResultsError(
            f"written by release {about.get('version')}, whose results this one does not read; draw them with that release, or move them away"
        )
    known = {field.name for field in dataclasses.fields(_About)}
    found = validation.parse(_About, {name: value for name, value in about.items() if name in known})
    for name in ("frames", "iterations"):
        if type(found.shared.get(name)) is not int:
            raise ResultsError(f"shared.{name} is {found.shared.get(name)!r}; it must be an integer")
    return about


def _rows(metrics: Path, about: Mapping[str, Any]) -> list[dict[str, str]]:
    """The metrics, of which each run has the same moments once, and numbers that are some."""
    try:
        with metrics.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ResultsError(f"metrics.csv is no table: {error}") from None
    moments: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows, start=1):
        if row.get("method") not in about["methods"]:
            raise ResultsError(
                f"row {number} of metrics.csv is of the method {row.get('method')!r}, which config.json has not"
            )
        steps = int(_number(row, "agent_steps", number))
        for name in ("seed", "score", "lambda"):
            _number(row, name, number)
        moments.setdefault((row["method"], row["seed"]), []).append(steps)
    expected = next(iter(moments.values()), [])
    for (method, seed), steps in moments.items():
        online = [step for step in steps if step > 0]
        if steps != expected or online != sorted(set(online)):
            raise ResultsError(f"the rows of {method}, seed {seed}, in metrics.csv are not each iteration's once")
    return rows


def _number(row: Mapping[str, str | None], name: str, place: int) -> float:
    try:
        value = float(row[name])
    except (KeyError, TypeError, ValueError):
        raise ResultsError(f"{name} in row {place} of metrics.csv is {row.get(name)!r}; it must be a number") from None
    if not math.isfinite(value) or (name in ("seed", "agent_steps") and not (value >= 0 and value.is_integer())):
        raise ResultsError(f"{name} in row {place} of metrics.csv is {row[name]}; it must be a number that can be")
    return value


def _runs(rows: list[dict[str, str]]) -> dict[tuple[str, int], Run]:
    by_run: dict[tuple[str, int], list[dict[str, str]]] = {}
    for row in rows:
        by_run.setdefault((row["method"], int(float(row["seed"]))), []).append(row)

    def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    return {
        key: Run(column(rows, "agent_steps"), column(rows, "score"), column(rows, "lambda"))
        for key, rows in by_run.items()
    }


def _columns(run: Run) -> tuple[np.ndarray, ...]:
    return run.agent_steps, run.scores, run.coefficients


def _versions(about: Mapping[str, Any]) -> dict[str, Any]:
    return {"commit": about["commit"], "versions": about["versions"]}


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
