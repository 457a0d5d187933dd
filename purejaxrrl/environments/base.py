"""The environment protocol: gymnax >= 1.0's argument order, return order and auto-reset.

Whatever has these methods is an environment here, gymnax's own included. `reset` and `step` are functions of one
environment; a batch of them is `jax.vmap(env.step)`.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from flax import struct


@runtime_checkable
class Environment(Protocol):
    """What an experiment asks of an environment. `params=None` stands for `default_params`."""

    @property
    def name(self) -> str: ...

    @property
    def num_actions(self) -> int: ...

    @property
    def default_params(self) -> Any: ...

    def observation_space(self, params: Any) -> Any: ...

    def reset(self, key: chex.PRNGKey, params: Any = None) -> tuple[chex.Array, Any]:
        """Starts an episode; consumes `key`. Returns the observation and the state."""

    def step(
        self, key: chex.PRNGKey, state: Any, action: chex.Array, params: Any = None
    ) -> tuple[chex.Array, Any, chex.Array, chex.Array, chex.Array, dict[str, Any]]:
        """One agent step; consumes `key`. An episode that ends is reset in the same call.

        Returns:
          observation, state, reward (float32), terminated (bool: cuts the bootstrap), truncated (bool: does not), info.
          Where the episode ended, observation and state are a new episode's and `info["final_observation"]` is the
          last one of the old; elsewhere it equals the observation.
        """


class Box(NamedTuple):
    """Stands in for `gymnax.environments.spaces.Box` where gymnax is not installed."""

    low: float
    high: float
    shape: tuple[int, ...]
    dtype: Any


class Discrete(NamedTuple):
    """Stands in for `gymnax.environments.spaces.Discrete` where gymnax is not installed."""

    n: int
    shape: tuple[int, ...] = ()
    dtype: Any = jnp.int32


def box(low: float, high: float, shape: tuple[int, ...], dtype: Any) -> Any:
    """gymnax's `Box` where gymnax is installed, so that its wrappers and trainers accept our environments."""
    spaces = _gymnax_spaces()
    return (spaces.Box if spaces else Box)(low, high, shape, dtype)


def discrete(num_categories: int) -> Any:
    """gymnax's `Discrete` where gymnax is installed."""
    spaces = _gymnax_spaces()
    return (spaces.Discrete if spaces else Discrete)(num_categories)


def _gymnax_spaces() -> Any:
    try:
        from gymnax.environments import spaces
    except ImportError:
        return None
    return spaces


def select(condition: chex.Array, on_true: Any, on_false: Any) -> Any:
    """`jnp.where` over two pytrees; `condition` (bool `[...]`) is broadcast over each leaf's trailing axes."""

    def pick(true_leaf: chex.Array, false_leaf: chex.Array) -> chex.Array:
        return jnp.where(
            condition.reshape(condition.shape + (1,) * (true_leaf.ndim - condition.ndim)), true_leaf, false_leaf
        )

    return jax.tree.map(pick, on_true, on_false)


def auto_reset(
    done: chex.Array, reset: tuple[chex.Array, Any], stepped: tuple[chex.Array, Any]
) -> tuple[chex.Array, Any]:
    """The (observation, state) to go on from: `reset` where the episode is over, else `stepped`."""
    return select(done, reset, stepped)


@struct.dataclass
class EpisodeStatisticsState:
    """The wrapped environment's state and the running episode's return (float32) and length (int32, agent steps)."""

    environment: Any
    episode_return: chex.Array
    episode_length: chex.Array


class EpisodeStatistics:
    """Adds the running episode's return and length to `info`, this step included.

    `info["episode_return"]` (float32) and `info["episode_length"]` (int32, agent steps) are those of the whole episode
    where `terminated | truncated`.
    """

    def __init__(self, environment: Environment):
        self._environment = environment

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") or attribute == "_environment":  # copying and pickling ask before __init__ ran
            raise AttributeError(attribute)
        return getattr(self._environment, attribute)

    def reset(self, key: chex.PRNGKey, params: Any = None) -> tuple[chex.Array, EpisodeStatisticsState]:
        observation, state = self._environment.reset(key, params)
        return observation, EpisodeStatisticsState(state, jnp.float32(0.0), jnp.int32(0))

    def step(
        self, key: chex.PRNGKey, state: EpisodeStatisticsState, action: chex.Array, params: Any = None
    ) -> tuple[chex.Array, EpisodeStatisticsState, chex.Array, chex.Array, chex.Array, dict[str, Any]]:
        observation, environment, reward, terminated, truncated, info = self._environment.step(
            key, state.environment, action, params
        )
        episode_return = state.episode_return + reward
        episode_length = state.episode_length + 1
        info = {**info, "episode_return": episode_return, "episode_length": episode_length}
        going_on = ~(terminated | truncated)
        state = EpisodeStatisticsState(environment, episode_return * going_on, episode_length * going_on)
        return observation, state, reward, terminated, truncated, info
