"""The TIA's six objects on a scan line as bit patterns: 160 pixels are five uint32, the leftmost pixel the lowest bit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

WORDS = 5
PLAYER_0, PLAYER_1, MISSILE_0, MISSILE_1, BALL = range(5)


def reverse_bits(byte: jax.Array) -> jax.Array:
    """A byte, uint32, mirrored."""
    byte = byte >> 4 | byte << 4
    byte = byte >> 2 & 0x33 | (byte & 0x33) << 2
    return (byte >> 1 & 0x55 | (byte & 0x55) << 1) & 0xFF


def stretch_4(byte: jax.Array) -> jax.Array:
    """A byte, uint32, as 32 bits: every bit four times."""
    spread = (byte | byte << 12) & 0x000F000F
    spread = (spread | spread << 6) & 0x03030303
    return ((spread | spread << 3) & 0x11111111) * 15


def stretch_2(byte: jax.Array) -> jax.Array:
    """A byte, uint32, as 16 bits: every bit twice."""
    spread = (byte | byte << 4) & 0x0F0F
    spread = (spread | spread << 2) & 0x3333
    return ((spread | spread << 1) & 0x5555) * 3


def playfield(bits: jax.Array, reflected: jax.Array) -> list[jax.Array]:
    """Five words [L] of the playfield: `bits` holds 20 blocks of 4 pixels, leftmost first, shown twice, or mirrored."""
    mirrored = (
        reverse_bits(bits & 0xFF) << 12 | reverse_bits(bits >> 8 & 0xFF) << 4 | reverse_bits(bits >> 16 & 0xFF) >> 4
    )
    right = jnp.where(reflected, mirrored, bits)
    blocks = (bits & 0xFF, bits >> 8 & 0xFF, bits >> 16 | (right & 0xF) << 4, right >> 4 & 0xFF, right >> 12 & 0xFF)
    return [stretch_4(block) for block in blocks]


def place_playfield_bits(register: jax.Array, value: jax.Array, bits: jax.Array) -> jax.Array:
    """The 20 blocks after PF0, PF1 or PF2 (`register` 0, 1, 2) is set; PF0 shows its upper half, PF1 is mirrored."""
    return jnp.where(
        register == 0,
        bits & 0xFFFF0 | value >> 4,
        jnp.where(register == 1, bits & 0xFF00F | reverse_bits(value) << 4, bits & 0x00FFF | value << 12),
    )


_IS_NEAR, _IS_MIDDLE, _IS_FAR = (sum(1 << mode for mode in modes) for modes in ((1, 3), (2, 3, 6), (4, 6)))


def copies(pattern: jax.Array, mode: jax.Array, skips_first: jax.Array, position: jax.Array) -> list[jax.Array]:
    """Five words of an object of `pattern` (up to 32 bits) at pixel `position` (0..159), and its copies.

    mode: the lower three bits of NUSIZ, which put copies 16, 32 or 64 pixels further on. skips_first: the first is left out.
    All of one shape, such as [objects, L]; uint32, position int32.
    """

    def repeats(modes: int) -> jax.Array:
        return jnp.uint32(modes) >> mode & 1 == 1

    zero = jnp.zeros_like(pattern)
    parts = (
        jnp.where(skips_first, zero, pattern) | jnp.where(repeats(_IS_NEAR), pattern << 16, zero),
        jnp.where(repeats(_IS_MIDDLE), pattern, zero),
        jnp.where(repeats(_IS_FAR), pattern, zero),
    )
    shift = (position & 31).astype(jnp.uint32)
    carried = [part >> 1 >> (31 - shift) for part in parts]
    shifted = (parts[0] << shift, parts[1] << shift | carried[0], parts[2] << shift | carried[1], carried[2])
    first = position >> 5
    words = []
    for word in range(WORDS):
        found = zero
        for part, value in enumerate(shifted):
            found = jnp.where(first == (word - part) % WORDS, value, found)
        words.append(found)
    return words


def span(start: jax.Array, stop: jax.Array) -> list[jax.Array]:
    """Five words whose bits `start` up to `stop` (0..160, int32) are set."""

    def below(end: jax.Array) -> jax.Array:
        return jnp.where(
            end >= 32, jnp.uint32(0xFFFFFFFF), (jnp.uint32(1) << jnp.clip(end, 0, 31).astype(jnp.uint32)) - 1
        )

    return [below(stop - 32 * word) & ~below(start - 32 * word) for word in range(WORDS)]


PAIRS = (
    (MISSILE_0, PLAYER_1),
    (MISSILE_0, PLAYER_0),
    (MISSILE_1, PLAYER_0),
    (MISSILE_1, PLAYER_1),
    (PLAYER_0, 5),
    (PLAYER_0, BALL),
    (PLAYER_1, 5),
    (PLAYER_1, BALL),
    (MISSILE_0, 5),
    (MISSILE_0, BALL),
    (MISSILE_1, 5),
    (MISSILE_1, BALL),
    (BALL, 5),
    None,
    (PLAYER_0, PLAYER_1),
    (MISSILE_0, MISSILE_1),
)
"""The two objects (5: the playfield) behind each bit of the collision registers, CXM0P's upper bit first."""


def collisions(objects: list[list[jax.Array]]) -> jax.Array:
    """The collision bits of six objects of five words each, int32 [L]."""
    bits = jnp.int32(0)
    for place, pair in enumerate(PAIRS):
        if pair is not None:
            first, second = objects[pair[0]], objects[pair[1]]
            both = first[0] & second[0]
            for word in range(1, WORDS):
                both |= first[word] & second[word]
            bits |= (both != 0).astype(jnp.int32) << place
    return bits


def reset_conditions() -> np.ndarray:
    """int32 [8, 160]: what a player in each mode is doing at the pixel where its position is reset, counted from the old one.

    -1: in the delay of four pixels before a copy. 1: within a copy. 0: neither.
    """
    offsets = ((0,), (0, 16), (0, 32), (0, 16, 32), (0, 64), (0,), (0, 32, 64), (0,))
    table = np.zeros((8, 160), np.int32)
    for mode, places in enumerate(offsets):
        for place in places:
            table[mode, place : place + 4] = -1
            table[mode, place + 4 : place + 4 + {5: 16, 7: 32}.get(mode, 8)] = 1
    return table
