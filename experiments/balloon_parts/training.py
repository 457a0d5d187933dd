"""Trains the methods one after the other, all seeds of each side by side, each method in a folder of its own."""

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

import purejaxrrl
from balloon_parts import methods, results
from purejaxrrl import networks, teachers
from purejaxrrl.environments.balloon import agents, suites
from purejaxrrl.environments.balloon.environment import Balloon
from purejaxrrl.runs import experiment, identity, memory, run_folder
from purejaxrrl.runs import training as runs
from purejaxrrl.runs.progress import clock
from purejaxrrl.students import balloon, qdagger
from purejaxrrl.students.hyperparameters import replace
from purejaxrrl.students.settings import QDagger, ValueBased
from purejaxrrl.teachers.datasets import Dataset

NOT_RESULTS = "evaluate", "lanes", "pictures", "methods", "full"
"""Options that change nothing of what a method finds."""
TEACHER = "teacher"


@dataclasses.dataclass(frozen=True)
class Task:
    """What the methods share. settings: of each, by name. episodes: the suite's seeds."""

    options: Any
    settings: dict[str, ValueBased]
    environment: Balloon
    teacher: teachers.Teacher
    data: Dataset | None
    episodes: np.ndarray

    def identity(self, settings: Any, method: str | None = None) -> dict[str, Any]:
        """Which results are meant: those of a method, or all of one set of settings."""
        values = experiment.effective(self.options, settings, NOT_RESULTS) | {"method": method}
        data = self.data_for(settings) if method else None
        return identity.of_run(
            "balloon", self.environment.name, values, self.teacher, data.fingerprint() if data else None
        )

    def data_for(self, settings: ValueBased) -> Dataset | None:
        """The teacher's, where a method learns from them."""
        return self.data if settings.learns_from_teacher and settings.needs_data else None


def prepare(options: Any, settings: QDagger) -> Task:
    """Everything that the methods need; what is wrong is found before anything is compiled.

    Raises ValueError where something does not fit or cannot be loaded, and OSError where nothing can be written.
    """
    methods.check(options.methods)
    episodes = suites.seeds_of(options.suite)
    experiment.check_output(options)
    environment = experiment.make(options)
    teacher = experiment.load_teacher(options)
    teachers.check_fits(teacher, environment)
    filled = _with_filled_ring(settings, options)
    each = {name: methods.settings_of(name, filled, teacher) for name in options.methods}
    for name, its in each.items():
        memory.check_runs(its, environment, methods.student_of(name, its, environment, teacher), options.seeds)
    needing = [its for its in each.values() if its.learns_from_teacher and its.needs_data]
    task = Task(options, each, environment, teacher, None, episodes)
    experiment.check_resumable(options, task.identity(settings))
    experiment.check_stays(options, task.identity(settings))
    if not needing:
        return task
    return dataclasses.replace(task, data=experiment.load_data(options, needing[0], environment, teacher))


def _with_filled_ring(settings: QDagger, options: Any) -> QDagger:
    """With a ring no longer than the run, of which the rest would stay empty; a run that is resumed keeps the ring that it has."""
    if options.resume and (begun := _begun_capacities(options)):
        return replace(settings, capacity=min(settings.capacity, *begun))
    steps = settings.online_iterations * settings.iteration_steps
    if not settings.num_environments * (settings.max_n_step + 1) <= steps < settings.capacity:
        return settings
    print(
        f"the replay of {settings.capacity:,} transitions would not be filled; it is {steps:,}, as many as are played"
    )
    return replace(settings, capacity=steps)


def _begun_capacities(options: Any) -> list[int]:
    """Of the rings of the methods that were begun, but for those that do not play."""
    playing = [name for name in methods.METHODS if methods.METHODS[name].changes.get("online_iterations") != 0]
    found = [run_folder.read_identity(Path(options.output) / name) for name in playing]
    return [about["settings"]["capacity"] for about in found if about]


