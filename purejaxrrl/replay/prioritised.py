"""Prioritised sampling (Schaul et al., 2016) of the replay memory, as Dopamine's agents have it."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.replay import sum_tree
from purejaxrrl.replay.ring import Draw, ReplayMemory, Step
from purejaxrrl.replay.sum_tree import SumTree


@struct.dataclass
class Priorities:
    """tree: at places of the ring, 0 where nothing may be drawn. waiting: bool `[max_n_step, N]`, of the newest rows, whose returns are
    incomplete, whether they are transitions. largest: float32, the largest priority ever given, 1 at first."""

    tree: SumTree
    waiting: chex.Array
    largest: chex.Array


@dataclasses.dataclass(frozen=True)
class Prioritised:
    """Transitions in proportion to their priorities, which the student's loss gives (`student.TDLoss`: its root).

    A transition becomes drawable with the largest priority ever given, once its return is complete, and has priority 0 otherwise.

    importance_weights: losses are multiplied by 1 / sqrt(probability), divided by the batch's largest, as Dopamine's Rainbow has it (an
      exponent of 0.5; Schaul et al. let it rise to 1). The Balloon Learning Environment's quantile agent computes them and leaves
      the gradient as it is.
    """

    importance_weights: bool = True

    def init(self, memory: ReplayMemory) -> Priorities:
        return Priorities(
            tree=sum_tree.empty(memory.rows, memory.num_environments),
            waiting=jnp.zeros((memory.max_n_step, memory.num_environments), jnp.bool_),
            largest=jnp.float32(1.0),
        )

    def added(self, memory: ReplayMemory, state: Priorities, step: Step, num_rows: chex.Array) -> Priorities:
        tree = self._without_oldest(memory, state.tree, num_rows)
        # The row written `max_n_step` ago is complete now; before there is one, nothing waits.
        place = num_rows % memory.max_n_step
        is_transition = jax.lax.dynamic_index_in_dim(state.waiting, place, keepdims=False)
        complete = (num_rows - memory.max_n_step) % memory.rows
        tree = sum_tree.set_row(tree, complete, jnp.where(is_transition, state.largest, 0.0))
        waiting = jax.lax.dynamic_update_index_in_dim(state.waiting, step.is_transition, place, 0)
        return state.replace(tree=tree, waiting=waiting)

    def _without_oldest(self, memory: ReplayMemory, tree: SumTree, num_rows: chex.Array) -> SumTree:
        """Without the row that is overwritten, and where the ring is full those whose stacks of frames that breaks."""
        nothing = jnp.zeros(memory.num_environments, jnp.float32)
        tree = sum_tree.set_row(tree, num_rows % memory.rows, nothing)
        for behind in range(1, memory.codec.history + 1):
            row = (num_rows + behind) % memory.rows
            kept = jax.lax.dynamic_index_in_dim(tree.leaves, row, keepdims=False)
            tree = sum_tree.set_row(tree, row, jnp.where(num_rows < memory.rows, kept, nothing))
        return tree

    def draw(
        self, key: chex.PRNGKey, memory: ReplayMemory, state: Priorities, num_rows: chex.Array, shape: tuple[int, ...]
    ) -> Draw:
        place, environment, priority = sum_tree.draw(key, state.tree, shape)
        newest = num_rows - 1
        row = newest - (newest - place) % memory.rows
        return Draw(row, environment, priority / jnp.maximum(state.tree.total, 1e-30))

    def importance(self, draw: Draw) -> chex.Array:
        if not self.importance_weights:
            return jnp.ones_like(draw.probability)
        weights = 1.0 / jnp.sqrt(draw.probability + 1e-10)
        return weights / weights.max()

    def learned(self, state: Priorities, row: chex.Array, environment: chex.Array, priority: chex.Array) -> Priorities:
        own = row >= 0
        row = jnp.where(own, row % state.tree.leaves.shape[0], -1)
        drawable = state.tree.leaves[row, environment] > 0
        tree = sum_tree.set_leaves(state.tree, row, environment, jnp.where(drawable, priority, 0.0))
        return state.replace(tree=tree, largest=jnp.maximum(state.largest, jnp.where(own, priority, 0.0).max()))
