"""What Linux's control groups leave to this process, as containers, job schedulers and systemd set them: memory and processor time.

Limits hold for a group and all groups above it; those that a container does not show are taken for none. Version 1 and 2.
"""

import math
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_NO_LIMIT = 2**60
"""Version 1 says "no limit" as a number of this size."""


def memory_left() -> int | None:
    """Bytes; None without a limit. Pages of files that were read or written count as left: they are given back where memory is asked for."""
    left = [
        limit - max(used - _cached(folder), 0)
        for controller, limit_name, used_name in (
            ("", "memory.max", "memory.current"),
            ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        )
        for folder in _folders(controller)
        if (limit := _number(folder / limit_name)) is not None and limit < _NO_LIMIT
        if (used := _number(folder / used_name)) is not None
    ]
    return min(left, default=None)


def processors() -> int | None:
    """How many processors' time there is, rounded up; None without a limit."""
    shares = []
    for folder in _folders(""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        shares.append((quota, period))
    for folder in (*_folders("cpu"), *_folders("cpu,cpuacct")):
        shares.append((_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")))
    found = [math.ceil(int(quota) / int(period)) for quota, period in shares if quota.isdigit() and period.isdigit()]
    return max(min(found), 1) if found else None


def _folders(controller: str) -> Iterator[Path]:
    """Of the process's group and of those above it; "" is version 2, which has one hierarchy."""
    root = _ROOT / controller
    path = Path()
    for line in _text(_OWN).splitlines():
        _, controllers, place = line.split(":", 2)
        if controller in controllers.split(",") or controller == controllers:
            path = Path(place.lstrip("/"))
    for part in (path, *path.parents):
        yield root / part


def _cached(folder: Path) -> int:
    lines = [line.split() for line in _text(folder / "memory.stat").splitlines()]
    return sum(int(number) for name, number in lines if name in ("active_file", "inactive_file"))


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
