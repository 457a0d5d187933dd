"""Timing compiled programs, and going on where one case of several fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax


def compile(function: Any, *arguments: Any) -> tuple[Any, float]:
    """A jitted function compiled for those arguments, and the seconds that took."""
    started = time.perf_counter()
    return function.lower(*arguments).compile(), time.perf_counter() - started


def device_bytes(compiled: Any) -> int:
    """Bytes of device memory that a compiled program takes, as its compiler says; donated arguments are counted once."""
    memory = compiled.memory_analysis()
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )


def call(function: Callable, *arguments: Any) -> tuple[Any, float]:
    """The result of one call, when it is there, and its seconds."""
    started = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return result, time.perf_counter() - started


def each(measure: Callable[..., dict[str, Any]], cases: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each case, `measure(**case)`; a case that the device refuses (its memory, say) is a row that says so."""
    for case in cases:
        try:
            yield case | measure(**case)
        except jax.errors.JaxRuntimeError as error:
            yield case | {"error": str(error).splitlines()[0][:200]}
