"""How an episode begins: the reference's draws, in its order, from its key of a seed."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrrl.environments.balloon import atmosphere, reference_random, safety, sun, vehicle, wind
from purejaxrrl.environments.balloon.constants import BATTERY_AT_START, DAY_SECONDS, FLYING, STAY
from purejaxrrl.environments.balloon.vehicle import Conditions, Vehicle
from purejaxrrl.environments.balloon.wind import Decoder, Wind

_SECONDS = 4 * 365 * DAY_SECONDS
"""Episodes begin from 2011-01-01 to 2014-12-30."""
_FARTHEST = 200_000.0
_LOWEST_PRESSURE = 6500.0
_LEAST_INFRARED = 225.0
_ITERATIONS = 10


class Start(NamedTuple):
    """What is drawn for an episode, and the balloon in it."""

    vehicle: Vehicle
    conditions: Conditions
    wind: Wind


def draw(seed: jax.Array, decoder: Decoder) -> Start:
    """The reference's episode of that seed (uint32). Reals have the width that JAX is set to; what is drawn is float32."""
    real = jnp.zeros(()).dtype
    arena_key = reference_random.split(reference_random.key_of_seed(seed))[1]
    balloon_key, atmosphere_key, time_key = reference_random.split(arena_key, 3)
    rest_key, *keys = reference_random.split(balloon_key, 6)
    wind_key = reference_random.split(rest_key)[1]
    latitude_key, longitude_key = reference_random.split(keys[2])
    uniform_keys = jnp.stack([atmosphere_key, keys[1], latitude_key, longitude_key, keys[3]])
    shares = jax.vmap(reference_random.uniform)(uniform_keys)[:, 0]

    air = atmosphere.mixed(shares[0].astype(real))
    floor = atmosphere.floor_pressure(air).astype(jnp.float32)
    bounds = [(0.0, 2.0 * math.pi), (-10.0, 10.0), (-175.0, 175.0), (_LOWEST_PRESSURE, floor)]
    scaled = [reference_random.between(share, *bound) for share, bound in zip(shares[1:], bounds, strict=True)]
    theta, latitude, longitude, pressure = (each.astype(real) for each in scaled)
    radius = _FARTHEST * reference_random.beta(keys[0], 1.2, 2.0).astype(real)
    seconds = reference_random.below(time_key, _SECONDS).astype(jnp.int32)
    conditions = Conditions(air, jnp.radians(latitude), jnp.radians(longitude), _infrared(keys[4]).astype(real))
    balloon = _balloon(conditions, jnp.cos(theta) * radius, jnp.sin(theta) * radius, pressure, seconds)
    return Start(balloon, conditions, wind.draw(wind_key, decoder))


def _infrared(key: jax.Array) -> jax.Array:
    """W/m^2: 315 times the logistic function of a normal variable of mean 2 and deviation 315, drawn again below 225.

    So nearly always 315. The deviation looks like a slip, but it is what the teacher was made for.
    """

    def drawn(key):
        return 315.0 * jax.nn.sigmoid(reference_random.normal(key)[0] * 315.0 + 2.0)

    def again(carry):
        key = reference_random.split(carry[0])[0]
        return key, drawn(key)

    return jax.lax.while_loop(lambda carry: carry[1] < _LEAST_INFRARED, again, (key, drawn(key)))[1]


def _balloon(conditions: Conditions, x: jax.Array, y: jax.Array, pressure: jax.Array, seconds: jax.Array) -> Vehicle:
    """The balloon at rest there and then, its battery nearly full."""
    light = vehicle.light_at(conditions, x, y, seconds)
    rest = vehicle.floating(conditions, light, pressure, _ITERATIONS)
    place = sun.place(conditions.latitude, conditions.longitude, x, y)
    zero = jnp.zeros_like(seconds)
    return Vehicle(
        x=x,
        y=y,
        pressure=pressure,
        ambient=rest.ambient,
        internal=rest.internal,
        air=rest.air,
        volume=rest.volume,
        superpressure=rest.superpressure,
        compressor=jnp.zeros_like(pressure),
        battery=jnp.full_like(pressure, BATTERY_AT_START),
        seconds=seconds,
        elapsed=zero,
        last_command=zero + STAY,
        status=zero + FLYING,
        safety=safety.at_start(*sun.next_sunrise_and_sunset(place, seconds)),
    )
