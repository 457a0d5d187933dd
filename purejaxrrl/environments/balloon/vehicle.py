"""The flight system: a superpressure balloon with a ballonet that a compressor fills with air and a valve empties.

What is here follows from pressure and temperature alone; `dynamics` moves it on.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrrl.environments.balloon import atmosphere, sun, thermal
from purejaxrrl.environments.balloon.atmosphere import Atmosphere
from purejaxrrl.environments.balloon.constants import (
    AIR_MOLAR_MASS,
    EMPTY_MASS,
    ENVELOPE_STRETCH,
    ENVELOPE_VOLUME,
    GAS_CONSTANT,
    LIFT_GAS,
)
from purejaxrrl.environments.balloon.safety import Safety

_HALF_DIFFERENCE = 0.005
"""K, between the temperatures at which the reference takes the rate of warming."""
_AT_REST = 1e-5
"""K/s: the rate at which the reference takes its last step of Newton's method, which leaves up to 1e-6 K."""


class Conditions(NamedTuple):
    """What stays as it is for an episode.

    latitude, longitude: of the station, radians. infrared: W/m^2 from below.
    """

    atmosphere: Atmosphere
    latitude: jax.Array
    longitude: jax.Array
    infrared: jax.Array


class Vehicle(NamedTuple):
    """One balloon; all scalars.

    x, y: m to the east and north of the station. pressure: of the air around, Pa; it stands for altitude. ambient, internal: temperatures,
    K. air: mol in the ballonet. volume: m^3. superpressure: Pa. compressor: W. battery: Wh. seconds: int32, since 2011. elapsed: int32
    seconds of the episode. last_command, status: int32, as in `constants`.
    """

    x: jax.Array
    y: jax.Array
    pressure: jax.Array
    ambient: jax.Array
    internal: jax.Array
    air: jax.Array
    volume: jax.Array
    superpressure: jax.Array
    compressor: jax.Array
    battery: jax.Array
    seconds: jax.Array
    elapsed: jax.Array
    last_command: jax.Array
    status: jax.Array
    safety: Safety


class Floating(NamedTuple):
    """A balloon at rest: temperatures (K), air in the ballonet (mol), volume (m^3) and superpressure (Pa), of one shape."""

    ambient: jax.Array
    internal: jax.Array
    air: jax.Array
    volume: jax.Array
    superpressure: jax.Array


def light_at(conditions: Conditions, x: jax.Array, y: jax.Array, seconds: jax.Array) -> sun.Sunlight:
    """The sunlight at offsets from the station and times of one shape."""
    return sun.sunlight(sun.place(conditions.latitude, conditions.longitude, x, y), seconds)


def volume_and_superpressure(air: jax.Array, internal: jax.Array, pressure: jax.Array) -> tuple[jax.Array, jax.Array]:
    """m^3 and Pa of a balloon with that much air (mol), at an inner temperature (K) and an ambient pressure (Pa).

    From p V = n R T and V = V_0 + s (p - p_ambient), solved for the superpressure, which would be lost in float32 as a difference.
    """
    energy = (LIFT_GAS + air) * GAS_CONSTANT * internal
    excess = energy - pressure * ENVELOPE_VOLUME
    linear = ENVELOPE_VOLUME + ENVELOPE_STRETCH * pressure
    full = 2.0 * excess / (linear + jnp.sqrt(linear * linear + 4.0 * ENVELOPE_STRETCH * jnp.maximum(excess, 0.0)))
    superpressure = jnp.maximum(full, 0.0)
    volume = jnp.where(excess > 0.0, ENVELOPE_VOLUME + ENVELOPE_STRETCH * superpressure, energy / pressure)
    return volume, superpressure


def floating(conditions: Conditions, light: sun.Sunlight, pressure: jax.Array, iterations: int) -> Floating:
    """The balloon that floats at those pressures (Pa, any shape), its temperature found in at most that many steps of Newton's method."""
    ambient = atmosphere.at_pressure(conditions.atmosphere, pressure)[1]
    displaced = pressure * AIR_MOLAR_MASS * ENVELOPE_VOLUME / (GAS_CONSTANT * ambient)
    air = jnp.maximum(displaced - EMPTY_MASS, 0.0) / AIR_MOLAR_MASS
    flux = light.flux * sun.transmitted(light, pressure)

    def rate(internal):
        return thermal.warming(
            jnp.full_like(pressure, ENVELOPE_VOLUME), internal, ambient, pressure, flux, conditions.infrared
        )

    def newton(_, carry):
        internal, done = carry
        # The reference's root is that of the mean of two rates; their difference, its slope, would be lost in float32.
        mean = 0.5 * (rate(internal - _HALF_DIFFERENCE) + rate(internal + _HALF_DIFFERENCE))
        slope = jax.jvp(rate, (internal,), (jnp.ones_like(internal),))[1]
        return jnp.where(done, internal, internal - mean / slope), done | (jnp.abs(mean) < _AT_REST)

    begun = jnp.full_like(pressure, 206.0), jnp.zeros(pressure.shape, bool)
    internal = jax.lax.fori_loop(0, iterations, newton, begun)[0]
    return Floating(ambient, internal, air, *volume_and_superpressure(air, internal, pressure))


def pressure_ratio(vehicle: Vehicle) -> jax.Array:
    """Of the gas in the balloon to the air around it."""
    return (vehicle.pressure + jnp.maximum(vehicle.superpressure, 0.0)) / vehicle.pressure
