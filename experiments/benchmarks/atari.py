"""Frames per second of the Atari environment, beside ale-py's vector environment on the same cores in the same run.

    python experiments/benchmarks/atari.py --game breakout --lanes 1 16 256 1024

Both play random actions with a frame skip of 4 and make observations [84, 84, 4]. A frame is one of the console's, four to
an agent step.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from ale_py.vector_env import AtariVectorEnv

from purejaxrrl.environments.atari.environment import Atari

FRAME_SKIP = 4


def time_ours(environment: Atari, lanes: int, seconds: float) -> tuple[float, float]:
    """Frames per second of `lanes` environments in lockstep, and seconds to compile a step."""

    @jax.jit
    def step(key, state):
        act_key, step_key = jax.random.split(key)
        actions = jax.random.randint(act_key, (lanes,), 0, environment.num_actions)
        observation, state, *_ = jax.vmap(environment.step)(jax.random.split(step_key, lanes), state, actions)
        return jnp.sum(observation, dtype=jnp.uint32), state

    state = jax.jit(jax.vmap(environment.reset))(jax.random.split(jax.random.key(0), lanes))[1]
    started = time.perf_counter()
    compiled = step.lower(jax.random.key(1), state).compile()
    compile_time = time.perf_counter() - started
    jax.block_until_ready(compiled(jax.random.key(1), state))
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        total, state = compiled(jax.random.key(steps), state)
        jax.block_until_ready(total)
        steps += 1
    return steps * lanes * FRAME_SKIP / (time.perf_counter() - started), compile_time


def time_ale(game: str, lanes: int, seconds: float) -> float:
    """Frames per second of ale-py's vector environment, with as many threads as it chooses."""
    vector = AtariVectorEnv(game, lanes)
    vector.reset(seed=0)
    rng = np.random.default_rng(0)
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        vector.step(rng.integers(vector.single_action_space.n, size=lanes))
        steps += 1
    return steps * lanes * FRAME_SKIP / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--game", default="breakout", help="name as in ale_py.roms")
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 16, 64, 256, 1024, 4096])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each is timed")
    options = parser.parse_args()
    environment = Atari(options.game)
    print(f"{options.game} on {jax.devices()[0].device_kind}")
    print(f"{'lanes':>6} {'frames/s':>10} {'ale-py':>10} {'ratio':>6} {'compile s':>9}")
    for lanes in options.lanes:
        ours, compile_time = time_ours(environment, lanes, options.seconds)
        theirs = time_ale(options.game, lanes, options.seconds)
        print(f"{lanes:6d} {ours:10.0f} {theirs:10.0f} {ours / theirs:6.3f} {compile_time:9.1f}", flush=True)


if __name__ == "__main__":
    main()
