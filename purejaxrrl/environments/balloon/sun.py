"""The sun: its elevation and flux, its light through the air and on the panels, sunrise and sunset.

Times are int32 seconds since 2011-01-01 00:00 UTC. The position of the sun is NOAA's solar calculator's. A Julian day does not
fit float32, so what depends on the day alone is a table of polynomials in the hour, one a day.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.balloon.constants import DAY_SECONDS, EARTH_RADIUS, STEP_SECONDS

HORIZON = -4.242
"""Degrees: the elevation at which the sun sets as seen from 17.5 km."""
DAYS = 4 * 365 + 6
"""Of the table: 2011 to 2014, and what an episode and a search for sunrises need after it."""
_JULIAN_2011, _JULIAN_2000 = 2_455_562.5, 2_451_545.0
_DEGREE = 3
_SHADOW = 0.4392
"""What is left of the light on a panel below the balloon when the sun is high."""


class Place(NamedTuple):
    """Sine and cosine of the latitude, and the longitude in turns."""

    sine_latitude: jax.Array
    cosine_latitude: jax.Array
    longitude: jax.Array


class Sunlight(NamedTuple):
    """At a time and place; arrays of one shape.

    elevation: degrees, refraction included. flux: W/m^2 above the atmosphere. visible: bool, above the horizon. air_path: through
    the atmosphere, in units of the one at the zenith. panels: lit panels, of 210 W each.
    """

    elevation: jax.Array
    flux: jax.Array
    visible: jax.Array
    air_path: jax.Array
    panels: jax.Array


def _ephemeris(days: np.ndarray) -> np.ndarray:
    """Sine of the declination, equation of time (turns) and flux (W/m^2), `[..., 3]`, by days since 2011 (NOAA)."""
    century = (_JULIAN_2011 - _JULIAN_2000 + days) / 36_525.0
    longitude = np.radians(280.46646 + century * (36_000.76983 + century * 0.0003032))
    anomaly = np.radians(357.52911 + century * (35_999.05029 - 0.0001537 * century))
    node = np.radians(125.04 - 1934.136 * century)
    arcseconds = 21.448 - century * (46.815 + century * (0.00059 - century * 0.001813))
    obliquity = np.radians(23.0 + (26.0 + arcseconds / 60.0) / 60.0) + np.radians(0.00256 * np.cos(node))
    eccentricity = 0.016708634 - century * (0.000042037 + 0.0000001267 * century)
    y = np.tan(obliquity / 2.0) ** 2
    equation_of_time = (
        y * np.sin(2 * longitude)
        - 2.0 * eccentricity * np.sin(anomaly)
        + 4.0 * eccentricity * y * np.sin(anomaly) * np.cos(2 * longitude)
        - 0.5 * y * y * np.sin(4 * longitude)
        - 1.25 * eccentricity**2 * np.sin(2 * anomaly)
    )
    centre = np.radians(
        np.sin(anomaly) * (1.914602 - century * (0.004817 + 0.000014 * century))
        + np.sin(2 * anomaly) * (0.019993 - 0.000101 * century)
        + np.sin(3 * anomaly) * 0.000289
    )
    apparent = longitude + centre - np.radians(0.00569 - 0.00478 * np.sin(node))
    nearness = ((1 + eccentricity) / (1 - eccentricity)) ** 2 - 1
    flux = 1366.0 * (1 + 0.5 * nearness * np.cos(anomaly))
    return np.stack([np.sin(obliquity) * np.sin(apparent), equation_of_time / (2 * np.pi), flux], -1)


def _table() -> np.ndarray:
    """`[DAYS, 3, 4]`: polynomials in the day's fraction less a half, highest power first; exact to 1e-10."""
    nodes = 0.5 * np.cos((np.arange(_DEGREE + 1) + 0.5) * np.pi / (_DEGREE + 1))
    values = _ephemeris(np.arange(DAYS)[:, None] + 0.5 + nodes)
    return np.einsum("pn,dnk->dkp", np.linalg.inv(np.vander(nodes, _DEGREE + 1)), values)


_TABLE = _table()


def place(latitude: jax.Array, longitude: jax.Array, x: jax.Array, y: jax.Array) -> Place:
    """Where one is `x` m to the east and `y` m to the north of a latitude and longitude (radians), along a great circle."""
    angle = jnp.hypot(x, y) / EARTH_RADIUS
    sine_over_distance = jnp.sinc(angle / jnp.pi) / EARTH_RADIUS
    sine = jnp.cos(angle) * jnp.sin(latitude) + sine_over_distance * y * jnp.cos(latitude)
    east = jnp.arctan2(sine_over_distance * x * jnp.cos(latitude), jnp.cos(angle) - jnp.sin(latitude) * sine)
    return Place(sine, jnp.sqrt(1.0 - sine * sine), (longitude + east) / (2 * jnp.pi))


