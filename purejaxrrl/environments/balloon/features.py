"""Observations: what a controller sees of a balloon. "perciatelli" is what Perciatelli44 was trained on, and the default.

A feature function of one's own is registered by name, and is then an option of the environment:

    @features.register("heading", size=2)
    def heading(sight: features.Sight) -> jax.Array:
        return -jnp.stack([sight.vehicle.x, sight.vehicle.y]) / 50_000.0

    purejaxrrl.make("balloon", features="heading")
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.balloon import pressure_range, safety, sun, wind, wind_belief
from purejaxrrl.environments.balloon.constants import (
    BATTERY_CAPACITY,
    DAY_LOAD,
    DAY_SECONDS,
    DOWN,
    STAY,
    UP,
)
from purejaxrrl.environments.balloon.vehicle import Conditions, Vehicle, pressure_ratio
from purejaxrrl.environments.balloon.wind_belief import WindBelief
from purejaxrrl.errors import UserError, nearest

AMBIENT, LEVELS = 16, 181
PERCIATELLI_SIZE = AMBIENT + 3 * (2 * LEVELS - 1)
"""1099."""
PRESSURES = np.linspace(wind.LOWEST, wind.HIGHEST, LEVELS)
"""Pa, of the levels at which the wind is seen."""
LEVEL_STEP = float(PRESSURES[1] - PRESSURES[0])
_REACHABLE = np.flatnonzero((PRESSURES >= pressure_range.LEAST) & (PRESSURES <= pressure_range.MOST))
"""139 of the levels; no balloon can fly at the others."""
_WEIGHTS = wind.column_weights(PRESSURES[_REACHABLE])
_TOLERANCE = 1e-5
_UNREACHABLE = (0.0, 1.0, 1.0)
"""Uncertainty, bearing and magnitude of the wind at a level where no balloon can fly."""


class Sight(NamedTuple):
    """What a feature function is given, all of one balloon.

    vehicle: what is known of itself. conditions: the episode's. light: the sunlight here. sunrise, sunset: the next ones, int32 seconds since 2011. column: the wind's forecast at ten pressures above and
    below, m/s `[10, 2]`. belief: the forecast's errors measured so far. belief_method: of `wind_belief.query`.
    """

    vehicle: Vehicle
    conditions: Conditions
    light: sun.Sunlight
    sunrise: jax.Array
    sunset: jax.Array
    column: jax.Array
    belief: WindBelief
    belief_method: str


class Features(NamedTuple):
    """compute: `Sight` to float32 `[size]`. low, high: bounds of every feature."""

    compute: Callable[[Sight], jax.Array]
    size: int
    low: float
    high: float


_FEATURES: dict[str, Features] = {}


def register(name: str, size: int, low: float = -np.inf, high: float = np.inf) -> Callable:
    """A decorator that makes a function of a `Sight` features of that name; what it had before is replaced."""

    def decorator(function: Callable[[Sight], jax.Array]) -> Callable[[Sight], jax.Array]:
        _FEATURES[name] = Features(function, size, low, high)
        return function

    return decorator


def named(name: str) -> Features:
    """Raises ValueError, with those that there are, where none has that name."""
    if name not in _FEATURES:
        raise UserError(
            f"no features are called {name!r}; the nearest are {nearest(name, _FEATURES)}; register yours with features.register"
        )
    return _FEATURES[name]


@register("perciatelli", PERCIATELLI_SIZE, low=-1.0)
def perciatelli(sight: Sight) -> jax.Array:
    """float32 `[1099]`: 16 ambient features, then uncertainty, bearing and magnitude of the wind at 361 levels, the balloon's in
    the middle, pressure rising (Bellemare et al., 2020)."""
    return jnp.concatenate([ambient(sight), wind_features(sight)]).astype(jnp.float32)


def ambient(sight: Sight) -> jax.Array:
    """`[16]`: pressure, battery, sun, station, last command, navigation, excess energy, cost of descent, pressure ratio."""
    balloon = sight.vehicle
    charge = balloon.battery / BATTERY_CAPACITY
    cycle = _solar_cycle(sight)
    distance = jnp.hypot(balloon.x, balloon.y)
    heading = jnp.arctan2(-balloon.x, -balloon.y)
    paused = safety.paused(balloon.safety)
    ratio = pressure_ratio(balloon)
    kilometres = distance / 1000.0
    return jnp.stack(
        [
            _share(balloon.pressure, wind.LOWEST, wind.HIGHEST),
            charge,
            _share(sight.light.elevation, -90.0, 90.0),
            jnp.sin(cycle),
            jnp.cos(cycle),
            jnp.sin(heading),
            jnp.cos(heading),
            kilometres / (kilometres + 250.0),
            balloon.last_command == UP,
            balloon.last_command == STAY,
            balloon.last_command == DOWN,
            paused,
            ~paused,
            excess_energy(balloon, sight.light),
            _share(_descent_power(ratio, charge), 100.0, 300.0),
            ratio,
        ]
    )


def excess_energy(balloon: Vehicle, light: sun.Sunlight) -> jax.Array:
    """Whether the battery is full while the panels make more than is used."""
    return (sun.power(light, balloon.pressure) > DAY_LOAD) & (balloon.battery / BATTERY_CAPACITY > 0.99)


def _share(value: jax.Array, low: float, high: float) -> jax.Array:
    return jnp.clip((value - low) / (high - low), 0.0, 1.0)


def _solar_cycle(sight: Sight) -> jax.Array:
    """Radians: 0 at sunrise, pi at sunset."""
    balloon, sunrise, sunset = sight.vehicle, sight.sunrise, sight.sunset
    by_day = sunset < sunrise
    begun = jnp.where(by_day, sunrise, sunset) - DAY_SECONDS
    ends = jnp.minimum(sunrise, sunset)
    real = balloon.pressure.dtype
    share = (balloon.seconds - begun).astype(real) / (ends - begun).astype(real)
    return jnp.pi * (share + jnp.where(by_day, 0.0, 1.0))


_RATIOS = np.asarray([1.08, 1.11, 1.14, 1.17, 1.2, 1.23, 1.26])
_CHARGES = np.asarray([
    [0.3, 0.4, 0.5], [0.3, 0.4, 0.7], [0.3, 0.4, 0.6], [0.3, 0.4, 0.5], [0.3, 0.4, 0.5],
    [0.4, 0.5, np.inf], [0.5, 0.6, np.inf], [0.5, 0.6, np.inf],
])  # fmt: skip
_POWERS = np.asarray([
    [0, 150, 175, 200], [0, 200, 200, 225], [0, 225, 225, 250], [0, 200, 225, 250], [0, 225, 250, 275],
    [0, 275, 300, 300], [0, 300, 325, 325], [0, 325, 350, 350],
])  # fmt: skip


def _descent_power(ratio: jax.Array, charge: jax.Array) -> jax.Array:
    """W that a table has for a descent, by the pressure ratio and the battery's charge (0 to 1)."""
    row = (ratio >= _RATIOS).sum()
    column = (charge >= jnp.asarray(_CHARGES, charge.dtype)[row]).sum()
    return jnp.asarray(_POWERS, charge.dtype)[row, column]


