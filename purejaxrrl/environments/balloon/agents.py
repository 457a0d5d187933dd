"""Controllers of the balloon: StationSeeker, a random walk in altitude, and one that stays; and any Q-function as one.

An agent is two pure functions of one balloon, `begin(key) -> memory` and `act(key, memory, observation) -> (action, memory)`, to `vmap`.
All see Perciatelli features, float32 `[1099]`; actions are int32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrrl.environments.balloon import features, wind
from purejaxrrl.environments.balloon.constants import DOWN, NUM_ACTIONS, STAY, STEP_SECONDS, UP


class Agent(NamedTuple):
    """begin: of an episode, consumes its key. act: one step's action, consumes its key."""

    begin: Callable[[jax.Array], Any]
    act: Callable[[jax.Array, Any, jax.Array], tuple[jax.Array, Any]]


def _without_memory(act: Callable[[jax.Array, jax.Array], jax.Array]) -> Agent:
    """Of a function (key, observation) -> action."""
    return Agent(lambda key: (), lambda key, memory, observation: (act(key, observation), memory))


def greedy(q_values: Callable[[jax.Array], jax.Array]) -> Agent:
    """The action of the highest value in `q_values(observations [B, ...])`, float `[B, 3]`."""
    return _without_memory(lambda key, observation: q_values(observation[None])[0].argmax().astype(jnp.int32))


def stay() -> Agent:
    """Never moves by itself."""
    return _without_memory(lambda key, observation: jnp.int32(STAY))


def uniform() -> Agent:
    """An action drawn anew at every step, which comes to staying about where it is."""
    return _without_memory(lambda key, observation: jax.random.randint(key, (), 0, NUM_ACTIONS))


class _Walk(NamedTuple):
    target: jax.Array
    elapsed: jax.Array


def random_walk() -> Agent:
    """Flies to a target pressure that walks at random (the exploration of Bellemare et al., 2020).

    The target's change has a deviation of 0.1666 Pa for each second since the *episode's* beginning, as in the reference.
    """
    lowest, highest, deviation, hysteresis = 6500.0, 11_400.0, 0.1666, 100.0

    def begin(key):
        return _Walk(jax.random.uniform(key, minval=lowest, maxval=highest), jnp.float32(-STEP_SECONDS))

    def act(key, walk, observation):
        elapsed = walk.elapsed + STEP_SECONDS
        target = walk.target + elapsed * deviation * jax.random.normal(key)
        pressure = wind.LOWEST + observation[0] * (wind.HIGHEST - wind.LOWEST)
        climbs, falls = pressure - hysteresis > target, pressure + hysteresis < target
        return jnp.where(climbs, UP, jnp.where(falls, DOWN, STAY)).astype(jnp.int32), _Walk(target, elapsed)

    return Agent(begin, act)


def station_seeker() -> Agent:
    """Flies to the level whose wind scores best: one that blows to the station when far from it, a slow one when near
    (Bellemare et al., 2020, with their parameters)."""
    half_radius, magnitude_weight = 35.0, 0.07
    close, far, close_weight, far_weight = 250.0, 500.0, 0.6, 0.45
    unknown, k2, k3, epsilon = 0.5, 0.05, 0.001, 0.01

    def act(key, observation):
        del key
        winds = observation[features.AMBIENT :].reshape(-1, 3)
        uncertainty, bearing, magnitude = winds.T
        reachable = ~((magnitude == 1.0) & (bearing == 1.0) & (uncertainty == 0.0))
        distance = observation[7] * 250.0 / (1.0 - observation[7])
        speed = magnitude * 30.0 / (1.0 - jnp.where(reachable, magnitude, 0.0))
        weight = close_weight + jnp.clip((distance - close) / (far - close), 0.0, 1.0) * (far_weight - close_weight)
        near = jnp.exp(-distance / half_radius)
        wind_score = (1.0 - near) * jnp.exp(-weight * bearing * jnp.pi) + near * jnp.exp(-magnitude_weight * speed)
        middle = features.LEVELS - 1
        away = jnp.abs(jnp.arange(winds.shape[0]) - middle)
        score = (1.0 - uncertainty + epsilon) * wind_score + uncertainty * unknown + k2 * jnp.exp(-k3 * away)
        best = jnp.where(reachable, score, 0.0).argmax()
        return jnp.where(best < middle, UP, jnp.where(best > middle, DOWN, STAY)).astype(jnp.int32)

    return _without_memory(act)


BY_NAME: dict[str, Callable[[], Agent]] = {
    "station_seeker": station_seeker,
    "random_walk": random_walk,
    "random": uniform,
    "stay": stay,
}
"""Those that need nothing but the observation."""
