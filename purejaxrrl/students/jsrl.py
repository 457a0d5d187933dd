"""Acting behind a teacher: Jump-Start RL's roll-in and its random mixture (Uchendu et al., 2022; Agarwal et al., 2022).

In the paper's words the teacher acts greedily for the first k steps of every episode, k uniform on 1..m, and m falls with time. In
the configuration that was released with it, it is the student who acts for them, and after them the teacher at every step with a
probability that falls with time (`student_rolls_in`). The student acts where the teacher does not. `hyperparameters` are settings
that have `qdagger.QDagger`'s names.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.replay import acting


@struct.dataclass
class RollIn:
    """Of N environments, int32 `[N]`: the steps of their episodes so far, and how many of the first are the roll-in.

    fire: where the teacher presses FIRE; None for one that does so by itself.
    """

    taken: chex.Array
    length: chex.Array
    fire: acting.Fire | None = None


def init(num_environments: int, fires: bool = False) -> RollIn:
    """Episodes that begin with the next step. fires: FIRE is pressed for the teacher."""
    zeros = jnp.zeros(num_environments, jnp.int32)
    return RollIn(zeros, zeros, acting.fire_at_first(num_environments) if fires else None)


def roll_in_limit(hyperparameters: Any, agent_steps: chex.Array) -> chex.Array:
    """m, float32 scalar: `roll_in_steps` at first, m <- floor(`roll_in_decay` * m) every `roll_in_decay_steps` agent steps."""
    decays = jnp.floor(agent_steps / hyperparameters.roll_in_decay_steps)

    def falls(carry):
        number, limit = carry
        return (number < decays) & (limit > 0)

    def decay(carry):
        number, limit = carry
        # A product such as 0.8 * 100 lies a rounding below the whole number that it is.
        return number + 1, jnp.floor(limit * hyperparameters.roll_in_decay + 1e-4)

    return jax.lax.while_loop(falls, decay, (jnp.float32(0.0), hyperparameters.roll_in_steps.astype(jnp.float32)))[1]


def guide_probability(hyperparameters: Any, agent_steps: chex.Array) -> chex.Array:
    """Falls from `guide_probability` to 0 linearly over `guide_decay_steps` agent steps."""
    return hyperparameters.guide_probability * jnp.maximum(1.0 - agent_steps / hyperparameters.guide_decay_steps, 0.0)


def teacher_acts(
    key: chex.PRNGKey, roll_in: RollIn, hyperparameters: Any, agent_steps: chex.Array
) -> tuple[chex.Array, RollIn]:
    """Where the teacher acts, bool `[N]`, and the roll-in with a new length where an episode begins; consumes `key`."""
    length_key, guide_key = jax.random.split(key)
    shape = roll_in.taken.shape
    limit = roll_in_limit(hyperparameters, agent_steps)
    drawn = jnp.ceil((1.0 - jax.random.uniform(length_key, shape)) * limit).astype(jnp.int32)
    length = jnp.where(roll_in.taken == 0, drawn, roll_in.length)
    mixes = jax.random.uniform(guide_key, shape) < guide_probability(hyperparameters, agent_steps)
    rolls_in = roll_in.taken < length
    acts = jnp.where(hyperparameters.student_rolls_in, mixes & ~rolls_in, mixes | rolls_in)
    return acts, roll_in.replace(length=length)


def after(
    roll_in: RollIn,
    is_transition: chex.Array,
    is_first: chex.Array,
    lives: chex.Array | None = None,
    pressed: chex.Array | None = None,
) -> RollIn:
    """The roll-in after a step.

    Args:
      is_transition, is_first: bool `[N]`, whether it was a step, and whether another episode begins with the next.
      lives: int32 `[N]`, after it. pressed: bool `[N]`, whether FIRE was. Both are asked for where FIRE is pressed for the teacher.
    """
    fire = acting.fire_after(roll_in.fire, lives, is_first, pressed) if roll_in.fire else None
    return roll_in.replace(taken=jnp.where(is_first, 0, roll_in.taken + is_transition), fire=fire)
