"""QDagger on MinAtar Breakout with the main job's settings: is an iteration right, and how fast for how many vmapped seeds?

An iteration is an online one of `experiments/reincarnate.py`: 10,000 agent steps, 2,500 updates, and the evaluation. That it is
right is seen from a shorter one whose metrics were recorded on a CPU. It chooses actions by comparing sums of floating-point
numbers, so that where a device rounds otherwise some seed sooner or later chooses another action and is on its own from there:
most seeds stay equal to within rounding, and the mean over seeds differs by what chance makes of the few that do not.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import purejaxrrl
from accelerator_parts import expectations, timing
from purejaxrrl import qdagger
from purejaxrrl.runs import devices

SEEDS = (8, 512, 1, 64)
"""Most telling first."""
SHORT = {"iteration_steps": 1_000, "warm_up": 200, "evaluation_steps": 200}
SHORT_SEEDS = 8
TOLERANCES = {"td_loss": 0.03, "distillation_loss": 0.03, "q_value": 0.03, "mean_return": 0.25}
"""Of the mean over seeds, relative. On a CPU, starting from parameters changed by 1e-7, 1e-5, 1e-4 and 1e-2 of their size changed
the first three by at most 1e-7, 0.1%, 0.8% and 3%, and the mean return by 0, 1%, 10% and 2%."""
MEDIAN_TOLERANCE = 1e-3
"""Of the median over seeds of the relative differences of the first three, which were at most 2e-7, 6e-5, 0.5% and 3% then. Rounding
in float32, which is asked of the device for this, is of the first size."""


def prepare(seeds: int, **changes: Any) -> tuple[Any, Any, tuple]:
    """init(keys, settings) -> state and online(state, keys, settings, None, index) -> (state, metrics), both of all seeds, and
    their (keys, settings)."""
    settings = purejaxrrl.QDagger(offline_iterations=0, **changes)
    environment = purejaxrrl.make("minatar/breakout")
    teacher = purejaxrrl.load_teacher(purejaxrrl.shipped_teacher(environment.name))
    return side_by_side(qdagger.program(settings, environment, teacher), seeds)


def side_by_side(program: qdagger.Program, seeds: int) -> tuple[Any, Any, tuple]:
    """The same of any program."""
    init = devices.over_runs(functools.partial(qdagger.init, program), seeds, (True, True))
    online = functools.partial(qdagger.online, program)
    online = devices.over_runs(online, seeds, (True, True, True, False, False), donate=(0,))
    keys = jax.vmap(lambda seed: qdagger.run_key(program, jax.random.key(seed)))(jnp.arange(seeds))
    return init, online, (keys, purejaxrrl.stack([program.settings] * seeds))


def short_iteration() -> tuple[dict[str, list[float]], float, float]:
    """Metrics of the short iteration, a list over seeds each, and the seconds that it and its compilation took."""
    with jax.default_matmul_precision("highest"):
        init, online, shared = prepare(SHORT_SEEDS, **SHORT)
        arguments = (init(*shared), *shared, None, jnp.int32(0))
        compiled, compile_seconds = timing.compile(online, *arguments)
        (_, metrics), seconds = timing.call(compiled, *arguments)
    return {name: np.asarray(metrics[name]).tolist() for name in TOLERANCES}, seconds, compile_seconds


def record() -> dict[str, Any]:
    """The settings of the short iteration and its metrics on this CPU."""
    return {"settings": SHORT | {"seeds": SHORT_SEEDS}, "metrics": short_iteration()[0]}


def compare(found: dict[str, list[float]], expected: dict[str, list[float]]) -> Iterator[dict[str, Any]]:
    """A row for each metric: the means over seeds, by how much they differ, and whether that is within the tolerances."""
    for name, tolerance in TOLERANCES.items():
        ours, theirs = np.asarray(found[name]), np.asarray(expected[name])
        of_means = abs(ours.mean() / theirs.mean() - 1)
        median = float(np.median(np.abs(ours / theirs - 1)))
        agrees = bool(of_means <= tolerance and (name == "mean_return" or median <= MEDIAN_TOLERANCE))
        yield {
            "metric": name, "here": float(ours.mean()), "on a CPU": float(theirs.mean()), "difference": float(of_means),
            "tolerance": tolerance, "median seed": median, "agrees": agrees,
        }  # fmt: skip


def time_iteration(seeds: int) -> dict[str, Any]:
    """Seconds of the second iteration, for in the first not all updates happen."""
    init, online, shared = prepare(seeds)
    state = init(*shared)
    compiled, compile_seconds = timing.compile(online, state, *shared, None, jnp.int32(0))
    (state, _), _ = timing.call(compiled, state, *shared, None, jnp.int32(0))
    _, seconds = timing.call(compiled, state, *shared, None, jnp.int32(1))
    settings = purejaxrrl.QDagger(offline_iterations=0)
    return {
        "s / iteration": seconds,
        "updates / s": seeds * settings.schedule.updates_per_iteration / seconds,
        "steps / s": seeds * settings.iteration_steps / seconds,
        "MiB": timing.device_bytes(compiled) / 2**20,
        "compile s": compile_seconds,
    }


def measure(quick: bool, **_: Any) -> Iterator[dict[str, Any]]:
    """Rows of the comparison, then one for each number of seeds; `quick`: of the short iteration alone."""
    found, seconds, compile_seconds = short_iteration()
    yield from compare(found, expectations.load("qdagger")["metrics"])
    yield {
        "seeds": SHORT_SEEDS,
        "steps": SHORT["iteration_steps"],
        "s / iteration": seconds,
        "compile s": compile_seconds,
    }
    if not quick:
        yield from timing.each(time_iteration, [{"seeds": seeds} for seeds in SEEDS])
