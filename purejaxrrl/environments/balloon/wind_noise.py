"""The wind's departure from its forecast: five harmonics of OpenSimplex noise for each of its two components."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.balloon import reference_random, simplex

_SEEDS = 1_634_753_849
_MAGNITUDE = math.sqrt(1.02 / 0.0569)
_HARMONICS = np.asarray(
    [
        [
            [0.1445, 702.269, 2116.987, 2587.802, 245.0],
            [0.2766, 1483.570, 752.124, 646.208, 16.39],
            [0.2627, 276.810, 147.040, 587.702, 3.836],
            [0.2137, 10214.525, 1512.216, 965.629, 41.780],
            [0.1025, 181.286, 420.942, 8500.0, 245.0],
        ],
        [
            [0.2716, 1974.228, 2028.814, 713.697, 26.435],
            [0.2684, 699.738, 541.845, 632.116, 9.530],
            [0.2348, 217.750, 196.522, 686.825, 3.546],
            [0.1186, 47.500, 43.048, 66.553, 8.424],
            [0.1066, 3663.291, 232.023, 7499.741, 225.0],
        ],
    ]
)
"""`[2, 5, 5]`, for the eastward and the northward component: weight, and what is a unit of the noise: km, km, Pa, hours."""
NUM_HARMONICS = 10


class WindNoise(NamedTuple):
    """permutations: uint8 `[10, 256]`, the eastward component's harmonics first. offsets: float32 `[10, 4]`."""

    permutations: jax.Array
    offsets: jax.Array


def draw(key: jax.Array) -> WindNoise:
    """An episode's noise; consumes `key`, a raw one."""
    components = reference_random.split(key)
    keys = jax.vmap(lambda each: reference_random.split(each, 5))(components).reshape(NUM_HARMONICS, 2)

    def harmonic(key):
        # Both from the same key, as the reference has it.
        offsets = reference_random.uniform(key, 4) * 2.0 - 1.0
        return simplex.permutation(reference_random.below(key, _SEEDS)), offsets

    return WindNoise(*jax.vmap(harmonic)(keys))


def at(noise: WindNoise, x: jax.Array, y: jax.Array, pressure: jax.Array, elapsed: jax.Array) -> jax.Array:
    """m/s to the east and north, `[2]`, at a place (m, m, Pa) and a time (s)."""
    harmonics = jnp.asarray(_HARMONICS.reshape(NUM_HARMONICS, 5), x.dtype)
    point = jnp.stack([x / 1000.0, y / 1000.0, pressure, elapsed.astype(x.dtype) / 3600.0])
    points = point / harmonics[:, 1:] + noise.offsets.astype(x.dtype)
    values = _MAGNITUDE * jax.vmap(simplex.noise)(noise.permutations, points).reshape(2, 5)
    weights = harmonics[:, 0].reshape(2, 5)
    total = weights.sum(-1)
    return (values * weights).sum(-1) / total * jnp.sqrt(total / (weights**2).sum(-1))
