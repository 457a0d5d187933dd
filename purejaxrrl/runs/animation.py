"""Agents playing, as GIFs."""

import os
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from purejaxrrl.environments.atari import pictures
from purejaxrrl.environments.atari.environment import Atari
from purejaxrrl.environments.base import Environment, for_evaluation
from purejaxrrl.runs.drawing import colormaps
from purejaxrrl.teachers import Teacher

TAKES = 4
"""Episodes of which an Atari game's GIF shows the best."""
LONGEST_TAKE = 4_500
"""Agent steps of it, five minutes of an Atari game."""
_GRID_SCALE, _GRID_MILLISECONDS = 24, 60


def animate(
    path: str | os.PathLike,
    key: chex.PRNGKey,
    environment: Environment,
    params: Any,
    player: Teacher,
    max_pictures: int = 400,
    note: str = "",
    epsilon: float = 0.0,
    max_steps: int = LONGEST_TAKE,
) -> bool:
    """Writes a GIF of an episode; consumes `key`.

    Of an Atari game it is the television's picture of the best of `TAKES` episodes as they are scored, `epsilon`-greedy and of at most
    `max_steps` agent steps, with the score and a `note` above, at the game's pace, or so many times that as leaves `max_pictures`. Otherwise
    it is a greedy episode's first `max_pictures` steps.

    Returns False, and writes nothing, where observations are neither of one Atari game nor boolean images `[height, width,
    channels]`.
    """
    if isinstance(environment, Atari) and len(environment.games) == 1:
        take = pictures.best_episode(key, for_evaluation(environment), player, TAKES, max_steps, epsilon, max_pictures)
        _write_television(path, environment, take, note)
        return True
    observation = jax.eval_shape(environment.reset, key, params)[0]
    if observation.ndim != 3 or observation.dtype != jnp.bool_:
        return False
    _write_grids(path, _greedy_episode(key, environment, params, player, max_pictures))
    return True


def _write_television(path: str | os.PathLike, environment: Atari, take: pictures.Episode, note: str) -> None:
    pace = f"  x{take.every}" if take.every > 1 else ""
    captions = [f"score {score:g}  {note}{pace}" for score in take.scores]
    colours = pictures.palette_of(environment.games[0])
    pictures.write_gif(path, take.pictures, colours, 1, captions, environment.frames_per_step)


def _greedy_episode(
    key: chex.PRNGKey, environment: Environment, params: Any, player: Teacher, max_steps: int
) -> np.ndarray:
    """What is observed in an episode, `[steps, ...]`, cut after `max_steps` agent steps."""
    reset_key, play_key = jax.random.split(key)
    observation, state = jax.jit(environment.reset)(reset_key, params)

    def step(carry, key):
        observation, state, playing = carry
        action = player.apply(player.params, observation[None])[0].argmax()
        following, state, _, terminated, truncated, _ = environment.step(key, state, action, params)
        return (following, state, playing & ~(terminated | truncated)), (observation, playing)

    _, (seen, playing) = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))(
        (observation, state, jnp.bool_(True)), jax.random.split(play_key, max_steps)
    )
    return np.asarray(seen)[np.asarray(playing)]


def _write_grids(path: str | os.PathLike, seen: np.ndarray) -> None:
    """Boolean images `[steps, height, width, channels]`: a colour a channel, the last on top, black for none."""
    channels = np.arange(seen.shape[-1])
    colours = colormaps["turbo"](np.linspace(0.08, 0.95, len(channels)))[:, :3]
    palette = np.vstack([np.zeros((1, 3), np.uint8), (np.array(colours) * 255).astype(np.uint8)])
    topmost = (seen * (channels + 1)).max(-1)
    images = [Image.fromarray(palette[grid].repeat(_GRID_SCALE, 0).repeat(_GRID_SCALE, 1)) for grid in topmost]
    images[0].save(path, save_all=True, append_images=images[1:], duration=_GRID_MILLISECONDS, loop=0)
