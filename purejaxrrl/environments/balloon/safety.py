"""The safety layers: what a command becomes where it would empty the battery, tear the envelope, or fly too low.

Each layer may turn the command into another one, in this order: power, envelope, altitude. None lets a balloon go down that is
in its own danger; the last two make it go up where that danger is near.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrrl.environments.balloon.constants import (
    BATTERY_CAPACITY,
    BURST_SUPERPRESSURE,
    DAY_SECONDS,
    DOWN,
    FLOOR_METRES,
    NIGHT_LOAD,
    STAY,
    UP,
)

NOMINAL, LOW_CRITICAL, LOW, HIGH, HIGH_CRITICAL = range(5)
"""The envelope layer's states. The altitude layer has the first, and two of its own."""
ALTITUDE_LOW, ALTITUDE_VERY_LOW = 1, 2
CRITICAL_BUFFER, BUFFER, HYSTERESIS = 150.0, 250.0, 50.0
"""Pa of superpressure from the envelope's limits."""
_ALTITUDE_BUFFER = 500 * 0.3048
_LEAST_CHARGE, _RESTART_CHARGE = 0.025, 0.05
SUNRISE_HYSTERESIS = 30 * 60
"""s after sunrise at which the panels have light."""


class Safety(NamedTuple):
    """sunrise: int32 seconds since 2011, of the next one, 30 minutes added; sunset: of the next one. Both are found when an
    episode begins, and are then moved on by whole days. power_paused: bool. envelope, altitude: int32, the layers' states."""

    sunrise: jax.Array
    sunset: jax.Array
    power_paused: jax.Array
    envelope: jax.Array
    altitude: jax.Array


def at_start(sunrise: jax.Array, sunset: jax.Array) -> Safety:
    """Of an episode: nothing is paused."""
    nominal = jnp.zeros_like(sunrise)
    return Safety(sunrise + SUNRISE_HYSTERESIS, sunset, nominal != 0, nominal, nominal)


def paused(safety: Safety) -> jax.Array:
    """Whether any layer keeps the balloon from going down."""
    return safety.power_paused | (safety.envelope != NOMINAL) | (safety.altitude != NOMINAL)


def effective(
    safety: Safety,
    command: jax.Array,
    seconds: jax.Array,
    battery: jax.Array,
    superpressure: jax.Array,
    height: jax.Array,
) -> tuple[Safety, jax.Array]:
    """The layers after looking at a balloon, and what becomes of its command (int32).

    Args:
      seconds: now. battery: Wh. superpressure: Pa. height: m.
    """
    safety = _power(safety, seconds, battery)
    envelope, altitude = _envelope(safety.envelope, superpressure), _altitude(safety.altitude, height)
    no_descent = safety.power_paused | (envelope == LOW) | (envelope == HIGH)
    command = jnp.where(no_descent & (command == DOWN), STAY, command)
    command = jnp.where((envelope == LOW_CRITICAL) | (envelope == HIGH_CRITICAL), UP, command)
    command = jnp.where((altitude == ALTITUDE_LOW) & (command == DOWN), STAY, command)
    command = jnp.where(altitude == ALTITUDE_VERY_LOW, UP, command)
    return safety._replace(envelope=envelope, altitude=altitude), command


def _power(safety: Safety, seconds: jax.Array, battery: jax.Array) -> Safety:
    sunrise = safety.sunrise + DAY_SECONDS * (seconds > safety.sunrise)
    sunset = safety.sunset + DAY_SECONDS * (seconds > safety.sunset)
    by_day = sunset < sunrise
    hours_to_sunrise = (sunrise - seconds).astype(battery.dtype) / 3600.0
    left_at_sunrise = (battery - NIGHT_LOAD * hours_to_sunrise) / BATTERY_CAPACITY
    paused_by_day = safety.power_paused & (battery / BATTERY_CAPACITY < _RESTART_CHARGE)
    paused_by_night = safety.power_paused | (left_at_sunrise < _LEAST_CHARGE)
    return safety._replace(
        sunrise=sunrise, sunset=sunset, power_paused=jnp.where(by_day, paused_by_day, paused_by_night)
    )


def _envelope(state: jax.Array, superpressure: jax.Array) -> jax.Array:
    was_low, was_high = (state == LOW) | (state == LOW_CRITICAL), (state == HIGH) | (state == HIGH_CRITICAL)
    limits = (
        (CRITICAL_BUFFER, LOW_CRITICAL),
        (BUFFER, LOW),
        (BUFFER + HYSTERESIS, jnp.where(was_low, LOW, NOMINAL)),
        (BURST_SUPERPRESSURE - BUFFER - HYSTERESIS, NOMINAL),
        (BURST_SUPERPRESSURE - BUFFER, jnp.where(was_high, HIGH, NOMINAL)),
        (BURST_SUPERPRESSURE - CRITICAL_BUFFER, HIGH),
    )
    result = jnp.full_like(state, HIGH_CRITICAL)
    for limit, below in reversed(limits):
        result = jnp.where(superpressure < limit, below, result)
    return result


def _altitude(state: jax.Array, height: jax.Array) -> jax.Array:
    result = jnp.where(
        height < FLOOR_METRES + 2 * _ALTITUDE_BUFFER, jnp.where(state == NOMINAL, NOMINAL, ALTITUDE_LOW), 0
    )
    result = jnp.where(height < FLOOR_METRES + _ALTITUDE_BUFFER, ALTITUDE_LOW, result)
    return jnp.where(height < FLOOR_METRES, ALTITUDE_VERY_LOW, result).astype(state.dtype)
