"""The kernel's source text: the files of this folder, one a chip, and what is generated from the Python side for them."""

from __future__ import annotations

import functools
import importlib.resources

from purejaxrrl.environments.atari import machine, raster, tia
from purejaxrrl.environments.atari.kernel import layout, opcodes

_CHIPS = ("dpc", "cartridge", "riot", "objects", "raster", "tia")


@functools.cache
def common() -> str:
    """What CPUs and GPUs compile: a frame of one lane, `atari::play_frame`."""
    parts = [_lists(), _file("machine"), _names(), opcodes.lengths(), *map(_file, _CHIPS)]
    parts += [
        opcodes.opcodes(),
        f"#define ATARI_CASES {' '.join(opcodes.cases().split())}",
        *map(_file, ("cpu", "frame", "observation")),
    ]
    return "\n".join(parts)


def _file(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(f"{name}.h").read_text()


def _lists() -> str:
    def each(name: str, members: tuple[str, ...]) -> str:
        return f"#define {name}(F) {' '.join(f'F({member})' for member in members)}"

    return "\n".join((each("FOR_EACH_SCALAR", layout.SCALARS), each("FOR_EACH_SETTING", layout.SETTINGS)))


def _names() -> str:
    registers = ", ".join(f"REG_{register.name} = {register.value}" for register in tia.Write)
    bits = ", ".join(f"{bit.name} = {bit.value}" for bit in raster.Bit)
    return f"""namespace atari {{
enum {{ {registers} }};
enum {{ {bits} }};
const int INSTRUCTIONS = {machine.INSTRUCTIONS};
}}"""


@functools.cache
def cpu() -> str:
    """`common` and what XLA for CPU calls."""
    return "\n".join(('extern "C" int sched_yield();', common(), _file("handler")))
