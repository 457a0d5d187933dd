"""The same search for every method of the PVRL comparison: its rates, one after the other, then one coefficient of its own.

    python experiments/pvrl/tune_pvrl.py --plan                       # what it would train, and which search saw which game
    python experiments/pvrl/tune_pvrl.py                              # on 2 CPU cores three hours
    python experiments/pvrl/tune_pvrl.py --methods qdagger,dqfd

First the rate after weaning (the only one of students that have no teacher's loss and no data); then, on fewer games, the rate with
lambda 1 and in the offline phase; then, with the best of these, the coefficient; last, with QDagger's best, our rules of weaning. Where
the best of a grid lies at its end, the next value beyond it is tried, too. Seeds are not the comparison's. Prints the mean scores of
the last evaluations, and beside what was found what the methods have (methods.py, and QDagger in purejaxrrl/students/presets.py). What
is finished in the output folder is kept, so that a search that was stopped goes on, and further values can be tried.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import benchmark_pvrl
import methods
import numpy as np
import results as written
import searches
import suites
import tables

from purejaxrrl.environments import minatar
from purejaxrrl.errors import UserError
from purejaxrrl.runs import command_line, compilations, devices, experiment, run_folder
from purejaxrrl.students.hyperparameters import declaration, declare, option
from purejaxrrl.students.presets import PAPERS_BUDGET, Share

RULES = "qdagger_bound", "qdagger_reversible", "qdagger_bound_reversible", "qdagger_disagreement"
"""QDagger with rules of weaning of ours, whose other settings are QDagger's."""
_AS_QDAGGER = "dagger", "q_learning_dagger", "qdagger_to_the_end"
"""QDagger with its settings but for what their names say."""
SEARCHED = tuple(name for name in methods.COMPARED if name not in (*_AS_QDAGGER, *RULES))
LADDER = 1.5e-6, 5e-6, 1.5e-5, 5e-5, 1.5e-4, 5e-4, 1.5e-3, 5e-3, 1.5e-2
"""The learning rates that a grid goes on with where its best is at its end."""

Trial = tuple[tuple[str, Any], ...]
"""What a method is tried with: settings and their values."""
Scores = dict[str, dict[Trial, np.ndarray]]
"""Mean scores `[games]` by method and trial."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Trials of which `first` are tried at first; where they are `ordered`, their neighbours are if the best is at an end."""

    trials: tuple[Trial, ...]
    first: tuple[Trial, ...]
    ordered: bool = True


def ladder(names: Sequence[str], values: Sequence[float], first: Sequence[float]) -> Grid:
    """One coefficient, which `names` all are set to."""
    trials = {value: tuple((name, value) for name in names) for value in values}
    return Grid(tuple(trials.values()), tuple(trials[value] for value in first))


def options(*trials: Mapping[str, Any]) -> Grid:
    """Settings that have no order."""
    listed = tuple(tuple(trial.items()) for trial in trials)
    return Grid(listed, listed, ordered=False)


_TEMPERATURE = ladder(("teacher_temperature", "student_temperature"), (0.03, 0.1, 0.3, 1.0, 3.0), (0.1, 0.3, 1.0))
_ROLL_IN = ladder(("roll_in_steps",), (3, 10, 30, 100, 300, 1000), (30, 100, 300))
COEFFICIENTS = {
    "kickstarting": _TEMPERATURE,
    "jsrl": _ROLL_IN,
    "jsrl_released": _ROLL_IN,
    "rehearsal": ladder(("rehearsal_fraction",), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4), (1 / 16, 1 / 8, 1 / 4, 1 / 2)),
    "pretraining": ladder(("cql_coefficient",), (0.03, 0.1, 0.3, 1.0, 3.0, 10.0), (0.3, 1.0, 3.0)),
    "dqfd": ladder(("margin",), (0.03, 0.1, 0.3, 1.0, 3.0, 10.0), (0.3, 1.0, 3.0)),
    "qdagger": _TEMPERATURE,
}  # fmt: skip
"""The one coefficient of each method; students that learn from nothing have none."""
RULE_OPTIONS = {
    "qdagger_bound": options(
        {"weaning_evaluations": 2, "weaning_confidence": 0.0},
        {"weaning_evaluations": 3, "weaning_confidence": 0.0},
        {"weaning_evaluations": 2, "weaning_confidence": 1.0},
        {"weaning_evaluations": 3, "weaning_confidence": 1.0},
    ),
    "qdagger_reversible": options({"weaning_steps": Share(1_500_000)}, {"weaning_steps": methods.TO_THE_END}),
    "qdagger_bound_reversible": options(
        {"weaning_evaluations": 2, "weaning_confidence": 0.0},
        {"weaning_evaluations": 3, "weaning_confidence": 0.0},
        {"weaning_evaluations": 3, "weaning_confidence": 1.0},
    ),
    "qdagger_disagreement": ladder(("weaning_disagreement",), (0.05, 0.1, 0.2, 0.4, 0.8), (0.1, 0.2, 0.4)),
}


