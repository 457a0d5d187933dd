"""Atari games by name; nothing here starts a console."""

import pytest

from purejaxrrl import environments
from purejaxrrl.environments import atari


def test_only_compared_games_have_names():
    names = [name for name in environments.names() if name.startswith("atari/")]
    assert names == [f"atari/{game}" for game in sorted(atari.VERIFIED)]
    assert len(names) == 11 and set(atari.VERIFIED) <= set(atari.GAMES)


def test_unknown_game_names_the_nearest():
    with pytest.raises(ValueError, match="'atari/breakot'.*atari/breakout"):
        environments.make("atari/breakot")


def test_games_of_other_kinds_are_not_batched():
    with pytest.raises(ValueError, match="'minatar/breakout' cannot be in one batch"):
        environments.make(["atari/pong", "minatar/breakout"])
