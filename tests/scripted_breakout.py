"""A teacher for Atari's Breakout that nobody trained: a function of pixels that follows the ball. Any function is a teacher."""

import jax.numpy as jnp

from purejaxrrl import teachers

NOOP, FIRE, RIGHT, LEFT = range(4)
WALLS, PADDLE_ROW = (4.5, 79.0), 76.0


def centre(pictures, top, bottom):
    """Row and column `[B]` of what is bright between two rows of `[B, 84, 84]`, within the walls, and whether anything is."""
    bright = (pictures[:, top:bottom, 5:79] > 60).astype(jnp.float32)
    number = jnp.maximum(bright.sum((1, 2)), 1.0)
    row = (bright.sum(2) * jnp.arange(top, bottom)).sum(1) / number
    column = (bright.sum(1) * jnp.arange(5, 79)).sum(1) / number
    return row, column, bright.any((1, 2))


def preferences(params, observations):
    """`[B, 4]` of uint8 `[B, 84, 84, 4]`: to where the ball will come down, or FIRE where none is seen below the bricks."""
    row, column, is_seen = centre(observations[..., 3], 38, 74)
    row_before, column_before, was_seen = centre(observations[..., 2], 38, 74)
    _, paddle, _ = centre(observations[..., 3], 75, 77)
    falls = row - row_before
    lands = column + (column - column_before) * (PADDLE_ROW - row) / jnp.maximum(falls, 0.5)
    low, high = WALLS
    folded = (lands - low) % (2 * (high - low))  # off the walls
    lands = low + jnp.minimum(folded, 2 * (high - low) - folded)
    target = jnp.where(was_seen & (falls > 0.2), lands, column)
    action = jnp.where(target > paddle + 2, RIGHT, jnp.where(target < paddle - 2, LEFT, NOOP))
    return (jnp.where(is_seen, action, FIRE)[:, None] == jnp.arange(4)).astype(jnp.float32)


def scripted_teacher(environment, score=20.0, random_score=1.7):
    """It as a teacher for `environment`; logits, so that its policy is not certain."""
    card = teachers.Card(
        environment=environment.name, output="logits", num_actions=4, observation_shape=(84, 84, 4), score=score,
        random_score=random_score, evaluation_episodes=1, frames=0, algorithm="script",
    )  # fmt: skip
    return teachers.Teacher(lambda params, observations: 5.0 * preferences(params, observations), None, card)
