"""The parts of `accelerator.py`, most telling first. To add one, add a file here and its line to `PARTS`.

A part is a module with

    measure(quick: bool, limit: float, **options) -> Iterator[dict]

that yields one row of its table after another, each as soon as it is known: a part that is cut off keeps the rows it has.
Values are JSON's; `agrees` (bool) says whether something is what it should be, `error` what went wrong in one case. `quick`
asks for the smallest form, seconds on a CPU; `limit` is the seconds after which the part is cut off, for one that can do less. Options are what the command line gives, of which a part takes those that it names
and lets `**_` have the others. A part that compares with recorded data also has

    record() -> dict

whose result is stored as `expected/MODULE.json` (`python experiments/benchmarks/accelerator.py --record`, on a CPU).

Only what is imported here is imported by the program itself, which must not hold the device: keep it to the standard library.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

FOLDER = Path(__file__).parent
COMMAND_BUFFERS = "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL"
"""Loops and branches as CUDA graphs: their conditions are read on the device, and the host waits for none."""


@dataclasses.dataclass(frozen=True)
class Part:
    """name: what the table and `--only` call it. path: the part's file. limit: seconds after which it is cut off. gpu_flags:
    what is added to XLA_FLAGS; a part that has any is skipped without a GPU."""

    name: str
    path: Path
    limit: float
    gpu_flags: str = ""


PARTS = (
    Part("qdagger", FOLDER / "qdagger.py", 130),
    Part("dqn", FOLDER / "dqn.py", 70),
    Part("atari_exact", FOLDER / "atari_exact.py", 90),
    Part("atari_speed", FOLDER / "atari_speed.py", 140),
    Part("nature_cnn_update", FOLDER / "nature_cnn_update.py", 60),
    Part("qdagger_on_atari", FOLDER / "qdagger_on_atari.py", 120),
    Part("pqn_speed", FOLDER / "pqn_speed.py", 70),
    Part("balloon", FOLDER / "balloon.py", 100),
    Part("convolution", FOLDER / "convolution.py", 75),
    Part("qdagger_command_buffers", FOLDER / "qdagger.py", 80, COMMAND_BUFFERS),
)
