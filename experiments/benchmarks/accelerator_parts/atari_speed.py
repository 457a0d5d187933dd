"""Frames per second of the Atari environment, random actions, as agents play it; and of the console alone, without observations.

A frame is one of the console's, four to an agent step. `ms / step` is the time in which all lanes play four frames. The kernel is a
thread a lane, and lanes of one game part company soon, so that a mixed batch says what that costs. With more threads a lane, of which one
plays, fewer lanes share a warp and wait for each other.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

import purejaxrrl
from accelerator_parts import timing
from purejaxrrl.environments.atari import FUSED_LOOPS
from purejaxrrl.runs import devices

FRAME_SKIP = 4
MIXED = ("asterix", "breakout", "ms_pacman", "seaquest", "space_invaders", "pong")
ONE_GAME, SEVERAL = False, True
CASES = (
    *((ONE_GAME, lanes, True, threads) for lanes in (4_096, 16_384) for threads in (1, 8, 32)),
    (ONE_GAME, 1_024, True, 1),
    (ONE_GAME, 1_024, True, 32),
    (ONE_GAME, 65_536, True, 1),
    (SEVERAL, 16_384, True, 1),
    (SEVERAL, 16_384, True, 8),
    (SEVERAL, 65_536, True, 1),
    (ONE_GAME, 16_384, False, 1),
    (SEVERAL, 16_384, False, 1),
)
"""Several games or one, lanes, whether observations are made, threads a lane; most telling first."""
QUICK_CASES = ((ONE_GAME, 8, True, 1), (ONE_GAME, 8, False, 1))
SECONDS = 3.0
"""How long each case is timed, at least one step."""


def measure(quick: bool, game: str = "breakout", **_: Any) -> Iterator[dict[str, Any]]:
    """A row for each case."""
    devices.restart_with(FUSED_LOOPS)
    boot = functools.cache(functools.partial(_boot, 1 if quick else 8))

    def time_case(games: str, lanes: int, observations: bool, threads: int) -> dict[str, Any]:
        environment, seconds = boot((game,) if games == game else MIXED)
        if environment.console.engine == "kernel":
            from purejaxrrl.environments.atari.kernel import modules

            modules.THREADS_OF_A_LANE = threads
            jax.clear_caches()  # what was traced has the number from before
        return time_lanes(environment, quick, lanes, observations) | {"boot s": seconds}

    cases = [
        {"games": f"{len(MIXED)} games" if several else game, "lanes": lanes, "observations": seen, "threads": threads}
        for several, lanes, seen, threads in (QUICK_CASES if quick else CASES)
    ]
    yield from timing.each(time_case, cases)


def _boot(starts: int, games: tuple[str, ...]) -> tuple[Any, float]:
    """The environment of those games, and the seconds it takes to make it."""
    started = time.perf_counter()
    # Booting is thousands of small steps of one lane, which a CPU is quick at.
    with jax.default_device(jax.devices("cpu")[0]):
        names = [f"atari/{game}" for game in games]
        environment = purejaxrrl.make(names if len(names) > 1 else names[0], num_start_states=starts)
    return environment, time.perf_counter() - started


def time_lanes(environment: Any, quick: bool, lanes: int, observations: bool) -> dict[str, Any]:
    """Frames per second of `lanes` environments, or of their consoles alone."""

    def step(key: jax.Array, state: Any) -> tuple[jax.Array, Any, jax.Array]:
        act_key, step_key, next_key = jax.random.split(key, 3)
        action = jax.random.randint(act_key, (), 0, environment.num_actions)
        observation, state, *_ = environment.step(step_key, state, action)
        return next_key, state, jnp.sum(observation, dtype=jnp.uint32)  # so that the observation is made

    def frames(key: jax.Array, state: Any) -> tuple[jax.Array, Any, jax.Array]:
        next_key, act_key = jax.random.split(key)
        action = jnp.asarray(environment.actions)[jax.random.randint(act_key, (), 0, environment.num_actions)]
        for _ in range(FRAME_SKIP):
            state = environment.console.act(state, action)
        return next_key, state, state.reward

    keys = jax.random.split(jax.random.key(0), lanes)
    params = jax.tree.map(lambda leaf: jnp.resize(leaf, lanes), environment.all_params)
    state = jax.jit(jax.vmap(lambda key, params: environment.reset(key, params)[1]))(keys, params)
    if not observations:
        state = state.console
    program = jax.jit(jax.vmap(step if observations else frames), donate_argnums=1)
    compiled, compile_seconds = timing.compile(program, keys, state)
    keys, state, _ = jax.block_until_ready(compiled(keys, state))
    steps, started = 0, time.perf_counter()
    while not steps or time.perf_counter() - started < (0.0 if quick else SECONDS):
        keys, state, _ = jax.block_until_ready(compiled(keys, state))
        steps += 1
    seconds = time.perf_counter() - started
    return {
        "frames / s": steps * lanes * FRAME_SKIP / seconds,
        "ms / step": 1e3 * seconds / steps,
        "MiB": timing.device_bytes(compiled) / 2**20,
        "compile s": compile_seconds,
    }
