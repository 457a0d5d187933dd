"""The TIA as the processor sees it: beam timing, inputs, and a log of what was written for the picture to be made from.

Nothing is drawn here. Writes that matter to the picture are logged with their cycle; `raster.py` works the log off in bulk,
before somebody looks at collisions and at the end of a frame. Source: the ALE's `src/ale/emucore/TIA.cxx`.
"""

from __future__ import annotations

import dataclasses
import enum

import jax
import jax.numpy as jnp

from purejaxrrl.environments.atari.memory import store

LINE = 76
"""Cycles of a scan line; a cycle is three colour clocks."""
NEVER = 0x7FFFFFFF
LOG_LENGTH = 512
_FOLD, _FOLDED = 1725 * LINE, 1700 * LINE
"""Far below the picture, the log counts the same cycles again and again: an entry has room for less than their sum."""

Write = enum.IntEnum(
    "Write",
    (
        "VSYNC VBLANK WSYNC RSYNC NUSIZ0 NUSIZ1 COLUP0 COLUP1 COLUPF COLUBK CTRLPF REFP0 REFP1 PF0 PF1 PF2 RESP0 RESP1 RESM0 RESM1 "
        "RESBL AUDC0 AUDC1 AUDF0 AUDF1 AUDV0 AUDV1 GRP0 GRP1 ENAM0 ENAM1 ENABL HMP0 HMP1 HMM0 HMM1 HMBL VDELP0 VDELP1 VDELBL "
        "RESMP0 RESMP1 HMOVE HMCLR CXCLR NOTHING"
    ),
    start=0,
)
"""The registers by address; NOTHING only makes the picture catch up."""

_UNSEEN = {
    Write.VSYNC,
    Write.WSYNC,
    Write.RSYNC,
    Write.AUDC0,
    Write.AUDC1,
    Write.AUDF0,
    Write.AUDF1,
    Write.AUDV0,
    Write.AUDV1,
    Write.NOTHING,
}
_SEEN = [sum(1 << r - half for r in Write if r not in _UNSEEN and half <= r < half + 31) for half in (0, 31)]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tia:
    """int32 [L] each unless said otherwise; cycles as the machine counts them.

    frame_start: cycle at which the first scan line of the frame began, 0 or less. vsync_end: colour clock from which an
    end of VSYNC ends the frame. last_lines: scan lines of the last whole frame. partial: bool, whether the frame has not ended.
    dumped: bool, whether the paddles' capacitors are held at ground. charged_from: cycle at which they were let go. seen: cycle
    since `frame_start` of the last access.
    """

    frame_start: jax.Array
    vsync_end: jax.Array
    last_lines: jax.Array
    partial: jax.Array
    dumped: jax.Array
    charged_from: jax.Array
    seen: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Log:
    """Stores that the picture is yet to be made from; empty between frames. entries: uint32 [L, LOG_LENGTH], see `entry`. length:
    int32 [L]."""

    entries: jax.Array
    length: jax.Array


def power_on(lanes: int) -> Tia:
    """The chip when the console is switched on."""
    zero = jnp.zeros(lanes, jnp.int32)
    return Tia(zero, zero + NEVER, zero, zero != 0, zero != 0, zero, zero)


def empty_log(lanes: int) -> Log:
    """Nothing stored yet."""
    return Log(jnp.zeros((lanes, LOG_LENGTH), jnp.uint32), jnp.zeros(lanes, jnp.int32))


def reset(tia: Tia) -> Tia:
    """The chip after a reset of the console, which does not finish a frame that had not ended."""
    zero = jnp.zeros_like(tia.frame_start)
    return dataclasses.replace(
        tia,
        frame_start=zero,
        vsync_end=zero + NEVER,
        last_lines=zero,
        dumped=zero != 0,
        charged_from=zero,
        seen=zero,
    )


def start_frame(tia: Tia, cycles: jax.Array, starts: jax.Array) -> tuple[Tia, jax.Array]:
    """The chip at the start of a frame where `starts`, and by how many cycles the machine's counter is set back."""
    back = jnp.where(starts, cycles, 0)
    start = -((cycles - tia.frame_start) % LINE)
    return dataclasses.replace(
        tia,
        frame_start=jnp.where(starts, start, tia.frame_start),
        vsync_end=tia.vsync_end - back * 3,
        charged_from=tia.charged_from - back,
        seen=jnp.where(starts, 0, tia.seen),
    ), back


