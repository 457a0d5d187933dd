"""The host's part in training students: many runs side by side, with progress, metrics on disk and checkpoints."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl import replay
from purejaxrrl.environments.base import frames_per_step
from purejaxrrl.errors import UserError
from purejaxrrl.evaluation import statistics
from purejaxrrl.replay import space
from purejaxrrl.runs import devices, run_folder
from purejaxrrl.runs import forecast as forecasts
from purejaxrrl.runs.progress import ProgressBar, counted
from purejaxrrl.streams import Purpose, stream
from purejaxrrl.students import qdagger
from purejaxrrl.students.hyperparameters import as_arrays, check_same_program, offline_part, stack
from purejaxrrl.students.settings import ValueBased
from purejaxrrl.students.weaning import no_evidence, weaning_coefficient
from purejaxrrl.teachers import Card
from purejaxrrl.teachers.datasets import Dataset

_FIRST_COLUMNS = "score", "mean_return", "episodes", "lambda", "learning_rate"


def run(
    program: qdagger.Program,
    settings: Sequence[ValueBased],
    seeds: Sequence[int],
    labels: Sequence[dict[str, Any]],
    folder: run_folder.RunFolder,
    data: Dataset | None = None,
    after_iteration: Callable[[int, qdagger.State, dict[str, np.ndarray]], None] | None = None,
    at_start: Callable[[int, qdagger.State], None] | None = None,
    forecast: bool = False,
) -> qdagger.State:
    """Trains all runs side by side, from the folder's last checkpoint if it has one; returns their stacked states. Their rings may have
    copies of the last run's behind them, which fill up devices.

    A run that had ended goes on where there are more online iterations now: nothing in an iteration looks at their number. Runs of one seed that differ only in what the online phase looks at share one offline phase.

    Args:
      settings, seeds, labels: one each for every run; the label's entries stand in its rows of the metrics.
      data: the teacher's, where there is an offline phase or rehearsal.
      after_iteration: called with the agent steps so far, the stacked states and the metrics `[runs, ...]`, of which those that are no
        scalars are not in the folder, before that iteration's checkpoint: what it writes is written again by a run that is killed
        between the two.
      at_start: called with the agent steps that are done and the stacked states, before anything is trained.
      forecast: say before the first iteration how long it all will take, by a few updates on the teacher's data and a few steps of the
        environments, which change nothing; nothing is said where there are no data.

    Raises:
      ValueError: settings differ in something static, so that they need programs of their own, or more iterations are done than there are to be.
      run_folder.DivergenceError: a loss is not finite; the last checkpoint is from before that.
    """
    for each in settings:
        check_same_program(program.settings, each)
    runs = _Runs(program, settings, seeds, data)
    done, state = runs.start(folder)
    phases, online = list(runs.phases()), done - program.settings.offline_iterations
    if at_start:
        at_start(max(online, 0) * program.settings.iteration_steps, state)
    if done > len(phases):
        raise UserError(
            f"online_iterations is {program.settings.online_iterations}, but the run in {folder.path} has done {online}; give at least that"
        )
    if program.settings.online_iterations and not runs.learn_online:
        print(
            "nothing is learned online: the warm-up has "
            f"{program.warm_up_rows * program.settings.num_environments:,} agent steps, and the run "
            f"{program.settings.online_iterations * program.settings.iteration_steps:,}"
        )
    with ProgressBar(runs.work_of(phases), runs.work_of(phases[:done]), runs.units) as bar:
        if forecast and done < len(phases) and (paces := runs.expected_paces(state)):
            bar.expect(paces)
        for number, (phase, index) in list(enumerate(phases))[done:]:
            iterations = getattr(program.settings, f"{phase}_iterations")
            work, most = (runs.work(phase, each) for each in (index, iterations - 1))
            bar.begin(phase, work, f"{phase} iteration {index + 1} of {iterations}", most)
            state, metrics = runs.iteration(phase, index, state)
            agent_steps = (index + 1) * program.settings.iteration_steps * (phase == "online")
            losses = {name: value for name, value in metrics.items() if name.endswith("_loss")}
            run_folder.check_finite(labels, f"{phase} iteration {index + 1}", **losses)
            updates = runs.updates(phase, index)
            seconds = bar.advance(_line(phase, index, metrics, updates, runs.learn_online), runs.frames(phase))
            folder.rows += rows_of(metrics, labels, phase, index + 1, agent_steps, seconds, updates)
            if after_iteration:
                after_iteration(agent_steps, state, metrics)
            rows = (index + 1) * program.settings.schedule.rows_per_iteration * (phase == "online")
            folder.checkpoint(number + 1, state._replace(ring=None), state.ring, rows, num_runs=len(settings))
    return _take(state._replace(ring=None), range(len(settings)))._replace(ring=state.ring)


class _Runs:
    """The compiled iterations of all runs, and who shares an offline phase with whom.

    Devices take equal shares, filled up with copies of the last run, which are neither reported nor kept.
    """

    def __init__(
        self, program: qdagger.Program, settings: Sequence[ValueBased], seeds: Sequence[int], data: Dataset | None
    ):
        self._program = program
        self._number = len(settings)
        self._places = devices.equal_shares(len(settings))
        learners, self._learner_of = _different(
            [(seed, _offline_lambda(each), offline_part(each)) for seed, each in zip(seeds, settings, strict=True)]
            if program.settings.offline_iterations
            else range(len(settings))
        )
        self._learning = [learners[place] for place in devices.equal_shares(len(learners))]
        keys = jax.vmap(jax.random.key)(jnp.array([seeds[place] for place in self._places]))
        self._keys = jax.vmap(functools.partial(qdagger.run_key, program))(keys)
        self._offline_keys = jax.vmap(lambda key: stream(key, Purpose.OFFLINE))(self._keys)
        self._online_keys = jax.vmap(lambda key: stream(key, Purpose.ONLINE))(self._keys)
        self._settings = stack([settings[place] for place in self._places])
        self._data = {
            "offline": data.ring if data and program.settings.offline_iterations else None,
            "online": data.ring if data and program.settings.rehearses else None,
        }
        self._learners = len(learners)
        bind = functools.partial
        self._init = devices.over_runs(bind(qdagger.init, program), len(self._places), (True, True))
        over = (True, True, True, False, False)
        offline, online = (bind(iteration, program) for iteration in (qdagger.offline, qdagger.online))
        self._offline = devices.over_runs(offline, len(self._learning), over, donate=(0,), in_turn=True)
        self._online = devices.over_runs(online, len(self._places), over, donate=(0,), in_turn=True)

    def phases(self) -> Iterator[tuple[str, int]]:
        """Phase and index in it of every iteration, in their order."""
        for phase in ("offline", "online"):
            for index in range(getattr(self._program.settings, f"{phase}_iterations")):
                yield phase, index

    def updates(self, phase: str, index: int) -> int:
        """Updates of all runs in that iteration."""
        if phase == "offline":
            return self._learners * self._program.settings.offline_updates
        return self._number * int(qdagger.updates_in(self._program, index))

    @functools.cached_property
    def learn_online(self) -> bool:
        """Whether there are updates online before the end."""
        return any(self.updates(*each) for each in self.phases() if each[0] == "online")

    def frames(self, phase: str) -> int:
        """Frames that all runs play in an iteration, its evaluation apart."""
        if phase == "offline":
            return 0
        return self._number * self._program.settings.iteration_steps * frames_per_step(self._program.environment)

    @property
    def units(self) -> dict[str, str]:
        """By phase, of `work`."""
        return {"offline": "updates", "online": "updates" if self.learn_online else "frames"}

    def work(self, phase: str, index: int) -> int:
        """What tells the time that an iteration takes: the updates of all runs, or where they never learn, their frames."""
        return self.updates(phase, index) if self.units[phase] == "updates" else self.frames(phase)

    def work_of(self, phases: Sequence[tuple[str, int]]) -> dict[str, int]:
        """Work of all runs in these iterations, by phase."""
        found = {"online": 0} | ({"offline": 0} if self._program.settings.offline_iterations else {})
        for phase, index in phases:
            found[phase] += self.work(phase, index)
        return found

    def start(self, folder: run_folder.RunFolder) -> tuple[int, qdagger.State]:
        """How many iterations were done, and the state after them, from the folder or fresh."""
        shapes = jax.eval_shape(self._init, self._keys, self._settings)
        self._check_space(shapes)
        self._place_data()
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((self._number, *leaf.shape[1:]), leaf.dtype), shapes)
        restored = folder.restore(like._replace(ring=None), like.ring, self._places)
        if restored is None:
            return 0, self._init(self._keys, self._settings)
        return restored.iterations, _placed(restored.state, self._places)._replace(ring=restored.ring)

    def _devices(self) -> dict[str, list[jax.Device]]:
        """By phase."""
        return {"offline": devices.devices_for(len(self._learning)), "online": devices.devices_for(len(self._places))}

    def _place_data(self) -> None:
        """Has the teacher's data on every device that a phase with them runs on, once where both do."""
        used, copied = self._devices(), {}
        for phase, ring in self._data.items():
            if ring is not None:
                if len(used[phase]) not in copied:
                    copied[len(used[phase])] = devices.copied(ring, used[phase])
                self._data[phase] = copied[len(used[phase])]

    def _check_space(self, shapes: qdagger.State) -> None:
        """Raises ValueError where the states do not fit the devices' memory.

        The device that has the teacher's data by now has the least left, and no other is taken to have more: the copies count.
        """
        number, beside = len(self._devices()["online"]), space.size(shapes._replace(ring=None))
        replay.check_space(self._program.memory, len(self._places), beside, replay.available_bytes(number), number)

    def expected_paces(self, state: qdagger.State) -> dict[str, float]:
        """By phase, the seconds of an update of some run, with a share of what else an iteration has; none where nothing learns from the
        teacher's data, an iteration has no update, or GPUs that have no data would have to be given some."""
        data = next((ring for ring in self._data.values() if ring is not None), None)
        settings, used = self._program.settings, self._devices()
        has_data = self._data["online"] is not None or len(used["offline"]) == len(used["online"])
        if data is None or not self.learn_online or (devices.copies(used["online"]) and not has_data):
            return {}
        data = devices.copied(data, used["online"])
        runs = self._program, state.learner, self._offline_keys, self._settings
        update = forecasts.seconds_of_an_update(*runs, data) / self._number
        evaluation = forecasts.seconds_of_a_step(*runs, evaluates=True) * -(
            -settings.evaluation_steps // settings.evaluation_environments
        )
        playing = forecasts.seconds_of_a_step(*runs, evaluates=False) * settings.schedule.rows_per_iteration
        beside = {"offline": evaluation, "online": evaluation + playing}
        last = {"offline": 0, "online": settings.online_iterations - 1}
        return {phase: update + seconds / self.updates(phase, last[phase]) for phase, seconds in beside.items()}

    def iteration(self, phase: str, index: int, state: qdagger.State) -> tuple[qdagger.State, dict[str, np.ndarray]]:
        """One of all runs: the state after it, and the metrics `[runs]`."""
        if phase == "offline":
            # The student's own replay has no part in it, and may be too large to have twice.
            parts = state._replace(ring=None), self._offline_keys, self._settings
            learning = [_placed(part, self._learning) for part in parts]
            # Gathering what devices have that are not done would have the first wait for the last, which XLA gives up after a while.
            learned, metrics = jax.block_until_ready(self._offline(*learning, self._data["offline"], jnp.int32(index)))
            everybody = _placed(learned, [self._learner_of[place] for place in self._places])
            state, metrics = everybody._replace(ring=state.ring), _take(metrics, self._learner_of)
        else:
            state, metrics = self._online(
                state, self._online_keys, self._settings, self._data["online"], jnp.int32(index)
            )
        return state, _first(jax.block_until_ready(metrics), self._number)


