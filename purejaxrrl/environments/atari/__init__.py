"""The Arcade Learning Environment in JAX: the Atari 2600 (`Console`) and its games as environments (`Atari`)."""

from purejaxrrl.environments.atari.console import Console, ConsoleState
from purejaxrrl.environments.atari.environment import Atari, AtariState, EnvParams, Settings
from purejaxrrl.environments.atari.games import GAMES

FUSED_LOOPS = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=16000000"
"""For the portable engine, see `engines.py`: with this in the environment variable XLA_FLAGS, XLA for CPU compiles the loop over
instructions into one function, which a few lanes execute several times as fast: nothing is dispatched and no thread waits for
another. It holds for every loop of the
program whose body touches less than 16 MB. Must be set before JAX is imported."""

__all__ = ["FUSED_LOOPS", "GAMES", "Atari", "AtariState", "Console", "ConsoleState", "EnvParams", "Settings"]
