"""What the program runs on: a part like the others, for a device that hangs hangs as soon as it is looked for."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PACKAGES = (
    "jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "flax", "optax", "chex", "orbax-checkpoint", "numpy", "pydantic", "pgx",
    "ale-py", "purejaxrrl",
)  # fmt: skip
_ROOT = Path(__file__).resolve().parents[3]


def measure() -> Iterator[dict[str, Any]]:
    """One row: the platform, the device's kind, how many there are, and the bytes of memory that JAX may take of one."""
    import jax

    device = jax.devices()[0]
    memory = (device.memory_stats() or {}).get("bytes_limit")
    yield {
        "platform": device.platform,
        "kind": device.device_kind,
        "count": jax.device_count(),
        "memory_bytes": memory,
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that matter, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def driver() -> str | None:
    """The version of the NVIDIA driver, None without one."""
    return _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def commit(root: Path = _ROOT) -> str:
    """The commit of this program: git's, else what was noted when it was carried here, else "unknown"."""
    found = _output("git", "-C", str(root), "rev-parse", "HEAD")
    if found:
        changed = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
        return found + (" with changes" if changed else "")
    try:
        return json.loads((root / "manifest.json").read_text())["commit"]
    except (OSError, ValueError, KeyError):
        return "unknown"


def _output(*command: str) -> str | None:
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return finished.stdout.strip() or None if finished.returncode == 0 else None
