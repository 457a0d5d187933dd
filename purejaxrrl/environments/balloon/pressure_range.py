"""Between which pressures the balloon can float now without harm to its envelope.

The balloon at rest is computed at the pressures where its ballonet is empty and where it flies lowest, and at twenty levels; the first
one that is safe, seen from either end, and the one before it are interpolated to where it becomes so.
"""

import jax
import jax.numpy as jnp

from purejaxrrl.environments.balloon import atmosphere, sun, vehicle
from purejaxrrl.environments.balloon.constants import (
    AIR_MOLAR_MASS,
    BURST_SUPERPRESSURE,
    EMPTY_MASS,
    ENVELOPE_VOLUME,
    GAS_CONSTANT,
)
from purejaxrrl.environments.balloon.safety import BUFFER
from purejaxrrl.environments.balloon.vehicle import Conditions

_LEVELS, _TOP = 20, 1000.0
LEAST, MOST = 5655.0, 12_616.0
"""Pa: no atmosphere's range is wider."""
_ITERATIONS = 5
"""Of Newton's method, to 1e-9 K."""


def accessible(conditions: Conditions, light: sun.Sunlight) -> tuple[jax.Array, jax.Array]:
    """The least and the greatest pressure, Pa, in that light. Where no level is safe, the least is infinite."""
    floor = atmosphere.floor_pressure(conditions.atmosphere)
    levels = _TOP + (floor - _TOP) * jnp.arange(_LEVELS, dtype=floor.dtype) / (_LEVELS - 1)
    ceiling = _empty_ballonet(conditions, levels)
    superpressure = vehicle.floating(conditions, light, jnp.append(levels, ceiling), _ITERATIONS).superpressure
    at_levels, at_ceiling = superpressure[:-1], superpressure[-1]
    rising = _first_safe(jnp.append(ceiling, levels), jnp.append(at_ceiling, at_levels), levels < ceiling)
    falling = _first_safe(levels[::-1], at_levels[::-1], jnp.zeros(_LEVELS - 1, bool))
    return jnp.where(jnp.isfinite(falling), rising, jnp.inf), falling


def _empty_ballonet(conditions: Conditions, levels: jax.Array) -> jax.Array:
    """The pressure at which a balloon without air in its ballonet floats, were its gas as warm as the air around it."""
    quotients = levels / atmosphere.at_pressure(conditions.atmosphere, levels)[1]
    wanted = EMPTY_MASS * GAS_CONSTANT / (AIR_MOLAR_MASS * ENVELOPE_VOLUME)
    return jnp.interp(wanted, quotients, levels)


def _first_safe(pressures: jax.Array, superpressures: jax.Array, skipped: jax.Array) -> jax.Array:
    """Where the balloon becomes safe on the way along `pressures`, the first one apart from those `skipped`; infinite if nowhere."""
    low, high = BUFFER, BURST_SUPERPRESSURE - BUFFER
    skipped = jnp.append(False, skipped)
    safe = (superpressures >= low) & (superpressures <= high) & ~skipped
    place = jnp.argmax(safe)
    before = jnp.maximum(place - 1, 0)
    before = jnp.where(skipped[before], 0, before)
    limit = jnp.where(superpressures[before] < low, low, high)
    change = superpressures[place] - superpressures[before]
    share = jnp.abs((limit - superpressures[before]) / jnp.where(change == 0.0, 1.0, change))
    crossing = pressures[before] + share * (pressures[place] - pressures[before])
    return jnp.where(safe.any(), jnp.where(place == 0, pressures[0], crossing), jnp.inf)
