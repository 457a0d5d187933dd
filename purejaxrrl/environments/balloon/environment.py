"""Station keeping as an environment: `purejaxrrl.make("balloon")`, the Balloon Learning Environment 1.0.1 in JAX.

A balloon in the stratosphere can only go up and down, and shall stay within 50 km of its station for two days, by finding winds that blow it
there. An agent step is three minutes.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrrl.environments import base, options
from purejaxrrl.environments.balloon import assets, dynamics, features, start, sun, wind, wind_belief, wind_noise
from purejaxrrl.environments.balloon.constants import (
    DOWN,
    FLYING,
    NUM_ACTIONS,
    STATION_RADIUS,
    STAY,
    STEPS_OF_EPISODE,
    UP,
)
from purejaxrrl.environments.balloon.features import Sight
from purejaxrrl.environments.balloon.safety import SUNRISE_HYSTERESIS
from purejaxrrl.environments.balloon.vehicle import Conditions, Vehicle, light_at
from purejaxrrl.environments.balloon.wind import Wind
from purejaxrrl.environments.balloon.wind_belief import WindBelief
from purejaxrrl.environments.batching import over_lanes
from purejaxrrl.errors import UserError

FIRST_TRAINING_SEED = 10_000
"""Seeds below are the evaluation suites', and start no episode but those that `key` asks for."""
_MARK = np.uint32(0xBA1100E5)
_SEEDS = 2**32


def key(seed: int | jax.Array) -> jax.Array:
    """The key with which `reset` starts the reference's episode of that seed, of 0 to 2^32 - 1.

    Raises:
      ValueError: a seed that is known now is out of that range.
    """
    if isinstance(seed, (int, np.integer)) and not 0 <= seed < _SEEDS:
        raise UserError(f"seed is {seed}; it must be from 0 to {_SEEDS - 1}")
    seed = jnp.asarray(seed, jnp.uint32)
    return jax.random.wrap_key_data(jnp.stack([jnp.full_like(seed, _MARK), seed], -1), impl="threefry2x32")


@struct.dataclass
class EnvParams:
    """max_steps_in_episode: agent steps after which an episode is truncated; 960 are 48 hours."""

    max_steps_in_episode: jax.Array | int = STEPS_OF_EPISODE


class Flight(NamedTuple):
    """An episode as it stands. wind_here: the true wind at the balloon, m/s `[2]`. steps: int32, agent steps flown."""

    vehicle: Vehicle
    conditions: Conditions
    wind: Wind
    belief: WindBelief
    wind_here: jax.Array
    steps: jax.Array


class Launch(NamedTuple):
    """The beginning of an episode. column, error: the wind's forecast above and below the balloon, m/s `[10, 2]`, and by how much it errs
    where the balloon is, `[2]`. observation: the first."""

    vehicle: Vehicle
    conditions: Conditions
    wind: Wind
    column: jax.Array
    error: jax.Array
    observation: jax.Array


