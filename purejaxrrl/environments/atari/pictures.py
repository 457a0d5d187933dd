"""An Atari game as the television shows it, in a GIF."""

import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from purejaxrrl.environments.atari import palettes, rom
from purejaxrrl.replay import acting

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


class Episode(NamedTuple):
    """pictures: palette indices uint8 [T, height, 160], one every so many (`every`) agent steps. scores: float32 [T], so far."""

    pictures: np.ndarray
    scores: np.ndarray
    every: int


def best_episode(
    key: jax.Array,
    environment: Any,
    player: Any,
    episodes: int,
    max_steps: int,
    epsilon: float = 0.0,
    most_pictures: int = 400,
) -> Episode:
    """The one of some epsilon-greedy episodes, cut after `max_steps` agent steps, that has the highest score; consumes `key`.

    It is played once more for its pictures, which would take more memory than there may be if all episodes had theirs.

    Args:
      environment: an `Atari` of one game. player: a teacher.
      most_pictures: where the episode has more steps, some are left out between two pictures.
    """
    reset_key, play_key = jax.random.split(key)
    starts, keys = jax.random.split(reset_key, episodes), jax.random.split(play_key, max_steps)
    played = jax.jit(functools.partial(_play, environment, player, epsilon))(starts, keys)
    scores, lengths, actions = (np.asarray(leaf) for leaf in played)
    best = int(scores.argmax())
    length = int(lengths[best])
    every = -(-length // most_pictures)
    steps = np.arange(-(-length // every) * every).reshape(-1, every)
    its_keys = jax.vmap(lambda key: jax.random.split(jax.random.split(key)[1], episodes)[best])(keys)
    within = np.minimum(steps, length - 1)  # what is played after the end is not shown
    shown = jax.jit(functools.partial(_pictures, environment))(starts[best], its_keys[within], actions[within, best])
    return Episode(*(np.asarray(leaf) for leaf in shown), every)


def _play(
    environment: Any, player: Any, epsilon: float, starts: jax.Array, keys: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Score and length [E] of episodes that begin with the keys `starts` [E], and their actions int32 [T, E]; T keys."""
    episodes, most = len(starts), len(keys)

    def step(carry: tuple) -> tuple:
        time, observation, state, playing, scores, lengths, actions = carry
        policy_key, step_key = jax.random.split(keys[time])
        action = acting.epsilon_greedy(policy_key, player.apply(player.params, observation), epsilon)
        lane_keys = jax.random.split(step_key, episodes)
        observation, state, reward, terminated, truncated, _ = jax.vmap(environment.step)(lane_keys, state, action)
        scores, lengths = scores + reward * playing, lengths + playing
        playing &= ~(terminated | truncated)
        return time + 1, observation, state, playing, scores, lengths, actions.at[time].set(action)

    observation, state = jax.vmap(environment.reset)(starts)
    none = jnp.zeros(episodes), jnp.zeros(episodes, jnp.int32), jnp.zeros((most, episodes), jnp.int32)
    carry = jnp.int32(0), observation, state, jnp.ones(episodes, bool), *none
    *_, scores, lengths, actions = jax.lax.while_loop(lambda carry: carry[3].any() & (carry[0] < most), step, carry)
    return scores, lengths, actions


def _pictures(environment: Any, start: jax.Array, keys: jax.Array, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Picture and score before the first of each row of actions, `[T, every]`, of the episode that begins with the key `start`."""

    def step(carry: tuple, each: tuple) -> tuple[tuple, None]:
        state, score = carry
        key, action = each
        _, state, reward, *_ = jax.vmap(environment.step)(key[None], state, action[None])
        return (state, score + reward), None

    def row(carry: tuple, each: tuple) -> tuple[tuple, tuple]:
        state, score = carry
        seen = jax.vmap(environment.console.screen)(state.console)[0], score[0]
        return jax.lax.scan(step, carry, each)[0], seen

    _, state = jax.vmap(environment.reset)(start[None])
    return jax.lax.scan(row, (state, jnp.zeros(1)), (keys, actions))[1]
