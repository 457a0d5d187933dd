"""What the balloon believes of the wind above and below it: a Gaussian process over the forecast's errors that it measured.

Matern 1/2 in (x, y, pressure, time). Measurements of the last 6 hours count, which are always the last 120, so they stand in a ring
of that size. Two ways to the same numbers:

"cholesky" keeps the kernel matrix of the ring and factorises it at every question. "updated_inverse" keeps its inverse and changes
that by a matrix of rank 2 with every measurement, which is faster and gathers rounding errors, bounded by the ring's
turning over: a row that leaves takes its errors along.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

RING = 120
VARIANCE, NOISE = 3.6**2, 0.05
"""(m/s)^2: of the errors before anything was measured; of a measurement."""
METHODS = ("cholesky", "updated_inverse")
_BLOCK = 24
"""Rows that are eliminated together; with 20 to 40 of them a query takes the same time on a CPU."""
_SCALES = (357_000.0, 357_000.0, 326.0, 34_560.0)
"""m, m, Pa, s."""


class WindBelief(NamedTuple):
    """locations: `[4, 120]`, x, y, pressure and time by their scales. errors: m/s `[120, 2]`. matrix: `[120, 120]`, of the kernel with
    its noise, or the inverse of that; places without a measurement are as in the identity. count: int32, measurements ever."""

    locations: jax.Array
    errors: jax.Array
    matrix: jax.Array
    count: jax.Array


def empty(real: jnp.dtype) -> WindBelief:
    """Nothing measured yet."""
    return WindBelief(jnp.zeros((4, RING), real), jnp.zeros((RING, 2), real), jnp.eye(RING, dtype=real), jnp.int32(0))


def scaled(x: jax.Array, y: jax.Array, pressure: jax.Array, elapsed: jax.Array) -> jax.Array:
    """A place (m, m, Pa) and time (s) in units of the kernel, `[4]`."""
    return jnp.stack([x, y, pressure, elapsed.astype(x.dtype)]) / jnp.asarray(_SCALES, x.dtype)


def _kernel(squared_distance: jax.Array) -> jax.Array:
    return VARIANCE * jnp.exp(-jnp.sqrt(squared_distance))


def observe(belief: WindBelief, location: jax.Array, error: jax.Array, method: str) -> WindBelief:
    """After a measurement at a scaled location `[4]` of an error `[2]`, m/s; in a full ring it takes the oldest one's place."""
    place = jnp.arange(RING) == belief.count % RING
    locations = jnp.where(place, location[:, None], belief.locations)
    errors = jnp.where(place[:, None], error, belief.errors)
    others = (jnp.arange(RING) < belief.count) & ~place
    fresh = belief.count == 0
    distance = ((belief.locations - location[:, None]) ** 2).sum(0)
    row = jnp.where(others, _kernel(distance), 0.0)
    update = _replace_in_inverse if method == "updated_inverse" else _replace_in_kernel
    return WindBelief(locations, errors, update(belief.matrix, place, row, fresh), belief.count + 1)


def _replace_in_kernel(matrix, place, row, fresh):
    """The matrix with a row and column replaced, from the identity where it is `fresh`."""
    matrix = jnp.where(fresh, jnp.eye(RING, dtype=row.dtype), matrix)
    row = row + place * (VARIANCE + NOISE)
    return jnp.where(place, row[:, None], jnp.where(place[:, None], row, matrix))


def _replace_in_inverse(inverse, place, row, fresh):
    """The inverse after a row and column of the matrix are replaced.

    Without its measurement at `place` the matrix has the inverse M - m m^T / m_place, m that column of M. With the new one, by
    the Schur complement s = (variance + noise) - row^T M row, it gains (M row, -1)(M row, -1)^T / s. An empty place is the identity's
    row, which is removed like a measurement.
    """
    inverse = jnp.where(fresh, jnp.eye(RING, dtype=row.dtype), inverse)
    leaving = jnp.where(place[:, None], inverse, 0.0).sum(0)
    pivot = jnp.where(place, leaving, 0.0).sum()
    product = jnp.where(place, 0.0, _product(inverse, row) - leaving * _product(leaving, row) / pivot)
    schur = VARIANCE + NOISE - _product(row, product)
    joining = jnp.where(place, -1.0, product)
    kept = inverse - leaving[:, None] * (leaving / pivot)
    kept = jnp.where(place[:, None] | place, 0.0, kept)
    return kept + joining[:, None] * (joining / schur)


def query(belief: WindBelief, location: jax.Array, pressures: jax.Array, method: str) -> tuple[jax.Array, jax.Array]:
    """Mean errors, m/s `[levels, 2]`, and their variances as a share of what they are without measurements, `[levels]`.

    Args:
      location: scaled, `[4]`; its pressure is not looked at.
      pressures: Pa, `[levels]`.
    """
    apart = belief.locations - location[:, None]
    level_distance = pressures / _SCALES[2] - belief.locations[2][:, None]
    flat = apart[0] ** 2 + apart[1] ** 2 + apart[3] ** 2
    measured = jnp.arange(RING) < belief.count
    covariance = jnp.where(measured[:, None], _kernel(flat[:, None] + level_distance**2), 0.0)
    if method == "updated_inverse":
        solved = _product(belief.matrix, covariance)
        mean = _product(solved.T, belief.errors)
        known = (covariance * solved).sum(0)
    else:
        whitened = _whiten(belief.matrix, jnp.concatenate([covariance, belief.errors], 1))
        mean = _product(whitened[:, :-2].T, whitened[:, -2:])
        known = (whitened[:, :-2] ** 2).sum(0)
    return mean, jnp.maximum(VARIANCE - known, 0.0) / VARIANCE


def _whiten(matrix: jax.Array, sides: jax.Array) -> jax.Array:
    """The inverse of the matrix's Cholesky factor times `sides`, `[120, columns]`: elimination by blocks, mostly matrix products.

    LAPACK's factorisation of a batch waits, on one of XLA's threads, for work that it hands to the others: two at a time stop a
    machine of two cores for good (jaxlib 0.10).
    """
    columns = sides.shape[1]
    rest = jnp.concatenate([matrix, sides], 1)
    whitened = []
    for _ in range(0, RING, _BLOCK):
        rows = _product(_inverse_root(rest[:_BLOCK, :_BLOCK]), rest[:_BLOCK, _BLOCK:])
        whitened.append(rows[:, -columns:])
        rest = rest[_BLOCK:, _BLOCK:] - _product(rows[:, :-columns].T, rows)
    return jnp.concatenate(whitened)


def _inverse_root(block: jax.Array) -> jax.Array:
    """The inverse of the Cholesky factor of a positive definite `[n, n]`: what elimination, row by row, makes of the identity."""
    size = len(block)
    numbers = jnp.arange(size)

    def eliminate(number, rest):
        row = rest[number]
        pivot = row[number]
        shares = jnp.where(numbers > number, rest[:, number] / pivot, 0.0)
        return jnp.where((numbers == number)[:, None], row * jax.lax.rsqrt(pivot), rest - shares[:, None] * row)

    both = jnp.concatenate([block, jnp.eye(size, dtype=block.dtype)], 1)
    return jax.lax.fori_loop(0, size, eliminate, both)[:, size:]


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    """Of a difference of such products little is left: accelerators are not to round their factors."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
