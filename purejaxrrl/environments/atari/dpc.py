"""The DPC, the chip on Pitfall II's cartridge: eight data fetchers, three of which can make music, and a random number generator.

Source: the ALE's `src/ale/emucore/CartDPC.cxx`, which clocks the generator only at accesses outside the 64-byte pages that it
maps directly.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

FETCHERS = 8
_DISPLAY = 8192
"""Where the image's display data begins, 2 KiB that the counters address backwards."""
_MUSIC = 5
"""The first fetcher that can make music."""
_CLOCK, _CLOCKS_PER_UNIT = 143_183, 1_890
"""Music is clocked 15,750 / 1,193,191.67 times a cycle, which is 1,890 / 143,183."""
_AMPLITUDES = (0x0, 0x4, 0x5, 0x9, 0x6, 0xA, 0xB, 0xF)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Dpc:
    """tops, bottoms (0..255), counters (0..2047): int32 [L, FETCHERS]. flags, music: int32 [L], a bit for each fetcher. random:
    int32 [L], the generator's byte. updated: int32 [L], cycle up to which music has been clocked. fraction: int32 [L], of the next
    clock, in units of 1 / 143,183."""

    tops: jax.Array
    bottoms: jax.Array
    counters: jax.Array
    flags: jax.Array
    music: jax.Array
    random: jax.Array
    updated: jax.Array
    fraction: jax.Array


def power_on(lanes: int) -> Dpc:
    """The chip when the console is first switched on."""
    zero, table = jnp.zeros(lanes, jnp.int32), jnp.zeros((lanes, FETCHERS), jnp.int32)
    return Dpc(table, table, table, zero, zero, zero + 1, zero, zero)


def reset(dpc: Dpc, cycles: jax.Array) -> Dpc:
    """The chip after the console was switched off and on at a cycle, which it hardly notices."""
    return dataclasses.replace(dpc, updated=cycles, fraction=jnp.zeros_like(dpc.fraction))


def rebase(dpc: Dpc, cycles: jax.Array) -> Dpc:
    """The chip after the machine's cycle counter was set back by `cycles`."""
    return dataclasses.replace(dpc, updated=dpc.updated - cycles)


def _successors() -> np.ndarray:
    """int32 [4, 256]: the generator's byte after 0 to 3 clocks."""
    byte = np.arange(256)
    parity = (byte >> 7 ^ byte >> 5 ^ byte >> 4 ^ byte >> 3) & 1
    following = (byte << 1 & 0xFF) | (1 - parity)
    rows = [byte]
    for _ in range(3):
        rows.append(following[rows[-1]])
    return np.stack(rows).astype(np.int32)


def is_clocked(address: jax.Array) -> jax.Array:
    """Whether reading an address within the cartridge clocks the generator."""
    place = address & 0xFFF
    return (place < 0x80) | (place >= 0xFC0)


def clock(dpc: Dpc, times: jax.Array) -> Dpc:
    """The chip after its generator was clocked 0 to 3 times, int32 [L]."""
    return dataclasses.replace(dpc, random=jnp.asarray(_successors())[times, dpc.random])


