"""What an agent sees of a console: the last frame, or the brighter of the last two, grey, 84 x 84, behind those before it.

The console keeps two pictures, the last frame's and the one before, as bits and colour sets (`picture.py`), which become
pixels only here (Mnih et al. 2015, Machado et al. 2018).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari import engines, palettes, picture, preprocessing, rom
from purejaxrrl.environments.atari.console import ConsoleState
from purejaxrrl.environments.atari.raster import Canvas
from purejaxrrl.environments.batching import over_lanes


@dataclasses.dataclass(frozen=True)
class Viewer:
    """What is known of the pictures of a console's games. lines: int32 [games], their heights. pal: bool [games]. engine: see
    `engines.py`."""

    lines: np.ndarray
    pal: np.ndarray
    engine: str

    @classmethod
    def of(cls, games: tuple[str, ...], engine: str) -> Viewer:
        """The viewer for a console of those games."""
        roms = [rom.load(name) for name in games]
        lines = [
            preprocessing.MAX_LINES if one.pal and one.height == preprocessing.MIN_LINES else one.height for one in roms
        ]
        return cls(np.asarray(lines, np.int32), np.asarray([one.pal for one in roms]), engine)

    def observe(self, state: ConsoleState, stack: jax.Array, pictures: int = 2) -> jax.Array:
        """The observation of one console after a frame; see `observe_often`."""
        return self.observe_often(1, state, stack, pictures)[0]

    def observe_often(
        self, copies: int, state: ConsoleState, stack: jax.Array, pictures: int = 2
    ) -> tuple[jax.Array, ...]:
        """The observation of one console after a frame, `copies` times: for a program that returns it in several places,
        where XLA would copy it.

        Args:
          stack: uint8 [84, 84, N], the observation before; its oldest picture is dropped.
          pictures: 2 for the brighter of the last two frames, pixel by pixel; 1 for the last alone, as after a reset.

        Returns: uint8 [84, 84, N] each, the newest picture last.
        """
        canvas, buffer = state.machine.canvas, state.machine.raster.buffer
        return self._observe[copies](canvas, buffer, state.game, stack, jnp.asarray(pictures, jnp.int32))

    @functools.cached_property
    def _observe(self) -> dict[int, Callable]:
        return {copies: over_lanes(functools.partial(self._observe_lanes, copies)) for copies in (1, 2, 3)}

    def _observe_lanes(self, copies: int, *operands: Any) -> tuple[jax.Array, ...]:
        if self.engine == "kernel":
            return self._observe_by_kernel(copies, *operands)
        return (jax.vmap(self._observe_portably)(*operands),) * copies

    def _observe_by_kernel(
        self, copies: int, canvas: Canvas, buffer: jax.Array, game: jax.Array, stack: jax.Array, pictures: jax.Array
    ) -> tuple[jax.Array, ...]:
        lines, pal = (jnp.asarray(table, jnp.int32)[game] for table in (self.lines, self.pal))
        greys = jnp.asarray(palettes.GRAY)
        return tuple(engines.kernel().observe(canvas, buffer, lines, pal, pictures, greys, stack, copies))

    def _observe_portably(
        self, canvas: Canvas, buffer: jax.Array, game: jax.Array, stack: jax.Array, pictures: jax.Array
    ) -> jax.Array:
        greys = jnp.asarray(palettes.GRAY)[jnp.asarray(self.pal.astype(np.int32))[game]]
        last, before = (greys[picture.pixels(canvas.rows[one], canvas.colours[one])] for one in (buffer, 1 - buffer))
        shown = jnp.where(pictures == 2, jnp.maximum(last, before), last)
        same = (self.lines == self.lines[0]).all()
        newest = preprocessing.resize(shown, int(self.lines[0]) if same else jnp.asarray(self.lines)[game])
        return jnp.concatenate([stack[..., 1:], newest[..., None]], -1)
