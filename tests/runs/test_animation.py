"""What the GIFs of agents show."""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import purejaxrrl
from purejaxrrl.environments.atari import pictures
from purejaxrrl.runs import animation


def test_an_atari_game_is_shown_as_the_television_has_it(tmp_path, monkeypatch):
    captions, write_gif = [], pictures.write_gif
    monkeypatch.setattr(pictures, "write_gif", lambda *given: (captions.extend(given[4]), write_gif(*given)))
    environment = purejaxrrl.make("atari/breakout", num_start_states=1)
    teacher = purejaxrrl.load_teacher(purejaxrrl.shipped_teacher("atari/breakout"))
    shown = tmp_path / "game.gif", jax.random.key(0), environment, environment.default_params, teacher
    assert animation.animate(*shown, max_pictures=30, max_steps=60, note="lambda 0.50")
    with Image.open(tmp_path / "game.gif") as image:
        assert image.size == (320, 210 + 14) and image.n_frames == 30 and image.info["duration"] >= 60
        picture = np.asarray(image.convert("RGB"))
    assert (picture[:14] == 0xEC).all(-1).any(), "the caption is white"
    assert captions[0] == "score 0  lambda 0.50  x2" and len(captions) == 30
    wall = picture[14 + 57 : 14 + 93].reshape(-1, 3)
    assert len(np.unique(wall, axis=0)) >= 6, "six rows of bricks"


class Lottery(NamedTuple):
    console: jax.Array
    step: jax.Array


def lottery(key_pays: float = 0.0) -> SimpleNamespace:
    """A game of seven steps, each of which pays what was drawn at the beginning, and something of its own key."""

    def reset(key):
        return jnp.zeros(2), Lottery(jax.random.uniform(key), jnp.int32(0))

    def step(key, state, action):
        reward = state.console + key_pays * jax.random.uniform(key) + action
        return jnp.zeros(2), state._replace(step=state.step + 1), reward, state.step == 6, jnp.bool_(False), {}

    return SimpleNamespace(reset=reset, step=step, console=SimpleNamespace(screen=lambda drawn: drawn))


PLAYER = SimpleNamespace(params=None, apply=lambda params, seen: jnp.zeros((len(seen), 2)))


@pytest.mark.parametrize(("most", "steps", "every"), [(400, range(7), 1), (3, (0, 3, 6), 3), (1, (0,), 7)])
def test_the_best_of_several_episodes_is_shown_until_it_ends(most, steps, every):
    take = pictures.best_episode(jax.random.key(0), lottery(), PLAYER, episodes=8, max_steps=9, most_pictures=most)
    drawn = jax.vmap(jax.random.uniform)(jax.random.split(jax.random.split(jax.random.key(0))[0], 8))
    np.testing.assert_array_equal(take.pictures, np.full(len(steps), drawn.max()))
    np.testing.assert_allclose(take.scores, drawn.max() * np.array(steps), rtol=1e-5, atol=1e-6)
    assert take.every == every


def test_the_episode_that_is_shown_is_the_one_that_was_played():
    """Its scores at the end are the best: of the same actions, random ones here, and the same keys."""
    game = lottery(key_pays=3.0)
    starts, keys = jax.random.split(jax.random.key(1), 8), jax.random.split(jax.random.key(2), 6)
    played, lengths, actions = pictures._play(game, PLAYER, 0.5, starts, keys)
    assert lengths.tolist() == [6] * 8 and 0 < actions.mean() < 1
    for lane in range(8):
        its_keys = jax.vmap(lambda key, lane=lane: jax.random.split(jax.random.split(key)[1], 8)[lane])(keys)
        _, scores = pictures._pictures(game, starts[lane], its_keys[:, None], actions[:, lane, None])
        last = scores[-1] + game.step(its_keys[-1], game.reset(starts[lane])[1], actions[-1, lane])[2]
        np.testing.assert_allclose(last, played[lane], rtol=1e-5)


@pytest.mark.parametrize(("frames", "milliseconds"), [(4, 70), (1, 20)])
def test_a_picture_is_shown_for_as_long_as_its_frames_take(frames, milliseconds, tmp_path):
    """GIFs count hundredths of a second."""
    shown = np.stack([np.full((20, 160), number, np.uint8) for number in range(3)])
    palette = np.arange(768, dtype=np.uint8).reshape(256, 3)
    pictures.write_gif(tmp_path / "game.gif", shown, palette, 1, frames_per_step=frames)
    with Image.open(tmp_path / "game.gif") as gif:
        assert gif.info["duration"] == milliseconds
