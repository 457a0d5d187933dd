"""QDagger against tabula rasa DQN, the same network and number of frames: the README's table.

    python experiments/compare_tabula_rasa.py

Each game and method is one program that trains all seeds; what is finished is kept, and --resume goes on with the rest.
Tabula rasa is the same code without teacher data and distillation, exploring as DQN does at first.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import reincarnate

from purejaxrrl import cli, evaluation, parallel, runs, teachers
from purejaxrrl.cli import option
from purejaxrrl.environments import minatar
from purejaxrrl.progress import clock

# Exploration falls over the first 2% of the budget, as in the paper's comparison (50,000 of 2.5M agent steps). Its
# lambda is 0 from the start, so that the weaned learning rate is the one it learns with.
TABULA_RASA = {
    "offline_iterations": 0,
    "weaning": "none",
    "weaned_learning_rate": 2.5e-4,
    "epsilon_start": 1.0,
    "epsilon_decay_steps": 2_000,
}
METHODS = {"qdagger": {}, "dqn_1_step": TABULA_RASA | {"n_step": 1}, "dqn_3_step": TABULA_RASA | {"n_step": 3}}


@dataclasses.dataclass(frozen=True)
class Config:
    games: tuple[str, ...] = option(minatar.GAMES, "games, separated by commas")
    methods: tuple[str, ...] = option(tuple(METHODS), "methods, separated by commas")
    output: str = option("runs/compare_tabula_rasa", "folder to write to; earlier runs there are moved aside")
    resume: bool = option(False, "keep what is finished in --output and go on")
    seed: int = option(0, "of the first run; the others follow")
    seeds: int = option(6, "runs of each game and method")

    def __post_init__(self):
        for name, known in (("games", minatar.GAMES), ("methods", tuple(METHODS))):
            unknown = [value for value in getattr(self, name) if value not in known]
            if unknown or not getattr(self, name):
                raise ValueError(f"--{name} {','.join(unknown) or 'is empty'}; take from {', '.join(known)}")
        self.student(self.games[0], self.methods[0])

    def student(self, game: str, method: str) -> reincarnate.Config:
        """The settings of one game and method."""
        return reincarnate.Config(
            environment=f"minatar/{game}",
            output=str(Path(self.output) / game / method),
            resume=self.resume,
            seed=self.seed,
            seeds=self.seeds,
            **METHODS[method],
        )


def train(config: reincarnate.Config) -> tuple[np.ndarray, teachers.Card]:
    """Trains one method on one game; returns the final normalised scores, `[seeds]`, and the teacher's card."""
    _, teacher, dataset, program, folder = reincarnate.prepare(config)
    seeds = list(range(config.seed, config.seed + config.seeds))
    labels = [{"seed": seed} for seed in seeds]
    reincarnate.run(config, program, dataset, seeds, [config.method] * config.seeds, labels, folder)
    last = folder.rows[-config.seeds :]
    return np.array([row["score"] for row in last]), teacher.card


def cell(scores: np.ndarray) -> str:
    """IQM of `[seeds, games]` with its 95% interval."""
    low, high = evaluation.stratified_bootstrap_interval(scores)
    return f"{evaluation.interquartile_mean(scores):.2f} ({low:.2f} to {high:.2f})"


def table(scores: dict[tuple[str, str], np.ndarray], cards: dict[str, teachers.Card], methods: tuple[str, ...]) -> str:
    """Markdown: a row a game, and all games together at the end."""
    lines = [
        "| game | random | teacher | " + " | ".join(methods) + " |",
        "| --- | --- | --- |" + " --- |" * len(methods),
    ]
    for game, card in cards.items():
        cells = " | ".join(cell(scores[game, method][:, None]) for method in methods)
        lines.append(f"| {game} | {card.random_score:.2f} | {card.score:.2f} | {cells} |")
    together = " | ".join(cell(np.stack([scores[game, method] for game in cards], axis=1)) for method in methods)
    lines.append(f"| all, IQM | 0 | 1 | {together} |")
    return "\n".join(lines)


def main() -> None:
    parallel.use_cores()
    config = cli.parse(Config, __doc__)
    start = time.perf_counter()
    scores: dict[tuple[str, str], np.ndarray] = {}
    cards: dict[str, Any] = {}
    with cli.user_errors():
        for method in config.methods:
            for game in config.games:
                print(f"\n{game}, {method}")
                scores[game, method], cards[game] = train(config.student(game, method))
    text = table(scores, cards, config.methods)
    runs.write_text(Path(config.output) / "table.md", text + "\n")
    print(
        f"\nteacher-normalised scores, IQM of {config.seeds} seeds and 95% interval\n\n{text}\n\nafter {clock(time.perf_counter() - start)}"
    )


if __name__ == "__main__":
    main()