def _of(table: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take_along_axis(table, index[:, None], axis=1)[:, 0]


def _put(table: jax.Array, index: jax.Array, value: jax.Array) -> jax.Array:
    return jnp.where(jnp.arange(FETCHERS) == index[:, None], value[:, None], table)


def _set_bit(bits: jax.Array, index: jax.Array, value: jax.Array) -> jax.Array:
    return bits & ~(1 << index) | value.astype(jnp.int32) << index


def read(dpc: Dpc, address: jax.Array, cycles: jax.Array) -> tuple[Dpc, jax.Array, jax.Array, jax.Array]:
    """A read of an address whose place in the cartridge is below 0x40, the generator having been clocked.

    Returns the chip afterwards, the place in the image of the display data that is read, the bits of it that are let through, and what
    is read instead where those are none; int32 [L].
    """
    index, function = address & 7, address >> 3 & 7
    counter = _of(dpc.counters, index)
    low = counter & 0xFF
    flag = dpc.flags >> index & 1
    flag = jnp.where(low == _of(dpc.tops, index), 1, jnp.where(low == _of(dpc.bottoms, index), 0, flag))
    dpc = dataclasses.replace(dpc, flags=_set_bit(dpc.flags, index, flag))
    plays = (function == 0) & (index >= 4)
    played = _play(dpc, cycles)
    dpc = jax.tree.map(lambda a, b: jnp.where(plays.reshape(-1, *[1] * (a.ndim - 1)), a, b), played, dpc)
    amplitude = jnp.asarray(_AMPLITUDES, jnp.int32)[(dpc.music & dpc.flags) >> _MUSIC & 7]
    mask = jnp.where(function == 1, 0xFF, jnp.where(function == 2, flag * 0xFF, 0))
    instead = jnp.where(
        function == 0, jnp.where(plays, amplitude, dpc.random), jnp.where(function == 7, flag * 0xFF, 0)
    )
    counts = dpc.music >> index & 1 == 0
    counters = _put(
        dpc.counters, index, jnp.where(counts, _of(dpc.counters, index) - 1 & 0x7FF, _of(dpc.counters, index))
    )
    return dataclasses.replace(dpc, counters=counters), _DISPLAY + 2047 - counter, mask, instead


def _play(dpc: Dpc, cycles: jax.Array) -> Dpc:
    """The music fetchers brought up to a cycle."""
    units = (cycles - dpc.updated) * _CLOCKS_PER_UNIT + dpc.fraction
    clocks = (units // _CLOCK)[:, None]
    low = (dpc.counters & 0xFF) - clocks % (dpc.tops + 1)
    low = jnp.where(dpc.tops == 0, 0, jnp.where(low < 0, low + dpc.tops + 1, low))
    flag = dpc.flags[:, None] >> jnp.arange(FETCHERS) & 1
    flag = jnp.where(low <= dpc.bottoms, 0, jnp.where(low <= dpc.tops, 1, flag))
    plays = (dpc.music[:, None] >> jnp.arange(FETCHERS) & 1 == 1) & (clocks > 0)
    old = dpc.flags[:, None] >> jnp.arange(FETCHERS) & 1
    flags = jnp.sum(jnp.where(plays, flag, old) << jnp.arange(FETCHERS), axis=1)
    return dataclasses.replace(
        dpc,
        counters=jnp.where(plays, dpc.counters & 0x700 | low, dpc.counters),
        flags=flags.astype(jnp.int32),
        updated=cycles,
        fraction=units % _CLOCK,
    )


def write(dpc: Dpc, address: jax.Array, value: jax.Array) -> Dpc:
    """A byte stored at an address whose place in the cartridge is 0x40 to 0x7F, the generator having been clocked."""
    index, function = address & 7, address >> 3 & 7
    counter, musical = _of(dpc.counters, index), dpc.music >> index & 1 == 1
    low = jnp.where(musical, _of(dpc.tops, index), value)
    counter = jnp.where(
        function == 2, counter & 0x700 | low, jnp.where(function == 3, (value & 7) << 8 | counter & 0xFF, counter)
    )
    sets_music = (function == 3) & (index >= _MUSIC)
    return dataclasses.replace(
        dpc,
        tops=jnp.where((function == 0)[:, None], _put(dpc.tops, index, value), dpc.tops),
        bottoms=jnp.where((function == 1)[:, None], _put(dpc.bottoms, index, value), dpc.bottoms),
        counters=_put(dpc.counters, index, counter),
        flags=jnp.where(function == 0, _set_bit(dpc.flags, index, jnp.zeros_like(value)), dpc.flags),
        music=jnp.where(sets_music, _set_bit(dpc.music, index, value >> 4 & 1), dpc.music),
        random=jnp.where(function == 6, 1, dpc.random),
    )
