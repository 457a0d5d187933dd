"""A saved ring on the devices that train its runs: the same as in numpy arrays, and never there twice."""

import json
import os
import subprocess
import sys
import tracemalloc

import jax
import numpy as np
import pytest
import small_run

from purejaxrrl.runs import device_ring, ring_segments
from purejaxrrl.runs.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("no_git")
LAST = len(small_run.WRITTEN) - 1

SEVERAL_DEVICES = """
import json, sys
import jax, numpy as np
import small_run
from purejaxrrl.runs import devices
from purejaxrrl.runs.run_folder import RunFolder
from purejaxrrl.teachers import datasets

small_run.write(sys.argv[1], 3)
with RunFolder(sys.argv[1], small_run.IDENTITY, resume=True) as folder:
    ring = folder.restore(small_run.STATE, small_run.RING, [0, 1, 1, 1]).ring["reward"]
rows = datasets._rows(ring, jax.numpy.array([2, 0]), 2)
advance = devices.over_runs(lambda reward: reward + 1, 4, (True,), donate=(0,))
advanced = advance(advance(ring))
print(json.dumps({
    "shares": [shard.data.shape[0] for shard in advanced.addressable_shards],
    "programs": advance._cache_size(),
    "donated": ring.is_deleted(),
    "values": np.asarray(advanced).tolist(),
    "rows": rows.tolist(),
    "devices_of_rows": len(rows.devices()),
}))
"""


def on_devices(path, places):
    """The ring, and which checkpoint it is of."""
    with RunFolder(path, small_run.IDENTITY, resume=True) as folder:
        restored = folder.restore(small_run.STATE, small_run.RING, places)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(restored.ring))
    return restored.ring, restored.iterations


def expected(number, places):
    return jax.tree.map(lambda leaf: leaf[np.asarray(places)], small_run.ring(number))


@pytest.mark.parametrize("places", [[0, 1], [0, 1, 1]])
@pytest.mark.parametrize("block_bytes", [1, 40, 1 << 20])
@pytest.mark.parametrize("number", [1, 3, LAST])
def test_it_is_as_it_was_saved(number, block_bytes, places, tmp_path, monkeypatch):
    monkeypatch.setattr(ring_segments, "_BLOCK_BYTES", block_bytes)
    small_run.write(tmp_path / "run", number)
    ring, restored = on_devices(tmp_path / "run", places)
    assert restored == number
    small_run.assert_same(jax.device_get(ring), expected(number, places))


def test_nothing_of_a_damaged_checkpoint_is_in_the_one_before(tmp_path):
    small_run.write(tmp_path / "run", 2)
    (newest,) = (tmp_path / "run" / "checkpoints" / "ring").glob("4-9-*")
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1  # all leaves before it are whole, and are written
    newest.write_bytes(content)
    ring, restored = on_devices(tmp_path / "run", [0, 1])
    assert restored == 1
    small_run.assert_same(jax.device_get(ring), expected(1, [0, 1]))


def test_it_is_on_the_host_block_by_block_only(tmp_path, monkeypatch):
    monkeypatch.setattr(ring_segments, "_BLOCK_BYTES", 1 << 16)
    ring = {"observation": np.random.default_rng(0).integers(0, 255, (2, 500, 4, 1000), np.uint8)}
    like = {}, small_run.shapes(ring)
    with RunFolder(tmp_path / "run", {}, resume=False) as folder:
        folder.checkpoint(1, {}, ring, 700)
        folder.restore(*like)  # and the programs are compiled
        tracemalloc.start()
        restored = folder.restore(*like)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    np.testing.assert_array_equal(restored.ring["observation"], ring["observation"])
    assert peak < ring["observation"].nbytes / 4


def test_a_block_is_written_in_place():
    whole, block = (jax.ShapeDtypeStruct((2, rows, 3, 84), np.uint8) for rows in (1000, 10))
    analysis = device_ring._written.lower(whole, block, 5).compile().memory_analysis()
    assert analysis.alias_size_in_bytes == 2 * 1000 * 3 * 84
    assert analysis.temp_size_in_bytes < 1000


def test_several_devices_have_their_runs_rows(tmp_path):
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", SEVERAL_DEVICES, str(tmp_path / "run")]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert found["shares"] == [1, 1, 1, 1]
    assert found["programs"] == 1 and found["donated"]
    np.testing.assert_array_equal(found["values"], expected(3, [0, 1, 1, 1])["reward"] + 2)
    np.testing.assert_array_equal(found["rows"], small_run.ring(3)["reward"][1, [2, 0]])
    assert found["devices_of_rows"] == 1
