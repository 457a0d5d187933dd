"""Bits that change on the disk: what is restored is a checkpoint as it was saved, or an error names what is damaged."""

import shutil

import numpy as np
import pytest
import small_run

from purejaxrrl.runs.run_folder import RunError

pytestmark = pytest.mark.usefixtures("no_git")
LAST = 5  # it needs rows that the one before needs too


@pytest.fixture(scope="module")
def run(tmp_path_factory, no_git):
    path = tmp_path_factory.mktemp("damage") / "run"
    small_run.write(path, LAST)
    return path


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


def checkpoint_files(path):
    return sorted(file for file in (path / "checkpoints").rglob("*") if file.is_file())


def flip(file, bit):
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def test_no_flipped_bit_is_restored(run):
    generator = np.random.default_rng(0)
    files = checkpoint_files(run)
    assert len(files) == 2 * 2 + 2  # two checkpoints, and the rows
    outcomes = []
    for number in range(200):
        file = files[number % len(files)]
        bit = int(generator.integers(8 * file.stat().st_size))
        flip(file, bit)
        try:
            outcomes.append(small_run.restored(run))
        except RunError as error:
            assert file.name in str(error) and "damaged" in str(error)
            outcomes.append("refused")
        flip(file, bit)
    assert small_run.restored(run) == LAST
    assert set(outcomes) == {LAST, LAST - 1, "refused"}
    # A file of the newest alone is answered by the one before, one that both need by an error.
    assert outcomes.count(LAST - 1) > 80 and outcomes.count("refused") > 30


def test_the_metrics_and_the_lock_may_be_damaged(copy):
    (copy / "metrics.csv").write_bytes(b"\xff\0")
    (copy / "run.lock").write_bytes(b"\xff\0")
    assert small_run.restored(copy) == LAST


def test_a_flipped_bit_in_the_config_is_another_run_or_harmless(copy):
    file = copy / "config.json"
    for bit in range(0, 8 * file.stat().st_size, 97):
        flip(file, bit)
        try:
            assert small_run.restored(copy) == LAST
        except RunError as error:
            assert str(copy) in str(error)
        flip(file, bit)


@pytest.mark.parametrize("cut", ["removed", "empty", "half", "longer"])
def test_every_damaged_file_is_named(copy, cut):
    damaged = [
        copy / "checkpoints" / f"{LAST:06d}" / "state.arrays",
        copy / "checkpoints" / f"{LAST - 1:06d}" / "about.json",
    ]
    # Which rows the older one needs, nobody knows any more.
    damaged += list((copy / "checkpoints" / "ring").glob("15-26-*"))
    assert len(damaged) == 3
    for file in damaged:
        content = file.read_bytes()
        file.write_bytes({"empty": b"", "half": content[: len(content) // 2], "longer": content + b"0"}.get(cut, b""))
        if cut == "removed":
            file.unlink()
    with pytest.raises(RunError) as error:
        small_run.restored(copy)
    for file in damaged:
        assert str(file) in str(error.value)
    assert "\n" not in str(error.value) and "start again without --resume" in str(error.value)


def test_after_damage_the_run_goes_on_from_the_older_one_and_heals(copy, capsys):
    flip(copy / "checkpoints" / f"{LAST:06d}" / "state.arrays", 99)
    assert small_run.restored(copy) == LAST - 1
    assert f"{LAST:06d}" in capsys.readouterr().err
    small_run.write(copy, LAST, first=LAST)
    assert small_run.restored(copy) == LAST
    small_run.write(copy, LAST + 1, first=LAST + 1)
    assert small_run.files(copy)[0] == f"checkpoints/{LAST:06d}/about.json"


def test_the_arrays_that_are_damaged_are_named(copy, capsys):
    flip(copy / "checkpoints" / f"{LAST:06d}" / "state.arrays", 8 * 22)
    small_run.restored(copy)
    error = capsys.readouterr().err
    assert "(params.0)" in error