def _offline_lambda(settings: ValueBased) -> float:
    """lambda in the offline phase, which is all that it sees of the weaning."""
    zero = jnp.float32(0.0)
    return float(weaning_coefficient(as_arrays(settings), zero, no_evidence(), jnp.float32(1.0)))


def _line(phase: str, index: int, metrics: dict[str, np.ndarray], updates: int, learns: bool) -> str:
    """What is printed of an iteration. Without a teacher a score is a return, and nobody is weaned; without updates there is no loss.

    learns: whether anything is ever learned online.
    """
    means = {name: np.mean(values) for name, values in metrics.items()}
    if "distillation_loss" in means:
        texts = [f"score {means['score']:6.3f}", f"lambda {means['lambda']:.4f}"]
    else:
        texts = [f"return {means['mean_return']:6.2f}"]
    shown = {"td_loss": "td", "distillation_loss": "kl"}
    losses = [f"{text} {means[name]:.4f}" for name, text in shown.items() if name in means]
    if not updates:
        losses = ["no update: filling the replay" if learns else "no update"]
    return "  ".join([f"{phase:>7} {index + 1:2d}", *texts, *losses])


def _different(items: Sequence[Any]) -> tuple[list[int], list[int]]:
    """The places of the items that differ, each the first of its equals; and for every item, which of those it equals."""
    numbers: dict[Any, int] = {}
    equals = [numbers.setdefault(item, len(numbers)) for item in items]
    return [equals.index(number) for number in numbers.values()], equals


