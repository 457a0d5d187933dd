"""What is saved comes back, and no more is written, fetched or held than there is that is new."""

import csv
import json
import shutil
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_run

from purejaxrrl.runs import ring_segments
from purejaxrrl.runs.run_folder import RunError, RunFolder

pytestmark = pytest.mark.usefixtures("no_git")
LAST = len(small_run.WRITTEN) - 1


def on_device(tree):
    return jax.tree.map(jnp.asarray, tree)


@pytest.mark.parametrize("make", [lambda tree: tree, on_device], ids=["numpy", "jax"])
@pytest.mark.parametrize("block_bytes", [1, 40, 1 << 20])
def test_each_checkpoint_comes_back_bit_for_bit(make, block_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(ring_segments, "_BLOCK_BYTES", block_bytes)
    for number in range(1, LAST + 1):
        with RunFolder(tmp_path / "run", small_run.IDENTITY, resume=True) as folder:
            folder.restore(small_run.STATE, small_run.RING)
            small_run.save(folder, number, make)
        assert small_run.restored(tmp_path / "run") == number


def test_the_checkpoint_before_the_last_stays_whole(tmp_path):
    for number in range(1, LAST + 1):
        small_run.write(tmp_path / "run", number, first=number)
        copy = shutil.copytree(tmp_path / "run", tmp_path / str(number))
        shutil.rmtree(copy / "checkpoints" / f"{number:06d}")
        assert small_run.restored(copy) == number - 1


def test_only_new_rows_are_written_and_those_no_longer_needed_are_removed(tmp_path):
    row_bytes = small_run.RUNS * small_run.ENVIRONMENTS * (2 + 4 + 1)
    with RunFolder(tmp_path / "run", small_run.IDENTITY, resume=False) as folder:
        for number in range(1, LAST + 1):
            before = set(tmp_path.rglob("*.rows"))
            small_run.save(folder, number)
            new = set(tmp_path.rglob("*.rows")) - before
            rows = min(small_run.WRITTEN[number] - small_run.WRITTEN[number - 1], small_run.ROWS)
            assert sum(file.stat().st_size for file in new) == rows * row_bytes
    # 63 rows: the ring holds 52 to 63, the checkpoint before it 49 to 60.
    assert [name for name in small_run.files(tmp_path / "run") if "ring" in name] == [
        "checkpoints/ring/49-60",
        "checkpoints/ring/60-63",
    ]


def test_a_file_managers_file_stays(tmp_path):
    small_run.write(tmp_path / "run", 1)
    theirs = tmp_path / "run" / "checkpoints" / ".directory"
    theirs.write_text("[Dolphin]")
    (tmp_path / "run" / "checkpoints" / ".000002.partial").mkdir()
    small_run.write(tmp_path / "run", 2, first=2)
    assert small_run.restored(tmp_path / "run") == 2 and theirs.exists()
    assert not theirs.with_name(".000002.partial").exists()


def test_the_ring_is_fetched_as_slices(tmp_path, monkeypatch):
    monkeypatch.setattr(ring_segments, "_BLOCK_BYTES", 50)
    fetched, fetch = [], ring_segments._device_slice
    monkeypatch.setattr(
        ring_segments, "_device_slice", lambda *arguments: fetched.append(fetch(*arguments)) or fetched[-1]
    )
    with RunFolder(tmp_path / "run", small_run.IDENTITY, resume=False) as folder:
        small_run.save(folder, LAST, on_device)
    assert max(array.nbytes for array in fetched) <= 50
    assert len({(array.shape, array.dtype) for array in fetched}) == 3, "one size for each leaf, compiled once"


def test_the_learners_are_never_held_twice_while_a_run_is_restored(tmp_path):
    state = {"params": np.ones((2, 250_000), np.float32)}
    with RunFolder(tmp_path / "run", {}, resume=False) as folder:
        folder.checkpoint(1, state)
        tracemalloc.start()
        restored = folder.restore(small_run.shapes(state))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    np.testing.assert_array_equal(restored.state["params"], state["params"])
    assert state["params"].nbytes <= peak < state["params"].nbytes + 500_000


def test_a_run_without_checkpoints_has_nothing_to_restore(tmp_path):
    with RunFolder(tmp_path / "run", small_run.IDENTITY, resume=True) as folder:
        assert folder.restore(small_run.STATE, small_run.RING) is None
        assert folder.rows == []


def test_a_state_without_a_ring_and_of_any_type_comes_back(tmp_path):
    state = {"half": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3), "key": jax.random.key_data(jax.random.key(3))}
    with RunFolder(tmp_path / "run", {}, resume=False) as folder:
        folder.checkpoint(7, state)
        restored = folder.restore(small_run.shapes(state))
    assert restored.iterations == 7 and restored.ring is None
    small_run.assert_same(restored.state, jax.tree.map(np.asarray, state))


def test_the_learners_alone_can_be_looked_at(tmp_path):
    small_run.write(tmp_path / "run", 3)
    with RunFolder(tmp_path / "run", small_run.IDENTITY, resume=True) as folder:
        restored = folder.restore(small_run.STATE)
    small_run.assert_same(restored.state, small_run.state(3))
    assert restored.ring is None


