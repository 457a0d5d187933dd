"""The replay memory: a ring of rows, one row a step of all environments, each observation stored once.

Row t holds what was seen and done at step t: the observation, the action, its reward, how the episode stood after it and
the teacher's output for the observation. The observation after it is row t + 1's, so it is not stored again. Where an
episode ended at a time limit, row t + 1 must hold the true last observation, or there would be nothing to bootstrap from:
the actor spends one step per time limit on a row that holds that observation and is no transition (`rollouts.act`).
n-step returns are formed when sampling, so their length is a value, not a layout.

How many rows were written (`num_rows`, int32 scalar) is the training loop's to know, from its own index, and not the
ring's: it stays unbatched under `vmap` over runs, and a write stays a slice update.
"""

import dataclasses
import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.environments.base import Environment, select


@struct.dataclass
class Step:
    """One step of N environments.

    observation: `[N, ...]` in the environment's own type.
    action: int32 `[N]`.
    reward: float32 `[N]`.
    terminated, truncated: bool `[N]`, after this step.
    is_transition: bool `[N]`; False where the row holds a time limit's last observation and nothing else.
    preferences: float32 `[N, num_actions]`, the teacher's Q-values or logits for `observation`.
    """

    observation: chex.Array
    action: chex.Array
    reward: chex.Array
    terminated: chex.Array
    truncated: chex.Array
    is_transition: chex.Array
    preferences: chex.Array


@struct.dataclass
class Batch:
    """n-step transitions; the leading axes are those asked for.

    n_step_return: float32, the discounted sum of the rewards before the bootstrap.
    bootstrap_discount: float32, discount^m for a bootstrap m <= n_step steps ahead; 0 where the episode terminated first.
    bootstrap_observation: the observation m steps ahead.
    weight: float32, 0 where the row is no transition, else 1.
    """

    observation: chex.Array
    action: chex.Array
    n_step_return: chex.Array
    bootstrap_discount: chex.Array
    bootstrap_observation: chex.Array
    preferences: chex.Array
    weight: chex.Array


@dataclasses.dataclass(frozen=True)
class ReplayMemory:
    """The layout of a ring; the ring itself is a `Step` with leading axes `[rows, N]` that goes through the functions.

    Boolean observations are kept as bits, 32 to a word: an eighth of the memory, and a sample gathers words.

    Args:
      capacity: transitions.
      num_environments: N, the environments that write a row together.
      observation_shape, observation_dtype: of one environment.
      num_actions: the teacher's outputs per observation.
      max_n_step: the longest return that is sampled; the newest `max_n_step` rows are not, as theirs is incomplete.

    Raises:
      ValueError: the capacity does not divide into rows or holds too few of them for `max_n_step`.
    """

    capacity: int
    num_environments: int
    observation_shape: tuple[int, ...]
    observation_dtype: Any
    num_actions: int
    max_n_step: int

    def __post_init__(self):
        check_capacity(self.capacity, self.num_environments, self.max_n_step)

    @property
    def rows(self) -> int:
        return self.capacity // self.num_environments

    @property
    def _packs(self) -> bool:
        return jnp.dtype(self.observation_dtype) == jnp.bool_

    def init(self) -> Step:
        """An empty ring, `[rows, N, ...]`."""
        lead = (self.rows, self.num_environments)
        observation = jnp.zeros((*lead, *self.observation_shape), self.observation_dtype)
        return Step(
            observation=pack_bits(observation, len(self.observation_shape)) if self._packs else observation,
            action=jnp.zeros(lead, jnp.int32),
            reward=jnp.zeros(lead, jnp.float32),
            terminated=jnp.zeros(lead, jnp.bool_),
            truncated=jnp.zeros(lead, jnp.bool_),
            is_transition=jnp.zeros(lead, jnp.bool_),
            preferences=jnp.zeros((*lead, self.num_actions), jnp.float32),
        )

    def add(self, ring: Step, step: Step, num_rows: chex.Array) -> Step:
        """Writes `step` as row number `num_rows` (int32 scalar: rows written so far), over the oldest if the ring is full."""
        if self._packs:
            step = step.replace(observation=pack_bits(step.observation, len(self.observation_shape)))
        position = num_rows % self.rows
        return jax.tree.map(lambda rows, row: jax.lax.dynamic_update_index_in_dim(rows, row, position, 0), ring, step)

    def sample(
        self,
        key: chex.PRNGKey,
        ring: Step,
        num_rows: chex.Array,
        shape: tuple[int, ...],
        n_step: chex.Array,
        discount: chex.Array,
    ) -> Batch:
        """Draws rows and environments uniformly, with replacement; consumes `key`.

        Args:
          ring: with `num_rows` > `max_n_step` rows written.
          num_rows: int32 scalar, rows written so far.
          shape: the batch's leading axes.
          n_step: int32 scalar, 1 to `max_n_step`; larger values count as `max_n_step`.
          discount: float32 scalar.
        """
        row_key, environment_key = jax.random.split(key)
        oldest = jnp.maximum(num_rows - self.rows, 0)
        row = jax.random.randint(row_key, shape, oldest, num_rows - self.max_n_step)
        environment = jax.random.randint(environment_key, shape, 0, self.num_environments)
        return self.gather(ring, row, environment, n_step, discount)

    def gather(
        self, ring: Step, row: chex.Array, environment: chex.Array, n_step: chex.Array, discount: chex.Array
    ) -> Batch:
        """The n-step transitions that start at those rows (int32, counted as `num_rows` counts) and environments."""
        offsets = jnp.arange(self.max_n_step)
        window = (row[..., None] + offsets) % self.rows, environment[..., None]
        terminated = ring.terminated[window]
        going_on = ~(terminated | ring.truncated[window])
        before_the_end = jnp.cumprod(going_on[..., :-1], axis=-1, dtype=jnp.bool_)
        counted = jnp.concatenate([jnp.ones_like(going_on[..., :1]), before_the_end], axis=-1) & (offsets < n_step)
        steps_ahead = counted.sum(-1, dtype=jnp.int32)
        bootstrap_row = (row + steps_ahead) % self.rows
        terminates = (counted & terminated).any(-1)
        start = row % self.rows, environment
        return Batch(
            observation=self.observations(ring.observation[start]),
            action=ring.action[start],
            n_step_return=jnp.where(counted, ring.reward[window] * discount**offsets, 0.0).sum(-1),
            bootstrap_discount=jnp.where(terminates, 0.0, discount**steps_ahead),
            bootstrap_observation=self.observations(ring.observation[bootstrap_row, environment]),
            preferences=ring.preferences[start],
            weight=ring.is_transition[start].astype(jnp.float32),
        )

    def observations(self, stored: chex.Array) -> chex.Array:
        """Observations `[..., *observation_shape]` as the environment made them, from how the ring keeps them."""
        return unpack_bits(stored, self.observation_shape) if self._packs else stored


