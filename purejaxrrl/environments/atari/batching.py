"""One function of one lane, whose `vmap` is a function written for many lanes at once."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp


def over_lanes(batched: Callable) -> Callable:
    """The function of one lane that a function of L lanes (leading axis of every array in and out) stands for.

    However many `vmap`s are put around it, the program that runs is `batched` on all their lanes: a `while_loop` under `vmap`
    would instead copy its whole state at every step.
    """

    @jax.custom_batching.custom_vmap
    def lanes(*arguments):
        return batched(*arguments)

    @lanes.def_vmap
    def merge(size, is_mapped, *arguments):
        def spread(x, mapped):
            return x if mapped else jnp.broadcast_to(x, (size, *jnp.shape(x)))

        arguments = jax.tree.map(spread, arguments, tuple(is_mapped))
        merged = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), arguments)
        result = jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), lanes(*merged))
        return result, jax.tree.map(lambda _: True, result)

    @functools.wraps(batched)
    def single(*arguments):
        result = lanes(*jax.tree.map(lambda x: jnp.asarray(x)[None], arguments))
        return jax.tree.map(lambda x: x[0], result)

    return single
