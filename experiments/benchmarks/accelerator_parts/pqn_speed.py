"""PQN as `pqn.py` trains it: seconds of an iteration, and frames per second with everything in them, on Atari and MinAtar."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pqn

import purejaxrrl
from accelerator_parts import timing
from purejaxrrl import environments
from purejaxrrl.environments.atari import FUSED_LOOPS
from purejaxrrl.runs import devices

MINATAR = {"network": "minatar_cnn", "epsilon_end": 0.05}
CASES = (("atari/breakout", 128), ("atari/breakout", 1024), ("minatar/breakout", 128), ("minatar/breakout", 4096))
"""Environments and how many lanes of each, the published number first."""


def time_iteration(environment: str, lanes: int, rollout_steps: int, minibatches: int, rollouts: int) -> dict[str, Any]:
    """Of the second iteration of a fresh run: in the first, exploration is random and the console's episodes are short."""
    settings = pqn.PQN(
        num_environments=lanes, rollout_steps=rollout_steps, minibatches=minibatches,
        iteration_steps=rollouts * lanes * rollout_steps, **(MINATAR if environment.startswith("minatar/") else {}),
    )  # fmt: skip
    # Booting is thousands of small steps of one lane, which a CPU is quick at.
    with jax.default_device(jax.devices("cpu")[0]):
        made = purejaxrrl.make(environment)
    program = pqn.make_program(settings, made, 10**9)
    key = jax.random.key(0)
    state = jax.jit(functools.partial(pqn.init, program))(key, settings)
    step = jax.jit(functools.partial(pqn.iteration, program), donate_argnums=0)
    compiled, compile_seconds = timing.compile(step, state, key, settings, jnp.int32(0))
    (state, _), _ = timing.call(compiled, state, key, settings, jnp.int32(0))
    (_, metrics), seconds = timing.call(compiled, state, key, settings, jnp.int32(1))
    return {
        "s / iteration": seconds,
        "frames / s": settings.iteration_steps * environments.frames_per_step(made) / seconds,
        "updates / s": settings.updates_per_iteration / seconds,
        "MiB": timing.device_bytes(compiled) / 2**20,
        "compile s": compile_seconds,
        "td loss": float(metrics["td_loss"]),
    }


def measure(quick: bool, **_: Any) -> Iterator[dict[str, Any]]:
    """A row for each environment and number of lanes."""
    devices.restart_with(FUSED_LOOPS)
    shape = {"rollout_steps": 2, "minibatches": 2, "rollouts": 1} if quick else {
        "rollout_steps": 32, "minibatches": 32, "rollouts": 2,
    }  # fmt: skip
    cases = [("minatar/breakout", 4)] if quick else CASES
    for environment, lanes in cases:
        case = {"environment": environment, "lanes": lanes}
        yield from timing.each(lambda **case: time_iteration(**case, **shape), [case])