def lines(tia: Tia, cycles: jax.Array) -> jax.Array:
    """Scan lines since the frame began."""
    return (cycles - tia.frame_start) // LINE


def read(
    tia: Tia,
    address: jax.Array,
    cycles: jax.Array,
    bus: jax.Array,
    collisions: jax.Array,
    fire: jax.Array,
    paddles: jax.Array,
) -> jax.Array:
    """The byte at an address of the chip. Bits that it does not drive keep what was last on the bus.

    collisions: bit 2n and 2n + 1 are the upper bits of collision register n. fire: bits 0, 1 are INPT4, INPT5. paddles:
    int32 [4, L], cycles until each of INPT0..3 is charged; 0: always, negative: never.
    """
    register = address & 0xF
    pair = collisions >> (register << 1 & 0xF)
    collided = (pair & 1) << 7 | (pair & 2) << 5
    needed = jnp.where(
        register & 2 == 0,
        jnp.where(register & 1 == 0, paddles[0], paddles[1]),
        jnp.where(register & 1 == 0, paddles[2], paddles[3]),
    )
    full = tia.charged_from + needed
    charged = (needed == 0) | (needed > 0) & ~tia.dumped & (full >= 0) & (cycles > full)
    pressed = (fire >> (register & 1) & 1) << 7
    driven = jnp.where(
        register < 8,
        collided,
        jnp.where(register < 12, charged.astype(jnp.int32) << 7, jnp.where(register < 14, pressed, 0)),
    )
    return driven | bus & 0x3F


def write(
    tia: Tia,
    log: Log,
    register: jax.Array,
    value: jax.Array,
    cycles: jax.Array,
    maximum_lines: jax.Array,
    enable: jax.Array,
) -> tuple[Tia, Log, jax.Array, jax.Array]:
    """The chip and the log after a write, where `enable`; cycles that the processor is then held; whether the frame ends.

    register: 0..63. maximum_lines: scan lines after which any write ends the frame. The log must have room.
    """
    position = cycles - tia.frame_start
    late = enable & (position // LINE > maximum_lines)
    clock = cycles * 3
    vsync = enable & (register == Write.VSYNC)
    ends = vsync & (value & 2 == 0) & (clock >= tia.vsync_end)
    vsync_end = jnp.where(vsync & (value & 2 != 0), clock + 3 * LINE, jnp.where(ends, NEVER, tia.vsync_end))
    vblank = enable & (register == Write.VBLANK)
    dumped = jnp.where(vblank, value & 0x80 != 0, tia.dumped)
    let_go = vblank & tia.dumped & (value & 0x80 == 0)
    wsync = enable & (register == Write.WSYNC)
    held = jnp.where(wsync & (position % LINE != 0), LINE - position % LINE, 0)
    seen = (jnp.int32(_SEEN[0]) >> register & 1 == 1) & (register < 31)
    seen |= (jnp.int32(_SEEN[1]) >> (register - 31 & 31) & 1 == 1) & (register >= 31) & (register < 62)
    tia = dataclasses.replace(
        tia,
        vsync_end=vsync_end,
        dumped=dumped,
        charged_from=jnp.where(let_go, cycles, tia.charged_from),
        partial=tia.partial & ~late & ~ends,
        seen=jnp.where(enable, position, tia.seen),
    )
    return tia, _append(log, entry(position, register, value), enable & seen), held, late | ends


def entry(position: jax.Array, register: jax.Array, value: jax.Array) -> jax.Array:
    """An entry of the log, uint32: cycles since the frame's start (18 bits), register (6), value (8)."""
    position = jnp.where(position < _FOLD, position, _FOLD + position % _FOLDED)
    return (position << 14 | register << 8 | value).astype(jnp.uint32)


def _append(log: Log, item: jax.Array, enable: jax.Array) -> Log:
    """Adds an entry to the log of the lanes that `enable` names."""
    return Log(store(log.entries, (log.length,), item, enable), log.length + enable)


def is_full(log: Log) -> jax.Array:
    """Whether the log has no room for the next write."""
    return log.length >= LOG_LENGTH
