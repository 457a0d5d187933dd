"""QDagger on Atari's Breakout with the shipped teacher: frames per second of an online iteration, and where its time goes.

An iteration has the settings of `experiments/reincarnate.py --environment atari/breakout`, but is shorter: per agent step it has as many
updates and evaluation steps as a long one. Shares are of the parts timed alone, of one seed, in compiled loops (`pixel_parts.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pixel_parts

import purejaxrrl
from accelerator_parts import timing
from accelerator_parts.qdagger import side_by_side
from purejaxrrl import environments, qdagger
from purejaxrrl.students import presets
from purejaxrrl.students.hyperparameters import names
from purejaxrrl.students.settings import QDagger

SEEDS = (4, 64, 1)
"""Most telling first."""
REPETITIONS = 5
SHORT = {
    "offline_iterations": 0, "iteration_steps": 400, "target_period": 50, "warm_up": 200, "capacity": 10_000,
    "evaluation_steps": 320, "evaluation_limit": 180,
}  # fmt: skip
QUICK = SHORT | {
    "iteration_steps": 80, "target_period": 10, "warm_up": 40, "capacity": 400, "width": 1 / 16, "evaluation_steps": 32,
    "evaluation_environments": 2, "evaluation_limit": 16,
}  # fmt: skip


def settings(**changes: Any) -> QDagger:
    """The quick preset's on Atari, with changes."""
    preset = {name: value for name, value in presets.QUICK_ON_ATARI.items() if name in names(QDagger)}
    return QDagger(**preset | changes)


def make_program(changes: dict[str, Any]) -> qdagger.Program:
    # Booting is thousands of small steps of one lane, which a CPU is quick at.
    with jax.default_device(jax.devices("cpu")[0]):
        environment = purejaxrrl.make("atari/breakout")
    teacher = purejaxrrl.load_teacher(purejaxrrl.shipped_teacher(environment.name))
    return qdagger.program(settings(**changes), environment, teacher)


def time_iteration(program: qdagger.Program, seeds: int) -> dict[str, Any]:
    """Seconds of the second iteration, for in the first not all updates happen."""
    init, online, shared = side_by_side(program, seeds)
    state = init(*shared)
    compiled, compile_seconds = timing.compile(online, state, *shared, None, jnp.int32(0))
    (state, _), _ = timing.call(compiled, state, *shared, None, jnp.int32(0))
    (_, metrics), seconds = timing.call(compiled, state, *shared, None, jnp.int32(1))
    steps = seeds * program.settings.iteration_steps
    return {
        "s / iteration": seconds,
        "frames / s": steps * environments.frames_per_step(program.environment) / seconds,
        "updates / s": seeds * program.settings.schedule.updates_per_iteration / seconds,
        "MiB": timing.device_bytes(compiled) / 2**20,
        "compile s": compile_seconds,
        "td loss": float(metrics["td_loss"].mean()),
    }


def shares(program: qdagger.Program, repetitions: int) -> Iterator[dict[str, Any]]:
    """A row for each part of an iteration of one seed."""
    init, _, shared = side_by_side(program, 1)
    state = jax.tree.map(lambda leaf: leaf[0], init(*shared))
    found = pixel_parts.parts(program, state, repetitions)
    whole = sum(seconds * times for seconds, times in found.values())
    for name, (seconds, times) in found.items():
        yield {"part": name, "ms once": 1e3 * seconds, "times": times, "share of their sum": seconds * times / whole}


def measure(quick: bool, **_: Any) -> Iterator[dict[str, Any]]:
    """Rows for the most telling number of seeds, each part, and other numbers of seeds; `quick`: of one seed of a small student alone."""
    program = make_program(QUICK if quick else SHORT)
    first, *others = [{"seeds": seeds} for seeds in ((1,) if quick else SEEDS)]
    time_case = functools.partial(time_iteration, program)
    yield from timing.each(time_case, [first])
    yield from shares(program, 1 if quick else REPETITIONS)
    yield from timing.each(time_case, others)
