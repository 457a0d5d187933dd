"""The atmosphere of an episode: the US Standard Atmosphere 1976 with a tropical profile, its lapse rates drawn anew.

Temperature is linear in height within a layer. Only the three layers up to 32 km are here; balloons fly from 15 to 19 km.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrrl.environments.balloon.constants import AIR_GAS_CONSTANT, FLOOR_METRES, GRAVITY

HEIGHTS = (-610.0, 17_000.0, 21_000.0, 32_000.0)
"""m, of the layers' boundaries."""
_LAPSE_RATES = ((-0.007, 0.006, 0.001), (-0.0058, 0.005, 0.001))
"""K/m, of the two profiles that are mixed."""
_GROUND_TEMPERATURE, _GROUND_PRESSURE = 300.0, 108_870.8213


class Atmosphere(NamedTuple):
    """lapse_rates `[3]`, K/m; temperatures and pressures at the lower boundaries and at the top, `[4]`, K and Pa."""

    lapse_rates: jax.Array
    temperatures: jax.Array
    pressures: jax.Array


def mixed(share: jax.Array) -> Atmosphere:
    """The atmosphere with that share (0 to 1) of the second profile."""
    low, high = (jnp.asarray(rates, share.dtype) for rates in _LAPSE_RATES)
    rates = (1.0 - share) * low + share * high
    temperatures = [jnp.asarray(_GROUND_TEMPERATURE, share.dtype)]
    pressures = [jnp.asarray(_GROUND_PRESSURE, share.dtype)]
    for layer in range(3):
        warming = rates[layer] * (HEIGHTS[layer + 1] - HEIGHTS[layer])
        pressures.append(pressures[-1] * _pressure_ratio(rates[layer], warming / temperatures[-1]))
        temperatures.append(temperatures[-1] + warming)
    return Atmosphere(rates, jnp.stack(temperatures), jnp.stack(pressures))


def _pressure_ratio(lapse_rate: jax.Array, relative_warming: jax.Array) -> jax.Array:
    """By which pressure changes while temperature changes by that share of itself."""
    return jnp.exp(-GRAVITY / (AIR_GAS_CONSTANT * lapse_rate) * jnp.log1p(relative_warming))


def floor_pressure(atmosphere: Atmosphere) -> jax.Array:
    """Pa at the altitude below which the balloon must not fly."""
    rate = atmosphere.lapse_rates[0]
    warming = rate * (FLOOR_METRES - HEIGHTS[0])
    return atmosphere.pressures[0] * _pressure_ratio(rate, warming / atmosphere.temperatures[0])


class _Layer(NamedTuple):
    """What a layer is, at a pressure: `exponent` is that of temperature in pressure."""

    lapse_rate: jax.Array
    exponent: jax.Array
    base_temperature: jax.Array
    base_pressure: jax.Array
    base_height: jax.Array
    number: jax.Array


def _layer_at(atmosphere: Atmosphere, pressure: jax.Array) -> _Layer:
    lowest, lower = pressure > atmosphere.pressures[1], pressure > atmosphere.pressures[2]

    def pick(values):
        return jnp.where(lowest, values[0], jnp.where(lower, values[1], values[2]))

    rate = pick(atmosphere.lapse_rates)
    return _Layer(
        lapse_rate=rate,
        exponent=-AIR_GAS_CONSTANT * rate / GRAVITY,
        base_temperature=pick(atmosphere.temperatures),
        base_pressure=pick(atmosphere.pressures),
        base_height=pick(HEIGHTS),
        number=pick((0, 1, 2)),
    )


def at_pressure(atmosphere: Atmosphere, pressure: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Height (m) and temperature (K) at pressures (Pa) of any shape, from 870 to 108,870 Pa."""
    layer = _layer_at(atmosphere, pressure)
    relative_warming = jnp.expm1(layer.exponent * jnp.log(pressure / layer.base_pressure))
    warming = layer.base_temperature * relative_warming
    return layer.base_height + warming / layer.lapse_rate, layer.base_temperature + warming


def height_difference(atmosphere: Atmosphere, pressure: jax.Array, change: jax.Array) -> jax.Array:
    """Height at `pressure + change` less the height at `pressure`, m; the change is at most a few Pa.

    As the difference of two heights it would have one digit in float32.
    """
    start, end = _layer_at(atmosphere, pressure), _layer_at(atmosphere, pressure + change)
    temperature = at_pressure(atmosphere, pressure)[1]
    within = temperature / start.lapse_rate * jnp.expm1(start.exponent * jnp.log1p(change / pressure))
    upper = jnp.maximum(start.number, end.number)
    boundary_pressure = jnp.where(upper == 1, atmosphere.pressures[1], atmosphere.pressures[2])
    boundary_temperature = jnp.where(upper == 1, atmosphere.temperatures[1], atmosphere.temperatures[2])

    def above_boundary(layer, pressure):
        relative = jnp.log1p((pressure - boundary_pressure) / boundary_pressure)
        return boundary_temperature / layer.lapse_rate * jnp.expm1(layer.exponent * relative)

    across = above_boundary(end, pressure + change) - above_boundary(start, pressure)
    return jnp.where(start.number == end.number, within, across)
