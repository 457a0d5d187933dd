import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl.runs import devices

FOUR_DEVICES = """
import json
import jax, jax.numpy as jnp, numpy as np
from purejaxrrl import networks, replay
from purejaxrrl.runs import devices
from purejaxrrl.students import losses, student
from purejaxrrl.students.settings import DQN

memory = replay.ReplayMemory(64, 4, replay.codec_for((3, 3, 2), jnp.bool_), 3, teacher_outputs=3)
learns = student.value_student(networks.describe("mlp", 3, (3, 3, 2), widths=(16,)))
settings = DQN(adam_eps=1e-8)
generator = np.random.default_rng(0)
lead = (16, 4)
ring = replay.Step(
    observation=memory.codec.encode(generator.random((*lead, 3, 3, 2)) < 0.5), action=generator.integers(0, 3, lead),
    reward=generator.normal(size=lead).astype(np.float32), terminated=generator.random(lead) < 0.1,
    truncated=generator.random(lead) < 0.1, is_transition=generator.random(lead) < 0.9, is_first=np.zeros(lead, bool),
    teacher_output=generator.normal(size=(*lead, 3)).astype(np.float32),
)

def iteration(agent, key, ring, index):
    def update(agent, step):
        draw = replay.Uniform().draw(jax.random.fold_in(key, step), memory, None, 16, (8,))
        batch = memory.gather(ring, draw.row, draw.environment, 3, 0.9)
        def loss(params):
            online = learns.apply(params, batch.observation, None)
            target = learns.apply(agent.target_params, batch.bootstrap_observation, None)
            td, _ = learns.td_loss(online, None, target, batch, settings)
            imitation = losses.distillation(jax.nn.log_softmax(batch.teacher_output), online.q_values, 1.0)
            value = losses.batch_mean(td + imitation, batch)
            return value, value
        return student.descend(agent, learns, loss, 1e-2, settings)
    return jax.lax.scan(update, agent, jnp.arange(10) + index)

def run(runs, function):
    keys = jax.random.split(jax.random.key(0), runs)
    agents = jax.jit(jax.vmap(lambda key: student.init_learner(key, learns, settings)))(keys)
    return function(agents, keys, ring, jnp.int32(3))

one_device = jax.jit(jax.vmap(iteration, in_axes=(0, 0, None, None)))

def report(runs):
    one = run(runs, one_device)
    many = run(runs, devices.over_runs(iteration, runs, (True, True, False, False)))
    leaves = list(zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True))
    fresh = run(runs, lambda agents, *_: agents)
    return {
        "devices": sorted({len(leaf.sharding.device_set) for _, leaf in leaves}),
        "shares": sorted({shard.data.shape[0] for _, leaf in leaves for shard in leaf.addressable_shards}),
        "same_shapes": all(a.shape == b.shape and a.dtype == b.dtype for a, b in leaves),
        "apart": max(float(jnp.abs(a - jax.device_put(np.asarray(b))).max()) for a, b in leaves),
        "learned": float(jnp.abs(one[0].params["Dense_0"]["kernel"] - fresh.params["Dense_0"]["kernel"]).max()),
        "distinct": len(np.unique(np.asarray(many[1])[:, -1])),
    }

donated = jnp.arange(8.0)
donating = devices.over_runs(lambda value: value + 1, 8, (True,), donate=(0,))
donated = jax.device_put(donated, donating(jnp.arange(8.0)).sharding)
donating(donated)
shared = jnp.arange(12, dtype=jnp.uint8).reshape(3, 4)
everywhere = devices.copied(shared, devices.devices_for(8))
adding = devices.over_runs(lambda value, shared: value + shared.sum(), 8, (True, False))
counts = devices.over_runs(lambda value: value + 1, 8, (True,))
counted = counts(counts(devices.spread(np.arange(8.0, dtype=np.float32), 8)))
print(json.dumps({
    "programs": counts._cache_size(),
    "counted": counted.tolist(),
    "devices_for": {runs: len(devices.devices_for(runs)) for runs in range(1, 13)},
    "equal_shares": [devices.equal_shares(runs) for runs in (1, 3, 4, 6)],
    "donated": donated.is_deleted(),
    "places": len({shard.data.unsafe_buffer_pointer() for shard in everywhere.addressable_shards}),
    "shards": len(everywhere.addressable_shards),
    "added": [adding(jnp.zeros(8, int), value).tolist() for value in (shared, everywhere)],
    "report": report(8),
    "three": len(devices.over_runs(lambda x: -x, 6, (True,))(jnp.arange(6.0)).sharding.device_set),
}))
"""


