"""Frames per second of the Atari environment, beside ale-py's vector environment on the same cores in the same run.

    python experiments/benchmarks/atari.py --game breakout --lanes 1 16 256 1024

Both play random actions with a frame skip of 4 and make observations [84, 84, 4]. A frame is one of the console's, four to
an agent step. On a CPU every core is a device with a share of the lanes, and loops are fused (`atari.FUSED_LOOPS`); with
--plain neither. ale-py takes as many threads as there are cores.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from ale_py.vector_env import AtariVectorEnv

from purejaxrrl import parallel
from purejaxrrl.environments.atari import FUSED_LOOPS, Atari

FRAME_SKIP = 4


def time_ours(environment: Atari, lanes: int, seconds: float) -> tuple[float, float]:
    """Frames per second of `lanes` environments, and seconds to compile a step."""

    def step(key, state):
        act_key, step_key, next_key = jax.random.split(key, 3)
        action = jax.random.randint(act_key, (), 0, environment.num_actions)
        observation, state, *_ = environment.step(step_key, state, action)
        return next_key, state, jnp.sum(observation, dtype=jnp.uint32)

    keys = jax.random.split(jax.random.key(0), lanes)
    state = parallel.over_runs(environment.reset, lanes, (True,))(keys)[1]
    started = time.perf_counter()
    compiled = parallel.over_runs(step, lanes, (True, True), donate=(1,)).lower(keys, state).compile()
    compile_time = time.perf_counter() - started
    keys, state, _ = jax.block_until_ready(compiled(keys, state))
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        keys, state, total = compiled(keys, state)
        jax.block_until_ready(total)
        steps += 1
    return steps * lanes * FRAME_SKIP / (time.perf_counter() - started), compile_time


def time_ale(game: str, lanes: int, seconds: float) -> float:
    """Frames per second of ale-py's vector environment."""
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
    parser.add_argument("--plain", action="store_true", help="one device, XLA's own settings")
    options = parser.parse_args()
    if not options.plain:
        parallel.restart_with(FUSED_LOOPS)
        parallel.use_cores()
    started = time.perf_counter()
    environment = Atari(options.game)
    made = time.perf_counter() - started
    print(f"{options.game} on {jax.device_count()} x {jax.devices()[0].device_kind}; made in {made:.0f} s")
    print(f"{'lanes':>6} {'frames/s':>10} {'ale-py':>10} {'ratio':>6} {'compile s':>9}")
    for lanes in options.lanes:
        ours, compile_time = time_ours(environment, lanes, options.seconds)
        theirs = time_ale(options.game, lanes, options.seconds)
        print(f"{lanes:6d} {ours:10.0f} {theirs:10.0f} {ours / theirs:6.3f} {compile_time:9.1f}", flush=True)


if __name__ == "__main__":
    main()
