"""The environment protocol: gymnax >= 1.0's argument order, return order and auto-reset.

Whatever has these methods is an environment here, gymnax's own included. `reset` and `step` are functions of one
environment; a batch of them is `jax.vmap(env.step)`.

What an environment may have besides, a program asks for by the functions `frames_per_step`, `options_of` and `for_evaluation`,
which know what holds for one that does not say.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrrl.errors import UserError


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


def frames_per_step(environment: Environment) -> int:
    """Frames of the game that an agent step is: the environment's `frames_per_step`, 1 unless it has one."""
    return getattr(environment, "frames_per_step", 1)


def options_of(environment: Environment) -> dict[str, Any]:
    """The options other than defaults that the environment was made with, as `make` takes them and as JSON holds them.

    That is its `options`; none unless it has some. With its name they say which environment it is.
    """
    return dict(getattr(environment, "options", {}))


def for_evaluation(environment: Environment) -> Environment:
    """The environment in which scores are played: the same game without what is only for training.

    That is what its method `for_evaluation` returns; itself where it has none.

    Raises:
      ValueError: it is somebody else's wrapper around an environment of which only a part is for training.
    """
    if hasattr(type(environment), "for_evaluation"):
        return environment.for_evaluation()
    forwarded = getattr(environment, "for_evaluation", None)
    if forwarded is not None and forwarded() is not forwarded.__self__:
        raise UserError(
            f"{type(environment).__name__} wraps {environment.name} with {options_of(environment)}, of which scores are played "
            "without what is for training, and cannot be taken off; give that wrapper a method for_evaluation"
        )
    return environment


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
        with (
            jax.ensure_compile_time_eval()
        ):  # gymnax makes arrays when it is imported, which may be while something is traced
            from gymnax.environments import spaces
    except ImportError:
        return None
    return spaces


def as_written(function: Callable) -> Callable:
    """The function under the modes of JAX that games are written for: numbers of 32 bits, and arrays of different ranks together.

    A program that runs in others (`JAX_ENABLE_X64`, `jax_numpy_rank_promotion`) keeps them for its own code.
    """

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):
            return function(*arguments, **named)

    return wrapped


def int32(params: Any) -> Any:
    """Params, which are whole numbers, as int32 whatever the mode of JAX."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.int32), params)


NOOP = 0
"""The first action of every game here: nothing is done."""


def check_discrete(environment: Environment, params: Any) -> None:
    """Raises ValueError where actions are none to choose from, such as a torque, whatever `num_actions` says."""
    space = environment.action_space(params) if hasattr(environment, "action_space") else None
    if space is not None and not hasattr(space, "n"):
        raise UserError(
            f"{environment.name}'s actions are a {type(space).__name__} {tuple(space.shape)}; students choose one of several actions, so "
            f"take an environment whose actions are discrete"
        )


def discrete_action(environment: Environment, action: Any) -> chex.Array:
    """The action as int32, given as any integer type: what lies outside of the environment's is `NOOP` where that is not known
    before the program runs, and an error where it is.

    Raises:
      ValueError: it is no integer, or a Python or numpy integer that is none of the environment's actions.
    """
    number = environment.num_actions
    if isinstance(action, int | np.integer) and not isinstance(action, bool) and not 0 <= action < number:
        raise UserError(f"action {action} is not one of {environment.name}'s {number}; give 0 to {number - 1}")
    if not jnp.issubdtype(jnp.result_type(action), jnp.integer):
        raise UserError(
            f"an action of type {jnp.result_type(action)}; {environment.name}'s are integers, 0 to {number - 1}"
        )
    chosen = jnp.asarray(action, jnp.int32)
    return jnp.where((chosen >= 0) & (chosen < number), chosen, NOOP)


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
    where `terminated | truncated`; the environment's own where it has some.
    """

    def __init__(self, environment: Environment):
        self._environment = environment

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") or attribute == "_environment":  # copying and pickling ask before __init__ ran
            raise AttributeError(attribute)
        return getattr(self._environment, attribute)

    def for_evaluation(self) -> "EpisodeStatistics":
        """Around the wrapped environment's own; itself where that is the same."""
        environment = for_evaluation(self._environment)
        return self if environment is self._environment else EpisodeStatistics(environment)

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
        # An environment that clips rewards, or reports a lost life as an end, knows better.
        info = {"episode_return": episode_return, "episode_length": episode_length, **info}
        going_on = ~(terminated | truncated)
        state = EpisodeStatisticsState(environment, episode_return * going_on, episode_length * going_on)
        return observation, state, reward, terminated, truncated, info
