"""Seconds and bytes of a run's checkpoints: of a full replay memory, after one more iteration, and read again.

    python experiments/benchmarks/checkpoint.py                                  # the defaults of reincarnate.py on Breakout's pixels
    python experiments/benchmarks/checkpoint.py --environment minatar/breakout --seeds 4

Nothing is trained: the students are fresh ones, and the replay holds random bytes, which no disk makes smaller.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import purejaxrrl
from purejaxrrl import qdagger
from purejaxrrl.errors import UserError
from purejaxrrl.replay import space
from purejaxrrl.runs import command_line, experiment, memory, run_folder
from purejaxrrl.students import presets
from purejaxrrl.students.hyperparameters import declare, option, replace
from purejaxrrl.students.settings import QDagger
from purejaxrrl.students.student import described

MIB = 2**20


@declare
class Options:
    environment: str = option("atari/breakout", "name of the environment")
    seeds: int = option(2, "number of runs side by side", minimum=1, maximum=experiment.MOST_SEEDS)
    folder: str = option("", "folder on the disk to measure, which must exist; empty: the system's for temporary files")

    def __post_init__(self):
        if self.folder and not Path(self.folder).is_dir():
            raise UserError(f"folder is {self.folder!r}, which does not exist; give one that does")


def filled(state: qdagger.State) -> qdagger.State:
    """With random bytes for all bytes of the ring."""

    def random(leaf: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.key(0), leaf.shape, jnp.uint8) if leaf.dtype == jnp.uint8 else leaf

    return state._replace(ring=jax.tree.map(random, state.ring))


def timed(step: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the step, and what it returns."""
    started = time.perf_counter()
    found = step()
    return time.perf_counter() - started, found


def files(folder: Path) -> dict[Path, int]:
    """Bytes of every file in it."""
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def measure(place: Path, state: qdagger.State, rows: int, more_rows: int) -> dict[str, tuple[float, int]]:
    """Seconds and bytes by what is done: a checkpoint of `rows`, one `more_rows` later, restoring that.

    place: an empty folder.
    """
    learners = state._replace(ring=None)
    like_state, like_ring = jax.eval_shape(lambda: (learners, state.ring))
    with run_folder.RunFolder(place, {"program": "checkpoint"}, resume=False) as folder:
        whole, _ = timed(lambda: folder.checkpoint(1, learners, state.ring, rows))
        first = files(place)
        next_one, _ = timed(lambda: folder.checkpoint(2, learners, state.ring, rows + more_rows))
        second = files(place)
        restoring, restored = timed(lambda: jax.block_until_ready(folder.restore(like_state, like_ring)))
    return {
        "the first, replay full": (whole, sum(first.values())),
        "after an iteration more": (next_one, sum(size for path, size in second.items() if path not in first)),
        "restoring": (restoring, space.size((restored.state, restored.ring))),
    }


def main() -> None:
    with command_line.user_errors("the same command starts again"):
        preset = presets.named("quick", command_line.given("environment", Options.environment))
        options, settings = command_line.parse((Options, QDagger), __doc__, defaults=preset)
        settings = replace(settings, offline_iterations=0)
        environment = purejaxrrl.make(options.environment)
        teacher = purejaxrrl.load_teacher(purejaxrrl.shipped_teacher(options.environment))
        student = described(settings, environment, environment.default_params)
        memory.check_runs(settings, environment, student, options.seeds)
        program = qdagger.program(settings, environment, teacher, student=student)
        init = jax.jit(jax.vmap(lambda key: filled(qdagger.init(program, key, settings))))
        state = jax.block_until_ready(init(jax.random.split(jax.random.key(0), options.seeds)))
        rows, more_rows = program.memory.rows, settings.schedule.rows_per_iteration
        with tempfile.TemporaryDirectory(dir=options.folder or None) as place:
            found = measure(Path(place), state, rows, more_rows)
        print(
            f"{options.environment}, {options.seeds} seeds, {settings.capacity:,} transitions each, "
            f"{settings.iteration_steps:,} more an iteration\n\n{'checkpoint':24} {'s':>8} {'MiB':>8} {'MiB/s':>8}"
        )
        for name, (seconds, size) in found.items():
            print(f"{name:24} {seconds:8.2f} {size / MIB:8.1f} {size / MIB / seconds:8.0f}")


if __name__ == "__main__":
    main()