WEANED, FIRST, OWN = "the rate after weaning, or the only one", "the rate with lambda 1", "a coefficient of its own"
RULE = "the rule of weaning"


@declare
class Config:
    games: tuple[str, ...] = option(
        searches.LAST_SEARCHED,
        "games on which the rate after weaning and coefficients are searched, separated by commas",
    )
    second_games: tuple[str, ...] = option(
        ("asterix", "breakout"), "games on which the rate with lambda 1 is searched, separated by commas"
    )
    rule_games: tuple[str, ...] = option(
        minatar.GAMES, "games on which the rules of weaning are searched, separated by commas"
    )
    methods: tuple[str, ...] = option(
        SEARCHED,
        "methods whose rates and coefficients are searched, separated by commas; empty: the rules of weaning alone, of QDagger as it is",
    )
    rules: tuple[str, ...] = option(
        RULES,
        "QDagger's variants whose rule of weaning is searched, separated by commas, where methods has qdagger or is empty",
    )
    rates: tuple[float, ...] = option((1.5e-4, 5e-4, 1.5e-3), "learning rates with lambda 1 to try")
    weaned_rates: tuple[float, ...] = option((1.5e-5, 5e-5, 1.5e-4, 5e-4), "learning rates after weaning to try")
    first_rate: float = option(5e-4, "learning rate with lambda 1 while that after weaning is searched")
    extensions: int = option(
        2,
        "number of values at most by which a grid is extended where its best is at an end",
        minimum=0,
        maximum=len(LADDER),
    )
    plan: bool = option(False, "train nothing; say what would be trained, and which search saw which game")
    output: str = option("runs/tune_pvrl", "folder to write to; what is finished there is kept")
    seed: int = option(100, "seed of the first run; further runs have the numbers after it", minimum=0)
    seeds: int = option(2, "number of runs of each game, method and setting", minimum=1, maximum=experiment.MOST_SEEDS)
    frames: int = option(100_000, "environment frames that a student plays", minimum=1)
    evaluation_steps: int = option(20_000, "agent steps of the evaluation after each iteration", minimum=1)
    last: int = option(3, "number of evaluations at a run's end whose mean is its score", minimum=1)

    def __post_init__(self):
        for name in ("games", "second_games", "rule_games", "rates", "weaned_rates"):
            if not getattr(self, name):
                raise UserError(f"{name} is empty; give at least one")
        on_atari = [
            game for game in (*self.games, *self.second_games, *self.rule_games) if game.startswith(suites.ATARI)
        ]
        if on_atari:
            raise UserError(
                f"{on_atari[0]} is an Atari game; settings are searched on MinAtar only (on Atari they are the paper's)"
            )
        if not self.methods and not self.rules:
            raise UserError("methods and rules are empty; give at least one method, or one rule")
        if strange := [name for name in self.rules if name not in RULE_OPTIONS]:
            raise UserError(f"rules is {self.rules}; {strange[0]!r} is none of {', '.join(RULE_OPTIONS)}")
        self.trained(dict.fromkeys([*self.games, *self.second_games, *self.rule_games]), (*self.methods, *self.rules))
        for name, rates in (
            ("rates", self.rates),
            ("weaned_rates", self.weaned_rates),
            ("first_rate", [self.first_rate]),
        ):
            if not min(rates) > 0:
                raise UserError(f"{name} is {getattr(self, name)}; a learning rate must be more than 0")
        iterations = declaration(benchmark_pvrl.Config, "iterations").default
        if self.last > iterations:
            raise UserError(f"last is {self.last}; it must lie between 1 and {iterations}")

    @property
    def searched_rules(self) -> tuple[str, ...]:
        return self.rules if not self.methods or "qdagger" in self.methods else ()

    def trained(self, games: Iterable[str], names: Iterable[str]) -> benchmark_pvrl.Config:
        """The comparison that trains these methods on these games. Raises UserError where it would not."""
        shared = {name: getattr(self, name) for name in ("output", "seed", "seeds", "frames", "evaluation_steps")}
        return benchmark_pvrl.Config(games=tuple(games), methods=tuple(names), resume=True, **shared)


def rates_trial(rate: float, weaned: float) -> Trial:
    """The learning rates with lambda 1, which is that of the offline phase, and with lambda 0."""
    return (("learning_rate", rate), ("weaned_learning_rate", weaned))


def _rates_grid(values: Sequence[float], trial: Any) -> Grid:
    """Rates, and those of the ladder beyond their ends."""
    given = sorted(set(values))
    beyond = [rate for rate in LADDER if not given[0] <= rate <= given[-1]]
    return Grid(tuple(trial(rate) for rate in sorted([*given, *beyond])), tuple(trial(rate) for rate in given))


