"""Cartridges: which byte of the ROM the processor sees at an address, and the accesses that switch banks.

The 4 KiB that a cartridge occupies are four slices of 1 KiB; which slice of the image shows in each is one int32 with a
byte per slice. Every scheme but one is then a run of hot spots: touching one shows another bank (F8, F6, DPC) or another slice
(E0); FE goes by address line 13. Source: `src/ale/emucore/Cart*.cxx`.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari.rom import Rom

SLICE = 1024
_LARGEST_BANK = 4096
_BANK = 0x03020100
_NEXT_BANK = 0x04040404
_RESET_SLICES = {
    "2K": _BANK,
    "4K": _BANK,
    "F8": _BANK + _NEXT_BANK,
    "DPC": _BANK + _NEXT_BANK,
    "F6": _BANK,
    "E0": 0x07060504,
    "FE": _BANK,
}
_HOT_SPOTS = {
    "2K": (0, 0),
    "4K": (0, 0),
    "F8": (0xFF8, 2),
    "DPC": (0xFF8, 2),
    "F6": (0xFF6, 4),
    "E0": (0xFE0, 24),
    "FE": (0, 0),
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cartridge:
    """The cartridges of L lanes; every field is int32 or bool [L].

    base: where the image starts in the words of `pack`. reset_slices: the slices shown after a reset. hot_first, hot_count:
    the hot spots within the 4 KiB. sliced, by_address, superchip, dpc: whether it is E0, FE, has RAM, a DPC (None if none of the batch has).
    """

    base: jax.Array
    reset_slices: jax.Array
    hot_first: jax.Array
    hot_count: jax.Array
    sliced: jax.Array
    by_address: jax.Array
    superchip: jax.Array
    dpc: jax.Array | None


def pack(roms: tuple[Rom, ...]) -> tuple[np.ndarray, Cartridge]:
    """The words and the cartridges of some ROMs, one row for each.

    A word, int32, holds the byte at its place and the two that follow it in the same bank: an instruction. Above them, two bits
    mark loops that only wait for the timer (`_polls`); none for a DPC, which may count what is fetched.
    """
    words, places = [], {}
    for rom in dict.fromkeys(roms):
        # A 2K cartridge shows its bytes twice.
        image = np.resize(np.frombuffer(rom.image, np.uint8), max(len(rom.image), _LARGEST_BANK)).astype(np.int32)
        places[rom] = sum(map(len, words))
        banks = [image[start : start + _LARGEST_BANK] for start in range(0, image.size, _LARGEST_BANK)]
        waits = rom.scheme != "DPC"
        words.extend(b | np.roll(b, -1) << 8 | np.roll(b, -2) << 16 | waits * _polls(b) << 24 for b in banks)
    return np.concatenate(words), Cartridge(
        base=np.asarray([places[rom] for rom in roms], np.int32),
        reset_slices=np.asarray([_RESET_SLICES[rom.scheme] for rom in roms], np.int32),
        hot_first=np.asarray([_HOT_SPOTS[rom.scheme][0] for rom in roms], np.int32),
        hot_count=np.asarray([_HOT_SPOTS[rom.scheme][1] for rom in roms], np.int32),
        sliced=np.asarray([rom.scheme == "E0" for rom in roms]),
        by_address=np.asarray([rom.scheme == "FE" for rom in roms]),
        superchip=np.asarray([rom.superchip for rom in roms]),
        dpc=np.asarray([rom.scheme == "DPC" for rom in roms]) if any(rom.scheme == "DPC" for rom in roms) else None,
    )


def _polls(bank: np.ndarray) -> np.ndarray:
    """Where a bank has a load of the timer and a branch back to it, int32: 1 while it is not 0, 2 while it is positive."""
    byte = [np.roll(bank, -n) for n in range(5)]
    address = byte[1] | byte[2] << 8
    loads = np.isin(byte[0], (0xAD, 0xAE, 0xAC)) & (address & 0x1280 == 0x280) & (address & 5 == 4)
    near = np.arange(bank.size) & 0xFF < 0xFB
    return np.where(loads & near & (byte[4] == 0xFB), np.where(byte[3] == 0xD0, 1, np.where(byte[3] == 0x10, 2, 0)), 0)


def place(cartridge: Cartridge, slices: jax.Array, address: jax.Array) -> jax.Array:
    """Index [L] into the words for an address [L] within the cartridge."""
    shown = slices >> ((address >> 7) & 0x18) & 0xFF
    shown += jnp.where(cartridge.by_address & (address & 0x2000 == 0), 4, 0)
    return cartridge.base + shown * SLICE + (address & (SLICE - 1))


def is_hot(cartridge: Cartridge, address: jax.Array) -> jax.Array:
    """Whether an address [L] within the cartridge is a hot spot."""
    spot = (address & 0xFFF) - cartridge.hot_first
    return (spot >= 0) & (spot < cartridge.hot_count)


def touch(cartridge: Cartridge, slices: jax.Array, address: jax.Array) -> jax.Array:
    """The slices [L] after an access at an address [L] within the cartridge."""
    spot = (address & 0xFFF) - cartridge.hot_first
    shift = spot & 0x18
    switched = jnp.where(cartridge.sliced, slices & ~(0xFF << shift) | (spot & 7) << shift, _BANK + spot * _NEXT_BANK)
    return jnp.where(is_hot(cartridge, address), switched, slices)
