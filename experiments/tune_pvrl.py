"""The same small search for every method of the PVRL comparison: factors on each learning rate that it has.

    python experiments/tune_pvrl.py

Trains each method with both its rates times a factor, and with its rate after weaning times a factor, on seeds that the
benchmark does not use, and prints the mean scores of the last evaluations. All settings of a game are vmapped together.
"""

import dataclasses
from pathlib import Path

import benchmark_pvrl
import numpy as np

from purejaxrrl import benchmark_results, cli, methods, parallel, runs
from purejaxrrl.cli import option

SEARCHED = tuple(name for name in methods.COMPARED if name not in ("dagger", "q_learning_dagger"))
"""The two ablations are QDagger with its settings."""


@dataclasses.dataclass(frozen=True)
class Config:
    games: tuple[str, ...] = option(("breakout", "space_invaders"), "games, separated by commas")
    methods: tuple[str, ...] = option(SEARCHED, "methods, separated by commas")
    factors: tuple[float, ...] = option((1 / 3, 1.0, 3.0), "what a learning rate is multiplied by")
    output: str = option("runs/tune_pvrl", "folder to write to; what is finished there is kept")
    seed: int = option(100, "of the first run; the others follow")
    seeds: int = option(2, "runs of each game, method and factor")
    frames: int = option(100_000, "environment frames that a student plays")
    evaluation_episodes: int = option(32, "episodes of an evaluation")
    last: int = option(3, "evaluations at the end whose mean is the score")

    def __post_init__(self):
        for name in ("games", "methods", "factors"):
            if not getattr(self, name):
                raise ValueError(f"--{name} is empty; give at least one")
        if not 1 <= self.last <= benchmark_pvrl.Config.iterations:
            raise ValueError(f"--last is {self.last}; it must lie between 1 and {benchmark_pvrl.Config.iterations}")


def settings(config: Config, method: str) -> list[tuple[float, float]]:
    """The (factor on all rates, further factor on the rate after weaning) that a method is tried with."""
    both = [(factor, 1.0) for factor in config.factors]
    weaned = [(1.0, factor) for factor in config.factors if factor != 1.0]
    return both + weaned * (methods.number_of_rates(method) == 2)


def variant(method: str, factor: float, weaned_factor: float) -> str:
    """The name of a method with its rates times the factors; adds it to those that are known."""
    name = f"{method}_rates_{factor:.2g}_weaned_{weaned_factor:.2g}"
    if name not in methods.METHODS:
        title = f"{methods.named(method).title}, {factor:.2g}, {weaned_factor:.2g}"
        methods.add(name, title, method, **methods.with_rates(method, factor, weaned_factor))
    return name


def table(config: Config, results: benchmark_results.Results) -> str:
    """Markdown: the mean over games, seeds and last evaluations of the score, a row a setting, the best of a method marked."""
    lines = [
        f"| method | rate, with lambda 1 | with lambda 0 | score | {' | '.join(results.games)} |",
        "| --- |" + " --- |" * (3 + len(results.games)),
    ]
    for method in config.methods:
        found = [
            (
                results.scores(variant(method, *pair))[..., -config.last :].mean((0, 2)),
                methods.with_rates(method, *pair),
            )
            for pair in settings(config, method)
        ]
        best = max(np.mean(by_game) for by_game, _ in found)
        for by_game, rates in found:
            score = f"{np.mean(by_game):.2f}" + (" (best)" if np.mean(by_game) == best else "")
            cells = [methods.named(method).title, *(f"{rate:.2g}" for rate in rates.values()), score]
            lines.append(f"| {' | '.join([*cells, *(f'{one:.2f}' for one in by_game)])} |")
    return "\n".join(lines)


def main() -> None:
    parallel.use_cores()
    config = cli.parse(Config, __doc__)
    with cli.user_errors():
        names = tuple(variant(method, *pair) for method in config.methods for pair in settings(config, method))
        shared = {
            name: getattr(config, name)
            for name in ("games", "output", "seed", "seeds", "frames", "evaluation_episodes")
        }
        benchmark = benchmark_pvrl.Config(methods=names, resume=True, **shared)
        benchmark_pvrl.train_all(benchmark)
        text = table(config, benchmark_results.load(config.output, config.games))
    runs.write_text(Path(config.output) / "tuning.md", text + "\n")
    print(f"\nmean score of the last {config.last} evaluations, games and seeds\n\n{text}")


if __name__ == "__main__":
    main()
