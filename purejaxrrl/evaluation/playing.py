"""Playing a policy's episodes to their ends, to score it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrrl.environments.base import Environment
from purejaxrrl.errors import UserError
from purejaxrrl.replay.acting import Fire, Policy, fire_after, fire_at_first, reset

LONGEST = 10_000_000
"""Agent steps that are waited for an episode's end, at most: 370 times as long as an episode of Atari lasts at most by default."""
_FEWEST = 4
"""Environments that are played side by side, where others are left out."""


def check_ends(environment: Environment, env_params: Any, limit: int) -> None:
    """Raises ValueError where episodes are played to their ends, and the environment says that these may never come.

    It says so by `max_steps_in_episode` of its params, as gymnax' and ours have it. What has none may end all the same: it passes.

    Args:
      limit: as for `play`.
    """
    steps = getattr(env_params, "max_steps_in_episode", None)
    if limit or steps is None or isinstance(steps, jax.core.Tracer):
        return
    if not (longest := np.asarray(steps).max()) <= LONGEST:
        raise UserError(
            f"an episode of {environment.name} may have {longest:,} agent steps (max_steps_in_episode), more than the {LONGEST:,} that a "
            f"score waits for; give an evaluation limit (--evaluation-limit), or make the environment with shorter episodes"
        )


@struct.dataclass
class Episodes:
    """Episodes of N environments, whole or cut at a limit, all `[N]`.

    returns: float32, the sum of their undiscounted returns.
    number: int32, how many they are.
    steps: int32, how many agent steps they took together.
    """

    returns: chex.Array
    number: chex.Array
    steps: chex.Array

    @property
    def mean_return(self) -> chex.Array:
        """Of an episode, float32 scalar."""
        return self.returns.sum() / self.number.sum()


class _Lanes(NamedTuple):
    """Environments side by side, `[N, ...]`. playing: whether what they play still counts. running: float32, of the episode so far."""

    observation: chex.Array
    state: Any
    playing: chex.Array
    running: chex.Array
    episodes: Episodes
    fire: Fire | None


def play(
    key: chex.PRNGKey,
    environment: Environment,
    env_params: Any,
    policy: Policy,
    num_environments: int,
    agent_steps: int = 1,
    limit: int = 0,
    fire_action: int | None = None,
) -> Episodes:
    """Plays `agent_steps` in all, an equal share in each environment and on to the end of the episode that is then running.

    Dopamine's evaluation phase, side by side. Games cost alike, and short episodes, which vary most, are played in greater
    number. As an environment stops at the end of an episode, the mean does not prefer short ones. With no more steps than
    environments, each plays one episode. Where few are left playing, these are played on without the others. Consumes `key`.

    Args:
      limit: agent steps of each environment after which the running episodes count with what they have returned until then, so
        that nobody waits for one that goes on and on; at least an environment's share. 0: all are played to their ends.
      fire_action: taken at an episode's start and after a lost life, whatever the policy says; None: never.

    Raises:
      ValueError: the limit is below an environment's share.
    """
    reset_key, play_key = jax.random.split(key)
    share = -(-agent_steps // num_environments)
    if limit and limit < share:
        raise UserError(f"the limit of {limit} agent steps is below the {share} that each environment plays; raise it")
    actors = reset(reset_key, environment, env_params, num_environments)
    none, nothing = jnp.zeros(num_environments, jnp.int32), jnp.zeros(num_environments, jnp.float32)
    lanes = _Lanes(
        actors.observation,
        actors.state,
        playing=jnp.ones(num_environments, jnp.bool_),
        running=nothing,
        episodes=Episodes(nothing, none, none),
        fire=None if fire_action is None else fire_at_first(num_environments),
    )

    def step(carry: tuple[chex.PRNGKey, chex.Array, _Lanes]) -> tuple[chex.PRNGKey, chex.Array, _Lanes]:
        key, steps, lanes = carry
        key, policy_key, step_key = jax.random.split(key, 3)
        actions, fire = policy(policy_key, lanes.observation), lanes.fire
        if fire is not None:
            actions = jnp.where(fire.due, fire_action, actions)
        observation, state, reward, terminated, truncated, info = jax.vmap(environment.step, in_axes=(0, 0, 0, None))(
            jax.random.split(step_key, len(lanes.playing)), lanes.state, actions, env_params
        )
        done = terminated | truncated
        if fire is not None:
            fire = fire_after(fire, info["lives"], info.get("restarted", done))
        if limit:
            done |= steps + 1 >= limit
        playing, running, before = lanes.playing, lanes.running + reward, lanes.episodes
        episodes = Episodes(
            returns=before.returns + jnp.where(done & playing, running, 0.0),
            number=before.number + (done & playing),
            steps=before.steps + playing,
        )
        playing = playing & ~(done & (steps + 1 >= share))
        after = _Lanes(observation, state, playing, jnp.where(done, 0.0, running), episodes, fire)
        return key, steps + 1, after

    narrower = [] if limit == share else _narrower(num_environments)  # at a limit that is the share all end together
    return _played(step, (play_key, jnp.int32(0), lanes), narrower)


def _narrower(num_environments: int) -> list[int]:
    """How few may be left playing for the rest to be left out, in order: a quarter, and a quarter of these, where that is
    `_FEWEST` or more.

    More widths would be more programs to compile.
    """
    return [width for width in (num_environments // 4, num_environments // 16) if width >= _FEWEST]


def _played(
    step: Callable[[Any], Any], carry: tuple[chex.PRNGKey, chex.Array, _Lanes], narrower: list[int]
) -> Episodes:
    """Plays until nobody is playing any more."""
    left, *narrower = [*narrower, 0]
    key, steps, lanes = jax.lax.while_loop(lambda carry: carry[2].playing.sum() > left, step, carry)
    if not left:
        return lanes.episodes
    places = jnp.argsort(~lanes.playing)[:left]
    few = jax.tree.map(lambda leaf: leaf[places], lanes)
    rest = _played(step, (key, steps, few), narrower)
    return jax.tree.map(lambda everyone, some: everyone.at[places].set(some), lanes.episodes, rest)
