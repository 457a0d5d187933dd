"""Bytes of device memory that a seed of QDagger takes, by game, and how many seeds fit a device.

    python experiments/benchmarks/memory.py
    python experiments/benchmarks/memory.py --games breakout --network mlp --widths 128,128

The settings are the main job's unless flags change them. State and teacher's data are counted; what else an iteration needs is the
compiler's word for this backend (memory analysis of the compiled program, its state donated), with 4 seeds and with 8: the
difference is a seed's.
"""

import functools

import jax
import jax.numpy as jnp

import purejaxrrl
from purejaxrrl import qdagger, replay
from purejaxrrl.environments import minatar
from purejaxrrl.errors import UserError
from purejaxrrl.replay.space import size
from purejaxrrl.runs import command_line
from purejaxrrl.students.hyperparameters import declare, option, stack
from purejaxrrl.students.settings import QDagger
from purejaxrrl.teachers.datasets import Dataset

FEW, MANY = 4, 8
MIB = 2**20


@declare
class Options:
    games: tuple[str, ...] = option(minatar.GAMES, "MinAtar games to measure, separated by commas")
    data_transitions: int = option(100_000, "transitions of the teacher's data, which all seeds share", minimum=1)
    devices: tuple[int, ...] = option((24, 78), "memory in GiB of the devices to fill with seeds")

    def __post_init__(self):
        if not self.games:
            raise UserError("games is empty; give at least one")
        if not all(1 <= gib <= 1_000_000 for gib in self.devices):
            raise UserError(f"devices is {self.devices}; a device has 1 to 1,000,000 GiB")


def program_for(game: str, options: Options, settings: QDagger) -> qdagger.Program:
    """The program, with the layout of data that nobody collected."""
    environment = purejaxrrl.make(f"minatar/{game}")
    teacher = purejaxrrl.load_teacher(purejaxrrl.shipped_teacher(environment.name))
    memory = replay.memory_for(
        environment, environment.default_params, options.data_transitions, settings.num_environments, 1, teacher.card.num_actions
    )  # fmt: skip
    return qdagger.program(settings, environment, teacher, Dataset(memory, jax.eval_shape(memory.init)))


def measure(program: qdagger.Program, seeds: int) -> tuple[int, int, int]:
    """Bytes of the ring, of all state, and of what the compiled iteration needs beside it, for that many seeds."""
    keys = jax.eval_shape(lambda: jax.vmap(jax.random.key)(jnp.arange(seeds)))
    settings = jax.eval_shape(lambda: stack([program.settings] * seeds))
    init = jax.vmap(functools.partial(qdagger.init, program))
    state = jax.eval_shape(init, keys, settings)
    online = jax.vmap(functools.partial(qdagger.online, program), in_axes=(0, 0, 0, None, None))
    index = jax.ShapeDtypeStruct((), jnp.int32)
    compiled = jax.jit(online, donate_argnums=0).lower(state, keys, settings, None, index).compile()
    return size(state.ring), size(state), compiled.memory_analysis().temp_size_in_bytes


def main() -> None:
    with command_line.user_errors("the same command starts again"):
        options, settings = command_line.parse((Options, QDagger), __doc__)
        print(
            f"{settings.network}, a ring of {settings.capacity:,} transitions a seed; {jax.devices()[0].device_kind}\n"
        )
        fits = " ".join(f"{f'seeds in {gib} GiB':>16}" for gib in options.devices)
        print(f"{'game':16} {'ring MiB':>9} {'learner MiB':>12} {'work MiB':>9} {'shared MiB':>11} {fits}")
        for game in options.games:
            program = program_for(game, options, settings)
            (_, _, few), (ring, state, many) = measure(program, FEW), measure(program, MANY)
            work = max(many - few, 0) / (MANY - FEW)
            shared = size(jax.eval_shape(program.data_memory.init)) + max(many - MANY * work, 0)
            seed = state / MANY + work
            counts = " ".join(f"{int((gib * 2**30 - shared) // seed):16,}" for gib in options.devices)
            print(
                f"{game:16} {ring / MANY / MIB:9.2f} {(state - ring) / MANY / MIB:12.2f} {work / MIB:9.2f} "
                f"{shared / MIB:11.1f} {counts}",
                flush=True,
            )


if __name__ == "__main__":
    main()
