"""Acting: a batch of environments stepped together, recorded as the replay memory wants it, or played out to be scored."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl import replay
from purejaxrrl.environments.base import Environment, select

Policy = Callable[[chex.PRNGKey, chex.Array], chex.Array]
"""(key, observations `[N, ...]`) -> actions int32 `[N]`."""


@struct.dataclass
class Actors:
    """N environments that are being played.

    observation: `[N, ...]`, what the next row of the replay memory holds.
    state: the environments' states.
    at_limit: bool `[N]`; True where `observation` is the last one of an episode cut by its time limit. Such an environment
      is not stepped: the row only records the observation, and `first_observation` comes next.
    first_observation: `[N, ...]`, the new episode's, where `at_limit`.
    """

    observation: chex.Array
    state: Any
    at_limit: chex.Array
    first_observation: chex.Array


def reset(key: chex.PRNGKey, environment: Environment, params: Any, num_environments: int) -> Actors:
    """Starts `num_environments` episodes; consumes `key`."""
    observation, state = jax.vmap(environment.reset, in_axes=(0, None))(jax.random.split(key, num_environments), params)
    at_limit = jnp.zeros(num_environments, jnp.bool_)
    return Actors(observation, state, at_limit, first_observation=observation)


def act(
    key: chex.PRNGKey,
    environment: Environment,
    params: Any,
    actors: Actors,
    actions: chex.Array,
    preferences: chex.Array,
) -> tuple[Actors, replay.Step, dict[str, Any]]:
    """One step of all environments; consumes `key`.

    Args:
      actions: int32 `[N]`, for `actors.observation`.
      preferences: float32 `[N, num_actions]`, the teacher's output for it.

    Returns:
      the actors after it, the row to record and the environments' `info`. An environment at its time limit spends the step
      on recording its last observation, about one step in as many as the limit has.
    """
    keys = jax.random.split(key, actions.shape[0])
    observation, state, reward, terminated, truncated, info = jax.vmap(environment.step, in_axes=(0, 0, 0, None))(
        keys, actors.state, actions, params
    )
    waits = actors.at_limit
    row = replay.Step(
        observation=actors.observation,
        action=actions,
        reward=jnp.where(waits, 0.0, reward.astype(jnp.float32)),
        terminated=terminated & ~waits,
        truncated=truncated & ~terminated & ~waits,
        is_transition=~waits,
        preferences=preferences,
    )
    observation = select(waits, actors.first_observation, observation)
    after = Actors(
        observation=select(row.truncated, info["final_observation"], observation),
        state=select(waits, actors.state, state),
        at_limit=row.truncated,
        first_observation=observation,
    )
    return after, row, info


def epsilon_greedy(key: chex.PRNGKey, preferences: chex.Array, epsilon: chex.Array) -> chex.Array:
    """The best actions, int32 `[N]`, of `preferences` (`[N, num_actions]`), or with probability epsilon random ones."""
    explore_key, action_key = jax.random.split(key)
    num_environments, num_actions = preferences.shape
    random_actions = jax.random.randint(action_key, (num_environments,), 0, num_actions)
    explores = jax.random.uniform(explore_key, (num_environments,)) < epsilon
    return jnp.where(explores, random_actions, preferences.argmax(-1).astype(jnp.int32))


def linear_epsilon(agent_steps: chex.Array, start: chex.Array, end: chex.Array, decay_steps: chex.Array) -> chex.Array:
    """Exploration that falls from `start` to `end` linearly over the first `decay_steps` agent steps (0: `end` at once)."""
    remaining = jnp.clip(1.0 - agent_steps / jnp.maximum(decay_steps, 1), 0.0, 1.0) * (decay_steps > 0)
    return end + (start - end) * remaining


def epsilon_greedy_policy(preferences: Callable[[chex.Array], chex.Array], epsilon: chex.Array) -> Policy:
    """The policy that is epsilon-greedy in `preferences(observations)`, `[N, num_actions]`."""
    return lambda key, observations: epsilon_greedy(key, preferences(observations), epsilon)


@struct.dataclass
class Episodes:
    """Whole episodes: undiscounted returns (float32 `[N]`) and lengths (int32 `[N]`, agent steps)."""

    returns: chex.Array
    lengths: chex.Array


def play_episodes(
    key: chex.PRNGKey, environment: Environment, params: Any, policy: Policy, num_episodes: int
) -> Episodes:
    """Plays `num_episodes` side by side, each to its end or its time limit, so that no long one is dropped.

    Consumes `key`. An environment that neither ends nor has a time limit is played for ever.
    """
    reset_key, play_key = jax.random.split(key)
    actors = reset(reset_key, environment, params, num_episodes)
    episodes = Episodes(jnp.zeros(num_episodes), jnp.zeros(num_episodes, jnp.int32))

    def is_playing(carry):
        return carry[3].any()

    def play(carry):
        key, observation, state, playing, episodes = carry
        key, policy_key, step_key = jax.random.split(key, 3)
        actions = policy(policy_key, observation)
        observation, state, reward, terminated, truncated, _ = jax.vmap(environment.step, in_axes=(0, 0, 0, None))(
            jax.random.split(step_key, num_episodes), state, actions, params
        )
        episodes = Episodes(episodes.returns + reward * playing, episodes.lengths + playing)
        return key, observation, state, playing & ~(terminated | truncated), episodes

    carry = play_key, actors.observation, actors.state, jnp.ones(num_episodes, jnp.bool_), episodes
    return jax.lax.while_loop(is_playing, play, carry)[4]


@struct.dataclass
class Evaluation:
    """The mean undiscounted return (float32 scalar) of whole episodes, and their number (int32 scalar)."""

    mean_return: chex.Array
    episodes: chex.Array


def evaluate(
    key: chex.PRNGKey, environment: Environment, params: Any, policy: Policy, num_environments: int, steps: int
) -> Evaluation:
    """Plays `steps` agent steps, an equal share in each environment and on to the end of the episode that is then running.

    Dopamine's evaluation phase, side by side. Games cost alike, and short episodes, which vary most, are played in greater
    number. As an environment stops at the end of an episode, the mean does not prefer short ones. Consumes `key`.
    """
    reset_key, play_key = jax.random.split(key)
    actors = reset(reset_key, environment, params, num_environments)
    share = -(-steps // num_environments)
    zeros = jnp.zeros(num_environments)

    def is_playing(carry):
        return carry[4].any()

    def play(carry):
        key, step, observation, state, playing, running, finished, episodes = carry
        key, policy_key, step_key = jax.random.split(key, 3)
        actions = policy(policy_key, observation)
        observation, state, reward, terminated, truncated, _ = jax.vmap(environment.step, in_axes=(0, 0, 0, None))(
            jax.random.split(step_key, num_environments), state, actions, params
        )
        done = terminated | truncated
        running = running + reward
        finished = finished + jnp.where(done & playing, running, 0.0)
        episodes = episodes + (done & playing)
        playing = playing & ~(done & (step + 1 >= share))
        return key, step + 1, observation, state, playing, jnp.where(done, 0.0, running), finished, episodes

    carry = (
        play_key, jnp.int32(0), actors.observation, actors.state, jnp.ones(num_environments, jnp.bool_),
        zeros, zeros, zeros.astype(jnp.int32),
    )  # fmt: skip
    *_, finished, episodes = jax.lax.while_loop(is_playing, play, carry)
    return Evaluation(finished.sum() / episodes.sum(), episodes.sum())
