"""The wind: a forecast that a decoder makes of 64 random numbers, and noise upon it.

The decoder's output is a coarse stream function for each of ten pressures and nine times, whose differences on a finer grid
are the winds. An episode keeps the stream function and not that field, which is 18 times as large: enlarging, differences and
interpolation are all linear, so that the wind at a place is a small product of it with weights.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.balloon import reference_random, wind_noise
from purejaxrrl.environments.balloon.wind_noise import WindNoise

LATENTS = 64
COARSE, FINE, PRESSURES, TIMES = 7, 21, 10, 9
"""Places of the stream function along an axis, of the field; pressures and times of both."""
OUTPUTS = COARSE * COARSE * PRESSURES * TIMES
REACH_KM = 500.0
"""From the station to the field's edge; further out the wind is the edge's."""
LOWEST, HIGHEST = 5000.0, 14_000.0
"""Pa."""
_PRESSURE_STEP = (HIGHEST - LOWEST) / (PRESSURES - 1)
_CELL_KM = 2 * REACH_KM / (FINE - 1)
_HORIZON_HOURS, _TIME_STEP = 48.0, 6.0


class Decoder(NamedTuple):
    """Four layers of a multilayer perceptron, 64-1000-1000-1000-4410: kernels `[inputs, outputs]` and biases, float32."""

    kernels: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...]

    def __call__(self, latents: jax.Array) -> jax.Array:
        """The stream function, float32 `[7, 7, 10, 9]`, of latents `[64]`."""
        hidden = latents
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            hidden = jnp.dot(hidden, kernel, precision=jax.lax.Precision.HIGHEST) + bias
            hidden = jax.nn.relu(hidden) if layer < len(self.kernels) - 1 else hidden
        return hidden.reshape(COARSE, COARSE, PRESSURES, TIMES)


class Wind(NamedTuple):
    """stream: float32 `[7, 7, 10, 9]`: places from west to east and from south to north, pressures, times."""

    stream: jax.Array
    noise: WindNoise


def draw(key: jax.Array, decoder: Decoder) -> Wind:
    """An episode's wind; consumes `key`, a raw one."""
    noise_key, forecast_key = reference_random.split(key)
    return Wind(decoder(reference_random.normal(forecast_key, LATENTS)), wind_noise.draw(noise_key))


def _enlarging() -> np.ndarray:
    """Weights `[23, 7]` that enlarge an axis linearly, pixels' centres at halves, edges repeated."""
    weights = np.zeros((FINE + 2, COARSE))
    for row in range(FINE + 2):
        place = np.clip((row + 0.5) * COARSE / (FINE + 2) - 0.5, 0, COARSE - 1)
        below = min(int(place), COARSE - 2)
        weights[row, below : below + 2] = 1 - (place - below), place - below
    return weights


_VALUES = _enlarging()[1:-1]
_DIFFERENCES = (_enlarging()[2:] - _enlarging()[:-2]) / 2.0
"""`[21, 7]` each: the enlarged stream function and its central differences along an axis."""


def forecast_column(wind: Wind, x: jax.Array, y: jax.Array, elapsed: jax.Array) -> jax.Array:
    """The forecast at the field's ten pressures, m/s, `[10, 2]`, above a place (m) at a time (s of the episode)."""
    real = x.dtype
    values_x, differences_x = _along(x)
    values_y, differences_y = _along(y)
    hours = elapsed.astype(real) / 3600.0 % (2 * _HORIZON_HOURS)
    hours = jnp.where(hours > _HORIZON_HOURS, 2 * _HORIZON_HOURS - hours, hours)  # there and back again
    place = (_single(hours) / _TIME_STEP).astype(real)
    before = jnp.clip(jnp.floor(place), 0, TIMES - 2).astype(jnp.int32)
    after = place - before
    two = jax.lax.dynamic_slice_in_dim(wind.stream, before, 2, axis=3).astype(real)
    stream = two[..., 0] * (1.0 - after) + two[..., 1] * after
    eastward = jnp.einsum("i,j,ijp->p", differences_x, values_y, stream, precision=jax.lax.Precision.HIGHEST)
    northward = -jnp.einsum("i,j,ijp->p", values_x, differences_y, stream, precision=jax.lax.Precision.HIGHEST)
    return jnp.stack([eastward, northward], -1)


def _single(value: jax.Array) -> jax.Array:
    """Rounded to float32, as the reference looks its field up."""
    return value.astype(jnp.float32).astype(value.dtype)


def _along(distance: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weights `[7]` of the stream function and of its difference along an axis, at a distance (m) from the station."""
    place = (_single(jnp.clip(distance / 1000.0, -REACH_KM, REACH_KM)) + REACH_KM) / _CELL_KM
    before = jnp.clip(jnp.floor(place), 0, FINE - 2).astype(jnp.int32)
    after = place - before

    def between(table):
        table = jnp.asarray(table, distance.dtype)
        return table[before] * (1.0 - after) + table[before + 1] * after

    return between(_VALUES), between(_DIFFERENCES)


def column_weights(pressures: np.ndarray) -> np.ndarray:
    """`[len(pressures), 10]`: the forecast at those pressures (Pa) from a column."""
    place = (np.clip(pressures, LOWEST, HIGHEST) - LOWEST) / _PRESSURE_STEP
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(PRESSURES)))


def at_pressure(column: jax.Array, pressure: jax.Array) -> jax.Array:
    """The forecast, m/s `[2]`, at a pressure (Pa) of a column `[10, 2]`."""
    place = (_single(jnp.clip(pressure, LOWEST, HIGHEST)) - LOWEST) / _PRESSURE_STEP
    weights = jnp.maximum(0.0, 1.0 - jnp.abs(place - jnp.arange(PRESSURES)))
    return jnp.matmul(weights, column, precision=jax.lax.Precision.HIGHEST)
