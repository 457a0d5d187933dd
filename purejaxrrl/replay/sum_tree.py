"""A sum tree: numbers at places (row, column), of which places are drawn in proportion.

Every parent is computed anew from all of its children when one of them changes, never added to: after any number of changes each is
the float32 sum of what is below it, as if the tree had just been made. Nodes are wide, so that a path has few of them: two million
places are five cumulative sums deep.
"""

import math

import chex
import jax
import jax.numpy as jnp
from flax import struct

FAN_OUT = 32
_RESOLUTION = 2.0**-23
"""Of a float32 below 1."""


@struct.dataclass
class SumTree:
    """leaves: float32 `[rows, columns]`, at least 0. sums: float32 `[groups, FAN_OUT]` each, of rows, then of the groups before, up to
    one group; 0 where there is nothing below."""

    leaves: chex.Array
    sums: tuple[chex.Array, ...]

    @property
    def total(self) -> chex.Array:
        """Of all leaves, float32 scalar."""
        return _sum(self.sums[-1][0])


def empty(rows: int, columns: int) -> SumTree:
    """All zeros."""
    sums, nodes = [], rows
    while not sums or nodes > 1:
        nodes = -(-nodes // FAN_OUT)
        sums.append(jnp.zeros((nodes, FAN_OUT), jnp.float32))
    return SumTree(jnp.zeros((rows, columns), jnp.float32), tuple(sums))


def set_row(tree: SumTree, row: chex.Array, values: chex.Array) -> SumTree:
    """The tree with a row's leaves `[columns]`; `row` is an int32 scalar, and stays a slice where all runs share it."""
    leaves = jax.lax.dynamic_update_index_in_dim(tree.leaves, values, row, 0)
    sums, child = [], values
    for level in tree.sums:
        place = row // FAN_OUT, row % FAN_OUT
        level = jax.lax.dynamic_update_slice(level, _sum(child)[None, None], place)
        sums.append(level)
        row, child = place[0], jax.lax.dynamic_index_in_dim(level, place[0], keepdims=False)
    return SumTree(leaves, tuple(sums))


def set_leaves(tree: SumTree, row: chex.Array, column: chex.Array, values: chex.Array) -> SumTree:
    """The tree with other values at those places (`[B]` each; of a place that is given twice, one of its values). A row of -1 is left out."""
    is_left_out = row < 0
    leaves = tree.leaves.at[jnp.where(is_left_out, len(tree.leaves), row), column].set(values, mode="drop")
    sums, below = [], leaves
    for level in tree.sums:
        group = jnp.where(is_left_out, len(level), row // FAN_OUT)
        level = level.at[group, row % FAN_OUT].set(_sum(below[row]), mode="drop")
        sums, below, row = [*sums, level], level, row // FAN_OUT
    return SumTree(leaves, tuple(sums))


def draw(key: chex.PRNGKey, tree: SumTree, shape: tuple[int, ...]) -> tuple[chex.Array, chex.Array, chex.Array]:
    """Places in proportion to their leaves, and the leaves: int32 row and column, float32, `[*shape]` each; consumes `key`.

    As many strata of equal weight as there are draws, and one from each (Schaul et al., 2016, appendix B.2.1). A leaf of 0 is not drawn
    unless all are 0.
    """
    size = math.prod(shape)
    uniform = jax.random.uniform(key, (1 + len(tree.sums), size))
    fraction = (jnp.arange(size) + uniform[0]) / size
    place = jnp.zeros(size, jnp.int32)
    for level, fresh in zip(tree.sums[::-1], uniform[1:], strict=True):
        child, _, fraction = _child(level[place], fraction, fresh)
        place = jnp.minimum(place * FAN_OUT + child, tree.leaves.shape[0] - 1)
    column, leaf, _ = _child(tree.leaves[place], fraction, uniform[0])
    return tuple(each.reshape(shape) for each in (place, column, leaf))


def _child(children: chex.Array, fraction: chex.Array, fresh: chex.Array) -> tuple[chex.Array, chex.Array, chex.Array]:
    """Of `children` `[B, K]` those in which `fraction` `[B]` of their sums fall, what they are, and the fractions within them.

    fresh: `[B]`, below 1. A fraction has so many bits; those that the choice takes are drawn anew, or a leaf of a million would be
    one of a few numbers.
    """
    reached = jax.lax.associative_scan(jnp.add, children, axis=-1)
    wanted = fraction * reached[:, -1]
    positive = children > 0
    after = (reached > wanted[:, None]) & positive
    last = children.shape[1] - 1 - positive[:, ::-1].argmax(-1)  # rounding may have left none
    child = jnp.where(after.any(-1), after.argmax(-1), last).astype(jnp.int32)
    value, up_to = (jnp.take_along_axis(each, child[:, None], -1)[:, 0] for each in (children, reached))
    within = wanted - (up_to - value) + fresh * _RESOLUTION * reached[:, -1]
    return child, value, jnp.clip(within / jnp.maximum(value, 1e-30), 0.0, 1.0 - _RESOLUTION)


def _sum(children: chex.Array) -> chex.Array:
    """Over the last axis, in one order whatever the other axes: equal children have equal sums."""
    width = 1 << (children.shape[-1] - 1).bit_length()
    children = jnp.pad(children, [(0, 0)] * (children.ndim - 1) + [(0, width - children.shape[-1])])
    while width > 1:
        width //= 2
        children = children[..., :width] + children[..., width:]
    return children[..., 0]
