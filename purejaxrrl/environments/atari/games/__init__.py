"""The games of the ALE: what is known of each beside its ROM, and the rules that read its RAM."""

from purejaxrrl.environments.atari.games.catalogue import GAMES
from purejaxrrl.environments.atari.games.spec import GameSpec

__all__ = ["GAMES", "GameSpec"]
