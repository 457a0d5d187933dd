"""The console against ale-py: RAM, screen, reward, lives and game over after every single frame, through game-overs and resets."""

import re

import jax
import jax.numpy as jnp
import pytest
from background import Comparison

from purejaxrrl.environments.atari import rom
from purejaxrrl.environments.atari.console import Console

FIRST_GAMES = (
    "asterix",
    "beam_rider",
    "bowling",
    "breakout",
    "enduro",
    "ms_pacman",
    "pong",
    "qbert",
    "riverraid",
    "seaquest",
    "space_invaders",
)
"""The paper's ten games and Pong."""


@pytest.mark.beside("--frames", 2_000, "--games", *FIRST_GAMES)
def test_first_games_equal_ale_every_frame(beside):
    reports = beside.reports()
    assert [(report["game"], report["frames"]) for report in reports] == [(game, 2_000) for game in FIRST_GAMES]
    assert [report for report in reports if report["differences"]] == []
    assert sum(report["resets"] for report in reports) >= 5


def test_other_cartridges_and_televisions_equal_ale_every_frame():
    """The schemes and formats that the first games do not have: E0, F6SC on a PAL set, FE, DPC, and a start by chance."""
    games = ("montezuma_revenge", "klax", "robotank", "pitfall2", "adventure")
    reports = Comparison("--frames", 100, "--games", *games).reports()
    assert [(report["game"], report["differences"]) for report in reports] == [(game, {}) for game in games]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_game_equals_ale_every_frame(seed):
    reports = Comparison("--frames", 20_000, "--first-seed", seed).reports()
    assert {(report["game"], report["frames"]) for report in reports} == {(game, 20_000) for game in rom.names()}
    assert [report for report in reports if report["differences"]] == []


@pytest.mark.slow
def test_every_mode_and_difficulty_equals_ale():
    reports = Comparison("--frames", 250, "--every-mode").reports()
    assert len(reports) > 1_000
    assert [report for report in reports if report["differences"]] == []


def test_a_frame_copies_the_pictures_once_and_not_at_every_step():
    """What is read after it was written makes XLA copy the whole canvas in the innermost loop, several times a frame's work."""
    console = Console("breakout")
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