@pytest.fixture(scope="module")
def four_devices():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    finished = subprocess.run([sys.executable, "-c", FOUR_DEVICES], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_as_many_devices_as_share_the_runs_equally(four_devices):
    expected = {1: 1, 2: 2, 3: 3, 4: 4, 5: 1, 6: 3, 7: 1, 8: 4, 9: 3, 10: 2, 11: 1, 12: 4}
    assert {int(runs): count for runs, count in four_devices["devices_for"].items()} == expected


def test_runs_are_filled_up_to_equal_shares(four_devices):
    assert four_devices["equal_shares"] == [[0], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 5, 5]]


def test_runs_on_many_devices_learn_what_they_learn_on_one(four_devices):
    report = four_devices["report"]
    assert report["devices"] == [4] and report["shares"] == [2] and report["same_shapes"]
    assert report["distinct"] == 8
    assert report["learned"] > 0.05
    assert report["apart"] < 1e-5


def test_runs_that_do_not_divide_by_all_devices_use_fewer(four_devices):
    assert four_devices["three"] == 3


def test_what_was_restored_needs_no_program_of_its_own(four_devices):
    assert four_devices["programs"] == 1
    assert four_devices["counted"] == [number + 2 for number in range(8)]


def test_donated_runs_give_their_buffers_on_many_devices(four_devices):
    assert four_devices["donated"]


def test_what_runs_share_is_on_all_cpu_devices_but_once_in_memory(four_devices):
    assert four_devices["shards"] == 4 and four_devices["places"] == 1
    assert four_devices["added"] == [[66] * 8] * 2


def test_runs_on_the_devices_here_are_a_vmap():
    doubled = devices.over_runs(lambda value, shift: 2 * value + shift, 5, (True, False))(jnp.arange(5.0), 1.0)
    assert doubled.tolist() == [1.0, 3.0, 5.0, 7.0, 9.0]


def test_a_donated_argument_is_used_up():
    value = jnp.arange(float(3 * len(jax.local_devices())))
    increment = devices.over_runs(lambda value: value + 1, value.size, (True,), donate=(0,))
    kept = increment(jnp.copy(value))
    value = jax.device_put(value, kept.sharding)
    increment(value)
    assert value.is_deleted()


@pytest.mark.parametrize(
    ("runs", "abreast"), [(1, 1), (8, 8), (10, 10), (11, 11), (12, 6), (16, 8), (22, 22), (24, 8), (50, 10), (53, 53)]
)
def test_a_cores_runs_are_divided_into_equal_groups(runs, abreast):
    assert devices.abreast(runs) == abreast


def _advance(state, key, shift):
    drawn = shift + jax.random.normal(key)
    ring = state["ring"].at[state["count"]].set(drawn)
    return {"ring": ring, "count": state["count"] + 1, "key": key}, {"drawn": drawn, "greatest": ring.max()}


def test_groups_in_turn_are_a_vmap_and_the_state_is_there_once():
    cores, each_has, capacity = len(jax.local_devices()), 40, 10_000
    runs = each_has * cores
    keys = jax.random.split(jax.random.key(0), runs)

    def state():
        rings = jnp.arange(float(runs * capacity)).reshape(runs, capacity) / runs
        return {"ring": rings, "count": jnp.arange(runs), "key": jax.random.split(jax.random.key(1), runs)}

    advance = devices.over_runs(_advance, runs, (True, True, False), donate=(0,), in_turn=True)
    memory = advance.lower(devices.spread(state(), runs), keys, 0.5).compile().memory_analysis()
    rings_of_a_core = each_has * capacity * 4
    assert memory.alias_size_in_bytes >= rings_of_a_core
    assert 0.2 < memory.temp_size_in_bytes / rings_of_a_core < 0.3, "those of a group of ten"
    found = advance(devices.spread(state(), runs), keys, 0.5)
    expected = jax.jit(jax.vmap(_advance, (0, 0, None)))(state(), keys, 0.5)
    for tree in (found, expected):
        tree[0]["key"] = jax.random.key_data(tree[0]["key"])
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("num_runs", [0, -3])
def test_no_runs_are_refused(num_runs):
    with pytest.raises(ValueError, match=f"{num_runs} runs; take at least 1"):
        devices.over_runs(lambda value: value, num_runs, (True,))


@pytest.mark.parametrize(
    "said", [{"JAX_NUM_CPU_DEVICES": "3"}, {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}]
)
def test_a_number_of_cpu_devices_that_was_given_stays(said):
    code = "import jax; from purejaxrrl.runs import devices; devices.use_cores(); print(jax.local_device_count())"
    kept = {name: value for name, value in os.environ.items() if name not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | said | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["3"]


def test_a_program_is_started_anew_once_with_xla_flags(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "from purejaxrrl.runs import devices\n"
        "print('started', flush=True)\n"
        "devices.restart_with('--xla_cpu_enable_fast_math=false')\n"
        "print(os.environ['XLA_FLAGS'], *sys.argv[1:])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, script, "--seed", "3"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["started", "started", "--xla_cpu_enable_fast_math=false --seed 3"]
