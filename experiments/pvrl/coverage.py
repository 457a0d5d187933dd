"""What RLiable's 95% intervals cover with few seeds: scores are drawn from known distributions, and those with the truth inside counted.

    python experiments/pvrl/coverage.py                             # five games alike, standard normal scores
    python experiments/pvrl/coverage.py --results runs/confirmation # normal, with means, deviations and correlations of these results

A percentile bootstrap interval of few seeds is too narrow: a sample varies less than what it was drawn from.
"""

import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np
import results as written
import tables

from purejaxrrl.errors import UserError
from purejaxrrl.evaluation.statistics import interquartile_mean
from purejaxrrl.runs import command_line
from purejaxrrl.runs.experiment import MOST_SEEDS
from purejaxrrl.students.hyperparameters import declare, option


@declare
class Config:
    results: str = option("", "folder of a comparison whose scores are imitated; empty: standard normal ones")
    method: str = option("qdagger", "method whose scores are imitated")
    other: str = option("kickstarting", "method that it is paired with")
    games: int = option(5, "number of games, where there are no results", minimum=1, maximum=1_000)
    seeds: tuple[int, ...] = option((5, 10), "numbers of seeds, separated by commas")
    simulations: int = option(2_000, "number of samples of each number of seeds", minimum=1)
    replications: int = option(1_000, "number of replications of each bootstrap", minimum=1)

    def __post_init__(self):
        if not self.seeds or not all(1 <= number <= MOST_SEEDS for number in self.seeds):
            raise UserError(f"seeds is {self.seeds}; give numbers between 1 and {MOST_SEEDS}")


@dataclasses.dataclass(frozen=True)
class Population:
    """Two methods' scores in each game: normal, correlated within a pair. All `[games]`."""

    means: np.ndarray
    deviations: np.ndarray
    other_means: np.ndarray
    other_deviations: np.ndarray
    correlations: np.ndarray

    def draw(self, generator: np.random.Generator, seeds: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of scores, `[seeds, games]` each."""
        own, others = generator.normal(size=(2, seeds, len(self.means)))
        related = self.correlations * own + np.sqrt(1.0 - self.correlations**2) * others
        return self.means + self.deviations * own, self.other_means + self.other_deviations * related

    def of(self, games: Sequence[int]) -> "Population":
        """Those games alone."""
        return Population(*(getattr(self, field.name)[list(games)] for field in dataclasses.fields(self)))

    def truth(self) -> tuple[float, float]:
        """The IQMs of infinitely many seeds."""
        points = 10_001
        normal = np.array([statistics.NormalDist().inv_cdf((place + 0.5) / points) for place in range(points)])[:, None]
        return (
            interquartile_mean(self.means + self.deviations * normal),
            interquartile_mean(self.other_means + self.other_deviations * normal),
        )


def standard(games: int) -> Population:
    """Games alike, and pairs that share nothing."""
    zeros, ones = np.zeros(games), np.ones(games)
    return Population(zeros, ones, zeros, ones, zeros)


def measured(results: written.Results, method: str, other: str) -> Population:
    """Of a comparison's last scores. Raises ResultsError where there are not two seeds of both methods in every game."""
    for name in (method, other):
        if name not in results.methods:
            raise written.ResultsError(f"there are no results of {name!r}; there are of {', '.join(results.methods)}")
    ours, theirs = results.pairs(method, other, results.games)
    if len(ours) < 2:
        raise written.ResultsError(f"{method} and {other} have one seed in common; deviations take two")
    correlations = [np.corrcoef(*pair)[0, 1] for pair in zip(ours.T, theirs.T, strict=True)]
    return Population(
        ours.mean(0), ours.std(0, ddof=1), theirs.mean(0), theirs.std(0, ddof=1), np.nan_to_num(correlations)
    )


def _interquartile_means(scores: np.ndarray) -> np.ndarray:
    """`interquartile_mean` of each of `[replications, seeds, games]`."""
    flat = np.sort(scores.reshape(len(scores), -1), axis=1)
    cut = flat.shape[1] // 4
    return flat[:, cut : flat.shape[1] - cut].mean(1)


def covered(population: Population, seeds: int, simulations: int, replications: int) -> tuple[float, float]:
    """The shares of simulated samples whose interval has the truth inside: of the IQM, and of the paired difference of IQMs."""
    generator = np.random.default_rng(0)
    own_truth, other_truth = population.truth()
    truths = np.array([own_truth, own_truth - other_truth])
    inside = np.zeros(2)
    games = np.arange(len(population.means))
    for _ in range(simulations):
        ours, theirs = population.draw(generator, seeds)
        places = generator.integers(seeds, size=(replications, *ours.shape)), games
        own = _interquartile_means(ours[places])
        low, high = np.percentile([own, own - _interquartile_means(theirs[places])], [2.5, 97.5], axis=1)
        inside += (low <= truths) & (truths <= high)
    return tuple(inside / simulations)


def table(config: Config, population: Population, names: Sequence[str]) -> str:
    """Markdown: a row for each game, or for one where all are alike, and one for all together; two columns a number of seeds."""
    parts = {name: [number] for number, name in enumerate(names)} | {
        f"all {len(population.means)}": range(len(population.means))
    }
    titles = [
        "95% interval of",
        *(f"{what}, {seeds} seeds" for seeds in config.seeds for what in ("IQM", "paired difference")),
    ]
    rows = []
    for name, games in parts.items():
        cells = [name]
        for seeds in config.seeds:
            shares = covered(population.of(games), seeds, config.simulations, config.replications)
            cells += [f"{share:.1%}" for share in shares]
        rows.append(cells)
    return tables.markdown(titles, rows)


def main() -> None:
    (config,) = command_line.parse((Config,), __doc__)
    with command_line.user_errors("the same command starts again"):
        if config.results:
            results = written.load(config.results)
            population, names = measured(results, config.method, config.other), results.games
        else:
            population, names = standard(config.games), ["one game"]
        error = np.sqrt(0.9 * 0.1 / config.simulations)
        print(f"{table(config, population, names)}\n\nstandard error of a share that is 90%: {error:.1%}")


if __name__ == "__main__":
    main()
