"""From the bits that `raster.py` leaves on the canvas to pixels, and what the ALE does to a picture whose frame did not end."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from purejaxrrl.environments.atari import objects
from purejaxrrl.environments.atari.memory import load
from purejaxrrl.environments.atari.raster import BLANK, COLOUR_SETS, HMOVE_BLANK, Bit, Canvas, Raster, put_row


def pixels(rows: jax.Array, colours: jax.Array) -> jax.Array:
    """Palette indices, uint8 [..., 160], of rows uint32 [..., ROW_WORDS] with colour sets uint32 [..., COLOUR_SETS]."""
    planes = [rows[..., start : start + 5, None] for start in (0, 5, 10)]
    bit = jnp.arange(32, dtype=jnp.uint32)
    low, high = (plane >> bit & 1 for plane in planes[:2])
    counts = jax.lax.population_count(rows[..., 10:15])
    before = jnp.cumsum(counts, axis=-1) - counts
    upto = jax.lax.population_count(planes[2] & (jnp.uint32(2) << bit) - 1)
    index = (before[..., None] + upto).astype(jnp.int32).reshape(*rows.shape[:-1], 160) - 1
    choice = jnp.take_along_axis(colours, jnp.maximum(index, 0), axis=-1)
    place = (low | high << 1).reshape(*rows.shape[:-1], 160) << 3
    shown = (choice >> place & 0xFF).astype(jnp.uint8)
    blank = (rows[..., 15:16] & 1 == 1) & (jnp.arange(160) < HMOVE_BLANK)
    return jnp.where(blank, jnp.uint8(0), shown)


def finish(raster: Raster, canvas: Canvas, enable: jax.Array) -> Canvas:
    """Puts the row that is being drawn on the canvas, over what the rest of that row showed, where `enable`."""
    end = jnp.clip(raster.column - BLANK, 0, 160)
    height = canvas.rows.shape[2]
    whole = enable & (end == 160) & (raster.row < height)
    part = enable & (end > 0) & (end < 160) & (raster.row < height)
    canvas = put_row(canvas, (raster.buffer, raster.row), raster.line, raster.line_sets, whole)
    return jax.lax.cond(jnp.any(part), lambda c: _merge(raster, c, end, part), lambda c: c, canvas)


def _merge(raster: Raster, canvas: Canvas, end: jax.Array, enable: jax.Array) -> Canvas:
    """The row drawn up to pixel `end` [L], the old row beyond it: its marks stay, its colour sets follow the new ones."""
    place = (raster.buffer, jnp.where(enable, raster.row, 0))
    old, old_sets = load(canvas.rows, *place), load(canvas.colours, *place)
    kept = jnp.stack(objects.span(end, jnp.full_like(end, 160)), axis=1)
    mark = jnp.stack(objects.span(end, end + 1), axis=1)
    first = jnp.sum(jax.lax.population_count(old[:, 10:15] & (~kept | mark)), axis=1).astype(jnp.int32) - 1
    line = jnp.concatenate(
        [
            raster.line[:, :5] & ~kept | old[:, :5] & kept,
            raster.line[:, 5:10] & ~kept | old[:, 5:10] & kept,
            raster.line[:, 10:15] & ~kept | old[:, 10:15] & kept | mark,
            raster.line[:, 15:],
        ],
        axis=1,
    )
    index = jnp.arange(COLOUR_SETS)
    source = jnp.clip(index - raster.sets[:, None] + jnp.maximum(first, 0)[:, None], 0, COLOUR_SETS - 1)
    sets = jnp.where(index < raster.sets[:, None], raster.line_sets, jnp.take_along_axis(old_sets, source, axis=1))
    return put_row(canvas, place, line, sets, enable)


def grey_out(raster: Raster, canvas: Canvas, row: jax.Array, enable: jax.Array) -> tuple[Raster, Canvas]:
    """What the ALE does where a frame is shown before it ended: colours lose their hue and half their light from `row` on,
    once a frame. int32 and bool [L]."""
    enable &= raster.flags & Bit.GREYED == 0
    below = jnp.arange(canvas.rows.shape[2]) >= row[:, None]
    which = enable[:, None, None] & (jnp.arange(2) == raster.buffer[:, None])[:, :, None] & below[:, None, :]
    colours = jnp.where(which[..., None], _greyed(canvas.colours), canvas.colours)
    in_line = enable & (raster.row >= row)
    sets = jnp.where(in_line[:, None], _greyed(raster.line_sets), raster.line_sets)
    flags = jnp.where(enable, raster.flags | Bit.GREYED | Bit.FRESH, raster.flags)
    return dataclasses.replace(raster, flags=flags, line_sets=sets), dataclasses.replace(canvas, colours=colours)


def _greyed(colours: jax.Array) -> jax.Array:
    return colours >> 1 & 0x07070707