def _take(tree: Any, places: Sequence[int]) -> Any:
    """Those runs of a stacked pytree, in that order."""
    if list(places) == list(range(len(jax.tree.leaves(tree)[0]))):  # as it is: a ring may be too large to have twice
        return tree
    return jax.tree.map(lambda leaf: leaf[np.asarray(places)], tree)


def _placed(tree: Any, places: Sequence[int]) -> Any:
    """As `_take`, on the devices that train that many runs."""
    return devices.spread(_take(tree, places), len(places))


def _first(tree: Any, num_runs: int) -> Any:
    """The first runs of a stacked pytree, as numpy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:num_runs], tree)


def rows_of(
    metrics: dict[str, np.ndarray],
    labels: Sequence[dict[str, Any]],
    phase: str,
    iteration: int,
    agent_steps: int,
    seconds: float,
    updates: int,
) -> list[dict[str, Any]]:
    """One row of the tidy CSV for each run, of the metrics that are scalars.

    None for means over updates where there were none, and for what is seen where the student plays before it does.
    """
    scalars = {name for name, values in metrics.items() if np.ndim(values) == 1}
    columns = [*_FIRST_COLUMNS, *sorted(scalars - set(_FIRST_COLUMNS))]
    unknown = {name for name in columns if not updates and (name.endswith("_loss") or name == "q_value")}
    unknown |= {"disagreement"} if phase == "offline" else set()
    return [
        {"phase": phase, "iteration": iteration, "agent_steps": agent_steps}
        | label
        | {name: None if name in unknown else metrics[name][run].item() for name in columns}
        | {"seconds": round(seconds, 3)}
        for run, label in enumerate(labels)
    ]


def last_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the last iteration."""
    moment = rows[-1]["phase"], rows[-1]["iteration"]
    return [row for row in rows if (row["phase"], row["iteration"]) == moment]


