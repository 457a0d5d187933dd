"""On a machine without Warp the console is XLA's: it says so once, and Breakout is ale-py's, frame by frame."""

import warnings

import ale_py
import jax
import numpy as np
from ale_py import roms

from purejaxrrl.environments.atari import Console

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    console = Console("breakout")
assert console.engine == "portable"
assert any("warp-lang cannot be imported" in str(warning.message) for warning in caught)

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
ale = ale_py.ALEInterface()
ale.setFloat("repeat_action_probability", 0.0)
ale.loadROM(roms.get_rom_path("breakout"))
ale.reset_game()
state, act = jax.jit(console.reset)(), jax.jit(console.act)
for action in np.random.default_rng(0).choice([0, 1, 3, 4], 12).repeat(5):
    reward, state = ale.act(int(action)), act(state, action)
    assert int(state.reward) == reward
    np.testing.assert_array_equal(console.ram(state), ale.getRAM())
    np.testing.assert_array_equal(console.screen(state), ale.getScreen())
print("60 frames of the portable console equal ale-py's")
