"""The comparison of the PVRL paper (Agarwal et al., 2022): games x methods x seeds, the same teacher, data and budget for all.

    python experiments/benchmark_pvrl.py                                       # five MinAtar games, 11 methods, 5 seeds
    python experiments/benchmark_pvrl.py --methods qdagger,qdagger_1_step --games breakout --output runs/n_step
    python experiments/benchmark_pvrl.py --redraw                              # tables and figures from what was written

The methods of a game and their seeds are trained by one program, or a few where one would make methods pay for work that
they do not do. What is finished is kept: --resume goes on with the rest, and adds games, methods and seeds.
"""

import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import jax
import reincarnate

import purejaxrrl
from purejaxrrl import (
    benchmark_figures,
    benchmark_results,
    cli,
    datasets,
    methods,
    networks,
    parallel,
    runs,
    teachers,
    training,
)
from purejaxrrl.cli import option
from purejaxrrl.environments import minatar
from purejaxrrl.methods import Share
from purejaxrrl.progress import clock


@dataclasses.dataclass(frozen=True)
class Config:
    games: tuple[str, ...] = option(minatar.GAMES, "games, separated by commas")
    methods: tuple[str, ...] = option(methods.COMPARED, "methods, separated by commas")
    output: str = option("runs/benchmark_pvrl", "folder to write to; earlier results there are moved aside")
    resume: bool = option(False, "keep what is finished in --output and go on")
    redraw: bool = option(False, "train nothing; tables and figures of --games from the results in --output")
    seed: int = option(0, "of the first run; the others follow")
    seeds: int = option(5, "runs of each game and method")
    teacher: str = option("", "a teacher's folder, {game} stands for the game; empty: those that come with the library")
    data: str = option("", "folder of its data, likewise; empty: beside the teacher, or it plays and they are kept")
    frames: int = option(100_000, "environment frames, agent steps in MinAtar, that a student plays")
    iterations: int = option(10, "evaluations in them")
    data_transitions: int = option(0, "transitions of teacher data to collect; 0: in the paper's proportion")
    offline_updates: int = option(0, "updates in the offline phase; 0: in the paper's proportion")
    evaluation_steps: int = option(20_000, "agent steps of an evaluation")
    network: str = option("mlp", "the students' network: " + ", ".join(networks.NAMES))
    widths: tuple[int, ...] = option((128, 128), "the layers of network 'mlp'")
    target_period: int = option(250, "updates between copies to the target network")

    def __post_init__(self):
        for name in ("games", "methods"):
            if not getattr(self, name):
                raise ValueError(f"--{name} is empty; give at least one")
        for game in self.games:
            purejaxrrl.make(f"minatar/{game}")
        for name in ("seeds", "frames", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; it must be at least 1")
        if self.frames % self.iterations:
            raise ValueError(f"--frames {self.frames} is not a multiple of --iterations {self.iterations}")
        for name in self.methods:
            self.student(self.games[0], name)

    def student(self, game: str, method: str) -> reincarnate.Config:
        """The settings of one game and method."""
        transitions = _multiple(Share(1_000_000).of(self.frames), 8)
        shared = {
            "environment": f"minatar/{game}",
            "teacher": self.teacher.format(game=game),
            "data": self.data.format(game=game),
            "online_iterations": self.iterations,
            "iteration_steps": self.frames // self.iterations,
            "offline_updates": _multiple(self.offline_updates or Share(1_000_000).of(self.frames), self.target_period),
            "data_transitions": self.data_transitions or transitions,
            "capacity": transitions,
            "evaluation_steps": self.evaluation_steps,
            "network": self.network,
            "widths": self.widths,
            "target_period": self.target_period,
        }
        return reincarnate.Config(**shared | methods.settings(method, self.frames))

    @property
    def decisive(self) -> dict[str, Any]:
        """The settings that all results of a benchmark share."""
        return runs.settings(self, ("games", "methods", "output", "resume", "redraw", "seed", "seeds"))


def _multiple(number: int, of: int) -> int:
    """The multiple of `of` nearest to `number`, at least one."""
    return max(1, round(number / of)) * of


@dataclasses.dataclass(frozen=True)
class Game:
    """What the students of a game share."""

    environment: Any
    teacher: teachers.Teacher
    dataset: datasets.Dataset | None

    @classmethod
    def load(cls, config: Config, game: str) -> "Game":
        students = [config.student(game, name) for name in config.methods]
        environment = purejaxrrl.make(students[0].environment)
        params = environment.default_params
        teacher = teachers.load(students[0].teacher or teachers.shipped(environment.name))
        for student in students:
            reincarnate.fit(student, environment, params, teacher)
        needs_data = any(student.offline_iterations or student.rehearses for student in students)
        dataset = datasets.load_or_collect(students[0], environment, params, teacher) if needs_data else None
        return cls(environment, teacher, dataset)

    def about(self) -> dict[str, Any]:
        """What results say of it."""
        card = self.teacher.card
        return {
            "teacher_sha256": self.teacher.fingerprint(),
            "data_sha256": self.dataset.fingerprint() if self.dataset else None,
            "teacher_score": card.score,
            "random_score": card.random_score,
        }


def train(config: Config, name: str, game: Game, names: list[str], seeds: list[int]) -> None:
    """Trains the methods of one group, all seeds of each, by one program."""
    students = [config.student(name, method) for method in names]
    wanted = hashlib.sha256(json.dumps([names, seeds]).encode()).hexdigest()[:8]
    about = game.about() | {
        "kind": benchmark_results.KIND,
        "game": name,
        "shared": config.decisive,
        "methods": {
            method: {"title": methods.named(method).title, "settings": methods.settings(method, config.frames)}
            for method in names
        },
        "seeds": seeds,
        "jax": jax.__version__,
    }
    folder = runs.RunFolder(Path(config.output) / name / f"{names[0]}-{wanted}", about, resume=True)
    environment, term = game.environment, methods.named(names[0]).term
    program = reincarnate.make_train(
        students[0], environment, environment.default_params, game.teacher, game.dataset, term
    )
    each = [(student.method, method, seed) for student, method in zip(students, names, strict=True) for seed in seeds]
    labels = [{"method": method, "seed": seed} for _, method, seed in each]
    training.run(
        students[0], program, game.dataset, [seed for *_, seed in each], [values for values, *_ in each], labels, folder
    )


def train_all(config: Config) -> None:
    """Trains what is not in the results yet, game by game."""
    done = benchmark_results.finished(config.output, config.decisive)
    wanted_seeds = range(config.seed, config.seed + config.seeds)
    for name in config.games:
        missing: dict[tuple[int, ...], list[str]] = {}
        for method in config.methods:
            if seeds := tuple(seed for seed in wanted_seeds if (name, method, seed) not in done):
                missing.setdefault(seeds, []).append(method)
        if missing:
            game = Game.load(config, name)
        for seeds, names in missing.items():
            for group in methods.groups(names):
                print(f"\n{name}: {', '.join(group)}; seeds {', '.join(map(str, seeds))}")
                train(config, name, game, group, list(seeds))


def main() -> None:
    parallel.use_cores()
    config = cli.parse(Config, __doc__)
    start = time.perf_counter()
    with cli.user_errors():
        if not config.redraw:
            if not config.resume and (moved := runs.move_aside(config.output)):
                print(f"the earlier results in {config.output} are now in {moved}")
            train_all(config)
        results = benchmark_results.load(config.output, config.games)
        text = benchmark_results.report(results)
        runs.write_text(Path(config.output) / "report.md", text + "\n")
        drawn = benchmark_figures.draw(Path(config.output), results)
    print(f"\n{text}\n\nin {config.output}: report.md, {', '.join(drawn)}; after {clock(time.perf_counter() - start)}")


if __name__ == "__main__":
    main()
