"""Where the rows of a saved ring go, block after block: a ring may be too large to have twice, in the host's memory and on a device."""

import functools
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np

from purejaxrrl.files import checkpoints
from purejaxrrl.runs import devices


class Target(Protocol):
    """A ring whose arrays `[runs, rows, N, ...]` are 0 until rows are written."""

    def write(self, name: str, place: int, block: np.ndarray) -> None:
        """Puts rows, `[runs, ., N, ...]`, at that place and those after it."""

    def ring(self) -> Any:
        """The pytree of arrays."""


class OnHost:
    """As numpy arrays. like: their shapes and dtypes."""

    def __init__(self, like: Any):
        self._structure = jax.tree.structure(like)
        self._arrays = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in checkpoints.by_name(like).items()}

    def write(self, name: str, place: int, block: np.ndarray) -> None:
        self._arrays[name][:, place : place + block.shape[1]] = block

    def ring(self) -> Any:
        return jax.tree.unflatten(self._structure, self._arrays.values())


class OnDevices:
    """On the devices that train as many runs as there are places, as `devices.over_runs` has them.

    like: shapes and dtypes of the runs that were saved. places: which of them is at each place; the last may be there several times.
    """

    def __init__(self, like: Any, places: Sequence[int]):
        self._structure, self._places = jax.tree.structure(like), list(places)
        self._arrays = {
            name: devices.zeros((len(places), *leaf.shape[1:]), leaf.dtype)
            for name, leaf in checkpoints.by_name(like).items()
        }

    def write(self, name: str, place: int, block: np.ndarray) -> None:
        if self._places != list(range(len(block))):
            block = block[np.asarray(self._places)]
        block = devices.spread(np.ascontiguousarray(block), len(self._places))
        whole = jax.block_until_ready(self._arrays[name])  # or the blocks that wait would add up
        self._arrays[name] = _written(whole, block, place)

    def ring(self) -> Any:
        return jax.tree.unflatten(self._structure, self._arrays.values())


@functools.partial(jax.jit, donate_argnums=0)
def _written(whole: jax.Array, block: jax.Array, place: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(whole, block, place, axis=1)
