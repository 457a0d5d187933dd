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


@struct.dataclass
class ReelParams:
    limit: int = 9


@struct.dataclass
class ReelState:
    stack: chex.Array
    time: chex.Array
    length: chex.Array


class Reel:
    """Stacks of four random pictures, oldest first, uint8 `[2, 3, 4]`, empty before an episode's first picture.

    An episode ends at a length drawn at reset, 1 to 14, unless the limit comes first. After every fourth step a life is lost,
    which is reported as a termination although the game plays on: `info["restarted"]` says where it truly began anew.
    """

    name = "toy/reel"
    num_actions = 2
    stacked_frames = 4
    default_params = ReelParams()

    def observation_space(self, params=None):
        return base.box(0, 255, (2, 3, 4), jnp.uint8)

    def reset(self, key, params=None):
        picture_key, length_key = jax.random.split(key)
        stack = jnp.zeros((2, 3, 4), jnp.uint8).at[..., -1].set(self._picture(picture_key))
        return stack, ReelState(stack, jnp.int32(0), jax.random.randint(length_key, (), 1, 15))

    def step(self, key, state, action, params=None):
        params = self.default_params if params is None else params
        picture_key, reset_key, reward_key = jax.random.split(key, 3)
        picture = self._picture(picture_key)[..., None]
        stack = jnp.concatenate([state.stack[..., 1:], picture], -1)
        played = state.replace(stack=stack, time=state.time + 1)
        over, truncated = played.time >= played.length, played.time >= params.limit
        lost = played.time % 4 == 0
        observation, after = base.auto_reset(over | truncated, self.reset(reset_key, params), (stack, played))
        info = {"final_observation": stack, "restarted": over | truncated}
        return observation, after, 3.0 * jax.random.normal(reward_key), over | lost, truncated, info

    def _picture(self, key):
        return jax.random.randint(key, (2, 3), 1, 256).astype(jnp.uint8)