def weaned_grid(config: Config, method: str) -> Grid:
    """The rate after weaning, before anything is known; one with a single rate has all of both lists."""
    if methods.has_two_rates(method):
        return _rates_grid(config.weaned_rates, lambda weaned: rates_trial(config.first_rate, weaned))
    return _rates_grid([*config.rates, *config.weaned_rates], lambda rate: rates_trial(rate, rate))


def first_rate_grid(config: Config, weaned: float) -> Grid:
    """The rate with lambda 1, once that after weaning is chosen."""
    return _rates_grid(config.rates, lambda rate: rates_trial(rate, weaned))


def variant(method: str, trial: Trial) -> str:
    """The name of a method with other settings, which is its own where they are; adds it to those that are known."""
    changes = tuple(sorted((name, value) for name, value in trial if methods.setting(method, name) != value))
    if not changes:
        return method
    name = f"{method}_{hashlib.sha256(repr(changes).encode()).hexdigest()[:8]}"
    if name not in methods.METHODS:
        methods.add(name, f"{methods.named(method).title}, {described(changes)}", method, **dict(changes))
    return name


def described(trial: Trial) -> str:
    """The trial in words."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {plain(value)}" for name, value in trial
    )


def plain(value: Any) -> str:
    return f"{value.papers / PAPERS_BUDGET:.0%} of the steps" if isinstance(value, Share) else str(value)


def train(config: Config, games: tuple[str, ...], trials: dict[str, list[Trial]]) -> Scores:
    """Trains what is not in the results yet."""
    names = tuple(variant(method, trial) for method, tried in trials.items() for trial in tried)
    benchmark_pvrl.train_all(config.trained(games, names))
    results = written.load(config.output, games)
    return {
        method: {trial: _score(config, results, games, variant(method, trial)) for trial in tried}
        for method, tried in trials.items()
    }


def _score(config: Config, results: written.Results, games: Sequence[str], name: str) -> np.ndarray:
    """Mean of the last evaluations of the search's seeds, `[games]`."""
    seeds = range(config.seed, config.seed + config.seeds)
    runs = [[results.runs[game][name][seed].scores[-config.last :] for seed in seeds] for game in games]
    return np.mean(runs, axis=(1, 2))


def best(scores: dict[Trial, np.ndarray]) -> Trial:
    """The trial with the highest mean over games."""
    return max(scores, key=lambda trial: scores[trial].mean())


def beyond(grid: Grid, scores: dict[Trial, np.ndarray]) -> Trial | None:
    """What to try next: the neighbour of the best that is not tried yet."""
    if not grid.ordered:
        return None
    place = grid.trials.index(best(scores))
    neighbours = grid.trials[max(place - 1, 0) : place + 2]
    return next((trial for trial in neighbours if trial not in scores), None)


def explored(config: Config, games: tuple[str, ...], grids: dict[str, Grid], base: dict[str, Trial]) -> Scores:
    """The grids' trials, each beside the settings that `base` has of its method, extended where the best is at an end."""
    found: Scores = {method: {} for method in grids}
    wanted = {method: list(grid.first) for method, grid in grids.items()}
    for _ in range(config.extensions + 1):
        full = {method: [_joined(base.get(method, ()), trial) for trial in trials] for method, trials in wanted.items()}
        scores = train(config, games, full)
        for method, trials in wanted.items():
            found[method] |= {trial: scores[method][joined] for trial, joined in zip(trials, full[method], strict=True)}
        following = {method: beyond(grid, found[method]) for method, grid in grids.items()}
        wanted = {method: [trial] for method, trial in following.items() if trial is not None}
        if not wanted:
            break
    return {
        method: {trial: scores[trial] for trial in grids[method].trials if trial in scores}
        for method, scores in found.items()
    }


def _joined(base: Trial, trial: Trial) -> Trial:
    return tuple((dict(base) | dict(trial)).items())


@dataclasses.dataclass(frozen=True)
class Stage:
    """One part of the search: what of, on which games, what was found, and what each method has after it.

    unbounded: the methods whose best is at an end of what was tried, as often as the grid was extended.
    """

    what: str
    games: tuple[str, ...]
    scores: Scores
    settings: dict[str, Trial]
    unbounded: frozenset[str] = frozenset()


