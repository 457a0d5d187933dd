"""How many lanes a device has memory for."""

from __future__ import annotations

import os

import jax

from purejaxrrl.errors import UserError


class TooManyLanesError(UserError, MemoryError):
    """More lanes of an environment than there is memory for."""


def device_bytes() -> int | None:
    """The memory of all devices of the default backend; of a CPU, the machine's. None where it is not known."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] * jax.device_count()
    if jax.default_backend() != "cpu" or not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check(name: str, lanes: int, lane_bytes: int) -> None:
    """
    Raises:
      TooManyLanesError: `lanes` lanes of an environment, each of which takes at least `lane_bytes`, are more than there is memory for.
    """
    available = device_bytes()
    if available is None or lanes * lane_bytes <= available:
        return
    raise TooManyLanesError(
        f"{lanes:,} lanes of {name} take at least {lanes * lane_bytes / 2**30:.1f} GiB and there are {available / 2**30:.1f} GiB; "
        f"at most {available // lane_bytes:,} lanes fit"
    )