def teachers_evaluation(task: Task, folder: Path) -> results.Evaluation:
    """The teacher's scores on the suite, flown once and kept."""
    kept = folder / TEACHER
    if not results.read(kept):
        print(f"flying the teacher through {len(task.episodes)} episodes")
        agent = agents.greedy(lambda observations: task.teacher.apply(task.teacher.params, observations))
        scores, _ = suites.fly(task.environment, agent, task.episodes, lanes=task.options.lanes)
        kept.mkdir(exist_ok=True)
        found = {"seed_twr50": scores.twr50[None], "seed_returns": scores.returns[None]}
        moment = {"phase": "online", "iteration": 0, "agent_steps": 0}
        results.record(kept, moment, [0], task.episodes, found)
    return results.evaluations(kept)[0]


def train(task: Task, name: str, folder: Path) -> teachers.Teacher:
    """Trains all seeds of a method, from where it was stopped if it was; its first seed's student as a teacher."""
    settings, seeds = task.settings[name], task.options.seed_numbers
    method = methods.METHODS[name]
    data = task.data_for(settings)
    program = qdagger.program(
        settings,
        task.environment,
        task.teacher if method.has_teacher else None,
        data,
        student=methods.student_of(name, settings, task.environment, task.teacher),
        exploration=balloon.marco_polo(task.options.exploring_episodes),
        evaluation=suites.evaluation(task.environment, task.episodes),
    )
    print(f"\n{method.title}: {len(seeds)} students, {_updates(settings):,} updates of each")
    with run_folder.RunFolder(folder / name, task.identity(settings, name), resume=True) as run:
        experiment.follow(task.options, run)

        def after_iteration(agent_steps: int, state: qdagger.State, metrics: dict[str, np.ndarray]) -> None:
            row = run.rows[-1]
            results.record(run.path, row, seeds, task.episodes, metrics)
            print(f"{'':9}TWR50 {100 * metrics['twr50'].mean():.1f}%, return {metrics['mean_return'].mean():.1f}")
            if row["iteration"] == 1:
                print(f"{'':9}{_outlook(task, row['phase'], row['seconds'], settings)}")

        labels = [{"seed": seed} for seed in seeds]
        state = runs.run(program, [settings] * len(seeds), seeds, labels, run, data, after_iteration)
        params = jax.tree.map(lambda leaf: leaf[0], state.learner.params)
        student = as_teacher(task, method.title, program.student.network, params, results.evaluations(run.path)[-1])
        teachers.save(run.path / "student", student)
    return student


def _updates(settings: ValueBased) -> int:
    """Of one run, in both phases."""
    offline = settings.offline_iterations * settings.offline_updates if settings.offline_iterations else 0
    return offline + settings.online_iterations * settings.schedule.updates_per_iteration


def _outlook(task: Task, phase: str, seconds: float, settings: ValueBased) -> str:
    """How long all methods would take, were all updates like those of an iteration that took so many seconds."""
    updates = settings.offline_updates if phase == "offline" else settings.schedule.updates_per_iteration
    total = sum(map(_updates, task.settings.values())) * seconds / updates
    return f"at the pace of this {phase} iteration, its compilation included, the {len(task.settings)} methods take {clock(total)} in all"


def as_teacher(
    task: Task, title: str, network: networks.Description, params: Any, last: results.Evaluation
) -> teachers.Teacher:
    """The first run's student, scored as the teacher that it had: on a suite, with the same random policy's score."""
    card = teachers.Card(
        environment=task.environment.name,
        output="q_values",
        num_actions=network.num_actions,
        observation_shape=network.observation_shape,
        score=float(last.returns[0].mean()),
        random_score=task.teacher.card.random_score,
        evaluation_episodes=len(task.episodes),
        frames=last.agent_steps,
        algorithm=title,
        seed=task.options.seed,
        version=purejaxrrl.__version__,
        command=shlex.join(["python", *sys.argv]),
    )
    return teachers.from_network(network, params, card)
