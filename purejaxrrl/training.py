"""The host's part in training students: many runs side by side, with progress, metrics on disk and checkpoints."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl import datasets, evaluation, parallel, reincarnation, runs, teachers
from purejaxrrl.progress import ProgressBar
from purejaxrrl.reincarnation import Method, stack


def run(
    config: Any,
    program: Any,
    dataset: datasets.Dataset | None,
    seeds: Sequence[int],
    methods: Sequence[Method],
    labels: Sequence[dict[str, Any]],
    folder: runs.RunFolder,
) -> Any:
    """Trains all runs side by side, from the folder's last checkpoint if it has one; returns their stacked states.

    Runs of one seed that differ only in what the online phase looks at share one offline phase.

    Args:
      config: with the shapes and cadences that `program` was made for (a `reincarnate.Config`).
      program: the functions of one run (a `reincarnate.Train`).
      seeds, methods, labels: one each for every run; the label's entries stand in its rows of the metrics.

    Raises:
      runs.DivergenceError: a loss is not finite; the last checkpoint is from before that.
    """
    num_runs = len(methods)
    # Devices take equal shares, filled up with copies of the last run, which are neither reported nor kept.
    places = parallel.equal_shares(num_runs)
    learners, learner_of = _different(
        [(seed, reincarnation.offline_settings(method)) for seed, method in zip(seeds, methods, strict=True)]
    )
    learning = [learners[place] for place in parallel.equal_shares(len(learners))]
    keys = jax.vmap(jax.random.key)(jnp.array([seeds[place] for place in places]))
    init_keys, offline_keys, online_keys = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
    values = stack([methods[place] for place in places])
    fresh = parallel.over_runs(program.init, len(places), (True,))(init_keys)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((num_runs, *leaf.shape[1:]), leaf.dtype), fresh)
    done, state = folder.restore(shapes)
    state = _take(state, places) if done else fresh
    offline = parallel.over_runs(program.offline, len(learning), (True, True, True, False, False), donate=(0,))
    online = parallel.over_runs(program.online, len(places), (True, True, True, False, False), donate=(0,))
    rehearsed = dataset.ring if config.rehearses else None

    phases = ["offline"] * config.offline_iterations + ["online"] * config.online_iterations
    updates = {
        "offline": len(learners) * config.offline_updates,
        "online": num_runs * config.cadence.updates_per_iteration,
    }
    with ProgressBar(sum(updates[phase] for phase in phases), sum(updates[phase] for phase in phases[:done])) as bar:
        for index, phase in list(enumerate(phases))[done:]:
            if phase == "offline":
                iteration, agent_steps = index + 1, 0
                state, metrics = offline(
                    *(_take(each, learning) for each in (state, offline_keys, values)), dataset.ring, jnp.int32(index)
                )
                state = _take(state, [learner_of[place] for place in places])
                metrics = _take(metrics, learner_of)
            else:
                iteration = index + 1 - config.offline_iterations
                agent_steps = iteration * config.iteration_steps
                state, metrics = online(state, online_keys, values, rehearsed, jnp.int32(iteration - 1))
            metrics = _first(jax.block_until_ready(metrics), num_runs)
            losses = {name: getattr(metrics, name) for name in metrics._fields if name.endswith("_loss")}
            runs.check_finite(agent_steps, **losses)
            line = (
                f"{phase:>7} {iteration:2d}  score {np.mean(metrics.score):6.3f}  lambda {np.mean(metrics.coefficient):.3f}  "
                f"td {np.mean(metrics.td_loss):.4f}  kl {np.mean(metrics.distillation_loss):.4f}"
            )
            seconds = bar.advance(updates[phase], num_runs * config.iteration_steps * (phase == "online"), line, phase)
            folder.rows += rows_of(metrics, labels, phase, iteration, agent_steps, seconds)
            folder.checkpoint(index + 1, _first(state, num_runs))
    return _first(state, num_runs)


def _different(items: Sequence[Any]) -> tuple[list[int], list[int]]:
    """The places of the items that differ, each the first of its equals; and for every item, which of those it equals."""
    numbers: dict[Any, int] = {}
    equals = [numbers.setdefault(item, len(numbers)) for item in items]
    return [equals.index(number) for number in numbers.values()], equals


def _take(tree: Any, places: Sequence[int]) -> Any:
    """Those runs of a stacked pytree, in that order."""
    if list(places) == list(range(len(jax.tree.leaves(tree)[0]))):
        return tree
    return jax.tree.map(lambda leaf: leaf[np.asarray(places)], tree)


def _first(tree: Any, num_runs: int) -> Any:
    """The first runs of a stacked pytree, as numpy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:num_runs], tree)


def rows_of(
    metrics: Any, labels: Sequence[dict[str, Any]], phase: str, iteration: int, agent_steps: int, seconds: float
) -> list[dict[str, Any]]:
    """One row of the tidy CSV for each run."""
    columns = {name: np.asarray(value) for name, value in metrics._asdict().items()}
    return [
        {"phase": phase, "iteration": iteration, "agent_steps": agent_steps}
        | label
        | {name: value[run].item() for name, value in columns.items()}
        | {"seconds": round(seconds, 3)}
        for run, label in enumerate(labels)
    ]


def last_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the last iteration."""
    moment = rows[-1]["phase"], rows[-1]["iteration"]
    return [row for row in rows if (row["phase"], row["iteration"]) == moment]


def table(rows: Sequence[dict[str, Any]], card: teachers.Card, agent_steps: int) -> str:
    """Teacher, random policy and student at the last iteration, in returns and as a normalised IQM over seeds."""
    last = last_rows(rows)
    scores = np.array([[row["score"]] for row in last])
    low, high = evaluation.stratified_bootstrap_interval(scores)
    returns = np.mean([row["mean_return"] for row in last])
    return "\n".join(
        [
            f"{card.environment:24} {'return':>10} {'normalised':>12}   {'95% interval':14} {'frames':>12}",
            f"{'random policy':24} {card.random_score:10.2f} {0.0:12.2f}   {'':14} {0:12,}",
            f"{'teacher (' + (card.algorithm or 'unknown') + ')':24} {card.score:10.2f} {1.0:12.2f}   {'':14} {card.frames:12,}",
            f"{f'student, IQM of {len(last)} seeds':24} {returns:10.2f} {evaluation.interquartile_mean(scores):12.2f}   "
            f"{f'{low:.2f} to {high:.2f}':14} {agent_steps:12,}",
        ]
    )
