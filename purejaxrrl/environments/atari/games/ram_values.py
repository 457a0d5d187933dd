"""How a game's RAM bytes are read: decoders of one byte, readings and conditions on them.

The ALE's game rules look at the 128 bytes of RAM (0x80 to 0xFF; mirrors fold onto them) after every frame. Almost all
of them are sums of decoded bytes (score, lives) and comparisons of decoded bytes (game over), so both are data here:
`DECODERS[kind, byte]` is the value of a byte under a decoder, a `Reading` one term of a sum, a `Condition` one comparison.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

_DECODERS: dict[str, Callable[[int], int]] = {
    "byte": lambda b: b,
    "signed": lambda b: b - 256 if b >= 128 else b,
    "bcd": lambda b: 10 * (b >> 4) + (b & 15),
    "low": lambda b: b & 15,
    "high": lambda b: b >> 4,
    "bit0": lambda b: b & 1,
    "bits0to1": lambda b: b & 3,
    "bits0to2": lambda b: b & 7,
    "bits0to4": lambda b: b & 31,
    "bits1to2": lambda b: (b >> 1) & 3,
    "bits4to6": lambda b: (b >> 4) & 7,
    "bit2": lambda b: (b >> 2) & 1,
    "bit3": lambda b: (b >> 3) & 1,
    "bit4": lambda b: (b >> 4) & 1,
    "bit5": lambda b: (b >> 5) & 1,
    "bit6": lambda b: (b >> 6) & 1,
    "bit7": lambda b: b >> 7,
    # Games that draw a blank for a leading zero store 10 there.
    "low_or_blank": lambda b: 0 if b & 15 == 10 else b & 15,
    "high_or_blank": lambda b: 0 if b >> 4 == 10 else b >> 4,
    # Games that store where a digit's picture begins, 8 bytes a digit.
    "picture_or_blank": lambda b: 0 if b == 0x80 else b >> 3,
    "picture": lambda b: b >> 3 if b % 8 == 0 and b <= 72 else 0,
    # Boxing shows "KO" for 100 punches.
    "bcd_or_knockout": lambda b: 100 if b == 0xC0 else 10 * (b >> 4) + (b & 15),
    # One bit a carrot.
    "carrots": lambda b: (0, 1, 1, 2, 1, 2, 2, 3)[b & 7],
    # Pitfall draws its spare lives as marks.
    "lives_marks": lambda b: {0xA: 3, 0x8: 2}.get(b >> 4, 1),
    # River Raid counts spare jets in eighths; 0x58 is a new game and 0x59 the last jet.
    "jets": lambda b: {0x58: 4, 0x59: 1}.get(b, b // 8 + 1),
    # E.T.'s counter is kept in a signed char, one more than the byte.
    "signed_successor": lambda b: (b + 1 + 128) % 256 - 128,
}

KINDS: dict[str, int] = {name: kind for kind, name in enumerate(_DECODERS)}
DECODERS = np.array([[decode(b) for b in range(256)] for decode in _DECODERS.values()], np.int16)
"""int16 [kinds, 256]: the value of a byte under each decoder."""

CARTRIDGE_RAM = 128
"""Offset of the cartridge's own 128 bytes of RAM behind the console's in a RAM vector of 256 bytes (Klax only)."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """Whether the decoded byte at `index` (0..127, or 128..255 in cartridge RAM) lies in [low, high]."""

    index: int
    kind: int
    low: int
    high: int


@dataclasses.dataclass(frozen=True)
class Reading:
    """One decoded byte, times a factor. `index` is 0..127 (or 128..255 in cartridge RAM), `kind` a row of `DECODERS`."""

    index: int
    kind: int
    times: int = 1

    def equals(self, value: int) -> Condition:
        return Condition(self.index, self.kind, value, value)

    def at_least(self, value: int) -> Condition:
        return Condition(self.index, self.kind, value, 32767)

    def at_most(self, value: int) -> Condition:
        return Condition(self.index, self.kind, -32768, value)

    def nonzero(self) -> Condition:
        return self.at_least(1)


def read(kind: str, address: int, times: int = 1) -> Reading:
    """The byte at a console address (0x80..0xFF; smaller ones mirror it) under the named decoder."""
    return Reading(address & 0x7F, KINDS[kind], times)


def byte(address: int, times: int = 1) -> Reading:
    return read("byte", address, times)


def low(address: int, times: int = 1) -> Reading:
    return read("low", address, times)


def high(address: int, times: int = 1) -> Reading:
    return read("high", address, times)


def bcd(address: int, times: int = 1) -> Reading:
    return read("bcd", address, times)


def cartridge(kind: str, address: int, times: int = 1) -> Reading:
    """A byte of a Superchip cartridge's RAM, whose read port is 0xF080..0xF0FF."""
    return Reading(CARTRIDGE_RAM + (address & 0x7F), KINDS[kind], times)


def decimal(*addresses: int, times: int = 1) -> tuple[Reading, ...]:
    """A binary-coded decimal number, two digits a byte, least significant byte first."""
    return tuple(bcd(address, times * 100**place) for place, address in enumerate(addresses))


def digits(kind: str, *addresses: int, times: int = 1) -> tuple[Reading, ...]:
    """A number of one decimal digit a byte, least significant first."""
    return tuple(read(kind, address, times * 10**place) for place, address in enumerate(addresses))
