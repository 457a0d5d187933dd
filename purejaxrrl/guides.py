"""Acting behind a teacher: Jump-Start RL's roll-in and its random mixture (Uchendu et al., 2022; Agarwal et al., 2022).

In every episode the teacher acts greedily for the first k steps, k uniform on 1..m, and m falls with time; or the teacher
acts at every step with a probability that falls with time. The student acts where the teacher does not.
"""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.reincarnation import Method


@struct.dataclass
class RollIn:
    """Of N environments, int32 `[N]`: the steps of their episodes so far, and how many of the first are the teacher's."""

    taken: chex.Array
    length: chex.Array


def init(num_environments: int) -> RollIn:
    """Episodes that begin with the next step."""
    return RollIn(jnp.zeros(num_environments, jnp.int32), jnp.zeros(num_environments, jnp.int32))


def roll_in_limit(method: Method, agent_steps: chex.Array) -> chex.Array:
    """m, float32 scalar: `roll_in_steps` at first, m <- floor(`roll_in_decay` * m) every `roll_in_decay_steps` agent steps."""
    decays = jnp.floor(agent_steps / method.roll_in_decay_steps)

    def falls(carry):
        number, limit = carry
        return (number < decays) & (limit > 0)

    def decay(carry):
        number, limit = carry
        # A product such as 0.8 * 100 lies a rounding below the whole number that it is.
        return number + 1, jnp.floor(limit * method.roll_in_decay + 1e-4)

    return jax.lax.while_loop(falls, decay, (jnp.float32(0.0), method.roll_in_steps))[1]


def guide_probability(method: Method, agent_steps: chex.Array) -> chex.Array:
    """Falls from `guide_probability` to 0 linearly over `guide_decay_steps` agent steps."""
    return method.guide_probability * jnp.maximum(1.0 - agent_steps / method.guide_decay_steps, 0.0)


def leads(key: chex.PRNGKey, roll_in: RollIn, method: Method, agent_steps: chex.Array) -> tuple[chex.Array, RollIn]:
    """Where the teacher acts, bool `[N]`, and the roll-in with a new length where an episode begins; consumes `key`."""
    length_key, guide_key = jax.random.split(key)
    shape = roll_in.taken.shape
    limit = roll_in_limit(method, agent_steps)
    drawn = jnp.ceil((1.0 - jax.random.uniform(length_key, shape)) * limit).astype(jnp.int32)
    length = jnp.where(roll_in.taken == 0, drawn, roll_in.length)
    mixes = jax.random.uniform(guide_key, shape) < guide_probability(method, agent_steps)
    return (roll_in.taken < length) | mixes, roll_in.replace(length=length)


def after(roll_in: RollIn, is_transition: chex.Array, ended: chex.Array) -> RollIn:
    """The roll-in after a step (bool `[N]`: whether it was one, and whether the episode ended with it)."""
    return roll_in.replace(taken=jnp.where(ended, 0, roll_in.taken + is_transition))
