"""An environment whose every episode is known beforehand, for tests that must not trust a game."""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.environments import base


@struct.dataclass
class CorridorParams:
    limit: int = 6


@struct.dataclass
class CorridorState:
    episode: chex.Array
    time: chex.Array
    length: chex.Array


class Corridor:
    """One walks 0, 1, 2, ... and terminates at a length drawn at reset, 1 to `longest`, unless the limit comes first.

    The observation is int32 (episode's random number, time); the reward of a step is the time after it plus action / 4.
    """

    name = "toy/corridor"
    num_actions = 3
    default_params = CorridorParams()

    def __init__(self, longest: int = 9):
        self._longest = longest

    def observation_space(self, params=None):
        return base.box(0, 2**30, (2,), jnp.int32)

    def reset(self, key, params=None):
        episode_key, length_key = jax.random.split(key)
        state = CorridorState(
            episode=jax.random.randint(episode_key, (), 0, 2**30),
            time=jnp.int32(0),
            length=jax.random.randint(length_key, (), 1, self._longest + 1),
        )
        return self._observe(state), state

    def step(self, key, state, action, params=None):
        params = self.default_params if params is None else params
        walked = state.replace(time=state.time + 1)
        terminated = walked.time >= state.length
        # Deliberately also true beside a termination: the limit may fall on the last step.
        truncated = walked.time >= params.limit
        reward = walked.time + 0.25 * action
        final_observation = self._observe(walked)
        observation, after = base.auto_reset(
            terminated | truncated, self.reset(key, params), (final_observation, walked)
        )
        return observation, after, reward, terminated, truncated, {"final_observation": final_observation}

    def _observe(self, state):
        return jnp.stack([state.episode, state.time])
