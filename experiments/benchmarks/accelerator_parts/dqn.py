"""DQN's throughput as `dqn_throughput.py` measures it, from 1 to 512 vmapped seeds; PureJaxRL's beside it where it is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dqn_throughput
import dqn_throughput_worker
import jax

from accelerator_parts import timing

SEEDS, STEPS, WARM_UP = (1, 512, 8, 64), 20_000, 1_000
QUICK_SEEDS, QUICK_STEPS, QUICK_WARM_UP = (2,), 1_000, 500


def measure(
    quick: bool, purejaxrl: str | None = None, purejaxrl_python: str | None = None, **_: Any
) -> Iterator[dict[str, Any]]:
    """A row for each number of seeds: a call of `STEPS` agent steps of each, from a fresh start, without evaluations.

    purejaxrl, purejaxrl_python: a checkout of PureJaxRL and the interpreter of its virtual environment.
    """
    steps, warm_up = (QUICK_STEPS, QUICK_WARM_UP) if quick else (STEPS, WARM_UP)
    train, _, updates, _ = dqn_throughput_worker.ours(steps, warm_up)

    def ours(seeds: int, **_: Any) -> dict[str, Any]:
        keys = jax.random.split(jax.random.key(0), seeds)
        compiled, compile_seconds = timing.compile(jax.jit(jax.vmap(train)), keys)
        timing.call(compiled, keys)
        _, seconds = timing.call(compiled, keys)
        memory = timing.device_bytes(compiled) / 2**20
        return _speed(seeds, steps, updates, seconds) | {"MiB": memory, "compile s": compile_seconds}

    for seeds in QUICK_SEEDS if quick else SEEDS:
        yield from timing.each(ours, [{"side": "ours", "seeds": seeds}])
        if purejaxrl:
            yield {"side": "PureJaxRL", "seeds": seeds} | theirs(seeds, steps, warm_up, purejaxrl_python, purejaxrl)


def _speed(seeds: int, steps: int, updates: int, seconds: float) -> dict[str, Any]:
    """updates: of one seed."""
    return {
        "s / call": seconds,
        "steps / s": seeds * steps / seconds,
        "updates / s": seeds * updates / seconds,
        "us / update": 1e6 * seconds / updates,
    }


def theirs(seeds: int, steps: int, warm_up: int, python: str, folder: str) -> dict[str, Any]:
    """PureJaxRL's speed, by the worker of `dqn_throughput.py` in that interpreter, with that checkout."""
    worker = dqn_throughput.Worker(python, "purejaxrl", steps, warm_up, seeds, folder)
    seconds = worker.seconds("train")
    worker.close()
    return _speed(seeds, steps, worker.about["updates"] // seeds, seconds)
