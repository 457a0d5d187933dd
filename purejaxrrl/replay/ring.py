"""The replay memory: a ring of rows, one row a step of all environments, each observation stored once.

Row t holds what was seen and done at step t: the observation, the action, its reward, how the episode stood after it and
the teacher's output for the observation. The observation after it is row t + 1's, so it is not stored again. Where an
episode ended at a time limit, row t + 1 must hold the true last observation, or there would be nothing to bootstrap from:
the actor spends one step per time limit on a row that holds that observation and is no transition (`acting.act`).
n-step returns are formed when gathering, so their length is a value, not a layout. Rewards are kept as the environment gave
them; a learner that clips them does so when gathering.

What a batch is made of is a sampler's to say (`Draw`); the ring gathers what is there. A sampler's state, where it has one, goes
through the training step beside the ring, so that priorities live on the device with it.

How many rows were written (`num_rows`, int32 scalar) is the training loop's to know, from its own index, and not the
ring's: it stays unbatched under `vmap` over runs, and a write stays a slice update.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.environments.base import Environment, select
from purejaxrrl.errors import UserError
from purejaxrrl.replay.codecs import Codec, codec_for, codec_from_json, codec_to_json


@struct.dataclass
class Step:
    """One step of N environments.

    observation: `[N, ...]` in the environment's own type.
    action: `[N, ...]`, int32 `[N]` where actions are discrete.
    reward: float32 `[N]`, unclipped.
    terminated, truncated: bool `[N]`, after this step.
    is_transition: bool `[N]`; False where the row holds a time limit's last observation and nothing else.
    is_first: bool `[N]`; the observation is the first after the environment was reset.
    teacher_output: float32 `[N, num_actions]`, the teacher's Q-values or logits for `observation`; None without a teacher.
    extras: a pytree of `[N, ...]` that goes with a transition into its batch; None where there is nothing.
    """

    observation: chex.Array
    action: chex.Array
    reward: chex.Array
    terminated: chex.Array
    truncated: chex.Array
    is_transition: chex.Array
    is_first: chex.Array
    teacher_output: chex.Array | None = None
    extras: Any = None


@struct.dataclass
class Batch:
    """n-step transitions; the leading axes are those asked for.

    n_step_return: float32, the discounted sum of the rewards before the bootstrap.
    bootstrap_discount: float32, discount^m for a bootstrap m <= n_step steps ahead; 0 where the episode terminated first.
    bootstrap_observation: the observation m steps ahead.
    valid: float32, 0 where the row is no transition, else 1.
    importance: float32, what the transition's loss is multiplied by (the sampler's; 1 where it draws uniformly).
    row, environment: int32, its place in the ring that it was drawn from; row is -1 where that is not the student's own.
    """

    observation: chex.Array
    action: chex.Array
    n_step_return: chex.Array
    bootstrap_discount: chex.Array
    bootstrap_observation: chex.Array
    teacher_output: chex.Array | None
    extras: Any
    valid: chex.Array
    importance: chex.Array
    row: chex.Array
    environment: chex.Array


@dataclasses.dataclass(frozen=True)
class ReplayMemory:
    """The layout of a ring; the ring itself is a `Step` with leading axes `[rows, N]` that goes through the functions.

    Args:
      capacity: transitions.
      num_environments: N, the environments that write a row together.
      codec: how observations are kept.
      max_n_step: the longest return that is gathered; the newest `max_n_step` rows are not drawn, as theirs is incomplete.
      teacher_outputs: the teacher's outputs per observation; 0 without a teacher.
      action_shape, action_dtype: of one environment's action.
      extras: a pytree of `jax.ShapeDtypeStruct`, of one environment's.

    Raises:
      ValueError: the capacity does not divide into rows or holds too few of them.
    """

    capacity: int
    num_environments: int
    codec: Codec
    max_n_step: int
    teacher_outputs: int = 0
    action_shape: tuple[int, ...] = ()
    action_dtype: Any = jnp.int32
    extras: Any = None

    def __post_init__(self):
        check_capacity(self.capacity, self.num_environments, self.max_n_step, self.codec.history)

    @property
    def rows(self) -> int:
        return self.capacity // self.num_environments

    def to_json(self) -> dict[str, Any]:
        """The layout for a file, without extras: `from_json` makes it again."""
        plain = ("capacity", "num_environments", "max_n_step", "teacher_outputs", "action_shape")
        action_dtype = str(jnp.dtype(self.action_dtype))
        codec = codec_to_json(self.codec)
        return {name: getattr(self, name) for name in plain} | {"action_dtype": action_dtype, "codec": codec}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "ReplayMemory":
        """Raises KeyError, TypeError or ValueError where `data` is not what `to_json` made."""
        codec, action_shape = codec_from_json(data["codec"]), tuple(data["action_shape"])
        return cls(
            **data | {"codec": codec, "action_shape": action_shape, "action_dtype": jnp.dtype(data["action_dtype"])}
        )

    def init(self) -> Step:
        """An empty ring, `[rows, N, ...]`."""
        lead = (self.rows, self.num_environments)
        outputs = jnp.zeros((*lead, self.teacher_outputs), jnp.float32) if self.teacher_outputs else None
        return Step(
            observation=jnp.zeros((*lead, *self.codec.stored_shape), self.codec.stored_dtype),
            action=jnp.zeros((*lead, *self.action_shape), self.action_dtype),
            reward=jnp.zeros(lead, jnp.float32),
            terminated=jnp.zeros(lead, jnp.bool_),
            truncated=jnp.zeros(lead, jnp.bool_),
            is_transition=jnp.zeros(lead, jnp.bool_),
            is_first=jnp.zeros(lead, jnp.bool_),
            teacher_output=outputs,
            extras=jax.tree.map(lambda leaf: jnp.zeros((*lead, *leaf.shape), leaf.dtype), self.extras),
        )

    def add(self, ring: Step, step: Step, num_rows: chex.Array) -> Step:
        """Writes `step` as row number `num_rows` (int32 scalar: rows written so far), over the oldest if the ring is full."""
        stored = step.replace(observation=self.codec.encode(step.observation))
        position = num_rows % self.rows
        return jax.tree.map(lambda rows, row: jax.lax.dynamic_update_index_in_dim(rows, row, position, 0), ring, stored)

    def drawable(self, num_rows: chex.Array) -> tuple[chex.Array, chex.Array]:
        """The rows that a batch may start from after `num_rows` were written: the first one, and the one after the last.

        Returns after the last `max_n_step` rows are incomplete, and stacks in the oldest rows of a full ring are.
        """
        oldest = num_rows - self.rows
        first = jnp.where(oldest > 0, oldest + self.codec.history, 0) if self.codec.history else jnp.maximum(oldest, 0)
        return first, num_rows - self.max_n_step

    def gather(
        self,
        ring: Step,
        row: chex.Array,
        environment: chex.Array,
        n_step: chex.Array,
        discount: chex.Array,
        reward_clip: chex.Array = 0.0,
    ) -> Batch:
        """The n-step transitions that start at those places.

        Args:
          row, environment: int32; rows counted as `num_rows` counts, among the `drawable`.
          n_step: int32 scalar, 1 to `max_n_step`; larger values count as `max_n_step`.
          discount: float32 scalar.
          reward_clip: float32 scalar; rewards are clipped to [-reward_clip, reward_clip], where it is not 0.
        """
        offsets = jnp.arange(self.max_n_step)
        window = (row[..., None] + offsets) % self.rows, environment[..., None]
        terminated = ring.terminated[window]
        going_on = ~(terminated | ring.truncated[window])
        before_the_end = jnp.cumprod(going_on[..., :-1], axis=-1, dtype=jnp.bool_)
        counted = jnp.concatenate([jnp.ones_like(going_on[..., :1]), before_the_end], axis=-1) & (offsets < n_step)
        steps_ahead = counted.sum(-1, dtype=jnp.int32)
        bootstrap_row = (row + steps_ahead) % self.rows
        terminates = (counted & terminated).any(-1)
        reward = ring.reward[window]
        reward = jnp.where(reward_clip > 0, jnp.clip(reward, -reward_clip, reward_clip), reward)
        start = row % self.rows, environment
        valid = ring.is_transition[start].astype(jnp.float32)
        return Batch(
            observation=self.codec.gather(ring.observation, ring.is_first, *start),
            action=ring.action[start],
            n_step_return=jnp.where(counted, reward * discount**offsets, 0.0).sum(-1),
            bootstrap_discount=jnp.where(terminates, 0.0, discount**steps_ahead),
            bootstrap_observation=self.codec.gather(ring.observation, ring.is_first, bootstrap_row, environment),
            teacher_output=None if ring.teacher_output is None else ring.teacher_output[start],
            extras=jax.tree.map(lambda leaf: leaf[start], ring.extras),
            valid=valid,
            importance=jnp.ones_like(valid),
            row=row,
            environment=environment,
        )


class Draw(NamedTuple):
    """Places in a ring: int32 `row` (counted as `num_rows` counts) and `environment`, and the probability (float32) of each."""

    row: chex.Array
    environment: chex.Array
    probability: chex.Array


class Sampler(Protocol):
    """What the training step asks of a sampler. `memory` is the ring's layout; `state` is a pytree of arrays, or None."""

    def init(self, memory: ReplayMemory) -> Any:
        """The state of an empty ring."""

    def added(self, memory: ReplayMemory, state: Any, step: Step, num_rows: chex.Array) -> Any:
        """The state after `step` was written as row number `num_rows` (int32 scalar)."""

    def draw(
        self, key: chex.PRNGKey, memory: ReplayMemory, state: Any, num_rows: chex.Array, shape: tuple[int, ...]
    ) -> Draw:
        """Draws `shape` places among the rows that may be drawn (`ReplayMemory.drawable`); consumes `key`."""

    def importance(self, draw: Draw) -> chex.Array:
        """What the losses of drawn transitions are multiplied by, float32 as `draw.probability`."""

    def learned(self, state: Any, row: chex.Array, environment: chex.Array, priority: chex.Array) -> Any:
        """The state after an update gave the transitions at those places (int32 `[B]`; row -1: of another ring) priorities."""


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Rows and environments uniformly, with replacement."""

    def init(self, memory: ReplayMemory) -> None:
        return None

    def added(self, memory: ReplayMemory, state: None, step: Step, num_rows: chex.Array) -> None:
        return None

    def draw(
        self, key: chex.PRNGKey, memory: ReplayMemory, state: None, num_rows: chex.Array, shape: tuple[int, ...]
    ) -> Draw:
        first, end = memory.drawable(num_rows)
        # `randint` would ask the generator six times for two numbers. That 2^32 is no
        # multiple of the rows makes some likelier than others, by one part in 4,000 where there are a million.
        bits = jax.random.bits(key, (2, *shape), jnp.uint32)
        row = first + (bits[0] % (end - first).astype(jnp.uint32)).astype(jnp.int32)
        environment = (bits[1] % jnp.uint32(memory.num_environments)).astype(jnp.int32)
        probability = 1.0 / ((end - first) * memory.num_environments)
        return Draw(row, environment, jnp.broadcast_to(jnp.float32(probability), shape))

    def importance(self, draw: Draw) -> chex.Array:
        return jnp.ones_like(draw.probability)

    def learned(self, state: None, row: chex.Array, environment: chex.Array, priority: chex.Array) -> None:
        return None


def mix(key: chex.PRNGKey, batch: Batch, others: Batch, fraction: chex.Array) -> Batch:
    """`batch` `[B, ...]` with each transition replaced by that of `others` with probability `fraction`; consumes `key`."""
    others = others.replace(row=jnp.full_like(others.row, -1))
    return select(jax.random.uniform(key, batch.valid.shape) < fraction, others, batch)


def least_rows(max_n_step: int, history: int) -> int:
    """Of a ring from which anything can be drawn: the longest return's, those of the stack before it, and the one after it."""
    return max_n_step + history + 1


