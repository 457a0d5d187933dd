"""The comparison of the PVRL paper (Agarwal et al., 2022): games x methods x seeds, the same teacher, data and budget for all.

    python experiments/pvrl/benchmark_pvrl.py                                       # five MinAtar games, 16 methods, 5 seeds
    python experiments/pvrl/benchmark_pvrl.py --seed 1000 --seeds 10 --output runs/confirmation   # seeds that nobody has looked at
    python experiments/pvrl/benchmark_pvrl.py --methods qdagger,qdagger_1_step --games breakout --output runs/n_step
    python experiments/pvrl/benchmark_pvrl.py --redraw                              # tables and figures from what was written
    python experiments/pvrl/benchmark_pvrl.py --games atari/breakout --output runs/atari          # the paper's seven, hours
    python experiments/pvrl/benchmark_pvrl.py --games atari10 --preset paper --teacher 'runs/{game}/teacher' --output runs/paper

The methods of a game and their seeds are trained by one program, or a few where one would make methods pay for work that
they do not do. What is finished is kept: --resume goes on with the rest, and adds games, methods, seeds and, by --more-iterations, frames.
On Atari other flags are other numbers where they are not given: --games atari/breakout --help says which.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import figures
import methods
import report
import results as written
import suites

from purejaxrrl import environments, teachers
from purejaxrrl.errors import UserError
from purejaxrrl.runs import command_line, compilations, devices, experiment, memory, run_folder, training
from purejaxrrl.runs.progress import clock
from purejaxrrl.students import hyperparameters, presets, qdagger, student
from purejaxrrl.students.hyperparameters import declaration, declare, derive, option, static_part
from purejaxrrl.students.settings import QDagger
from purejaxrrl.teachers import datasets


@declare
class Config:
    games: tuple[str, ...] = option(
        (),
        "games to compare on, separated by commas: MinAtar's (breakout), or Atari's (atari/breakout; atari10 is the paper's ten); "
        "empty: the preset's, with --redraw all that are there",
    )
    preset: str = option(
        "",
        f"what other flags are where they are not given: {', '.join(suites.SUITES)}; empty: comparison, on Atari quick",
    )
    methods: tuple[str, ...] = option(methods.COMPARED, "methods to compare, separated by commas")
    environment_options: str = option("", "options that every game is made with, as name=value,name=value")
    output: str = option("runs/benchmark_pvrl", "folder to write to; earlier results there are moved aside")
    resume: bool = option(False, "keep what is finished in --output and go on")
    redraw: bool = option(False, "train nothing; draw tables and figures of --games from the results in --output")
    seed: int = option(0, "seed of the first run; further runs have the numbers after it", minimum=0)
    seeds: int = option(5, "number of runs of each game and method", minimum=1, maximum=experiment.MOST_SEEDS)
    teacher: str = option(
        "", "folder of the teacher, in which {game} stands for the game; empty: those that come with the library"
    )
    data: str = option(
        "",
        "folder of the teacher's data, {game} as above; empty: beside the teacher, or collected and kept in runs/data",
    )
    frames: int = option(presets.COMPARED_STEPS, "environment frames that a student plays", minimum=1)
    iterations: int = option(
        10, "number of online iterations among which the frames are divided, an evaluation after each", minimum=1
    )
    more_iterations: int = option(
        0,
        "further iterations of that length: the methods' schedules end as they do without them, so that --resume extends what is finished",
        minimum=0,
    )
    data_transitions: int = option(
        0,
        "transitions of the teacher's data, wherever they come from; 0: in the paper's proportion to the frames",
        minimum=0,
    )
    offline_updates: int = option(
        0, "updates of the whole offline phase; 0: in the paper's proportion to the frames", minimum=0
    )
    evaluation_steps: int = option(20_000, "agent steps of the evaluation after each iteration", minimum=1)
    evaluation_limit: int = option(
        0, "agent steps after which the episodes of an evaluation count as they stand; 0: no limit", minimum=0
    )
    network: str = option(presets.COMPARED_SHAPES["network"], "name of the students' network")
    widths: tuple[int, ...] = option(presets.COMPARED_SHAPES["widths"], "units of each hidden layer of network 'mlp'")
    target_period: int = option(
        presets.COMPARED_SHAPES["target_period"],
        "updates from one copy of the online to the target network to the next",
        minimum=1,
    )

    def __post_init__(self):
        games = suites.expanded(self.games)
        derive(self, preset=self.preset or suites.preset_for(games))
        suites.check(self.preset, games)
        derive(self, games=games or (() if self.redraw else tuple(self.suite.games)))
        if not self.methods:
            raise UserError("methods is empty; give at least one")
        if len(set(self.methods)) < len(self.methods):
            raise UserError(f"methods is {','.join(self.methods)}; give each once")
        for name in ("teacher", "data"):
            if (folder := getattr(self, name)) and "{game}" not in folder and len(self.games) > 1:
                raise UserError(f"{name} is {folder!r}, one game's; write {{game}} for the game, or give one game")
        experiment.check_seeds(self.seed, self.seeds)
        if self.frames % self.iterations:
            raise UserError(f"frames is {self.frames}, not a multiple of iterations, {self.iterations}")
        if not self.redraw:
            self._check_teachers()
        for game in self.games:
            environment = self.environment(game)
            for name in self.methods:
                self.student(environment, name)

    def _check_teachers(self) -> None:
        """Before any environment is made, which takes seconds on Atari. Raises UserError, with all games that have none."""
        missing, first = [], ""
        for game in self.games:
            environment = suites.environment_name(game)
            environments.parse_options(environment, self.environment_options)
            try:
                self._check_has_teacher(game, environment)
            except UserError as error:
                missing, first = [*missing, game], first or str(error)
        if missing:
            others = f"; {', '.join(missing[1:])} have none either" if missing[1:] else ""
            raise UserError(first + others + _shipped_instead(missing))

    def _check_has_teacher(self, game: str, environment: str) -> None:
        if not self.teacher:
            teachers.shipped(environment)
        elif "{game}" in self.teacher and not (folder := Path(self.teacher_of(game))).exists():
            train = teachers.how_to_train(environment, str(folder.parent))
            raise UserError(f"teacher is {self.teacher!r}, and there is no {folder}; train one with {train}")

    def teacher_of(self, game: str) -> str:
        """The folder of a game's teacher; empty for the one that comes with the library."""
        return self.teacher.replace("{game}", game.removeprefix(suites.ATARI))

    @property
    def suite(self) -> suites.Suite:
        return suites.SUITES[self.preset]

    def environment(self, game: str) -> Any:
        """The game, made with the options that were given."""
        return _made(suites.environment_name(game), self.environment_options)

    def agent_steps(self, environment: Any) -> int:
        """The student's budget."""
        return self.frames // environments.frames_per_step(environment)

    def student(self, environment: Any, method: str) -> QDagger:
        """The settings of one method."""
        agent_steps, suite = self.agent_steps(environment), self.suite
        sizes = presets.sizes(agent_steps, self.iterations, self.target_period)
        sizes["online_iterations"] += self.more_iterations
        offline = suite.settings.get("offline_iterations", declaration(QDagger, "offline_iterations").default)
        updates = (self.offline_updates or sizes["offline_updates"]) / offline
        sizes["offline_updates"] = max(1, round(updates / self.target_period)) * self.target_period
        names = "evaluation_steps", "evaluation_limit", "network", "widths", "target_period"
        return methods.settings(method, agent_steps, suite, **sizes, **{name: getattr(self, name) for name in names})

    def sources(self, game: str, environment: Any) -> experiment.Options:
        """Where a game's teacher and its data come from."""
        transitions = self.data_transitions or presets.DATA.of(self.agent_steps(environment), 8)
        bare = game.removeprefix(suites.ATARI)
        return experiment.Options(
            environment=environment.name,
            environment_options=self.environment_options,
            teacher=self.teacher_of(game),
            data=self.data.replace("{game}", bare),
            data_transitions=transitions,
        )

    @property
    def shared(self) -> dict[str, Any]:
        """The options that all results of a benchmark share. Where the data are is none: their checksum says what they are."""
        own = {"games", "methods", "data", "output", "resume", "redraw", "seed", "seeds", "more_iterations"}
        return {name: value for name, value in hyperparameters.as_dict(self).items() if name not in own}


