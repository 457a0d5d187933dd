"""The two implementations of a frame, and which of them is used where."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import ModuleType

import jax

from purejaxrrl.environments.atari import machine
from purejaxrrl.errors import UserError

ENGINES = ("kernel", "portable")
"""kernel: a scalar function of one lane, compiled for CPU and CUDA (`kernel/`). portable: all lanes in lockstep, as XLA loops
(`machine.frame`), wherever XLA runs."""

DRAW_NOTHING, DRAW_ALL, DRAW_WHOLE_LINES = range(3)
"""What becomes of the picture of a frame that the kernel plays; see `kernel.call.frame`."""


def choose(engine: str | None) -> str:
    """The engine of that name, or for None the one that is used here: the kernel on CPUs and NVIDIA's GPUs where it can be had.

    Where it cannot, a warning, once, says why and what would help.

    Raises:
      ValueError: there is no such engine.
      kernel.Unavailable: the kernel was asked for by name and cannot be had here.
    """
    if engine not in (None, *ENGINES):
        raise UserError(f"unknown engine {engine!r} of the Atari console; choose one of {', '.join(ENGINES)}, or None")
    if engine == "kernel":
        _require_kernel()
    return engine or _default(jax.default_backend())


def frame_of(engine: str) -> Callable:
    """`machine.frame`, or what equals it."""
    return machine.frame if engine == "portable" else kernel().frame


def kernel() -> ModuleType:
    """`kernel/call.py`, for an engine that `choose` has found to be the kernel."""
    from purejaxrrl.environments.atari.kernel import call

    return call


def _require_kernel() -> None:
    from purejaxrrl.environments.atari.kernel import Unavailable, compiled

    if jax.default_backend() not in compiled.PLATFORMS:
        raise Unavailable(
            f"the Atari kernel runs on {' and '.join(compiled.PLATFORMS)}, and JAX's default device is "
            f"{jax.default_backend()}; take the engine 'portable'"
        )
    compiled.register()


@functools.cache
def _default(backend: str) -> str:
    from purejaxrrl.environments.atari.kernel import Unavailable, compiled

    if backend not in compiled.PLATFORMS:
        return "portable"
    try:
        compiled.register()
    except Unavailable as error:
        warnings.warn(f"Atari games run many times slower than they could: {error}", RuntimeWarning, stacklevel=4)
        return "portable"
    return "kernel"
