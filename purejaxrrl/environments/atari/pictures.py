"""An Atari game as the television shows it, in a GIF."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from purejaxrrl.environments.atari import palettes, rom

_FRAMES_PER_SECOND = 60
_CAPTION_LINES, _MOST_LINES = 14, 250
_BLACK, _WHITE = 0x00, 0x0E


def palette_of(game: str) -> np.ndarray:
    """The colours of palette indices on the television that the cartridge was made for, uint8 [256, 3]."""
    return palettes.PAL_RGB if rom.load(game).pal else palettes.NTSC_RGB


def write_gif(
    path: str | os.PathLike,
    pictures: np.ndarray,
    palette: np.ndarray,
    scale: int,
    captions: Sequence[str] = (),
    frames_per_step: int = 4,
) -> None:
    """Writes pictures, one an agent step, palette indices uint8 [T, height, 160]; a television's pixels are twice as wide as high.

    They are shown at the game's pace to a hundredth of a second, for two at least: browsers slow down what is faster.

    Args:
      palette: uint8 [256, 3].
      scale: pixels of the GIF for each line of the television.
      captions: a line above each picture; none unless given.
    """
    first, *others = _images(pictures, palette, scale, captions or [None] * len(pictures))
    milliseconds = 10 * max(2, round(100 * frames_per_step / _FRAMES_PER_SECOND))
    first.save(path, save_all=True, append_images=others, duration=milliseconds, loop=0)


def bytes_of_gif(steps: int, scale: int) -> int:
    """What a GIF takes of memory, at most, while it is written: each picture scaled, and again as it is encoded."""
    return 2 * steps * _MOST_LINES * 2 * 160 * scale**2


def _images(
    pictures: np.ndarray, palette: np.ndarray, scale: int, captions: Sequence[str | None]
) -> Iterator[Image.Image]:
    for picture, caption in zip(pictures, captions, strict=True):
        scaled = picture.repeat(scale, 0).repeat(2 * scale, 1)
        if caption is not None:
            scaled = np.vstack([np.full((_CAPTION_LINES, scaled.shape[1]), _BLACK, np.uint8), scaled])
        made = Image.frombytes("P", scaled.shape[::-1], scaled.tobytes())
        made.putpalette(palette.tobytes())
        if caption is not None:
            ImageDraw.Draw(made).text((4, 1), caption, fill=_WHITE)
        yield made


def best_episode(
    key: jax.Array, environment: Any, player: Any, episodes: int, max_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The pictures and the score so far of the best of some greedy episodes, cut after `max_steps` agent steps; consumes `key`.

    Args:
      environment: an `Atari` of one game. player: a teacher.

    Returns:
      Palette indices, uint8 [T, height, 160], and float32 [T].
    """
    reset_key, play_key = jax.random.split(key)

    def step(carry: tuple, key: jax.Array) -> tuple[tuple, tuple]:
        observation, state, score, playing = carry
        seen = jax.vmap(environment.console.screen)(state.console), score, playing
        action = player.apply(player.params, observation).argmax(-1)
        keys = jax.random.split(key, episodes)
        observation, state, reward, terminated, truncated, _ = jax.vmap(environment.step)(keys, state, action)
        return (observation, state, score + reward * playing, playing & ~(terminated | truncated)), seen

    observation, state = jax.jit(jax.vmap(environment.reset))(jax.random.split(reset_key, episodes))
    carry = observation, state, jnp.zeros(episodes), jnp.ones(episodes, bool)
    play = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))
    (*_, scores, _), seen = play(carry, jax.random.split(play_key, max_steps))
    best = int(scores.argmax())
    pictures, so_far, playing = (np.asarray(leaf[:, best]) for leaf in seen)
    return pictures[playing], so_far[playing]