def _shipped_instead(games: Sequence[str]) -> str:
    """Which teachers of these games come with the library, as the end of a message; empty where none does."""
    found = []
    for game in games:
        with contextlib.suppress(UserError):
            found.append(str(teachers.shipped(suites.environment_name(game))))
    return f"; the library's own may be copied there: {', '.join(found)}" if found else ""


@functools.cache
def _made(name: str, options: str) -> Any:
    """An environment, which may take seconds to make and is asked for more than once."""
    return experiment.make(experiment.Options(environment=name, environment_options=options))


@dataclasses.dataclass(frozen=True)
class Game:
    """What the students of a game share, and the settings of each method."""

    environment: Any
    teacher: teachers.Teacher
    data: datasets.Dataset | None
    students: dict[str, QDagger]

    @classmethod
    def load(cls, config: Config, game: str) -> "Game":
        environment = config.environment(game)
        options = config.sources(game, environment)
        students = {name: config.student(environment, name) for name in config.methods}
        first = next(iter(students.values()))
        scoring = first.evaluation_epsilon, first.evaluation_limit
        before = written.scored_teacher(config.output, game, options.scoring_episodes) if config.resume else None
        teacher = experiment.fitted(options, experiment.load_teacher(options), environment, *scoring, before)
        needing = [settings for settings in students.values() if settings.needs_data]
        data = experiment.load_data(options, needing[0], environment, teacher) if needing else None
        return cls(environment, teacher, data, students)

    def student(self, method: str) -> student.Student:
        return student.described(self.students[method], self.environment, self.environment.default_params)

    def program(self, method: str) -> qdagger.Program:
        return qdagger.program(self.students[method], self.environment, self.teacher, self.data)

    def about(self) -> dict[str, Any]:
        """What results say of it."""
        card = self.teacher.card
        return {
            "teacher_sha256": self.teacher.fingerprint(),
            "data_sha256": self.data.fingerprint() if self.data else None,
            "teacher_score": card.score,
            "random_score": card.random_score,
        }

    def groups(self, names: list[str], seeds: int) -> list[list[str]]:
        """The methods that one program trains side by side: those that differ in values alone, as many as memory has room for."""
        programs: dict[Any, list[str]] = {}
        for name in names:
            programs.setdefault(static_part(self.students[name]), []).append(name)
        return [part for group in programs.values() for part in self._fitting(group, seeds)]

    def _fitting(self, group: list[str], seeds: int) -> Iterator[list[str]]:
        most = memory.most_runs(self.students[group[0]], self.environment, self.student(group[0]))
        several = len(group) if most is None else max(most // seeds, 1)
        for first in range(0, len(group), several):
            yield group[first : first + several]


def described(name: str, settings: QDagger) -> dict[str, Any]:
    """What results say of a method: all of its settings but for its length, its terms and other code of its own, and what figures call it."""
    values = hyperparameters.as_dict(settings)
    del values["online_iterations"]  # the metrics say it, and a run that ended may go on
    return {
        "title": methods.named(name).title,
        "settings": values,
        "terms": settings.code,
    }


def train(config: Config, name: str, game: Game, names: list[str], seeds: list[int]) -> None:
    """Trains the methods of one group, all seeds of each, by one program."""
    wanted = hashlib.sha256(json.dumps([names, seeds]).encode()).hexdigest()[:8]
    about = game.about() | {
        "kind": written.KIND,
        "game": name,
        "shared": config.shared,
        "methods": {method: described(method, game.students[method]) for method in names},
        "seeds": seeds,
    }
    each = [(method, seed) for method in names for seed in seeds]
    first = game.students[names[0]]
    print(memory.described(first, game.environment, game.student(names[0]), len(each)))
    place = Path(config.output) / name.replace("/", "-") / f"{names[0]}-{wanted}"
    with run_folder.RunFolder(place, about, resume=True) as folder:
        training.run(
            game.program(names[0]),
            [game.students[method] for method, _ in each],
            [seed for _, seed in each],
            [{"method": method, "seed": seed} for method, seed in each],
            folder,
            game.data,
            forecast=config.preset == "paper",
        )


def check_games(config: Config) -> None:
    """Raises OSError or UserError where a game's teacher is missing or another game's, its data cannot be collected, a network does not
    take what is seen there, or runs do not fit the memory: before any game is begun. What is finished is not looked at."""
    for game in config.games:
        environment = config.environment(game)
        options = config.sources(game, environment)
        teacher = experiment.load_teacher(options)
        if config.resume:
            runs = missing(config, game)
            check_extends_whole_programs(config, game, runs)
            todo = {method for method, _ in runs}
        else:
            todo = config.methods
        settings = [config.student(environment, name) for name in config.methods if name in todo]
        for each in {static_part(each): each for each in settings}.values():
            its = student.described(each, environment, environment.default_params)
            shared = experiment.bytes_of_data(options, each, environment, teacher) if each.needs_data else 0
            memory.check_runs(each, environment, its, config.seeds, shared)
        if needing := [each for each in settings if each.needs_data]:
            experiment.check_data(options, needing[0], environment, teacher)


def missing(config: Config, game: str) -> set[tuple[str, int]]:
    """The (method, seed) of a game that are not in the results yet."""
    environment = config.environment(game)
    expected = {method: described(method, config.student(environment, method)) for method in config.methods}
    seeds = range(config.seed, config.seed + config.seeds)
    wanted = {(method, seed) for method in config.methods for seed in seeds}
    iterations = config.iterations + config.more_iterations
    return wanted - written.finished(config.output, game, config.shared, expected, iterations)


def check_extends_whole_programs(config: Config, game: str, todo: set[tuple[str, int]]) -> None:
    """Raises UserError where some runs of a program that ended are to go on and others are not: one state has them all."""
    for names, seeds in written.begun(config.output, game, config.iterations + config.more_iterations):
        runs = {(name, seed) for name in names for seed in seeds}
        ended = (names, seeds) not in written.begun(config.output, game, config.iterations)
        if ended and runs & todo and not runs <= todo:
            raise UserError(
                f"more_iterations is {config.more_iterations}, for some runs of a program that trained more of {game}; to extend it give all that it "
                f"trained: --methods with {','.join(names)}, and seeds {min(seeds)} to {max(seeds)}"
            )


def train_all(config: Config) -> None:
    """Trains what is not in the results yet, game by game; after each, tables and figures are of the games that are finished."""
    for name in config.games:
        todo = missing(config, name)
        if not todo:
            continue
        game = Game.load(config, name)
        written.check_sources(config.output, name, game.about())
        for group, seeds in divided(
            todo, config.methods, written.begun(config.output, name, config.iterations + config.more_iterations), game
        ):
            print(f"\n{name}: {', '.join(group)}; seeds {', '.join(map(str, seeds))}")
            train(config, name, game, group, seeds)
        finished = [each for each in config.games if not missing(config, each)]
        if len(finished) < len(config.games):
            # Results that do not go together are an error at the end, when all have been trained.
            with contextlib.suppress(UserError):
                draw(config, finished)


def divided(
    missing: set[tuple[str, int]], order: Sequence[str], begun: Sequence[tuple[list[str], list[int]]], game: Game
) -> Iterator[tuple[list[str], list[int]]]:
    """Methods and seeds of each program that is to be run, so that all of `missing`, (method, seed), are trained.

    Those that were `begun` go on as they were put together; for the others memory decides, which may be another now.
    """
    missing = set(missing)
    for names, seeds in begun:
        if (runs := {(name, seed) for name in names for seed in seeds}) <= missing:
            missing -= runs
            yield names, seeds
    alike: dict[tuple[int, ...], list[str]] = {}
    for name in order:
        if seeds := tuple(sorted(seed for method, seed in missing if method == name)):
            alike.setdefault(seeds, []).append(name)
    for seeds, names in alike.items():
        for group in game.groups(names, len(seeds)):
            yield group, list(seeds)


def draw(config: Config, games: Sequence[str]) -> tuple[str, list[str]]:
    """Writes tables and figures of those games, of all where none is named; the text, and what the figures are called."""
    results = written.load(config.output, games)
    text = report.markdown(results)
    run_folder.write_text(Path(config.output) / "report.md", text + "\n")
    return text, figures.draw(Path(config.output), results)


def flags_of_suite() -> Mapping[str, Any]:
    """What flags are where they are not given, for the games and preset of the command line."""
    games = suites.expanded(command_line.given("games", "").split(","))
    suite = suites.SUITES.get(command_line.given("preset", "") or suites.preset_for(games))
    return suite.flags if suite else {}


def main() -> None:
    devices.use_cores()
    compilations.keep()
    (config,) = command_line.parse((Config,), __doc__, defaults=flags_of_suite())
    start = time.perf_counter()
    with command_line.user_errors("the same command with --resume goes on with what is not finished"):
        if not config.redraw:
            about = {"program": "benchmark_pvrl", "shared": config.shared}
            if config.resume:  # before anything else is asked
                run_folder.check_resumable(config.output, about, unknown=set())
            check_games(config)  # before earlier results are moved aside
            with experiment.results_folder(config.output, about, config.resume):
                train_all(config)
        text, drawn = draw(config, config.games)
    print(f"\n{text}\n\nin {config.output}: report.md, {', '.join(drawn)}; after {clock(time.perf_counter() - start)}")


if __name__ == "__main__":
    main()
