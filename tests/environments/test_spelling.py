"""Names that other libraries, papers and people give environments."""

import time

import pytest

import purejaxrrl
from purejaxrrl import environments, teachers
from purejaxrrl.environments import spelling
from purejaxrrl.runs import experiment

MEANT = {
    "PongNoFrameskip-v4": "atari/pong",
    "PongDeterministic-v4": "atari/pong",
    "Pong-v0": "atari/pong",
    "Pong-ram-v5": "atari/pong",
    "ALE/Pong-v5": "atari/pong",
    "ALE/MsPacman-v5": "atari/ms_pacman",
    "ALE/VideoChess-v5": "atari/video_chess",
    "SpaceInvadersNoFrameskip-v4": "atari/space_invaders",
    "pong": "atari/pong",
    "atari/Pong": "atari/pong",
    "atari/ms-pacman": "atari/ms_pacman",
    "atari/pong/": "atari/pong",
    "minatar/ms_pacman": "atari/ms_pacman",
    "CartPole-v1": "gymnax/CartPole-v1",
    "cartpole": "gymnax/CartPole-v1",
    "gym/CartPole-v1": "gymnax/CartPole-v1",
    "Acrobot-v1": "gymnax/Acrobot-v1",
    "breakout": "minatar/breakout, atari/breakout, gymnax/Breakout-MinAtar",
    "Breakout-MinAtar": "minatar/breakout, gymnax/Breakout-MinAtar",
    "MinAtar/SpaceInvaders-v0": "minatar/space_invaders, gymnax/SpaceInvaders-MinAtar",
    "minatar/Seaquest": "minatar/seaquest, gymnax/Seaquest-MinAtar",
}


@pytest.mark.parametrize("name", MEANT)
def test_another_spelling_leads_to_the_name_and_to_no_other(name):
    with pytest.raises(ValueError, match="unknown environment") as error:
        purejaxrrl.make(name)
    assert str(error.value).endswith(f"; the nearest are {MEANT[name]}")


@pytest.mark.parametrize("name", ["atari/joust", "ALE/Joust-v5", "JoustNoFrameskip-v4", "joust", "ALE/Warlords-v5"])
def test_a_game_that_is_missing_says_why(name):
    with pytest.raises(ValueError, match=f"there is no environment '{name}': ale-py itself cannot load it"):
        purejaxrrl.make(name)


@pytest.mark.parametrize("name", ["", "é", "brax/ant", "x" * 400, "gymnax"])
def test_what_is_like_nothing_is_told_what_there_is(name):
    with pytest.raises(
        ValueError, match="atari/..., balloon, minatar/... and gymnax/..., such as minatar/breakout"
    ) as error:
        purejaxrrl.make(name)
    assert len(str(error.value)) < 300


def test_every_name_of_ours_is_known_and_led_to_from_its_ale_name():
    for name in environments.names():
        spelling.check(name, environments.names())
        if name.startswith("atari/"):
            camel = "".join(part.capitalize() for part in name.removeprefix("atari/").split("_"))
            with pytest.raises(ValueError, match=f"the nearest are {name}$"):
                spelling.check(f"ALE/{camel}-v5", environments.names())


def test_the_names_of_gymnax_are_gymnaxs():
    gymnax = pytest.importorskip("gymnax")
    assert set(spelling.GYMNAX) <= set(gymnax.registered_envs)


def test_another_spelling_of_gymnaxs_is_led_to_the_name_without_importing_it():
    with pytest.raises(ValueError, match="unknown gymnax environment 'cartpole'; the nearest are CartPole-v1"):
        purejaxrrl.make("gymnax/cartpole")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"environment": "atari/breakout"}, "trained on 'minatar/breakout', not 'atari/breakout'"),
        ({"environment": "minatar/asterix"}, "trained on 'minatar/breakout', not 'minatar/asterix'"),
        ({"environment": "PongNoFrameskip-v4"}, "the nearest are atari/pong"),
        ({"environment": "atari/pong", "environment_options": "frameskip=4"}, "has no option 'frameskip'; the nearest are frame_skip"),
    ],
)  # fmt: skip
def test_a_wrong_name_or_another_games_teacher_is_refused_before_anything_is_made(
    options, message, monkeypatch, tmp_path
):
    monkeypatch.setattr(purejaxrrl, "make", lambda *_, **__: pytest.fail("an environment was made"))
    asked = experiment.Options(teacher=str(teachers.shipped("minatar/breakout")), output=str(tmp_path), **options)
    started = time.monotonic()
    with pytest.raises(ValueError, match=message):
        experiment.prepare("reincarnate", asked, purejaxrrl.QDagger())
    assert time.monotonic() - started < 2
