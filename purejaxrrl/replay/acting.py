"""Acting: a batch of environments stepped together and recorded as the replay memory wants it."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.environments.base import Environment, select
from purejaxrrl.replay.ring import Step

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
    is_first: bool `[N]`; `observation` is the first after the environment was reset.
    """

    observation: chex.Array
    state: Any
    at_limit: chex.Array
    first_observation: chex.Array
    is_first: chex.Array


def reset(key: chex.PRNGKey, environment: Environment, env_params: Any, num_environments: int) -> Actors:
    """Starts `num_environments` episodes; consumes `key`."""
    keys = jax.random.split(key, num_environments)
    observation, state = jax.vmap(environment.reset, in_axes=(0, None))(keys, env_params)
    at_limit = jnp.zeros(num_environments, jnp.bool_)
    return Actors(observation, state, at_limit, first_observation=observation, is_first=~at_limit)


def act(
    key: chex.PRNGKey,
    environment: Environment,
    env_params: Any,
    actors: Actors,
    actions: chex.Array,
    teacher_output: chex.Array | None = None,
    extras: Any = None,
) -> tuple[Actors, Step, dict[str, Any]]:
    """One step of all environments; consumes `key`.

    Args:
      actions: `[N, ...]`, for `actors.observation`.
      teacher_output: float32 `[N, num_actions]`, the teacher's for it, where there is one.
      extras: what else goes into the row (see `ring.Step`).

    Returns:
      the actors after it, the row to record and the environments' `info`. An environment at its time limit spends the step
      on recording its last observation, about one step in as many as the limit has. An environment that reports a termination
      and plays on (a lost life) says in `info["restarted"]` where it was truly reset.
    """
    keys = jax.random.split(key, actions.shape[0])
    observation, state, reward, terminated, truncated, info = jax.vmap(environment.step, in_axes=(0, 0, 0, None))(
        keys, actors.state, actions, env_params
    )
    waits = actors.at_limit
    row = Step(
        observation=actors.observation,
        action=actions,
        reward=jnp.where(waits, 0.0, reward.astype(jnp.float32)),
        terminated=terminated & ~waits,
        truncated=truncated & ~terminated & ~waits,
        is_transition=~waits,
        is_first=actors.is_first,
        teacher_output=teacher_output,
        extras=extras,
    )
    restarted = info.get("restarted", terminated | truncated)
    observation = select(waits, actors.first_observation, observation)
    after = Actors(
        observation=select(row.truncated, info["final_observation"], observation),
        state=select(waits, actors.state, state),
        at_limit=row.truncated,
        first_observation=observation,
        is_first=waits | (restarted & ~row.truncated),
    )
    return after, row, info


@struct.dataclass
class Fire:
    """Where a policy that never learned to press FIRE has it pressed: at an episode's start, and after a lost life.

    lives: int32 `[N]`, after the last step. due: bool `[N]`, whether it is to be pressed in the next.
    """

    lives: chex.Array
    due: chex.Array


def fire_at_first(num_environments: int) -> Fire:
    """Episodes that begin with the next step."""
    return Fire(jnp.zeros(num_environments, jnp.int32), jnp.ones(num_environments, jnp.bool_))


def fire_after(fire: Fire, lives: chex.Array, is_first: chex.Array, pressed: chex.Array | bool = True) -> Fire:
    """After a step that left those lives (`info["lives"]`).

    Args:
      is_first: bool `[N]`, another episode begins with the next.
      pressed: bool `[N]`, whether FIRE was pressed; where it was not, it stays due.
    """
    return Fire(lives, is_first | (lives < fire.lives) | (fire.due & ~jnp.asarray(pressed)))


def with_fire(teacher_output: chex.Array, fire: Fire, fire_action: int) -> chex.Array:
    """What a teacher that has FIRE pressed for it prefers, `[N, num_actions]`: where it is due FIRE, whose value is exchanged with the best's.

    A student that is taught so learns to press it; evaluations press it for no student.
    """
    actions, best = jnp.arange(teacher_output.shape[-1]), teacher_output.max(-1, keepdims=True)
    is_best = actions == teacher_output.argmax(-1, keepdims=True)
    exchanged = jnp.where(is_best, teacher_output[:, fire_action, None], teacher_output)
    # Another action may be as good as the best; what follows 0 is no number that devices tell from it.
    above = jnp.maximum(jnp.nextafter(best, jnp.inf), best + jnp.finfo(best.dtype).tiny)
    exchanged = jnp.where(actions == fire_action, above, exchanged)
    return jnp.where(fire.due[:, None], exchanged, teacher_output)


def epsilon_greedy(key: chex.PRNGKey, q_values: chex.Array, epsilon: chex.Array) -> chex.Array:
    """The best actions, int32 `[N]`, of `q_values` (`[N, num_actions]`), or with probability epsilon random ones."""
    num_environments, num_actions = q_values.shape
    explores, action = jax.random.uniform(key, (2, num_environments))
    random_actions = (action * num_actions).astype(
        jnp.int32
    )  # below num_actions: a product of floats never rounds up to it
    return jnp.where(explores < epsilon, random_actions, q_values.argmax(-1).astype(jnp.int32))


def linear_epsilon(agent_steps: chex.Array, start: chex.Array, end: chex.Array, decay_steps: chex.Array) -> chex.Array:
    """Exploration that falls from `start`, which it is before agent step 0, to `end` linearly over `decay_steps` (0: `end` at once)."""
    falling = jnp.clip(1.0 - agent_steps / jnp.maximum(decay_steps, 1), 0.0, 1.0)
    remaining = jnp.where(decay_steps > 0, falling, agent_steps < 0)
    return end + (start - end) * remaining


def epsilon_greedy_policy(q_values: Callable[[chex.Array], chex.Array], epsilon: chex.Array) -> Policy:
    """The policy that is epsilon-greedy in `q_values(observations)`, `[N, num_actions]`."""
    return lambda key, observations: epsilon_greedy(key, q_values(observations), epsilon)
