"""The same small search for every method of the PVRL comparison: its learning rates, one after the other.

    python experiments/tune_pvrl.py                              # on 2 CPU cores about an hour
    python experiments/tune_pvrl.py --methods qdagger,dqfd

First the rate after weaning (the only one of students that have no teacher's loss and no data), then, on fewer games, the
rate with lambda 1 and in the offline phase, on seeds that the benchmark does not use. Space Invaders is left to the benchmark.
Prints the mean scores of the last evaluations. What is finished in the output folder is kept, so that further values can be
tried.
"""

import dataclasses
from pathlib import Path

import benchmark_pvrl
import numpy as np

from purejaxrrl import benchmark_results, cli, methods, parallel, runs
from purejaxrrl.cli import option

SEARCHED = tuple(name for name in methods.COMPARED if name not in ("dagger", "q_learning_dagger"))
"""The two ablations are QDagger with its settings."""

Rates = tuple[float, float]
"""The learning rates with lambda 1, which is that of the offline phase, and with lambda 0."""


@dataclasses.dataclass(frozen=True)
class Config:
    games: tuple[str, ...] = option(("asterix", "breakout", "freeway", "seaquest"), "games for the rate after weaning")
    second_games: tuple[str, ...] = option(("asterix", "breakout"), "games for the rate with lambda 1")
    methods: tuple[str, ...] = option(SEARCHED, "methods, separated by commas")
    rates: tuple[float, ...] = option((1.5e-4, 5e-4, 1.5e-3), "learning rates with lambda 1")
    weaned_rates: tuple[float, ...] = option((1.5e-5, 5e-5, 1.5e-4, 5e-4), "learning rates after weaning")
    first_rate: float = option(5e-4, "the rate with lambda 1 while that after weaning is searched")
    output: str = option("runs/tune_pvrl", "folder to write to; what is finished there is kept")
    seed: int = option(100, "of the first run; the others follow")
    seeds: int = option(2, "runs of each game, method and setting")
    frames: int = option(100_000, "environment frames that a student plays")
    evaluation_steps: int = option(20_000, "agent steps of an evaluation")
    last: int = option(3, "evaluations at the end whose mean is the score")

    def __post_init__(self):
        for name in ("games", "second_games", "methods", "rates", "weaned_rates"):
            if not getattr(self, name):
                raise ValueError(f"--{name.replace('_', '-')} is empty; give at least one")
        for rate in (*self.rates, *self.weaned_rates, self.first_rate):
            if not rate > 0:
                raise ValueError(f"a learning rate of {rate}; it must be more than 0")
        if not 1 <= self.last <= benchmark_pvrl.Config.iterations:
            raise ValueError(f"--last is {self.last}; it must lie between 1 and {benchmark_pvrl.Config.iterations}")


def first_settings(config: Config, method: str) -> list[Rates]:
    """What a method is tried with before anything is known; one with a single rate has all of both lists."""
    if methods.has_two_rates(method):
        return [(config.first_rate, weaned) for weaned in config.weaned_rates]
    return [(rate, rate) for rate in sorted({*config.rates, *config.weaned_rates})]


def second_settings(config: Config, method: str, weaned: float) -> list[Rates]:
    """What it is tried with once the rate after weaning is chosen."""
    return [(rate, weaned) for rate in config.rates] * methods.has_two_rates(method)


def variant(method: str, rates: Rates) -> str:
    """The name of a method with other rates; adds it to those that are known."""
    name = f"{method}_rates_{rates[0]:.2g}_{rates[1]:.2g}"
    if name not in methods.METHODS:
        title = f"{methods.named(method).title}, {rates[0]:.2g}, {rates[1]:.2g}"
        methods.add(name, title, method, learning_rate=rates[0], weaned_learning_rate=rates[1])
    return name


Scores = dict[str, dict[Rates, np.ndarray]]
"""Mean scores `[games]` by method and rates."""


def train(config: Config, games: tuple[str, ...], settings: dict[str, list[Rates]]) -> Scores:
    """Trains what is not in the results yet."""
    shared = {name: getattr(config, name) for name in ("output", "seed", "seeds", "frames", "evaluation_steps")}
    names = tuple(variant(method, rates) for method, tried in settings.items() for rates in tried)
    benchmark_pvrl.train_all(benchmark_pvrl.Config(games=games, methods=names, resume=True, **shared))
    results = benchmark_results.load(config.output, games)
    return {
        method: {rates: results.scores(variant(method, rates))[..., -config.last :].mean((0, 2)) for rates in tried}
        for method, tried in settings.items()
    }


def best(scores: dict[Rates, np.ndarray]) -> Rates:
    """The rates with the highest mean over games."""
    return max(scores, key=lambda rates: scores[rates].mean())


def search(config: Config) -> tuple[Scores, Scores]:
    """What was found of the rates after weaning, and, with the best of those, of the rates with lambda 1."""
    first = train(config, config.games, {method: first_settings(config, method) for method in config.methods})
    further = {method: second_settings(config, method, best(scores)[1]) for method, scores in first.items()}
    further = {method: tried for method, tried in further.items() if tried}
    return first, train(config, config.second_games, further) if further else {}


def table(games: tuple[str, ...], found: Scores) -> str:
    """Markdown: the mean over games, seeds and last evaluations of the score, a row a setting, the best of a method marked."""
    lines = [
        f"| method | rate, with lambda 1 | with lambda 0 | score | {' | '.join(games)} |",
        "| --- |" + " --- |" * (3 + len(games)),
    ]
    for method, scores in found.items():
        for rates, by_game in scores.items():
            score = f"{by_game.mean():.2f}" + " (best)" * (rates == best(scores))
            first = f"{rates[0]:.2g}" if methods.has_two_rates(method) else ""
            cells = [methods.named(method).title, first, f"{rates[1]:.2g}", score, *(f"{one:.2f}" for one in by_game)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def report(config: Config, first: Scores, second: Scores) -> str:
    """Markdown of both parts."""
    parts = [f"The rate after weaning:\n\n{table(config.games, first)}"]
    if second:
        parts.append(f"The rate with lambda 1:\n\n{table(config.second_games, second)}")
    return "\n\n".join(parts)


def main() -> None:
    parallel.use_cores()
    config = cli.parse(Config, __doc__)
    with cli.user_errors():
        text = report(config, *search(config))
    runs.write_text(Path(config.output) / "tuning.md", text + "\n")
    print(f"\nmean score of the last {config.last} evaluations, games and seeds\n\n{text}")


if __name__ == "__main__":
    main()
