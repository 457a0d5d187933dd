"""Four-dimensional OpenSimplex noise (Spencer, 2014) as the Python library opensimplex 0.3 computes it, branch-free.

A point lies in a unit hypercube of a skewed lattice, in one of four regions between the corners of 0, of 1 and so on bits. Each
corner of its region adds (2 - distance^2)^4 times the slope of a gradient that a permutation gives the corner, and so do three
corners further out that the two nearest decide. Others are in reach too, on a tenth of all points; the library leaves
them out, and so do we.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

STRETCH, SQUISH = -0.138196601125011, 0.309016994374947
"""(1/sqrt(5) - 1)/4 and (sqrt(5) - 1)/4, as the library rounds them."""
_NORM = 30.0
_CORNERS = np.asarray([[corner >> axis & 1 for axis in range(4)] for corner in range(16)], np.int32)
"""By their bits, x the lowest."""
_BITS = _CORNERS.sum(1)


def permutation(seed: jax.Array) -> jax.Array:
    """The library's permutation of 256, uint8 `[256]`, for a seed below 2^31: swaps chosen by a 64-bit generator."""

    def swap(step, carry):
        state, source, chosen = carry
        state = _advance(state)
        last = 255 - step
        place = _signed_remainder(state, 31, jnp.uint32(last + 1)).astype(jnp.int32)
        chosen = chosen.at[last].set(source[place])
        return state, source.at[place].set(source[last]), chosen

    state = (jnp.uint32(0), jnp.asarray(seed, jnp.uint32))
    state = jax.lax.fori_loop(0, 3, lambda _, state: _advance(state), state)
    order = jnp.arange(256, dtype=jnp.uint8)
    return jax.lax.fori_loop(0, 256, swap, (state, order, order))[2]


