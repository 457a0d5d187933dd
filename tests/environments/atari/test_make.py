"""Atari games by name; nothing here starts a console."""

import pytest

from purejaxrrl import environments
from purejaxrrl.environments.atari import rom


def test_every_game_that_ale_py_can_load_has_a_name():
    names = [name for name in environments.names() if name.startswith("atari/")]
    assert names == [f"atari/{game}" for game in rom.names()]
    assert len(names) == 104


def test_unknown_game_names_the_nearest():
    with pytest.raises(ValueError, match="'atari/breakot'.*atari/breakout"):
        environments.make("atari/breakot")


def test_games_of_other_kinds_are_not_batched():
    with pytest.raises(ValueError, match="'minatar/breakout' cannot be in one batch"):
        environments.make(["atari/pong", "minatar/breakout"])
