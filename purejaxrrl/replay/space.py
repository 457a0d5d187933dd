"""Whether a ring fits the memory that there is, asked before it is allocated."""

import math
from pathlib import Path
from typing import Any

import jax

from purejaxrrl import control_groups
from purejaxrrl.errors import UserError
from purejaxrrl.replay.ring import ReplayMemory, least_rows

_MEMINFO = Path("/proc/meminfo")


def size(tree: Any) -> int:
    """Bytes of a pytree of arrays, or of their shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def available_bytes(devices: int = 1) -> int | None:
    """Bytes that so many local devices can still allocate together; None where that cannot be known.

    CPU devices share the machine's memory, of which a control group may allow less.
    """
    used = jax.local_devices()[:devices]
    if used[0].platform == "cpu":
        return available_to_the_process()
    stats = [device.memory_stats() for device in used]
    if not all(stats):
        return None
    return devices * min(each["bytes_limit"] - each["bytes_in_use"] for each in stats)


def check_space(
    memory: ReplayMemory,
    rings: int = 1,
    beside: int = 0,
    available: int | None = None,
    devices: int = 1,
    shared: int = 0,
    shared_by: str = "",
) -> None:
    """Raises UserError where rings of that layout do not fit, with the bytes asked for, those there, and the largest that fits.

    Args:
      rings: how many there are to be, of runs trained side by side.
      beside: bytes of what else the runs keep: learners, environments.
      available: `available_bytes` unless given; nothing is checked where that is not known.
      devices: among which the runs are divided.
      shared, shared_by: bytes of data that are kept once for all runs, with all copies of them, and the option that says how many
        these are, if any does.
    """
    available = available_bytes() if available is None else available
    transition = bytes_of_a_transition(memory)
    asked = rings * memory.capacity * transition
    if available is None or asked + beside + shared <= available:
        return
    row, room = memory.num_environments, max(available - shared, 0)
    largest = max(room - beside, 0) // (rings * transition) // row * row
    several = f"{rings} rings of {memory.capacity:,} transitions take" if rings > 1 else (
        f"a ring of {memory.capacity:,} transitions takes"
    )  # fmt: skip
    least = least_rows(memory.max_n_step, memory.codec.history) * row
    remedies = [f"take a capacity of at most {largest}"] if largest >= least else []
    if rings > 1 and (fit := fitting(memory, beside // rings, room, devices)):
        remedies.append(f"train at most {fit} side by side (fewer seeds)")
    if shared_by and asked + beside < available:
        remedies.append(f"take fewer {shared_by}")
    of_data = f" and {shared:,} of data" if shared else ""
    raise UserError(
        f"{several} {asked:,} bytes ({transition:,} a transition) beside {beside:,} of learners and environments{of_data}, and {available:,} "
        f"are available; {', or '.join(remedies) or 'no ring fits'}"
    )


def fitting(memory: ReplayMemory, beside: int, available: int, devices: int = 1) -> int:
    """How many runs fit, each with a ring of that layout and `beside` bytes of what else it keeps.

    Every device takes the same number of runs, so that from `devices` runs on this is a multiple of `devices`. Any smaller number
    fits, too.

    Args:
      available: bytes of all devices together, which CPU devices share and others have equal parts of.
    """
    of_a_run = memory.capacity * bytes_of_a_transition(memory) + beside
    if jax.default_backend() != "cpu":
        return devices * (available // devices // of_a_run)
    fit = available // of_a_run
    return fit if fit < devices else fit - fit % devices


def bytes_of_a_transition(memory: ReplayMemory) -> int:
    """Its share of such a ring."""
    return size(jax.eval_shape(memory.init)) // memory.capacity


def available_to_the_process() -> int | None:
    """Bytes of the machine's memory; None where that cannot be known."""
    found = [_available_to_the_machine(), control_groups.memory_left()]
    return min((bytes for bytes in found if bytes is not None), default=None)


def _available_to_the_machine() -> int | None:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:  # no Linux
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
