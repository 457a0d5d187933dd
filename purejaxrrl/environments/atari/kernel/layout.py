"""What the kernel and JAX tell each other: which numbers of a lane stand in which row of the arrays that pass between them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from purejaxrrl.environments.atari.dpc import Dpc
from purejaxrrl.environments.atari.machine import Hardware, Inputs, Machine

_FIELDS = {
    "registers": ("a", "x", "y", "s", "p", "pc"),
    "riot": ("timer", "shift", "timer_set", "interrupt_reset", "read_late", "direction"),
    "tia": ("frame_start", "vsync_end", "last_lines", "partial", "dumped", "charged_from", "seen"),
    "raster": (
        *("flags", "sizes", "colours", "playfield", "graphics", "motions", "hmove", "stars", "collisions"),
        *("first_line", "row", "column", "buffer", "sets", "last_set"),
    ),
}
"""Fields of the parts of a `Machine` that are one number a lane."""
_OWN = ("slices", "cycles", "fault")
_DPC = ("flags", "music", "random", "updated", "fraction")

SCALARS = (*(field for fields in _FIELDS.values() for field in fields), *_OWN, *(f"dpc_{field}" for field in _DPC))
"""Names of the rows of `pack_scalars`; they are fields of the kernel's `Machine`."""

SETTINGS = (
    *("base", "hot_first", "hot_count", "sliced", "by_address", "superchip", "has_dpc"),
    *("first", "height", "hmove_blanks", "colour_loss", "maximum_lines"),
    *("port_a", "port_b", "fire", "paddle_0", "paddle_1", "paddle_2", "paddle_3", "enable", "draws"),
)
"""Names of the rows of `pack_settings`; likewise."""


def _as_int(leaf: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(leaf, jnp.int32) if leaf.dtype == jnp.uint32 else leaf.astype(jnp.int32)


def _like(row: jax.Array, leaf: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(row, jnp.uint32) if leaf.dtype == jnp.uint32 else row.astype(leaf.dtype)


def _scalars(machine: Machine) -> list[jax.Array]:
    leaves = [getattr(getattr(machine, part), field) for part, fields in _FIELDS.items() for field in fields]
    leaves += [getattr(machine, field) for field in _OWN]
    none = jnp.zeros_like(machine.cycles)
    return leaves + [none if machine.dpc is None else getattr(machine.dpc, field) for field in _DPC]


def pack_scalars(machine: Machine) -> jax.Array:
    """int32 [len(SCALARS), L]."""
    return jnp.stack([_as_int(leaf) for leaf in _scalars(machine)])


def unpack_scalars(machine: Machine, packed: jax.Array) -> dict[str, dict[str, jax.Array]]:
    """The fields of each part of a machine, "" for its own, from `packed`; of the types that they have in `machine`."""
    rows = dict(zip(SCALARS, map(_like, packed, _scalars(machine)), strict=True))
    parts = {part: {field: rows[field] for field in fields} for part, fields in _FIELDS.items()}
    return parts | {"": {field: rows[field] for field in _OWN}, "dpc": {field: rows[f"dpc_{field}"] for field in _DPC}}


def pack_fetchers(machine: Machine) -> jax.Array:
    """The DPC's tables, int32 [L, 3, FETCHERS]: tops, bottoms, counters; zeros where no lane has one."""
    if machine.dpc is None:
        return jnp.zeros((machine.cycles.shape[0], 3, 8), jnp.int32)
    return jnp.stack([machine.dpc.tops, machine.dpc.bottoms, machine.dpc.counters], 1)


def unpack_fetchers(packed: jax.Array, scalars: dict[str, jax.Array]) -> Dpc:
    """The DPC of `pack_fetchers`, with its scalars."""
    return Dpc(*(packed[:, place] for place in range(3)), **scalars)


def pack_settings(hardware: Hardware, inputs: Inputs, enable: jax.Array, draws: jax.Array) -> jax.Array:
    """int32 [len(SETTINGS), L]. draws: int32 [L], see `call.frame`."""
    cartridge, screen = hardware.cartridge, hardware.screen
    has_dpc = jnp.zeros_like(enable) if cartridge.dpc is None else cartridge.dpc
    rows = (
        *(cartridge.base, cartridge.hot_first, cartridge.hot_count, cartridge.sliced, cartridge.by_address),
        *(cartridge.superchip, has_dpc, screen.first_line, screen.height, screen.hmove_blanks, screen.colour_loss),
        *(hardware.maximum_lines, inputs.port_a, inputs.port_b, inputs.fire, *inputs.paddles, enable, draws),
    )
    return jnp.stack([jnp.asarray(row).astype(jnp.int32) for row in rows])
