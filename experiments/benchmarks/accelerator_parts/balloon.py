"""The balloon: are its flights what they are on a CPU, and how many agent steps a second does it fly, teacher and resets included?

It needs the reference's data in the cache (`python -m purejaxrrl.environments.balloon.fetch`); where they are not, that is its only row.
On a machine without a network, copy that folder there and name the one above it in PUREJAXRRL_CACHE.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import purejaxrrl
from accelerator_parts import expectations, timing
from purejaxrrl.environments import balloon
from purejaxrrl.environments.balloon import assets, wind_belief

SEEDS, STEPS = 4, 40
"""Of the flights that are compared: the reference's episodes 0 to 3, with random actions held for ten steps."""
METRES, PASCALS = 20.0, 1.0
"""By how much a flight may differ after them: a step in float32 differs by 5e-3 Pa."""
LANES, QUICK_LANES = (4096, 1024, 256), (8,)
SECONDS = 4.0


def record() -> dict[str, Any]:
    """Where the balloons are on a CPU after each step: x, y (m) and pressure (Pa)."""
    places, _ = _flights()
    return {"places": np.round(places, 2).tolist()}


def measure(quick: bool, **_: Any) -> Iterator[dict[str, Any]]:
    """A row for the comparison and one for each method and number of lanes."""
    if not assets.available():
        yield {"error": f"the balloon's data are missing; fetch them with: {assets.COMMAND}"}
        return
    expected = np.asarray(expectations.load("balloon")["places"])
    found, seconds = _flights()
    apart = np.abs(found - expected)
    metres, pascals = float(apart[..., :2].max()), float(apart[..., 2].max())
    agrees = metres < METRES and pascals < PASCALS
    yield {"case": "as on a CPU", "lanes": SEEDS, "agrees": agrees, "m": metres, "Pa": pascals, "compile s": seconds}
    teacher = purejaxrrl.load_teacher(purejaxrrl.shipped_teacher("balloon"))
    methods = wind_belief.METHODS[:1] if quick else wind_belief.METHODS
    cases = [{"case": method, "lanes": lanes} for method in methods for lanes in (QUICK_LANES if quick else LANES)]
    yield from timing.each(lambda case, lanes: _speed(teacher, case, lanes, quick), cases)


def _flights() -> tuple[np.ndarray, float]:
    """x, y and pressure, `[SEEDS, STEPS, 3]`, and the seconds of compiling."""
    environment = purejaxrrl.make("balloon")
    actions = np.repeat(np.random.default_rng(0).integers(3, size=(SEEDS, STEPS // 10)), 10, axis=1)

    def fly(seed: jax.Array, actions: jax.Array) -> jax.Array:
        def step(flight, action):
            _, flight, _, _, _, info = environment.fly(flight, action)
            return flight, jnp.stack([info["x"], info["y"], info["pressure"]])

        return jax.lax.scan(step, environment.reset(balloon.key(seed))[1].flight, actions)[1]

    seeds = jnp.arange(SEEDS, dtype=jnp.uint32)
    compiled, seconds = timing.compile(jax.jit(jax.vmap(fly)), seeds, jnp.asarray(actions))
    return np.asarray(compiled(seeds, jnp.asarray(actions)), np.float64), seconds


def _speed(teacher: Any, method: str, lanes: int, quick: bool) -> dict[str, Any]:
    """Agent steps per second of `lanes` balloons that the teacher flies, their episodes at all stages."""
    environment = purejaxrrl.make("balloon", wind_belief=method)
    steps = 2 if quick else 20

    def step(carry, key):
        observation, state = carry
        action = teacher.apply(teacher.params, observation).argmax(-1)
        observation, state, *_ = jax.vmap(environment.step)(jax.random.split(key, lanes), state, action)
        return (observation, state), None

    def run(carry, key):
        return jax.lax.scan(step, carry, jax.random.split(key, steps))[0]

    observation, state = jax.jit(jax.vmap(environment.reset))(jax.random.split(jax.random.key(0), lanes))
    stages = jnp.arange(lanes, dtype=jnp.int32) * 960 // lanes
    carry = observation, state._replace(flight=state.flight._replace(steps=stages))
    compiled, compile_seconds = timing.compile(jax.jit(run, donate_argnums=0), carry, jax.random.key(1))
    carry = jax.block_until_ready(compiled(carry, jax.random.key(1)))
    calls, started = 0, time.perf_counter()
    while not calls or time.perf_counter() - started < (0.0 if quick else SECONDS):
        carry = jax.block_until_ready(compiled(carry, jax.random.key(calls)))
        calls += 1
    seconds = time.perf_counter() - started
    return {
        "steps / s": calls * steps * lanes / seconds,
        "ms / step": 1e3 * seconds / calls / steps,
        "MiB": timing.device_bytes(compiled) / 2**20,
        "compile s": compile_seconds,
    }
