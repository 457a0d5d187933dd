"""The program that shows a game: who presses FIRE, and what is refused before it is played."""

import sys

import fake_console
import jax.numpy as jnp
import numpy as np
import play_atari
import pytest

from purejaxrrl import teachers
from purejaxrrl.environments.atari import environment as environment_module
from purejaxrrl.replay import space


@pytest.mark.parametrize("fires", [False, True])
def test_fire_is_pressed_for_a_teacher_that_needs_it(fires, monkeypatch):
    """The reward of a fake game's frame is its action: FIRE in each of three lives pays for four frames."""
    fake_console.install(monkeypatch)
    environment = environment_module.Atari("breakout", sticky_action_probability=0.0)
    environment.console.screen = lambda console: console.frame
    card = teachers.Card("atari/breakout", "q_values", 4, (84, 84, 4), 2.0, 1.0, 1, 0, fire_after_life_loss=fires)
    idle = teachers.Teacher(lambda params, seen: jnp.zeros((len(seen), 4)).at[:, 0].set(1.0), None, card)
    monkeypatch.setattr(play_atari, "make", lambda config: (environment, idle))
    _, rewards, ends, frames = play_atari.play(play_atari.Config(policy="idle", epsilon=0.0, steps=20))
    first = rewards[: np.flatnonzero(ends)[0] + 1]
    assert (first.sum(), frames) == (12.0 if fires else 0.0, 4)


def test_a_gif_that_no_memory_holds_is_refused_before_anything_is_played(monkeypatch, capsys):
    monkeypatch.setattr(space, "available_to_the_process", lambda: 10**9)
    monkeypatch.setattr(sys, "argv", ["play_atari.py", "--steps=20000", "--scale=8"])
    with pytest.raises(SystemExit) as end:
        play_atari.main()
    assert end.value.code == 2 and "give fewer --steps or a smaller --scale" in capsys.readouterr().err