def _elevation_and_flux(place: Place, seconds: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Degrees and W/m^2."""
    day, second = seconds // DAY_SECONDS, seconds % DAY_SECONDS
    fraction = second.astype(place.longitude.dtype) / DAY_SECONDS
    coefficients = jnp.asarray(_TABLE, fraction.dtype)[jnp.clip(day, 0, DAYS - 1)]
    offset = (fraction - 0.5)[..., None]
    values = coefficients[..., 0]
    for power in range(1, _DEGREE + 1):
        values = values * offset + coefficients[..., power]
    sine, equation_of_time, flux = values[..., 0], values[..., 1], values[..., 2]
    cosine = jnp.sqrt(1.0 - sine * sine)
    hour = 2 * jnp.pi * (fraction - 0.5 + equation_of_time + place.longitude)
    # Upward, northward and eastward parts of the direction; an arc cosine would lose half of the digits near the zenith.
    up = place.sine_latitude * sine + place.cosine_latitude * cosine * jnp.cos(hour)
    north = place.cosine_latitude * sine - place.sine_latitude * cosine * jnp.cos(hour)
    degrees = jnp.degrees(jnp.arctan2(up, jnp.hypot(north, cosine * jnp.sin(hour))))
    return degrees + _refraction(degrees) / 3600.0, flux


def _refraction(degrees: jax.Array) -> jax.Array:
    """Arc seconds by which the atmosphere lifts the sun."""
    tangent = jnp.tan(jnp.radians(degrees))
    inverse = 1.0 / jnp.where(tangent == 0.0, 1.0, tangent)
    high = inverse * (58.1 - inverse**2 * (0.07 - 0.000086 * inverse**2))
    low = 1735.0 + degrees * (-518.2 + degrees * (103.4 + degrees * (-12.79 + degrees * 0.711)))
    below = -20.772 * inverse
    return jnp.where(degrees > 85.0, 0.0, jnp.where(degrees > 5.0, high, jnp.where(degrees > -0.575, low, below)))


def sunlight(place: Place, seconds: jax.Array) -> Sunlight:
    """The light at places and times of one shape."""
    elevation, flux = _elevation_and_flux(place, seconds)
    sine = 614.0 * jnp.sin(jnp.radians(elevation))
    root = jnp.sqrt(1229.0 + sine * sine)
    path = jnp.where(sine > 0.0, 1229.0 / (root + jnp.abs(sine)), root - sine)  # both are root - sine
    return Sunlight(elevation, flux, elevation >= HORIZON, path, _lit_panels(elevation))


def _lit_panels(elevation: jax.Array) -> jax.Array:
    """Four panels tilted by 35 degrees hang 3.3 m below the balloon, two tilted by 65 degrees 2.7 m below it."""
    lit = 0.0
    for number, tilt, below in ((4, 35.0, 3.3), (2, 65.0, 2.7)):
        shadow_begins = math.degrees(math.atan2(math.sqrt(below * (10.41603 + below)), 8.69275))
        lit += number * jnp.cos(jnp.radians(elevation - tilt)) * jnp.where(elevation >= shadow_begins, _SHADOW, 1.0)
    return lit


def transmitted(light: Sunlight, pressure: jax.Array) -> jax.Array:
    """The share of the light that reaches a balloon at that pressure (Pa)."""
    air_mass = 0.34764 * (pressure / 101_325.0) * light.air_path
    return jnp.where(light.visible, 0.5 * (jnp.exp(-0.65 * air_mass) + jnp.exp(-0.95 * air_mass)), 0.0)


def power(light: Sunlight, pressure: jax.Array) -> jax.Array:
    """W that the panels make at that pressure (Pa)."""
    return 210.0 * transmitted(light, pressure) * light.panels


def next_sunrise_and_sunset(place: Place, seconds: jax.Array) -> tuple[jax.Array, jax.Array]:
    """When, in int32 seconds, both to the grid of three minutes that begins now.

    As the reference finds them: by halving intervals, with functions that are not quite as symmetric as that asks for. So
    sunset may be one grid point off, there and here alike.
    """
    half_day = DAY_SECONDS // 2

    def elevation(times):
        return _elevation_and_flux(jax.tree.map(lambda part: part[None], place), times)[0]

    now, soon = elevation(jnp.stack([seconds, seconds + 1]))
    afternoon = soon < now
    starts = seconds + half_day * jnp.stack([afternoon, ~afternoon]).astype(jnp.int32)
    signs = jnp.asarray([-1.0, 1.0], now.dtype)
    noon, midnight = _minimise(lambda times: signs * elevation(times), starts, jnp.full(2, half_day // STEP_SECONDS))
    before = jnp.stack([jnp.where(afternoon, 0, DAY_SECONDS), jnp.where(afternoon, DAY_SECONDS, 0)])
    starts = jnp.stack([midnight, noon]) - before
    steps = (jnp.stack([noon, midnight]) - starts) // STEP_SECONDS
    rise, set_ = _minimise(lambda times: jnp.abs(elevation(times) - HORIZON), starts, steps)
    return rise + DAY_SECONDS * (rise < seconds), set_ + DAY_SECONDS * (set_ < seconds)


def _minimise(objective, starts: jax.Array, steps: jax.Array) -> jax.Array:
    """Times of the least `objective(times)` between `starts` and as many grid points later, all int32 `[2]`."""

    def at(index):
        return objective(starts + STEP_SECONDS * index)

    def halve(_, carry):
        low, high, at_low, at_high = carry
        going_on = high > low + 1
        lower_half = at_low < at_high
        middle = jnp.where(lower_half, (low + high + 1) // 2, (low + high) // 2)
        at_middle = at(middle)
        low_moves, high_moves = going_on & ~lower_half, going_on & lower_half
        return (
            jnp.where(low_moves, middle, low),
            jnp.where(high_moves, middle, high),
            jnp.where(low_moves, at_middle, at_low),
            jnp.where(high_moves, at_middle, at_high),
        )

    low = jnp.zeros_like(steps)
    low, high, at_low, at_high = jax.lax.fori_loop(0, 9, halve, (low, steps, at(low), at(steps)))
    return starts + STEP_SECONDS * jnp.where(at_low < at_high, low, high)