def check_capacity(capacity: int, num_environments: int, max_n_step: int, history: int = 0) -> None:
    """Raises ValueError where a ring does not divide into rows or holds too few for returns and stacks."""
    if max_n_step < 1:
        raise UserError(f"max_n_step is {max_n_step}; returns are at least 1 step long")
    if num_environments < 1 or capacity % num_environments:
        raise UserError(
            f"a replay capacity of {capacity} does not divide into rows of {num_environments} environments; "
            f"take a multiple of {num_environments}"
        )
    rows = capacity // num_environments
    if rows < (least := least_rows(max_n_step, history)):
        stacks = f" and stacks of {history + 1} frames" if history else ""
        raise UserError(
            f"a replay capacity of {capacity} is {rows} rows of {num_environments} environments, too few "
            f"for {max_n_step}-step returns{stacks}; take at least {least * num_environments}"
        )


def check_batch(capacity: int, batch_size: int) -> None:
    """Raises ValueError where a batch is empty or larger than the ring that it is drawn from."""
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; it must be at least 1")
    if batch_size > capacity:
        raise UserError(f"a batch of {batch_size} is larger than the replay memory's capacity of {capacity}")


def memory_for(
    environment: Environment,
    env_params: Any,
    capacity: int,
    num_environments: int,
    max_n_step: int,
    teacher_outputs: int = 0,
    codec: Codec | None = None,
) -> ReplayMemory:
    """The ring for an environment's observations; see `ReplayMemory` for the arguments and what it raises.

    codec: that of the observations' shape and type (`codecs.codec_for`) unless given; an environment whose observations are
      stacked frames says how many, as `stacked_frames`.
    """
    observation, _ = jax.eval_shape(lambda key: environment.reset(key, env_params), jax.random.key(0))
    if codec is None:
        codec = codec_for(observation.shape, observation.dtype, getattr(environment, "stacked_frames", 0))
    return ReplayMemory(capacity, num_environments, codec, max_n_step, teacher_outputs)
