"""Runs spread over devices: several host devices give the numbers of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

# One offline iteration of four runs on fixed data: no environment's episode can end elsewhere for a rounding's sake.
PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
import purejaxrrl, reincarnate
from purejaxrrl import datasets, parallel, reincarnation, replay
from tiny import SHORT_EPISODES, tiny, untrained_teacher

assert len(jax.devices()) == int(sys.argv[2])
environment = purejaxrrl.make("minatar/breakout")
teacher = untrained_teacher(environment)
config = tiny(reincarnate.Config)
memory = replay.memory_for(environment, SHORT_EPISODES, config.data_transitions, 8, config.max_n_step)
dataset = datasets.collect(jax.random.key(3), environment, SHORT_EPISODES, teacher, memory, 0.1)
program = reincarnate.make_train(config, environment, SHORT_EPISODES, teacher, dataset)
keys = jax.vmap(jax.random.key)(jnp.arange(4))
state = parallel.over_runs(program.init, 4, (True,))(keys)
offline = parallel.over_runs(program.offline, 4, (True, True, True, False, False), donate=(0,))
state, metrics = offline(state, keys, reincarnation.stack([config.method] * 4), dataset.ring, jnp.int32(0))
devices = {shard.device for shard in metrics.td_loss.addressable_shards}
assert len(devices) == int(sys.argv[2]), devices
np.savez(sys.argv[1], *jax.tree.leaves(state.learner.params), metrics.td_loss, metrics.distillation_loss)
"""


def results(path: Path, devices: int) -> list[np.ndarray]:
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1] / "experiments")])
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", PROGRAM, str(path), str(devices)], check=True, env=environment)
    with np.load(path) as stored:
        return [stored[name] for name in stored.files]


def test_four_devices_compute_what_one_does(tmp_path):
    one, four = results(tmp_path / "one.npz", 1), results(tmp_path / "four.npz", 4)
    for expected, actual in zip(one, four, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-6)
