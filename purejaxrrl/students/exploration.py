"""Exploration beyond epsilon: what acts in the student's place, when, as pure functions of N environments.

An `Exploration` is given to `qdagger.program`; without one a student explores by epsilon alone.
"""

import dataclasses
from typing import Any, Protocol

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.environments.base import select


class Exploration(Protocol):
    """What the training step asks of one; its state is a pytree of arrays `[N, ...]`."""

    def init(self, num_environments: int) -> Any:
        """The state of episodes that begin with the next step."""

    def act(
        self, key: chex.PRNGKey, state: Any, observations: chex.Array, actions: chex.Array
    ) -> tuple[chex.Array, Any]:
        """The actions to take, int32 `[N]`, where the student would take `actions` for `observations`; consumes `key`."""

    def after(self, state: Any, is_transition: chex.Array, is_first: chex.Array) -> Any:
        """The state after a step (bool `[N]`: whether it was one, and whether another episode begins with the next)."""


@struct.dataclass
class Turns:
    """taken: int32 `[N]`, steps of the running episodes so far. explores: bool `[N]`, whether they are ones that are explored in.
    memory: the exploring agent's."""

    taken: chex.Array
    explores: chex.Array
    memory: Any


@dataclasses.dataclass(frozen=True)
class MarcoPolo:
    """The student and an exploring agent take turns (Bellemare et al., 2020; the Balloon Learning Environment's MarcoPoloExploration).

    An episode is explored in or not. If it is, the student flies first, then the agent, and so on.
    The agent, as the reference's, sees an episode's first observation and then those of its own turns alone: between them no time passes for it.

    agent: of one environment, `begin(key) -> memory` and `act(key, memory, observation) -> (action, memory)`
      (`environments.balloon.agents.random_walk`).
    episodes: the share of episodes that are explored in.
    own_steps, exploring_steps: agent steps of a turn; on the balloon 4 hours and 2.
    """

    agent: Any
    episodes: float = 0.8
    own_steps: int = 80
    exploring_steps: int = 40

    def init(self, num_environments: int) -> Turns:
        memory = jax.eval_shape(self._begin, jax.random.split(jax.random.key(0), num_environments))
        return Turns(
            taken=jnp.zeros(num_environments, jnp.int32),
            explores=jnp.zeros(num_environments, jnp.bool_),
            memory=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), memory),
        )

    def act(
        self, key: chex.PRNGKey, state: Turns, observations: chex.Array, actions: chex.Array
    ) -> tuple[chex.Array, Turns]:
        begin_key, episode_key, act_key = jax.random.split(key, 3)
        number = len(actions)
        begins = state.taken == 0
        explores = jnp.where(begins, jax.random.uniform(episode_key, (number,)) < self.episodes, state.explores)
        memory = select(begins, self._begin(jax.random.split(begin_key, number)), state.memory)
        exploring, moved = jax.vmap(self.agent.act)(jax.random.split(act_key, number), memory, observations)
        is_its_turn = explores & (state.taken % (self.own_steps + self.exploring_steps) >= self.own_steps)
        memory = select(begins | is_its_turn, moved, memory)
        return jnp.where(is_its_turn, exploring, actions), Turns(state.taken, explores, memory)

    def after(self, state: Turns, is_transition: chex.Array, is_first: chex.Array) -> Turns:
        return state.replace(taken=jnp.where(is_first, 0, state.taken + is_transition))

    def _begin(self, keys: chex.PRNGKey) -> Any:
        return jax.vmap(self.agent.begin)(keys)
