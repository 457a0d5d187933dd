"""What JAX compiles: kept for the next time; and how long it has been at it, tracing, lowering, and XLA's own work or its cache's."""

import contextlib
import hashlib
import os
import platform
import time
from pathlib import Path
from types import TracebackType

import jax
import jax.monitoring

from purejaxrrl.files import cache

_STAGES = {
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
}

_MOST_KEPT = 2**30
"""Bytes; thousands of programs."""


def keep() -> None:
    """Has JAX keep what takes long to compile in the user's cache folder, and look there first, for programs that are started again.

    Of what is there already, the least recently used goes until a GiB is left. Where JAX_COMPILATION_CACHE_DIR says where, or is empty
    for nowhere, or that folder cannot be written, it changes nothing.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return
    try:
        folder = cache.folder("xla") / _processor()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a home that cannot be written, or none
        return
    if os.access(folder, os.W_OK):
        with contextlib.suppress(OSError):  # a folder that cannot be listed
            _forget(folder, _MOST_KEPT)
        jax.config.update("jax_compilation_cache_dir", str(folder))


def _forget(folder: Path, most: int) -> None:
    """Removes the files least recently used where all together have more than `most` bytes."""
    files = []
    for file in folder.iterdir():
        with contextlib.suppress(OSError):  # another program removes, too
            about = file.stat()
            if file.is_file():
                files.append((max(about.st_atime, about.st_mtime), about.st_size, file))
    files.sort()
    excess = sum(size for _, size, _ in files) - most
    for _, size, file in files:
        if excess <= 0:
            break
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
            excess -= size


def _processor() -> str:
    """Of which kind the CPU is, as a name: what was compiled for one may not run on another that shares the folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    about = sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return f"{platform.machine()}-{hashlib.sha256(repr((platform.processor(), about)).encode()).hexdigest()[:12]}"


class Compilations:
    """`with Compilations() as compilations:` listens; `seconds` is what all since then took together.

    JAX says when a stage begins (a scalar, the time) and when it has ended (its duration). Functions are traced within
    functions: the outermost stage counts.
    """

    def __init__(self):
        self._depth = 0
        self._ended = self._began = 0.0

    def __enter__(self) -> "Compilations":
        jax.monitoring.register_scalar_listener(self._begin)
        jax.monitoring.register_event_duration_secs_listener(self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        jax.monitoring.unregister_scalar_listener(self._begin)
        jax.monitoring.unregister_event_duration_listener(self._end)

    def _begin(self, event: str, value: float, **_: object) -> None:
        if event in _STAGES:
            if not self._depth:
                self._began = time.perf_counter()
            self._depth += 1

    def _end(self, event: str, seconds: float, **_: object) -> None:
        if event in _STAGES and self._depth:  # a stage that began before anybody listened is not counted
            self._depth -= 1
            if not self._depth:
                self._ended += time.perf_counter() - self._began

    @property
    def running(self) -> bool:
        return self._depth > 0

    @property
    def seconds(self) -> float:
        """Until now."""
        return self._ended + (time.perf_counter() - self._began if self.running else 0.0)