def wind_features(sight: Sight) -> jax.Array:
    """`[1083]`."""
    balloon = sight.vehicle
    real = balloon.pressure.dtype
    pressures = jnp.asarray(PRESSURES[_REACHABLE], real)
    location = wind_belief.scaled(balloon.x, balloon.y, balloon.pressure, balloon.elapsed)
    errors, uncertainty = wind_belief.query(sight.belief, location, pressures, sight.belief_method)
    forecast = jnp.matmul(jnp.asarray(_WEIGHTS, real), sight.column, precision=jax.lax.Precision.HIGHEST)
    bearing, magnitude = _bearing_and_magnitude(errors + forecast, balloon.x, balloon.y)
    least, most = pressure_range.accessible(sight.conditions, sight.light)
    reachable = (pressures >= least) & (pressures <= most)
    seen = jnp.stack([uncertainty, bearing / jnp.pi, magnitude / (magnitude + 30.0)], -1)
    seen = jnp.where(reachable[:, None], seen, jnp.asarray(_UNREACHABLE, real))
    return _centred(seen, balloon.pressure)


def _bearing_and_magnitude(winds: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The angle between winds `[levels, 2]` and the direction to the station, radians, and their speed, m/s.

    The reference divides both vectors by their length and a tolerance before it takes the arc cosine, which keeps the angle
    above 1e-3 or so. That is so here too, without the cancellation.
    """
    distance, magnitude = jnp.hypot(x, y), jnp.hypot(winds[:, 0], winds[:, 1])
    product = jnp.where(magnitude * distance == 0.0, 1.0, magnitude * distance)
    cosine = -(winds[:, 0] * x + winds[:, 1] * y) / product
    sine = (winds[:, 1] * x - winds[:, 0] * y) / product
    shortened = magnitude / (magnitude + _TOLERANCE) * distance / (distance + _TOLERANCE)
    shortfall = _TOLERANCE / (magnitude + _TOLERANCE) + magnitude / (magnitude + _TOLERANCE) * _TOLERANCE / (
        distance + _TOLERANCE
    )
    squared = sine * sine + shortfall * (1.0 + shortened) * cosine * cosine
    angle = jnp.arctan2(jnp.sqrt(squared), shortened * cosine)
    angle = jnp.where(magnitude < _TOLERANCE, jnp.pi, angle)
    return jnp.where(distance < _TOLERANCE, 0.0, angle), magnitude


def _centred(seen: jax.Array, pressure: jax.Array) -> jax.Array:
    """Features of the reachable levels `[139, 3]` among 361 of which the balloon's level is the middle one, flat."""
    level = jnp.round((jnp.clip(pressure, wind.LOWEST, wind.HIGHEST) - wind.LOWEST) / LEVEL_STEP).astype(jnp.int32)
    before, after = LEVELS - 1 + int(_REACHABLE[0]), 2 * LEVELS - 2 - int(_REACHABLE[-1])
    unreachable = np.asarray(_UNREACHABLE, np.float32)
    padded = jnp.concatenate([np.tile(unreachable, before), seen.reshape(-1), np.tile(unreachable, after)])
    return jax.lax.dynamic_slice_in_dim(padded, 3 * level, 3 * (2 * LEVELS - 1))
