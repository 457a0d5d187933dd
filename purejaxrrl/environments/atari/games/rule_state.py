"""What the scoring rules remember from frame to frame."""

from __future__ import annotations

import dataclasses

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RuleState:
    """One lane's rules: scalars only.

    reward: int32, of the last frame. lives: int32, as `ALEInterface.lives`. game_over: bool, as the ALE's game over apart
    from time limits. score: int32, last score seen. started: bool, whether the game was seen to start. previous: int32,
    last value of the byte whose changes matter. held_lives: int32, lives before they are reported as 0 at game over.
    memory: four int32 scalars that games with special rules use as they like.
    """

    reward: jax.Array
    lives: jax.Array
    game_over: jax.Array
    score: jax.Array
    started: jax.Array
    previous: jax.Array
    held_lives: jax.Array
    memory: tuple[jax.Array, jax.Array, jax.Array, jax.Array]
