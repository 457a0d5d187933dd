"""What a method pays for the terms that it does not use, and whether runs side by side are faster than one after another.

    python experiments/benchmarks/pvrl_terms.py

A program of many methods takes their coefficients as values. Beside it: the same iteration with the coefficients compiled
in, so that XLA removes what is multiplied by nothing; with a second ring to rehearse from that is not used; and the same runs
one after another. Programs are called in turn; ratios are medians with the least and the most.
"""

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
import reincarnate

import purejaxrrl
from purejaxrrl import cli, datasets, methods, parallel, reincarnation, replay, teachers
from purejaxrrl.cli import option


@dataclasses.dataclass(frozen=True)
class Config:
    environment: str = option("minatar/breakout", "the environment's name")
    methods: tuple[str, ...] = option(("tabula_rasa", "jsrl", "qdagger"), "methods to time, each alone")
    runs: int = option(10, "runs side by side")
    repetitions: int = option(5, "calls of each program")
    iteration_steps: int = option(4_000, "agent steps of a call")


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
    params = environment.default_params
    teacher = teachers.load(teachers.shipped(environment.name))
    settings = methods.settings(name, 10 * config.iteration_steps) | {
        "warm_up": 0,
        "evaluation_steps": 1,
        "evaluation_environments": 1,
    }
    student = reincarnate.Config(
        environment=environment.name, network="mlp", widths=(128, 128), iteration_steps=config.iteration_steps,
        capacity=20_000, data_transitions=20_000, **settings,
    )  # fmt: skip
    memory = replay.memory_for(environment, params, student.data_transitions, 8, student.max_n_step)
    dataset = datasets.collect(jax.random.key(0), environment, params, teacher, memory, 0.01)
    program = reincarnate.make_train(student, environment, params, teacher, dataset)
    rehearsing = dataclasses.replace(student, rehearsal_fraction=0.25)
    second_ring = reincarnate.make_train(rehearsing, environment, params, teacher, dataset)

    keys = jax.vmap(jax.random.key)(jnp.arange(config.runs))
    states = jax.jit(jax.vmap(program.init))(keys)
    values = reincarnation.stack([student.method] * config.runs)
    over = (True, True, True, False, False)
    traced = parallel.over_runs(program.online, config.runs, over)
    rehearses = parallel.over_runs(second_ring.online, config.runs, over)
    constant = parallel.over_runs(
        lambda state, key, index: program.online(state, key, student.method, None, index),
        config.runs,
        (True, True, False),
    )
    one = jax.jit(program.online)
    apart = [jax.tree.map(lambda leaf: leaf[run], (states, keys)) for run in range(config.runs)]  # noqa: B023
    index = jnp.int32(1)
    return {
        "values": lambda: traced(states, keys, values, None, index),
        "compiled in": lambda: constant(states, keys, index),
        "second ring": lambda: rehearses(states, keys, values, dataset.ring, index),
        "one after another": lambda: [one(state, key, student.method, None, index) for state, key in apart],
    }


def main() -> None:
    parallel.use_cores()
    config = cli.parse(Config, __doc__)
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
