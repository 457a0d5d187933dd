"""The same small search for every method of the PVRL comparison: a factor on its learning rates.

    python experiments/tune_pvrl.py

Trains each method with its rates times each factor, on seeds that the benchmark does not use, and prints the final scores.
"""

import dataclasses
from pathlib import Path

import benchmark_pvrl
import numpy as np

from purejaxrrl import benchmark_results, cli, evaluation, methods, parallel, runs
from purejaxrrl.cli import option


@dataclasses.dataclass(frozen=True)
class Config:
    games: tuple[str, ...] = option(("asterix", "breakout"), "games, separated by commas")
    methods: tuple[str, ...] = option(methods.COMPARED, "methods, separated by commas")
    factors: tuple[float, ...] = option((1.0, 3.0), "what the learning rates are multiplied by")
    output: str = option("runs/tune_pvrl", "folder to write to; what is finished there is kept")
    seed: int = option(100, "of the first run; the others follow")
    seeds: int = option(2, "runs of each game, method and factor")
    frames: int = option(50_000, "environment frames that a student plays")
    evaluation_episodes: int = option(32, "episodes of an evaluation")


def variant(method: str, factor: float) -> str:
    """The name of a method with its rates times `factor`; adds it to those that are known."""
    name = f"{method}_rates_times_{factor:g}"
    if name not in methods.METHODS:
        methods.add(name, f"{methods.named(method).title}, x {factor:g}", method, **methods.with_rates(method, factor))
    return name


def table(config: Config, results: benchmark_results.Results) -> str:
    """Markdown: the mean over games and seeds of the final score, a row a method, a column a factor."""
    lines = [
        f"| method | {' | '.join(f'x {factor:g}' for factor in config.factors)} |",
        "| --- |" + " --- |" * len(config.factors),
    ]
    for method in config.methods:
        finals = [results.scores(variant(method, factor))[..., -1] for factor in config.factors]
        by_game = [" ".join(f"{score:.2f}" for score in np.mean(final, axis=0)) for final in finals]
        cells = [f"{evaluation.mean(final):.2f} ({games})" for final, games in zip(finals, by_game, strict=True)]
        lines.append(f"| {methods.named(method).title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parallel.use_cores()
    config = cli.parse(Config, __doc__)
    with cli.user_errors():
        names = tuple(variant(method, factor) for method in config.methods for factor in config.factors)
        shared = {
            name: getattr(config, name)
            for name in ("games", "output", "seed", "seeds", "frames", "evaluation_episodes")
        }
        benchmark = benchmark_pvrl.Config(methods=names, resume=True, **shared)
        benchmark_pvrl.train_all(benchmark)
        text = table(config, benchmark_results.load(config.output))
    runs.write_text(Path(config.output) / "tuning.md", text + "\n")
    print(f"\nfinal score, mean over games and seeds ({', '.join(config.games)})\n\n{text}")


if __name__ == "__main__":
    main()
