"""A saved ring on its way to the devices, block after block: it may be too large to be in the host's memory as well."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from purejaxrrl.files import checkpoints
from purejaxrrl.runs import devices


class DeviceRing:
    """Arrays `[places, rows, N, ...]`, 0 until rows are written, on the devices that train as many runs as there are places.

    like: shapes and dtypes `[runs, rows, N, ...]` of the runs that were saved.
    places: which of them is at each place; the last may be there several times. None: each once.
    """

    def __init__(self, like: Any, places: Sequence[int] | None = None):
        self._structure, named = jax.tree.structure(like), checkpoints.by_name(like)
        runs = next(iter(named.values())).shape[0]
        self._places = list(range(runs) if places is None else places)
        self._is_each_once = self._places == list(range(runs))
        self._arrays = {
            name: devices.zeros((len(self._places), *leaf.shape[1:]), leaf.dtype) for name, leaf in named.items()
        }

    def write(self, name: str, row: int, block: np.ndarray) -> None:
        """Puts rows, `[runs, ., N, ...]`, at that row of an array and those after it."""
        if not self._is_each_once:
            block = block[np.asarray(self._places)]
        block = devices.spread(np.ascontiguousarray(block), len(self._places))
        whole = jax.block_until_ready(self._arrays[name])  # or the blocks that wait would add up
        self._arrays[name] = _written(whole, block, row)

    def arrays(self) -> Any:
        """The pytree, as `like`."""
        return jax.tree.unflatten(self._structure, self._arrays.values())


@functools.partial(jax.jit, donate_argnums=0)
def _written(whole: jax.Array, block: jax.Array, row: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(whole, block, row, axis=1)