def table(
    rows: Sequence[dict[str, Any]],
    card: Card,
    frames: int,
    others: Mapping[str, Sequence[dict[str, Any]]] | None = None,
) -> str:
    """Teacher, random policy and student after `frames`, in returns and as a normalised IQM over seeds; `others` by what they are called."""
    others = {"student": rows} | dict(others or {})
    called = {name: f"{name}, IQM of {counted(len(last_rows(its_rows)), 'seed')}" for name, its_rows in others.items()}
    width = max(24, *map(len, called.values()))
    lines = [
        f"{card.environment:{width}} {'return':>10} {'normalised':>12}   {'95% interval':14} {'frames':>12}",
        f"{'random policy':{width}} {card.random_score:10.2f} {0.0:12.2f}   {'':14} {0:12,}",
        f"{'teacher (' + (card.algorithm or 'unknown') + ')':{width}} {card.score:10.2f} {1.0:12.2f}   {'':14} {card.frames:12,}",
    ]
    for name, its_rows in others.items():
        last = last_rows(its_rows)
        scores = np.array([[row["score"]] for row in last])
        low, high = statistics.stratified_bootstrap_interval(scores)
        returns = np.mean([row["mean_return"] for row in last])
        lines.append(
            f"{called[name]:{width}} {returns:10.2f} {statistics.interquartile_mean(scores):12.2f}   "
            f"{f'{low:.2f} to {high:.2f}':14} {frames:12,}"
        )
    return "\n".join(lines)
