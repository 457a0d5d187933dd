"""From a grey picture to the 84 x 84 that agents see (Mnih et al. 2015).

`resize` is OpenCV's INTER_AREA: every pixel is the mean of the source rectangle it covers, partly covered pixels weighted by
what is covered. With 160 columns and at most 250 lines all weights are multiples of 1/40 and of 1/(lines / gcd(lines,
84)), so the mean is computed in integers, exactly, and rounded to nearest, halves to even. OpenCV sums in single precision and
rounds likewise, so it differs, by one level, only where the mean is exactly a half and its own error tips it.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

SIZE = 84
WIDTH = 160
MIN_LINES, MAX_LINES = 210, 250
_COLUMN_TAPS, _LINE_TAPS = 3, 4


def _taps(source: int, num_taps: int) -> tuple[np.ndarray, np.ndarray, int]:
    """What each of the 84 pixels covers of `source` pixels.

    Returns index int32 [num_taps, 84], weight int32 [num_taps, 84] and the weights' sum, the same for each pixel: a pixel
    is `source / 84` wide, which is `unit` times 1/(84 / gcd).
    """
    divisor = math.gcd(source, SIZE)
    cells, unit = SIZE // divisor, source // divisor
    index, weight = np.zeros((num_taps, SIZE), np.int32), np.zeros((num_taps, SIZE), np.int32)
    for pixel in range(SIZE):
        begin, end = pixel * unit, (pixel + 1) * unit
        covered = range(begin // cells, (end - 1) // cells + 1)
        for tap, place in enumerate(covered):
            index[tap, pixel] = place
            weight[tap, pixel] = min(end, (place + 1) * cells) - max(begin, place * cells)
        index[len(covered) :, pixel] = covered[-1]
    return index, weight, unit


@functools.cache
def _line_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_taps` for 210 to 250 lines: [41, taps, 84], [41, taps, 84], [41]."""
    taps = [_taps(lines, _LINE_TAPS) for lines in range(MIN_LINES, MAX_LINES + 1)]
    return tuple(np.stack(tables) for tables in zip(*taps, strict=True))


@functools.cache
def _column_matrix() -> tuple[np.ndarray, int]:
    """Weights float32 [40, 21] of a quarter of a line's 160 columns, which the others repeat, and their sum."""
    index, weight, unit = _taps(WIDTH, _COLUMN_TAPS)
    matrix = np.zeros((WIDTH // 4, SIZE // 4), np.float32)
    for tap in range(_COLUMN_TAPS):
        np.add.at(matrix, (index[tap, : SIZE // 4], np.arange(SIZE // 4)), weight[tap, : SIZE // 4])
    return matrix, unit


def resize(image: jax.Array, lines: jax.Array | int) -> jax.Array:
    """Shrinks a grey image to 84 x 84.

    Args:
      image: uint8 [H, 160], H at least `lines`; lines beyond are not looked at.
      lines: the picture's height, 210 to 250; an int, or a traced int32 scalar where a batch mixes heights.

    Returns: uint8 [84, 84].

    Raises:
      ValueError: `image` is not [H, 160], or a static `lines` is out of range or more than the image has.
    """
    if image.ndim != 2 or image.shape[1] != WIDTH:
        raise ValueError(f"the image must be [lines, {WIDTH}], got {list(image.shape)}")
    if isinstance(lines, int) and not MIN_LINES <= lines <= min(MAX_LINES, image.shape[0]):
        raise ValueError(
            f"lines must be in {MIN_LINES}..{MAX_LINES} and at most the image's {image.shape[0]}, got {lines}"
        )
    indices, weights, units = _line_tables()
    if not isinstance(lines, int):
        indices, weights, units = jnp.asarray(indices), jnp.asarray(weights), jnp.asarray(units)
    index, weight, line_unit = (table[lines - MIN_LINES] for table in (indices, weights, units))
    columns, column_unit = _column_matrix()
    # A product of whole numbers far below 2 ** 24 is exact in single precision, in whatever order it is summed.
    narrow = jax.lax.dot(image.astype(jnp.float32).reshape(-1, columns.shape[0]), columns, precision="highest")
    narrow = narrow.reshape(-1, SIZE).astype(jnp.int32)
    total = sum(weight[tap][:, None] * narrow[index[tap]] for tap in range(_LINE_TAPS))
    return _round(total, column_unit * line_unit)


def _round(total: jax.Array, unit: jax.Array | int) -> jax.Array:
    """total / unit as uint8, rounded to nearest, halves to even."""
    quotient = total // unit
    twice_remainder = 2 * (total - quotient * unit)
    up = (twice_remainder > unit) | ((twice_remainder == unit) & (quotient % 2 == 1))
    return (quotient + up).astype(jnp.uint8)
