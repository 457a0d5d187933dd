"""QDagger's update of the Nature CNN as `nature_cnn.py` measures it: the library's, `nn.Conv`'s and the released code's form.

On a CPU the library's is the quickest by far. Where it is not on this device, that row says so, for the library takes it everywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import nature_cnn
import numpy as np

from accelerator_parts import timing
from purejaxrrl import networks

UPDATES, BATCH = 100, 32
CASES = (("SAME", 1), ("SAME", 4), ("VALID", 1), ("SAME", 32))
"""Padding and vmapped seeds, most telling first."""


def time_form(padding: str, seeds: int, form: str, batch: int, updates: int) -> dict[str, Any]:
    """Microseconds of an update of all seeds, inside one compiled loop."""
    network = networks.describe("nature_cnn", nature_cnn.ACTIONS, (84, 84, 4), padding=padding)
    params = jax.jit(jax.vmap(network.init))(jax.random.split(jax.random.key(0), seeds + 1))
    teacher, params = jax.tree.map(lambda leaf: leaf[-1], params), jax.tree.map(lambda leaf: leaf[:-1], params)
    data = jax.device_put(nature_cnn.random_batches(np.random.default_rng(0), seeds, batch))
    run = nature_cnn.make_run(form, padding, updates, teacher)
    if seeds == 1:
        params, data = (jax.tree.map(lambda leaf: leaf[0], tree) for tree in (params, data))
    compiled, compile_seconds = timing.compile(jax.jit(run if seeds == 1 else jax.vmap(run)), params, data)
    timing.call(compiled, params, data)
    losses, seconds = timing.call(compiled, params, data)
    return {
        "us / update": 1e6 * seconds / updates,
        "updates / s": seeds * updates / seconds,
        "MiB": timing.device_bytes(compiled) / 2**20,
        "compile s": compile_seconds,
        "last loss": float(np.mean(losses)),
    }


def measure(quick: bool, **_: Any) -> Iterator[dict[str, Any]]:
    """A row for each form, padding and number of seeds."""
    batch, updates = (2, 1) if quick else (BATCH, UPDATES)
    for (padding, seeds), form in itertools.product([("VALID", 2)] if quick else CASES, nature_cnn.FORMS):
        case = {"padding": padding, "seeds": seeds, "form": form}
        yield from timing.each(lambda **case: time_form(**case, batch=batch, updates=updates), [case])
