"""Heat of the envelope, a sphere of thin film: sunlight and infrared in, infrared out, and convection with the air."""

import jax
import jax.numpy as jnp

from purejaxrrl.environments.balloon.constants import AIR_MOLAR_MASS, ENVELOPE_MASS, GAS_CONSTANT, GRAVITY

_SOLAR_VIEW, _EARTH_VIEW = 0.25, 0.4605
_REFLECTIVITY, _SOLAR_ABSORPTIVITY = 0.0291, 0.01435
_SPECIFIC_HEAT = 1500.0
_STEFAN_BOLTZMANN = 0.000000056704


def _infrared_absorptivity(temperature: jax.Array) -> jax.Array:
    """Of the film at a temperature in K, a linear fit."""
    return 0.04587 + 0.000232 * (temperature - 210.0)


def _total_absorptivity(absorptivity: jax.Array | float) -> jax.Array | float:
    """What the sphere keeps of what hits it, reflections within it included."""
    return absorptivity * (1.0 + (1.0 - absorptivity - _REFLECTIVITY) / (1.0 - _REFLECTIVITY))


def _convection(radius: jax.Array, internal: jax.Array, ambient: jax.Array, pressure: jax.Array) -> jax.Array:
    """W/m^2 from the air to the balloon."""
    viscosity = 1.458e-6 * (ambient * jnp.sqrt(ambient)) / (ambient + 110.4)
    conductivity = 0.0241 * (ambient / 273.15) ** 0.9
    prandtl = 0.804 - 3.25e-4 * ambient
    relative_density = pressure * AIR_MOLAR_MASS / (GAS_CONSTANT * ambient) / viscosity
    diameter = 2.0 * radius
    grashof = GRAVITY * relative_density**2 * diameter**3 / ambient * jnp.abs(ambient - internal)
    rayleigh = prandtl * grashof
    nusselt = 2.0 + 0.457 * jnp.sqrt(jnp.sqrt(rayleigh)) + (1.0 + 2.69e-8 * rayleigh) ** (1.0 / 12.0)
    return nusselt * conductivity / diameter * (ambient - internal)


def warming(
    volume: jax.Array,
    internal: jax.Array,
    ambient: jax.Array,
    pressure: jax.Array,
    solar_flux: jax.Array,
    infrared: jax.Array,
) -> jax.Array:
    """K/s by which the balloon warms.

    Args:
      volume: m^3. internal, ambient: temperatures, K. pressure: Pa. solar_flux: W/m^2 that reach the balloon. infrared: W/m^2
        from below.
    """
    radius = (3.0 * volume / (4.0 * jnp.pi)) ** (1.0 / 3.0)
    earth = jnp.sqrt(jnp.sqrt(infrared / _STEFAN_BOLTZMANN))
    solar_heat = solar_flux * _SOLAR_VIEW * _total_absorptivity(_SOLAR_ABSORPTIVITY)
    earth_heat = infrared * _EARTH_VIEW * _total_absorptivity(_infrared_absorptivity(earth))
    emitted = _STEFAN_BOLTZMANN * internal**4 * _total_absorptivity(_infrared_absorptivity(internal))
    heat = solar_heat + earth_heat + _convection(radius, internal, ambient, pressure) - emitted
    return heat * (4.0 * jnp.pi * radius * radius) / (_SPECIFIC_HEAT * ENVELOPE_MASS)
