"""The kernel, compiled by Warp, which keeps on disk what it has compiled, and made known to XLA."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
import numpy as np

from purejaxrrl.errors import UserError

HANDLERS = FRAME, OBSERVATION, CANVAS, RESTORE = tuple(
    f"purejaxrrl_atari_{name}" for name in ("frame", "observation", "canvas", "restore")
)
"""The names under which XLA knows the kernels."""
PLATFORMS = ("cpu", "gpu")
"""JAX's names of the backends that the kernel runs on."""
_LARGEST_KEPT = 2**25 - 2**16
"""Bytes of the largest block that glibc can learn to keep, 32 MiB with what it adds to it."""
_LOCK = threading.Lock()
_REMEDY = "pip install 'warp-lang>=1.19,<1.20'"


class Unavailable(UserError, RuntimeError):
    """The kernel cannot be had on this machine; says why, and what would help."""


def register() -> None:
    """Makes the kernel known to XLA, the first time compiling it, which is announced on stderr; later does nothing.

    Raises:
      Unavailable: Warp is missing, of a version that this was not tested with, or cannot compile or keep the kernel; or there is a
        GPU that Warp cannot use.
    """
    with _LOCK:
        _load_for_cpu()
        if jax.default_backend() == "gpu":
            _load_for_gpu()


def for_gpu() -> tuple[Callable, Callable]:
    """Warp's own way into JAX, which finds the GPU's stream: a frame and an observation, as functions of arrays."""
    with _LOCK:
        return _load_for_gpu()


@functools.cache
def _warp() -> ModuleType:
    try:
        import warp
    except ImportError as error:
        raise Unavailable(f"warp-lang cannot be imported ({error}); {_REMEDY}") from error
    if not hasattr(warp, "ModuleBuildOptions"):
        raise Unavailable(f"warp-lang is {warp.config.version}; {_REMEDY}")
    with _explained(warp), _silent(warp):
        warp.init()
    return warp


@functools.cache
def _load_for_cpu() -> Any:
    warp = _warp()
    from purejaxrrl.environments.atari.kernel import modules

    module, find_handlers = modules.for_cpu()
    _announce(warp, module)
    with _explained(warp), _silent(warp):
        addresses = warp.zeros(len(HANDLERS), dtype=warp.uint64, device="cpu")
        warp.launch(find_handlers, dim=1, inputs=[addresses], device="cpu")
    for name, address in zip(HANDLERS, addresses.numpy(), strict=True):
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(int(address)), platform="cpu")
    _keep_freed_memory()
    return module  # which keeps the machine code in memory


def _keep_freed_memory() -> None:
    """Lets what a step frees serve the next one, which returns as much: 150 kB a lane, megabytes in a batch.

    glibc gives blocks that large back to the system, whose page faults then take a tenth to a fifth of a step, until it has seen a larger
    one freed (mallopt(3), M_MMAP_THRESHOLD). Where somebody has set that threshold, and under other allocators, this changes nothing.
    """
    np.empty(_LARGEST_KEPT, np.uint8)


@functools.cache
def _load_for_gpu() -> tuple[Callable, Callable]:
    warp = _warp()
    from purejaxrrl.environments.atari.kernel import modules

    if jax.default_backend() == "gpu" and not warp.is_cuda_available():
        raise Unavailable("Warp finds no CUDA driver for JAX's GPU; install NVIDIA's, or take the engine 'portable'")
    gpu = modules.for_gpu()
    _announce(warp, gpu.module)
    with _explained(warp), _silent(warp):
        if jax.default_backend() == "gpu":
            device = warp.device_from_jax(jax.local_devices()[0])
            warp.load_module(gpu.module, device=device, block_dim=modules.BLOCK)
        return modules.for_jax(gpu)


def _announce(warp: ModuleType, module: Any) -> None:
    from purejaxrrl.environments.atari.kernel import modules

    folders = (module.get_module_identifier(block) for block in (1, modules.BLOCK))
    if not any(os.path.isdir(os.path.join(warp.config.kernel_cache_dir, folder)) for folder in folders):
        print("Compiling the Atari kernel, once for this machine: some 20 seconds ...", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _explained(warp: ModuleType) -> Iterator[None]:
    """With errors of Warp's as `Unavailable`."""
    try:
        yield
    except Exception as error:
        raise Unavailable(
            f"Warp cannot compile the Atari kernel or keep it in {warp.config.kernel_cache_dir} ({error}); see that the "
            "folder can be written, or name another in the environment variable WARP_CACHE_PATH"
        ) from error


@contextlib.contextmanager
def _silent(warp: ModuleType) -> Iterator[None]:
    """Without what Warp says when it starts: a part of it is native code, which does not ask Python where to."""
    level, warp.config.log_level = warp.config.log_level, warp.LOG_ERROR
    with open(os.devnull, "w") as nowhere:
        stderr = os.dup(2)
        sys.stderr.flush()
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            warp.config.log_level = level