class BalloonState(NamedTuple):
    """A lane. launch: how its next episode begins, where that is `ready` (bool), and else how one before began. launch_seed: uint32,
    the seed of that next episode."""

    flight: Flight
    launch: Launch
    ready: jax.Array
    launch_seed: jax.Array


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `Balloon` can be told.

    features: the observation, by its name in `features`. wind_belief: how the Gaussian process is computed, "cholesky" or the
    faster "updated_inverse" (`wind_belief.py`). launches_at_once: how many episodes' beginnings are computed together, at most.
    """

    features: str = "perciatelli"
    wind_belief: str = wind_belief.METHODS[0]
    launches_at_once: int = 8

    def __post_init__(self):
        features.named(self.features)
        if self.wind_belief not in wind_belief.METHODS:
            raise UserError(f"wind_belief is {self.wind_belief!r}; it must be one of {', '.join(wind_belief.METHODS)}")
        if self.launches_at_once < 1:
            raise UserError(f"launches_at_once is {self.launches_at_once}; it must be at least 1")


class Balloon:
    """The station-keeping task; observations are float32 `[1099]`, actions down (0), stay (1) and up (2).

    A beginning of an episode costs as much as forty steps, so no step computes one for every lane. Each lane keeps the one with which it
    will go on, so the pool is as large as the batch; when as many as `launches_at_once` lanes have used theirs, or one needs
    another at once, they are computed, together. Seeds are drawn anew for each, so that a beginning repeats by
    chance alone (of 2^32). What a lane does never depends on the others.

    Args:
      **settings: see `Settings`.

    Raises:
      ValueError: a setting is unknown or out of range.
      assets.MissingAssetsError: the reference's data are not there; the message has the command that fetches them.
    """

    settings_type = Settings
    frames_per_step = 1
    name = "balloon"
    num_actions = NUM_ACTIONS

    def __init__(self, name: str = "balloon", **settings: Any):
        self.settings = Settings(**settings)
        self.default_params = EnvParams()
        self._features = features.named(self.settings.features)
        self._decoder = assets.decoder()

    @property
    def options(self) -> dict[str, Any]:
        """The settings other than defaults, as JSON holds them; without those that only say how the same is computed."""
        changed = options.non_default(self.settings)
        return {name: changed[name] for name in changed if name == "features"}

    def observation_space(self, params: EnvParams | None = None) -> Any:
        """Box of float32, `[1099]` unless the features are one's own; the pressure ratio, feature 15, alone is above 1."""
        return base.box(self._features.low, self._features.high, (self._features.size,), jnp.float32)

    def action_space(self, params: EnvParams | None = None) -> Any:
        """Discrete: down, stay, up."""
        return base.discrete(NUM_ACTIONS)

    def reset(self, key: jax.Array, params: EnvParams | None = None) -> tuple[jax.Array, BalloonState]:
        """Starts an episode of a seed of 10,000 or more, or with `balloon.key(seed)` the reference's of that seed; consumes `key`."""
        data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
        this_key, next_key = jax.random.split(key)
        seed = _training_seed(this_key)
        if data.shape[-1] == 2:
            seed = jnp.where(data[0] == _MARK, data[1], seed)
        launch = self._launch(seed)
        state = BalloonState(self._begin(launch), launch, jnp.bool_(False), _training_seed(next_key))
        return launch.observation, state

    @functools.cached_property
    def _launch(self):
        """The beginning of the reference's episode of a seed, uint32; traced once."""
        return jax.jit(self._launch_of_seed)

    def _launch_of_seed(self, seed: jax.Array) -> Launch:
        drawn = start.draw(seed, self._decoder)
        balloon = drawn.vehicle
        measured = _measure(drawn.wind, balloon)
        launch = Launch(*drawn, *measured, jnp.zeros(self._features.size))
        light = light_at(drawn.conditions, balloon.x, balloon.y, balloon.seconds)
        layers = balloon.safety  # which found the next sunrise and sunset here and now
        sun_times = layers.sunrise - SUNRISE_HYSTERESIS, layers.sunset
        observation = self._observe(self._begin(launch), launch.column, light, sun_times)
        return launch._replace(observation=observation)

    def _begin(self, launch: Launch) -> Flight:
        nothing = wind_belief.empty(launch.error.dtype)
        flight = Flight(launch.vehicle, launch.conditions, launch.wind, nothing, launch.error, jnp.int32(0))
        return self._learn(flight, launch.column, launch.error)

    def _learn(self, flight: Flight, column: jax.Array, error: jax.Array) -> Flight:
        """The flight with the wind measured where the balloon is."""
        balloon = flight.vehicle
        location = wind_belief.scaled(balloon.x, balloon.y, balloon.pressure, balloon.elapsed)
        belief = wind_belief.observe(flight.belief, location, error, self.settings.wind_belief)
        return flight._replace(belief=belief, wind_here=wind.at_pressure(column, balloon.pressure) + error)

    def _observe(
        self,
        flight: Flight,
        column: jax.Array,
        light: sun.Sunlight,
        sun_times: tuple[jax.Array, jax.Array] | None = None,
    ) -> jax.Array:
        """The observation, given the forecast's column and the sunlight, and the next sunrise and sunset where they are known."""
        balloon, conditions = flight.vehicle, flight.conditions
        place = sun.place(conditions.latitude, conditions.longitude, balloon.x, balloon.y)
        times = sun.next_sunrise_and_sunset(place, balloon.seconds) if sun_times is None else sun_times
        sight = Sight(balloon, conditions, light, *times, column, flight.belief, self.settings.wind_belief)
        return self._features.compute(sight).astype(jnp.float32)

    def fly(
        self, flight: Flight, action: jax.Array | int, params: EnvParams | None = None
    ) -> tuple[jax.Array, Flight, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """`step` without what follows an episode's end: a flight that has ended is not to be flown on.

        Draws nothing. Returns the observation, the flight, reward, terminated, truncated and `step`'s info but for its
        `final_observation`.
        """
        params = self.default_params if params is None else params
        command = jnp.asarray(action, jnp.int32)
        command = jnp.where((command == DOWN) | (command == UP), command, STAY)
        balloon, light = dynamics.step(flight.vehicle, flight.wind_here, command, flight.conditions)
        column, error = _measure(flight.wind, balloon)
        flight = self._learn(flight._replace(vehicle=balloon, steps=flight.steps + 1), column, error)
        terminated = balloon.status != FLYING
        truncated = ~terminated & (flight.steps >= params.max_steps_in_episode)
        info = {
            "x": balloon.x,
            "y": balloon.y,
            "pressure": balloon.pressure,
            "superpressure": balloon.superpressure,
            "battery": balloon.battery,
            "status": balloon.status,
            "within_radius": _within_radius(balloon),
        }
        return self._observe(flight, column, light), flight, reward(balloon, light), terminated, truncated, info

    def step(
        self, key: jax.Array, state: BalloonState, action: jax.Array | int, params: EnvParams | None = None
    ) -> tuple[jax.Array, BalloonState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """One agent step, with auto-reset (see `base.Environment.step`); consumes `key`.

        action: int32; other values than 0 and 2 are "stay" where traced, ValueError where static and not 1.

        Returns:
          observation, state, reward (float32, 0 to 1), terminated (out of power, burst, or without superpressure), truncated
          (after 48 hours), info: final_observation; and of the balloon after the step, before any reset, x and y (m), pressure and
          superpressure (Pa), battery (Wh), status (int32, as in `constants`), within_radius (bool: at most 50 km from the station).
        """
        known = isinstance(action, (int, np.integer)) and not 0 <= action < NUM_ACTIONS
        if known or not jnp.issubdtype(jnp.result_type(action), jnp.integer):
            raise UserError(f"action {action} is not one of the balloon's; give 0 (down), 1 (stay) or 2 (up)")
        observation, flight, gained, terminated, truncated, info = self.fly(state.flight, action, params)
        info["final_observation"] = observation
        state = self._go_on(terminated | truncated, _training_seed(key), state._replace(flight=flight))
        ended = terminated | truncated
        observation = jnp.where(ended, state.launch.observation, observation)
        return observation, state, gained.astype(jnp.float32), terminated, truncated, info

    @functools.cached_property
    def _go_on(self):
        """(ended, a seed, state) -> the state to go on from: where the episode ended, at the beginning of the next one, the seed being
        that of the one after it."""
        return over_lanes(self._go_on_lanes, as_written=False)  # reals have the width that JAX is set to

    def _go_on_lanes(self, ended: jax.Array, seeds: jax.Array, state: BalloonState) -> BalloonState:
        at_once = min(self.settings.launches_at_once, ended.shape[0])
        stale = ~state.ready
        due = (stale.sum() >= at_once) | jnp.any(stale & ended)
        launch = _for_each(due & stale, at_once, self._launch, state.launch_seed, state.launch)
        flight = _for_each(ended, at_once, self._begin, launch, state.flight)
        return BalloonState(
            flight=flight,
            launch=launch,
            ready=(state.ready | due) & ~ended,
            launch_seed=jnp.where(ended, seeds, state.launch_seed),
        )


def _for_each(chosen: jax.Array, at_once: int, function, arguments: Any, results: Any) -> Any:
    """The results `[lanes, ...]` with `function(argument)` in the chosen lanes, computed for `at_once` lanes at a time."""
    lanes = chosen.shape[0]

    def some(carry):
        waiting, results = carry
        places = jnp.nonzero(waiting, size=at_once, fill_value=lanes)[0]
        those = jax.vmap(function)(jax.tree.map(lambda leaf: leaf[jnp.minimum(places, lanes - 1)], arguments))
        results = jax.tree.map(lambda leaf, new: leaf.at[places].set(new, mode="drop"), results, those)
        return waiting.at[places].set(False, mode="drop"), results

    return jax.lax.while_loop(lambda carry: carry[0].any(), some, (chosen, results))[1]


def _measure(wind_now: Wind, balloon: Vehicle) -> tuple[jax.Array, jax.Array]:
    """The forecast's column, m/s `[10, 2]`, and its error, `[2]`, where the balloon is."""
    column = wind.forecast_column(wind_now, balloon.x, balloon.y, balloon.elapsed)
    return column, wind_noise.at(wind_now.noise, balloon.x, balloon.y, balloon.pressure, balloon.elapsed)


def _training_seed(key: jax.Array) -> jax.Array:
    """uint32 of 10,000 or more; consumes `key`."""
    return FIRST_TRAINING_SEED + jax.random.bits(key, dtype=jnp.uint32) % np.uint32(_SEEDS - FIRST_TRAINING_SEED)


def _within_radius(balloon: Vehicle) -> jax.Array:
    return jnp.hypot(balloon.x, balloon.y) <= STATION_RADIUS


def reward(balloon: Vehicle, light: sun.Sunlight) -> jax.Array:
    """Perciatelli44's: 1 within 50 km of the station, 0.4 outside of it, halved every 100 km; less for pumping without excess
    energy, by 5 to 35% with the compressor's power."""
    beyond = (jnp.hypot(balloon.x, balloon.y) - STATION_RADIUS) / 1000.0
    near = jnp.where(_within_radius(balloon), 1.0, 0.4 * jnp.exp(-0.69314718056 / 100.0 * beyond))
    pumping = 0.95 - 0.3 * jnp.clip((balloon.compressor - 100.0) / 200.0, 0.0, 1.0)
    costs = (balloon.last_command == DOWN) & ~features.excess_energy(balloon, light)
    return jnp.where(costs, near * pumping, near)
