"""One place of each lane's memory, read and written, and how XLA is kept from computing a value again for each of its uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def load(memory: jax.Array, *place: jax.Array) -> jax.Array:
    """`memory[lane, *place]` of every lane; memory [L, ...], place int32 [L] each."""
    return memory[(jnp.arange(memory.shape[0]), *place)]


def store(memory: jax.Array, place: tuple[jax.Array, ...], value: jax.Array, enable: jax.Array) -> jax.Array:
    """`memory` [L, ...] with `value` [L, ...] at `place`, int32 [L] each, of the lanes that `enable`, bool [L], names."""
    return jax.lax.platform_dependent(memory, place, value, enable, cpu=_store_in_turn, default=_store_at_once)


def _store_at_once(memory: jax.Array, place: tuple[jax.Array, ...], value: jax.Array, enable: jax.Array) -> jax.Array:
    first = jnp.where(enable, place[0], memory.shape[1])
    lane = jnp.arange(memory.shape[0])
    return memory.at[(lane, first, *place[1:])].set(value, mode="drop", unique_indices=True)


def _store_in_turn(memory: jax.Array, place: tuple[jax.Array, ...], value: jax.Array, enable: jax.Array) -> jax.Array:
    """Without a scatter, which XLA for CPU never compiles into one function with the loop around it (`FUSED_LOOPS`)."""

    def one(lane, memory):
        start = (lane, *(index[lane] for index in place), *[0] * (value.ndim - 1))
        old = jax.lax.dynamic_slice(memory, start, (1,) * (1 + len(place)) + value.shape[1:])
        new = jnp.where(enable[lane], value[lane].reshape(old.shape), old)
        return jax.lax.dynamic_update_slice(memory, new, start)

    return jax.lax.fori_loop(0, memory.shape[0], one, memory)


def once(always: jax.Array, function: Callable[..., Any], *operands: Any) -> Any:
    """`function(*operands)`, on a CPU computed once.

    XLA for CPU puts what a value is made from into the kernel of each of its uses, so that the longer a chain of values, the
    more often its beginning is computed; not beyond the branches of a conditional.

    Args:
      always: bool, True, but XLA must not know it.
    """

    def branch(always, operands):
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, *operands))
        return jax.lax.cond(always, lambda operands: function(*operands), lambda _: zeros, operands)

    return jax.lax.platform_dependent(always, operands, cpu=branch, default=lambda _, operands: function(*operands))
