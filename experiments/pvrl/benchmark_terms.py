"""What a method pays for the terms that it does not use, and whether runs side by side are faster than one after another.

    python experiments/pvrl/benchmark_terms.py

A program of many methods takes their coefficients as values. Beside it: the same iteration with the coefficients compiled
in, so that XLA removes what is multiplied by nothing; with a second ring to rehearse from that is not used; and the same runs
one after another. Programs are called in turn; ratios are medians with the least and the most.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import methods
import numpy as np

import purejaxrrl
from purejaxrrl import teachers
from purejaxrrl.errors import UserError
from purejaxrrl.runs import command_line, devices, experiment
from purejaxrrl.students import qdagger
from purejaxrrl.students.hyperparameters import declare, option, replace, stack
from purejaxrrl.teachers import datasets


@declare
class Config:
    environment: str = option("minatar/breakout", "name of the environment that the runs train in")
    methods: tuple[str, ...] = option(
        ("tabula_rasa", "jsrl", "qdagger"), "methods to time, one after the other, separated by commas"
    )
    runs: int = option(10, "number of runs side by side", minimum=1, maximum=experiment.MOST_SEEDS)
    repetitions: int = option(5, "number of timed calls of each program", minimum=1)
    iteration_steps: int = option(4_000, "agent steps of a run in each call", minimum=1)

    def __post_init__(self):
        if not self.methods:
            raise UserError("methods is empty; give at least one")
        for name in self.methods:
            methods.named(name)


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def in_turn(calls: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, list[float]]:
    """The seconds of each call, after one to compile it."""
    for call in calls.values():
        seconds(call)
    return {name: list(times) for name, times in zip(calls, zip(*[[seconds(call) for call in calls.values()] for _ in range(repetitions)], strict=True), strict=True)}  # fmt: skip


def programs(config: Config, name: str) -> dict[str, Callable[[], Any]]:
    """The calls to compare for one method: an online iteration of all runs."""
    environment = purejaxrrl.make(config.environment)
    teacher = teachers.load(teachers.shipped(environment.name))
    sizes = {"capacity": 20_000, "iteration_steps": config.iteration_steps, "widths": (128, 128), "network": "mlp"}
    cheap = {"warm_up": 0, "evaluation_steps": 1, "evaluation_environments": 1}
    student = replace(methods.settings(name, 10 * config.iteration_steps, **sizes), **cheap)
    data = datasets.collect(jax.random.key(0), environment, teacher, 20_000)
    program = qdagger.program(student, environment, teacher, data)
    rehearsing = replace(student, rehearsal_fraction=0.25)
    second_ring = qdagger.program(rehearsing, environment, teacher, data)

    keys = jax.vmap(jax.random.key)(jnp.arange(config.runs))
    states = jax.jit(jax.vmap(lambda key: qdagger.init(program, key, student)))(keys)
    over = (True, True, True, False, False)
    online = functools.partial(qdagger.online, program)
    traced = devices.over_runs(online, config.runs, over)
    rehearses = devices.over_runs(functools.partial(qdagger.online, second_ring), config.runs, over)
    constant = devices.over_runs(
        lambda state, key, index: online(state, key, student, None, index), config.runs, (True, True, False)
    )
    one = jax.jit(online)
    apart = [jax.tree.map(lambda leaf: leaf[run], (states, keys)) for run in range(config.runs)]  # noqa: B023
    values, more_values = stack([student] * config.runs), stack([rehearsing] * config.runs)
    index = jnp.int32(1)
    return {
        "values": lambda: traced(states, keys, values, None, index),
        "compiled in": lambda: constant(states, keys, index),
        "second ring": lambda: rehearses(states, keys, more_values, data.ring, index),
        "one after another": lambda: [one(state, key, student, None, index) for state, key in apart],
    }


def main() -> None:
    devices.use_cores()
    (config,) = command_line.parse((Config,), __doc__)
    with command_line.user_errors("the same command starts again"):
        report(config)


def report(config: Config) -> None:
    """Prints a line for each method."""
    updates = config.runs * config.iteration_steps // 4
    print(
        f"{config.environment}, {config.runs} runs of {config.iteration_steps:,} agent steps; {len(jax.devices())} devices"
    )
    print(
        f"{'method':20} {'updates/s':>10}   {'unused terms cost':22} {'a second ring costs':22} {'one by one / together':22}"
    )
    for name in config.methods:
        times = {key: np.array(value) for key, value in in_turn(programs(config, name), config.repetitions).items()}

        def ratio(slow: str, fast: str) -> str:
            ratios = times[slow] / times[fast]  # noqa: B023
            return f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"

        print(
            f"{name:20} {updates / np.median(times['values']):10,.0f}   {ratio('values', 'compiled in'):22} "
            f"{ratio('second ring', 'values'):22} {ratio('one after another', 'values'):22}"
        )


if __name__ == "__main__":
    main()