def search(config: Config) -> list[Stage]:
    """All parts, each with the best of those before it."""
    stages: list[Stage] = []
    settings: dict[str, Trial] = {}

    def stage(what: str, games: tuple[str, ...], grids: dict[str, Grid]) -> None:
        if not grids:
            return
        scores = explored(config, games, grids, settings)
        settings.update({method: _joined(settings.get(method, ()), best(found)) for method, found in scores.items()})
        unbounded = frozenset(method for method, found in scores.items() if beyond(grids[method], found))
        stages.append(Stage(what, games, scores, dict(settings), unbounded))

    stage(WEANED, config.games, {method: weaned_grid(config, method) for method in config.methods})
    two = [method for method in config.methods if methods.has_two_rates(method)]
    weaned = {method: dict(settings[method])["weaned_learning_rate"] for method in two}
    stage(FIRST, config.second_games, {method: first_rate_grid(config, weaned[method]) for method in two})
    own = [method for method in config.methods if method in COEFFICIENTS]
    stage(OWN, config.games, {method: COEFFICIENTS[method] for method in own})
    settings |= {rule: settings.get("qdagger", ()) for rule in config.searched_rules}
    stage(RULE, config.rule_games, {rule: RULE_OPTIONS[rule] for rule in config.searched_rules})
    return stages


def planned(config: Config) -> list[searches.Search]:
    """This search as a row of the table that says which search saw which game."""
    seeds = f"{config.seed} to {config.seed + config.seeds - 1}"
    names = {
        WEANED: (config.methods, config.games),
        FIRST: ([method for method in config.methods if methods.has_two_rates(method)], config.second_games),
        OWN: ([method for method in config.methods if method in COEFFICIENTS], config.games),
        RULE: (config.searched_rules, config.rule_games),
    }
    everything = tuple(SEARCHED)
    return [
        searches.Search(what, "all" if tuple(searched) == everything else ", ".join(searched), games, seeds, "this one")
        for what, (searched, games) in names.items()
        if searched
    ]


def runs_of(config: Config) -> int:
    """How many students it trains, at most, before any grid is extended."""
    two = [method for method in config.methods if methods.has_two_rates(method)]
    own = [method for method in config.methods if method in COEFFICIENTS]
    settings = (
        len(config.games) * sum(len(weaned_grid(config, method).first) for method in config.methods)
        + len(config.second_games) * len(two) * len(set(config.rates))
        + len(config.games) * sum(len(COEFFICIENTS[method].first) for method in own)
        + len(config.rule_games) * sum(len(RULE_OPTIONS[rule].first) for rule in config.searched_rules)
    )
    return settings * config.seeds


def table(stage: Stage) -> str:
    """Markdown: the mean over games, seeds and last evaluations of the score, a row a trial, the best of a method marked."""
    rows = []
    for method, scores in stage.scores.items():
        mark = " (best, at the grid's end)" if method in stage.unbounded else " (best)"
        for trial, by_game in scores.items():
            score = f"{by_game.mean():.2f}" + mark * (trial == best(scores))
            rows.append([methods.named(method).title, described(trial), score, *(f"{one:.2f}" for one in by_game)])
    return tables.markdown(["method", "with", "score", *stage.games], rows)


def frozen(stages: Sequence[Stage]) -> str:
    """Markdown: every setting that was found, and what the method has; those that differ are to be written there."""
    rows = []
    for method, trial in (stages[-1].settings if stages else {}).items():
        for name, value in trial:
            if name == "learning_rate" and not methods.has_two_rates(method):
                continue
            has = methods.setting(method, name)
            rows.append([method, name, plain(has), plain(value) + " (other)" * (has != value)])
    return tables.markdown(["method", "setting", "has", "found"], rows)


def report(config: Config, stages: Sequence[Stage]) -> str:
    """Markdown of all parts."""
    parts = [f"{stage.what.capitalize()}:\n\n{table(stage)}" for stage in stages]
    parts.append(f"What it found:\n\n{frozen(stages)}")
    parts.append(f"Which search saw which game:\n\n{searches.table([*searches.EARLIER, *planned(config)])}")
    return "\n\n".join(parts)


def main() -> None:
    devices.use_cores()
    compilations.keep()
    (config,) = command_line.parse((Config,), __doc__)
    if config.plan:
        print(f"{runs_of(config):,} students at most, before any grid is extended\n")
        print(searches.table([*searches.EARLIER, *planned(config)]))
        return
    with command_line.user_errors("the same command goes on with what is not finished"):
        searched = {name: getattr(config, name) for name in ("frames", "evaluation_steps")}
        about = {"program": "tune_pvrl", "shared": searched}
        run_folder.check_resumable(config.output, about, unknown=set())
        games = dict.fromkeys([*config.games, *config.second_games, *config.rule_games])
        benchmark_pvrl.check_games(config.trained(games, (*config.methods, *config.searched_rules)))
        with experiment.results_folder(config.output, about, resume=True):
            text = report(config, search(config))
        run_folder.write_text(Path(config.output) / "tuning.md", text + "\n")
    print(f"\nmean score of the last {config.last} evaluations, games and seeds\n\n{text}")


if __name__ == "__main__":
    main()
