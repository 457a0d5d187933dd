"""The Arcade Learning Environment in JAX: the Atari 2600 (`Console`) and its games as environments (`Atari`)."""

from purejaxrrl.environments.atari.console import Console, ConsoleState
from purejaxrrl.environments.atari.environment import Atari, AtariState, EnvParams, Settings
from purejaxrrl.environments.atari.games import GAMES

VERIFIED = (
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
"""The games whose play was compared with ale-py's frame by frame. `Console` and `Atari` take the others of `GAMES` too."""

__all__ = ["GAMES", "VERIFIED", "Atari", "AtariState", "Console", "ConsoleState", "EnvParams", "Settings"]
