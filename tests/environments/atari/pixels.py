"""The pixels of pictures as the kernel leaves them, on the host: a hundred times as fast as XLA for CPU makes them."""

from __future__ import annotations

import functools

import numpy as np
import warp

from purejaxrrl.environments.atari.kernel import source
from purejaxrrl.environments.atari.raster import COLOUR_SETS, ROW_WORDS

_LEVELS = np.arange(256, dtype=np.uint8)
"""Each palette index as its own grey level."""


@functools.cache
def _kernel() -> warp.Kernel:
    warp.config.log_level = warp.LOG_ERROR  # what the comparison prints is read by programs
    module = warp.Module("purejaxrrl.atari.pixels")
    options = warp.ModuleBuildOptions(extra_cpu_preamble=source.common())
    module.options |= {"extra_build_options": options, "enable_backward": False}

    @warp.func_native(
        f"atari::grey_row(rows.data + {ROW_WORDS} * row, colours.data + {COLOUR_SETS} * row, levels.data,"
        " *(atari::Line*)(pixels.data + 160 * row));"
    )
    def pixels_of_row(
        row: warp.int32,
        rows: warp.array(dtype=warp.uint32),
        colours: warp.array(dtype=warp.uint32),
        levels: warp.array(dtype=warp.uint8),
        pixels: warp.array(dtype=warp.uint8),
    ): ...

    @warp.kernel(module=module)
    def pixels_of_rows(
        rows: warp.array(dtype=warp.uint32),
        colours: warp.array(dtype=warp.uint32),
        levels: warp.array(dtype=warp.uint8),
        pixels: warp.array(dtype=warp.uint8),
    ):
        pixels_of_row(warp.tid(), rows, colours, levels, pixels)

    return pixels_of_rows


def _flat(array: np.ndarray, dtype: type) -> warp.array:
    return warp.array(array.reshape(-1), dtype=dtype, device="cpu", copy=False)


def pixels(rows: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """As `picture.pixels`: palette indices, uint8 [..., 160]."""
    found = np.empty((*rows.shape[:-1], 160), np.uint8)
    arrays = _flat(rows, warp.uint32), _flat(colours, warp.uint32), _flat(_LEVELS, warp.uint8), _flat(found, warp.uint8)
    warp.launch(_kernel(), dim=found.size // 160, inputs=arrays, device="cpu")
    return found
