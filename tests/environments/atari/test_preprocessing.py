"""Resizing against OpenCV, colours against ale-py."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recording import interface, scripted_actions

from purejaxrrl.environments.atari import palettes, preprocessing


def test_resize_is_opencvs_inter_area_on_noise():
    resize = jax.jit(jax.vmap(preprocessing.resize, (0, None)))
    for lines in range(210, 251):
        images = np.random.default_rng(lines).integers(0, 256, (8, 250, 160), dtype=np.uint8)
        ours = np.asarray(resize(images, lines)).astype(int)
        theirs = np.stack(
            [cv2.resize(image[:lines], (84, 84), interpolation=cv2.INTER_AREA) for image in images]
        ).astype(int)
        assert np.abs(ours - theirs).max() <= 1
        assert (ours == theirs).mean() >= 0.999


def test_a_traced_height_gives_what_a_static_one_gives():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 250, 160), dtype=np.uint8)
    heights = [210, 214, 220, 230, 250]
    traced = jax.jit(jax.vmap(preprocessing.resize))(images, jnp.array(heights))
    for image, lines, ours in zip(images, heights, np.asarray(traced), strict=True):
        np.testing.assert_array_equal(ours, preprocessing.resize(jnp.asarray(image), lines))
        np.testing.assert_array_equal(ours, preprocessing.resize(jnp.asarray(image[:lines]), lines))


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_a_flat_image_stays_flat(level):
    image = jnp.full((250, 160), level, jnp.uint8)
    for lines in (210, 233, 250):
        assert (np.asarray(preprocessing.resize(image, lines)) == level).all()


def test_bad_shapes_and_heights_are_errors():
    with pytest.raises(ValueError, match=r"\[160, 210\]"):
        preprocessing.resize(jnp.zeros((160, 210), jnp.uint8), 210)
    with pytest.raises(ValueError, match="192"):
        preprocessing.resize(jnp.zeros((210, 160), jnp.uint8), 192)
    with pytest.raises(ValueError, match="250"):
        preprocessing.resize(jnp.zeros((210, 160), jnp.uint8), 250)


@pytest.mark.parametrize(
    ("game", "television"),
    [
        ("breakout", 0),
        ("seaquest", 0),
        ("enduro", 0),
        ("carnival", 0),
        ("air_raid", 1),
        ("pacman", 1),
        ("keystone_kapers", 1),
    ],
)
def test_colours_and_grey_levels_are_ale_pys(game, television):
    ale = interface(game)
    for action in scripted_actions(tuple(a.value for a in ale.getLegalActionSet()), 300, seed=0):
        if ale.game_over():
            ale.reset_game()
        ale.act(int(action))
        screen = ale.getScreen()
        np.testing.assert_array_equal(palettes.RGB[television][screen], ale.getScreenRGB())
        np.testing.assert_array_equal(palettes.GRAY[television][screen], ale.getScreenGrayscale())


@pytest.mark.parametrize("game", ["breakout", "space_invaders", "air_raid", "pooyan"])
def test_observations_of_played_games_equal_opencvs(game):
    ale = interface(game)
    lines = ale.getScreenDims()[0]
    observe = jax.jit(lambda last, before: preprocessing.resize(jnp.maximum(last, before), lines))
    same = []
    for action in scripted_actions(tuple(a.value for a in ale.getLegalActionSet()), 400, seed=1):
        if ale.game_over():
            ale.reset_game()
        before = ale.getScreenGrayscale()
        ale.act(int(action))
        last = ale.getScreenGrayscale()
        theirs = cv2.resize(np.maximum(before, last), (84, 84), interpolation=cv2.INTER_AREA).astype(int)
        ours = np.asarray(observe(last, before)).astype(int)
        assert np.abs(ours - theirs).max() <= 1
        same.append((ours == theirs).mean())
    assert np.mean(same) >= 0.9999
