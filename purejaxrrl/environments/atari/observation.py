"""What an agent sees of a console: the last frame, or the brighter of the last two, grey, 84 x 84.

The console keeps two pictures, the last frame's and the one before, as bits and colour sets (`picture.py`), which become
pixels only here.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari import palettes, picture, preprocessing, rom
from purejaxrrl.environments.atari.console import ConsoleState


@dataclasses.dataclass(frozen=True)
class Viewer:
    """What is known of the pictures of a console's games. lines: int32 [games], their heights. pal: bool [games]."""

    lines: np.ndarray
    pal: np.ndarray

    @classmethod
    def of(cls, games: tuple[str, ...]) -> Viewer:
        """The viewer for a console of those games."""
        roms = [rom.load(name) for name in games]
        lines = [
            preprocessing.MAX_LINES if one.pal and one.height == preprocessing.MIN_LINES else one.height for one in roms
        ]
        return cls(np.asarray(lines, np.int32), np.asarray([one.pal for one in roms]))

    def observe(self, state: ConsoleState, frames: int = 2) -> jax.Array:
        """The newest part of an observation, of one console.

        frames: 2 for the brighter of the last two frames, pixel by pixel; 1 for the last alone, as after a reset.

        Returns: uint8 [84, 84].
        """
        table = jnp.asarray(palettes.GRAY)[jnp.asarray(self.pal.astype(np.int32))[state.game]]
        canvas, buffer = state.machine.canvas, state.machine.raster.buffer
        shown = [
            table[picture.pixels(canvas.rows[which], canvas.colours[which])] for which in (buffer, 1 - buffer)[:frames]
        ]
        same = (self.lines == self.lines[0]).all()
        lines = int(self.lines[0]) if same else jnp.asarray(self.lines)[state.game]
        return preprocessing.resize(functools.reduce(jnp.maximum, shown), lines)
