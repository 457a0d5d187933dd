"""The console against ale-py: RAM, screen, reward, lives and game over after every single frame, through game-overs and resets."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from explain import explain
from separate import reports

from purejaxrrl.environments.atari import rom
from purejaxrrl.environments.atari.console import Console

END_SOON = "asterix", "berzerk", "hangman", "kaboom", "klax", "laser_gates", "pacman", "road_runner", "trondead"
"""Games whose first game is over within 1,500 frames of the comparison's actions."""


def test_every_game_equals_ale_for_six_hundred_frames():
    found = reports("--frames", 600, "--lanes", 104, "--games-at-once", 104)
    assert {(report["game"], report["frames"]) for report in found} == {(game, 600) for game in rom.names()}
    assert [report for report in found if report["differences"]] == []


def test_games_that_end_soon_equal_ale_through_resets():
    found = reports("--frames", 1_500, "--games", *END_SOON)
    assert [report for report in found if report["differences"]] == []
    assert all(report["resets"] for report in found) and len(found) == len(END_SOON)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_game_equals_ale_every_frame(seed):
    found = reports("--frames", 20_000, "--first-seed", seed)
    assert {(report["game"], report["frames"]) for report in found} == {(game, 20_000) for game in rom.names()}
    assert [report for report in found if report["differences"]] == []


@pytest.mark.slow
def test_every_mode_and_difficulty_equals_ale():
    found = reports("--frames", 250, "--every-mode")
    assert len(found) > 1_000
    assert [report for report in found if report["differences"]] == []


def test_explaining_a_frame_shows_what_was_stored_and_where():
    said = explain("breakout", np.zeros(40, int))
    assert said.startswith("the pictures are equal\nRAM is equal:")
    assert "  line  189 pixel  -59: COLUP0  = $46  (at $F0DA)" in said


@pytest.mark.parametrize("engine", ["kernel", "portable"])
def test_a_frame_copies_the_pictures_once_and_not_at_every_step(engine):
    """What is read after it was written makes XLA copy the whole canvas in the innermost loop, several times a frame's work."""
    console = Console("breakout", engine=engine)
    state = jax.eval_shape(jax.vmap(console.reset), game=jnp.zeros(4, jnp.int32))
    program = jax.jit(jax.vmap(console.act)).lower(state, jnp.zeros(4, jnp.int32)).compile().as_text()
    before, entry = program.split("\nENTRY")
    copied = re.compile(rf"u32\[4,2,{console.height},\d+\]\S* copy\(")
    assert len(copied.findall(entry)) == 2
    assert copied.findall(before) == []


def test_unknown_game_names_the_nearest():
    with pytest.raises(ValueError, match="breakout"):
        Console("brekout")


@pytest.mark.parametrize("game", sorted(rom.UNSUPPORTED))
def test_unsupported_game_says_why(game):
    with pytest.raises(ValueError, match=f"{game}.*ale-py itself cannot load it"):
        Console(game)


def test_offers_are_checked():
    with pytest.raises(ValueError, match="mode 3"):
        Console("breakout", mode=3)
    with pytest.raises(ValueError, match="difficulty 9"):
        Console("breakout", difficulty=9)


def test_static_action_outside_the_set():
    console = Console("breakout")
    with pytest.raises(ValueError, match="40"):
        console.act(None, 40)