def _advance(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """One step of Knuth's 64-bit linear congruential generator, as (high, low) halves of 32 bits."""
    multiplier, increment = 6364136223846793005, 1442695040888963407
    high, low = state
    factor_high, factor_low = jnp.uint32(multiplier >> 32), jnp.uint32(multiplier & 0xFFFFFFFF)
    product = low * factor_low
    carried = _high_product(low, factor_low) + low * factor_high + high * factor_low
    total = product + jnp.uint32(increment & 0xFFFFFFFF)
    return carried + jnp.uint32(increment >> 32) + (total < product), total


def _high_product(a: jax.Array, b: jax.Array) -> jax.Array:
    """The upper 32 bits of a product of two uint32."""
    a_high, a_low, b_high, b_low = a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF
    middle = a_high * b_low + (a_low * b_low >> 16)
    other = a_low * b_high + (middle & 0xFFFF)
    return a_high * b_high + (middle >> 16) + (other >> 16)


def _signed_remainder(state: tuple[jax.Array, jax.Array], plus: int, modulus: jax.Array) -> jax.Array:
    """(state as a signed integer + plus) modulo a number of at most 256, not negative."""
    high, low = state
    two_to_32 = (jnp.uint32(0xFFFFFFFF) % modulus + 1) % modulus
    wrapped = (modulus - two_to_32 * two_to_32 % modulus) * (high >> 31)
    return (high % modulus * two_to_32 + low % modulus + plus + wrapped) % modulus


def _unit(axis: int) -> np.ndarray:
    return np.eye(4, dtype=np.int32)[axis]


def _outer_corners() -> np.ndarray:
    """The three corners further out, int8 `[6 cases, 16, 16, 3, 4]`, by the case and the two nearest corners.

    Cases: near the corner 0 (by the nearest other one alone), around it; near the corner 15, around it; the lower and the upper
    middle region.
    """
    table = np.zeros((6, 16, 16, 3, 4), np.int8)
    for a, b in itertools.product(range(16), repeat=2):
        either, both = a | b, a & b
        on = {corner: np.flatnonzero(_CORNERS[corner]) for corner in (a, b, either, both)}
        off = {corner: np.flatnonzero(_CORNERS[corner] == 0) for corner in (a, b, either, both)}

        def lowered(corner, off=off):
            return [_CORNERS[corner] - _unit(axis) for axis in off[corner]]

        def raised(corner, on=on):
            return [_CORNERS[corner] + _unit(axis) for axis in on[corner]]

        far, near = (a, b) if _BITS[a] == 2 else (b, a)
        sizes = (_BITS[a], _BITS[b])
        cases = {
            0: lowered(a) if _BITS[a] == 1 else None,
            1: [_CORNERS[either], *lowered(either)] if sizes == (1, 1) and a != b else None,
            2: raised(a) if _BITS[a] == 3 else None,
            3: [_CORNERS[both], *raised(both)] if sizes == (3, 3) and a != b else None,
        }
        if sizes == (2, 2) and _BITS[both] == 1:
            common, missing = on[both][0], off[either][0]
            cases[4] = [_CORNERS[either], _CORNERS[either] - _unit(missing), 2 * _unit(common)]
            cases[5] = [_unit(common), 2 * _unit(common), 1 - 2 * _unit(missing)]
        elif sizes == (1, 1) and a != b:
            cases[4] = [*lowered(either), _CORNERS[0]]
        elif sizes == (3, 3) and a != b:
            cases[5] = [*raised(both), _CORNERS[15]]
        elif sorted(sizes) == [1, 2]:
            cases[4] = [*lowered(far), 2 * _unit(np.flatnonzero(_CORNERS[near])[0])]
        elif sorted(sizes) == [2, 3]:
            cases[5] = [*raised(far), 1 - 2 * _unit(np.flatnonzero(_CORNERS[near] == 0)[0])]
        for case, corners in cases.items():
            if corners is not None:
                table[case, a, b] = corners
    return table


_OUTER = _outer_corners()
_REGION_CORNERS = np.asarray([_BITS <= 1, (_BITS == 1) | (_BITS == 2), (_BITS == 2) | (_BITS == 3), _BITS >= 3])
"""bool [4, 16]: which corners each region has."""


def _gradients() -> np.ndarray:
    """The 64 gradients, float32 `[64, 4]`: three times one axis and once the others, with all signs."""
    rows = []
    for signs in range(16):
        sign = 1 - 2 * _CORNERS[signs]
        rows += [sign * (1 + 2 * _unit(axis)) for axis in range(4)]
    return np.asarray(rows, np.float32)


_GRADIENTS = _gradients()


def noise(permutation: jax.Array, point: jax.Array) -> jax.Array:
    """The noise, scalar, of a permutation (uint8 `[256]`) at a point `[4]`."""
    skewed = point + point.sum() * STRETCH
    base = jnp.floor(skewed)
    within = skewed - base
    region, outer = _neighbours(within)
    corners = jnp.concatenate([jnp.asarray(_CORNERS), outer.astype(jnp.int32)])
    counts = jnp.concatenate([jnp.asarray(_REGION_CORNERS)[region], jnp.ones(3, bool)])

    origin = point - (base + base.sum() * SQUISH)
    offset = origin - corners - SQUISH * corners.sum(-1, keepdims=True)
    attenuation = jnp.maximum(2.0 - (offset * offset).sum(-1), 0.0)
    lattice = base.astype(jnp.int32) + corners
    index = jnp.zeros(corners.shape[0], jnp.int32)
    for axis in range(4):
        index = permutation[(index + lattice[:, axis]) & 0xFF].astype(jnp.int32)
    slope = (jnp.asarray(_GRADIENTS, point.dtype)[index >> 2] * offset).sum(-1)
    return jnp.where(counts, attenuation**4 * slope, 0.0).sum() / _NORM


def _neighbours(within: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The region (0 to 3) of a point `[4]` of the unit hypercube, and the three corners further out, int8 `[3, 4]`."""
    total = within.sum()
    x, y, z, w = within
    low = _two_best([(1, x), (2, y), (4, z), (8, w)])
    high = _two_best([(14, -x), (13, -y), (11, -z), (7, -w)])
    middle_low = _middle(within, total, lower=True)
    middle_high = _middle(within, total, lower=False)

    def end(two, own):
        """Near the end's own corner, by whose score it is among the nearest two; or around it."""
        a, score_a, b, score_b = two
        near = (own > score_a) | (own > score_b)
        nearest = jnp.where(score_b > score_a, b, a)
        return near, jnp.where(near, nearest, a), jnp.where(near, nearest, b)

    near_0, a_0, b_0 = end(low, 1.0 - total)
    near_15, a_15, b_15 = end(high, total - 4.0)
    in_first, in_last, in_lower = total <= 1.0, total >= 3.0, total <= 2.0
    region = jnp.where(in_first, 0, jnp.where(in_last, 3, jnp.where(in_lower, 1, 2)))
    case = jnp.stack([jnp.where(near_0, 0, 1), 4, 5, jnp.where(near_15, 2, 3)])[region]
    a = jnp.stack([a_0, middle_low[0], middle_high[0], a_15])[region]
    b = jnp.stack([b_0, middle_low[2], middle_high[2], b_15])[region]
    return region, jnp.asarray(_OUTER)[case, a, b]


def _two_best(candidates: list[tuple]) -> tuple[jax.Array, ...]:
    """The two best of (corner, score): corner, score, corner, score. One after another replaces the worse, the second on a tie."""
    (a, score_a), (b, score_b) = candidates[:2]
    for corner, score in candidates[2:]:
        first_better = score_a >= score_b
        replaces_b = first_better & (score > score_b)
        replaces_a = ~first_better & (score > score_a)
        a, score_a = jnp.where(replaces_a, corner, a), jnp.where(replaces_a, score, score_a)
        b, score_b = jnp.where(replaces_b, corner, b), jnp.where(replaces_b, score, score_b)
    return a, score_a, b, score_b


def _middle(within: jax.Array, total: jax.Array, lower: bool) -> tuple[jax.Array, ...]:
    """The two nearest corners of a middle region: of two bits, or of one bit in the lower region and three in the upper one."""
    x, y, z, w = within
    sign = 1.0 if lower else -1.0

    def better(one: int, one_score, other: int, other_score):
        # In the upper region the corner that counts is the one opposite, and the smaller sum is better.
        first = one_score > other_score if lower else one_score < other_score
        corners = (one, other) if lower else (other, one)
        return jnp.where(first, *corners), sign * jnp.where(first, one_score, other_score)

    pairs = [better(3, x + y, 12, z + w), better(5, x + z, 10, y + w), better(9, x + w, 6, y + z)]
    base = 2.0 - total if lower else 3.0 - total
    single = (1, 2, 4, 8) if lower else (14, 13, 11, 7)
    return _two_best(pairs + [(corner, sign * (base + each)) for corner, each in zip(single, within, strict=True)])