def mix(key: chex.PRNGKey, batch: Batch, others: Batch, fraction: chex.Array) -> Batch:
    """`batch` `[B, ...]` with each transition replaced by that of `others` with probability `fraction`; consumes `key`."""
    return select(jax.random.uniform(key, batch.weight.shape) < fraction, others, batch)


def check_capacity(capacity: int, num_environments: int, max_n_step: int) -> None:
    """Raises ValueError where a ring does not divide into rows or holds too few of them for `max_n_step`."""
    if max_n_step < 1:
        raise ValueError(f"max_n_step is {max_n_step}; returns are at least 1 step long")
    if num_environments < 1 or capacity % num_environments:
        raise ValueError(
            f"a replay capacity of {capacity} does not divide into rows of {num_environments} environments; "
            f"take a multiple of {num_environments}"
        )
    rows = capacity // num_environments
    if rows <= max_n_step:
        raise ValueError(
            f"a replay capacity of {capacity} is {rows} rows of {num_environments} environments, too few "
            f"for {max_n_step}-step returns; take at least {(max_n_step + 1) * num_environments}"
        )


def check_batch(capacity: int, batch_size: int) -> None:
    """Raises ValueError where a batch is empty or larger than the ring that it is drawn from."""
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
    if batch_size > capacity:
        raise ValueError(f"a batch of {batch_size} is larger than the replay memory's capacity of {capacity}")


def memory_for(
    environment: Environment, params: Any, capacity: int, num_environments: int, max_n_step: int
) -> ReplayMemory:
    """The ring for an environment's observations and actions; see `ReplayMemory` for what it raises."""
    observation, _ = jax.eval_shape(lambda key: environment.reset(key, params), jax.random.key(0))
    return ReplayMemory(
        capacity, num_environments, observation.shape, observation.dtype, environment.num_actions, max_n_step
    )


def pack_bits(flags: chex.Array, num_axes: int) -> chex.Array:
    """Packs the last `num_axes` axes of a bool array into uint32 words, `[..., ceil(size / 32)]`, lowest bit first."""
    lead = flags.shape[: flags.ndim - num_axes]
    size = math.prod(flags.shape[flags.ndim - num_axes :])
    words = -(-size // 32)
    flat = jnp.pad(flags.reshape(*lead, size), [(0, 0)] * len(lead) + [(0, words * 32 - size)])
    weights = jnp.uint32(1) << jnp.arange(32, dtype=jnp.uint32)
    return jnp.where(flat.reshape(*lead, words, 32), weights, jnp.uint32(0)).sum(-1, dtype=jnp.uint32)


def unpack_bits(words: chex.Array, shape: tuple[int, ...]) -> chex.Array:
    """The bool array `[..., *shape]` that `pack_bits` made `words` from."""
    bits = (words[..., None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
    lead = words.shape[:-1]
    return bits.reshape(*lead, -1)[..., : math.prod(shape)].reshape(*lead, *shape).astype(jnp.bool_)
