"""One function of one lane, whose `vmap` is a function written for many lanes at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from purejaxrrl.environments import base


def over_lanes(batched: Callable, as_written: bool = True) -> Callable:
    """The function of one lane that a function of L lanes (leading axis of every array in and out) stands for.

    However many `vmap`s are put around it, also where they turn a `cond` into a selection, the program that runs is `batched` on
    all their lanes: a `while_loop` under `vmap` would instead copy its whole state at every step.

    as_written: trace it in the modes of JAX that games are written for (`base.as_written`), else in those that there are.
    """
    lanes = _Lanes(batched, as_written)

    @functools.wraps(batched)
    def single(*arguments):
        leaves, tree = jax.tree.flatten(arguments)
        leaves = _alike([jnp.asarray(leaf)[None] for leaf in leaves])
        results = _over_lanes.bind(*leaves, lanes=lanes, tree=tree)
        return jax.tree.unflatten(lanes.result_tree(tree, leaves), [result[0] for result in results])

    return single


class _Lanes:
    """A function of L lanes, traced once for each L."""

    def __init__(self, batched: Callable, as_written: bool):
        self._batched, self._as_written = batched, as_written
        self._traced: dict[Any, tuple[ClosedJaxpr, Any]] = {}

    def trace(self, tree: Any, leaves: Any) -> tuple[ClosedJaxpr, Any]:
        """The program for leaves of these shapes, and the tree of what it returns."""
        shapes = tuple((leaf.shape, jnp.dtype(leaf.dtype), getattr(leaf, "weak_type", False)) for leaf in leaves)
        key = (tree, shapes, jax.sharding.get_abstract_mesh(), jax.config.jax_enable_x64)
        if key not in self._traced:
            structs = [jax.ShapeDtypeStruct(shape, dtype, weak_type=weak) for shape, dtype, weak in shapes]
            trace = jax.make_jaxpr(lambda *leaves: self._batched(*jax.tree.unflatten(tree, leaves)), return_shape=True)
            # A batching rule asks for it outside of what is traced.
            program, result = (base.as_written(trace) if self._as_written else trace)(*structs)
            self._traced[key] = program, jax.tree.structure(result)
        return self._traced[key]

    def result_tree(self, tree: Any, leaves: Any) -> Any:
        """The tree of what is returned."""
        return self.trace(tree, leaves)[1]

    @functools.cached_property
    def jitted(self) -> Callable:
        """For calls outside of any program."""
        return jax.jit(lambda tree, *leaves: jaxpr_as_fun(self.trace(tree, leaves)[0])(*leaves), static_argnums=0)


def _varying(array: Any) -> frozenset:
    """The mesh axes over which an array differs, within `shard_map`."""
    aval = jax.typeof(array)
    return aval.manual_axis_type.varying if hasattr(aval, "manual_axis_type") else aval.vma


def _alike(arrays: list[jax.Array]) -> list[jax.Array]:
    """The arrays, all differing over every mesh axis over which any does, which is what `shard_map` asks of operands."""
    axes = frozenset().union(*map(_varying, arrays))
    return [
        jax.lax.pcast(array, tuple(axes - _varying(array)), to="varying") if axes - _varying(array) else array
        for array in arrays
    ]


_over_lanes = Primitive("over_lanes")
_over_lanes.multiple_results = True


@_over_lanes.def_impl
def _run(*leaves, lanes: _Lanes, tree: Any):
    return lanes.jitted(tree, *leaves)


@_over_lanes.def_abstract_eval
def _shapes(*leaves, lanes: _Lanes, tree: Any):
    # Whatever else a type says, such as over which axes of a mesh it varies, is as the operands have it.
    like, mesh = leaves[0], leaves[0].sharding.mesh
    return [
        like.update(
            shape=aval.shape,
            dtype=aval.dtype,
            weak_type=aval.weak_type,
            sharding=NamedSharding(mesh, PartitionSpec(*[None] * aval.ndim)),
        )
        for aval in lanes.trace(tree, leaves)[0].out_avals
    ]


def _lower(context: mlir.LoweringRuleContext, *operands, lanes: _Lanes, tree: Any):
    program = lanes.trace(tree, context.avals_in)[0]
    return mlir.core_call_lowering(context, *operands, name="over_lanes", call_jaxpr=program)


mlir.register_lowering(_over_lanes, _lower)


def _merge(leaves: Any, axes: Any, *, lanes: _Lanes, tree: Any):
    """Two axes of lanes are one."""
    size = next(leaf.shape[axis] for leaf, axis in zip(leaves, axes, strict=True) if axis is not None)

    def merged(leaf: jax.Array, axis: int | None) -> jax.Array:
        spread = jnp.broadcast_to(leaf, (size, *leaf.shape)) if axis is None else jnp.moveaxis(leaf, axis, 0)
        return spread.reshape(-1, *spread.shape[2:])

    results = _over_lanes.bind(*_alike(list(map(merged, leaves, axes))), lanes=lanes, tree=tree)
    return [result.reshape(size, -1, *result.shape[1:]) for result in results], [0] * len(results)


batching.primitive_batchers[_over_lanes] = _merge