def test_runs_that_only_fill_up_a_device_are_not_kept(tmp_path):
    state, ring = on_device(small_run.state(4)), on_device(small_run.ring(4))
    with RunFolder(tmp_path / "run", {}, resume=False) as folder:
        folder.checkpoint(1, state, ring, small_run.WRITTEN[4], num_runs=1)
        first = jax.tree.map(lambda leaf: np.asarray(leaf)[:1], (state, ring))
        restored = folder.restore(*map(small_run.shapes, first))
    small_run.assert_same((restored.state, restored.ring), first)


def test_rows_that_are_taken_back_are_refused(tmp_path):
    with RunFolder(tmp_path / "run", {}, resume=False) as folder:
        folder.checkpoint(1, small_run.state(3), small_run.ring(3), small_run.WRITTEN[3])
        with pytest.raises(ValueError, match="a ring of 4 rows follows one of 15"):
            folder.checkpoint(2, small_run.state(1), small_run.ring(1), small_run.WRITTEN[1])
        with pytest.raises(ValueError, match="a ring without arrays cannot be saved; give None"):
            folder.checkpoint(2, small_run.state(1), {}, 4)


@pytest.mark.parametrize(
    ("like_state", "like_ring", "message"),
    [
        (small_run.STATE | {"more": small_run.STATE["done"]}, small_run.RING, r"more is missing there, bool \[2\] now"),
        (small_run.STATE | {"done": small_run.STATE["empty"]}, small_run.RING, r"done is bool \[2\] there, float32 \[2, 0\]"),
        (small_run.STATE, {"reward": small_run.RING["reward"]}, r"ring.observation is uint8 \[2, 11, 3, 2\] there, missing"),
    ],
)  # fmt: skip
def test_another_state_is_refused(tmp_path, like_state, like_ring, message):
    small_run.write(tmp_path / "run", 2)
    with (
        RunFolder(tmp_path / "run", small_run.IDENTITY, resume=True) as folder,
        pytest.raises(RunError, match=message),
    ):
        folder.restore(like_state, like_ring)


def test_a_checkpoint_of_another_run_is_not_restored(tmp_path):
    small_run.write(tmp_path / "run", 2)
    with RunFolder(tmp_path / "other", small_run.IDENTITY | {"settings": {"discount": 0.9}}, resume=False) as other:
        small_run.save(other, 3)
    (tmp_path / "other" / "checkpoints" / "000003").rename(tmp_path / "run" / "checkpoints" / "000003")
    with pytest.raises(RunError, match="000003 is of another run .settings.discount 0.9 there, 0.99 now.*move it away"):
        small_run.restored(tmp_path / "run")


@pytest.mark.parametrize("content", [None, b"", b"iteration,sco", b"iteration,score\r\n1,0.2\r\n2,0."])
def test_metrics_are_written_again_from_the_checkpoint(tmp_path, content):
    small_run.write(tmp_path / "run", 3)
    (tmp_path / "run" / "metrics.csv").unlink()
    if content is not None:
        (tmp_path / "run" / "metrics.csv").write_bytes(content)
    assert small_run.restored(tmp_path / "run") == 3


def test_metrics_of_numpy_and_rows_with_other_columns_are_the_same_after_a_resume(tmp_path):
    def record(folder, number):
        folder.record({"iteration": np.int32(number), "score": np.float32(0.1), "best": jnp.bool_(True), "none": None})
        folder.record({"iteration": number, "name": 'a "b", c'})
        folder.checkpoint(number, {})

    with RunFolder(tmp_path / "whole", {}, resume=False) as folder:
        record(folder, 1)
        record(folder, 2)
    for number in (1, 2):
        with RunFolder(tmp_path / "resumed", {}, resume=number > 1) as folder:
            folder.restore({})
            record(folder, number)
    content = (tmp_path / "whole" / "metrics.csv").read_bytes()
    assert (tmp_path / "resumed" / "metrics.csv").read_bytes() == content
    rows = list(csv.DictReader(content.decode().splitlines()))
    assert rows[0] == {"iteration": "1", "score": str(float(np.float32(0.1))), "best": "True", "none": "", "name": ""}
    assert rows[3]["name"] == 'a "b", c'


def test_metrics_that_are_not_json_are_refused_before_anything_is_written(tmp_path):
    with RunFolder(tmp_path / "run", {}, resume=False) as folder:
        folder.record({"score": object()})
        with pytest.raises(ValueError, match=r"metrics\[0\].score is object"):
            folder.checkpoint(1, {})
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_checkpoint_says_which_run_it_is_of(tmp_path):
    small_run.write(tmp_path / "run", 2)
    about = json.loads((tmp_path / "run" / "checkpoints" / "000002" / "about.json").read_text())
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["identity"] == config["identity"]
    assert about["identity"].items() >= small_run.IDENTITY.items()
    assert about["identity"]["versions"]["jax"] == jax.__version__
