import concurrent.futures
import contextlib
import json
import os
import pickle
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from purejaxrrl.files import atomic, cache, checkpoints, documents
from purejaxrrl.files.checkpoints import CheckpointError

KIND, REMEDY = "test", "do it again"
ARRAYS = {
    "weights": (np.arange(12, dtype=np.float32).reshape(3, 4), np.array([True, False])),
    "bits": np.array([2**32 - 1, 7], np.uint32),
    "count": np.int32(5),
}
OTHER = jax.tree.map(np.zeros_like, ARRAYS)


def save(path, arrays=ARRAYS, **about):
    checkpoints.save(path, arrays, {"kind": KIND} | about)


def load(path, like=ARRAYS):
    return checkpoints.load_arrays(path, like, REMEDY), checkpoints.read_about(path, KIND, REMEDY)


def assert_same(tree, expected):
    assert jax.tree.structure(tree) == jax.tree.structure(expected)
    for found, leaf in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        assert found.dtype == leaf.dtype and found.shape == leaf.shape
        np.testing.assert_array_equal(found, leaf)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "checkpoint"
    save(path, score=1.5)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_what_was_saved_comes_back_bit_for_bit(saved):
    arrays, about = load(saved)
    assert_same(arrays, ARRAYS)
    assert about == {"kind": KIND, "score": 1.5, "format": checkpoints.FORMAT}


def test_arrays_without_elements_are_kept(tmp_path):
    arrays = ARRAYS | {"none": np.zeros((0, 3), np.uint8)}
    save(tmp_path / "it", arrays)
    assert_same(load(tmp_path / "it", arrays)[0], arrays)


def test_shapes_alone_say_what_is_expected(saved):
    arrays, _ = load(saved, jax.eval_shape(lambda: ARRAYS))
    assert_same(arrays, ARRAYS)


def test_saving_again_replaces_and_leaves_nothing_else(tmp_path):
    save(tmp_path / "it", score=1)
    save(tmp_path / "it", OTHER, score=2)
    arrays, about = load(tmp_path / "it")
    assert_same(arrays, OTHER)
    assert about["score"] == 2 and os.listdir(tmp_path) == ["it"]


def test_folders_on_the_way_are_made_and_relative_paths_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("a/b/c")
    assert_same(load(Path("a") / "b" / "c")[0], ARRAYS)


class Killed(BaseException):
    """Stands for a process that ends here."""


@pytest.mark.parametrize("moment", ["arrays", "about", "first rename", "second rename"])
def test_a_save_that_is_killed_leaves_the_old_checkpoint(moment, tmp_path, monkeypatch):
    path = tmp_path / "it"
    save(path, score=1)
    renames = 0
    rename = Path.rename

    def die(*arguments, **options):
        raise Killed

    def rename_until(self, target):
        nonlocal renames
        renames += 1
        if renames >= (1 if moment == "first rename" else 2):
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch:
        if moment == "arrays":
            patch.setattr(ocp.StandardCheckpointer, "save", die)
        elif moment == "about":
            patch.setattr(Path, "write_text", die)
        else:
            patch.setattr(Path, "rename", rename_until)
        with pytest.raises(Killed):
            save(path, OTHER, score=2)
    arrays, about = load(path)
    assert_same(arrays, ARRAYS)
    assert about["score"] == 1
    save(path, OTHER, score=3)
    arrays, about = load(path)
    assert_same(arrays, OTHER)
    assert about["score"] == 3 and path.exists()


@pytest.mark.parametrize("moment", ["arrays", "about"])
def test_a_first_save_that_is_killed_leaves_none(moment, tmp_path, monkeypatch):
    target = (ocp.StandardCheckpointer, "save") if moment == "arrays" else (Path, "write_text")

    def die(*arguments, **options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(*target, die)
        with pytest.raises(Killed):
            save(tmp_path / "it")
    with pytest.raises(CheckpointError, match="does not exist; do it again"):
        checkpoints.read_about(tmp_path / "it", KIND, REMEDY)
    with pytest.raises(CheckpointError, match="has no arrays"):
        checkpoints.load_arrays(tmp_path / "it", ARRAYS, REMEDY)


def replace(number, value):
    """ARRAYS with another leaf at that place."""
    leaves, structure = jax.tree.flatten(ARRAYS)
    return structure.unflatten([*leaves[:number], value, *leaves[number + 1 :]])


@pytest.mark.parametrize(
    "like",
    [
        replace(2, np.zeros((4, 3), np.float32)),
        replace(2, np.zeros((3, 5), np.float32)),
        replace(2, np.zeros((2, 4), np.float32)),
        replace(2, np.zeros((3, 4), np.float16)),
        replace(2, np.zeros((3, 4), np.int32)),
        replace(1, np.zeros((), np.uint32)),
        ARRAYS | {"more": np.zeros(2)},
        {name: leaf for name, leaf in ARRAYS.items() if name != "bits"},
    ],
    ids=["transposed", "larger", "smaller", "narrower", "integer", "uint32", "one more", "one less"],
)
def test_arrays_of_another_shape_type_or_structure_are_refused(saved, like):
    with pytest.raises(CheckpointError, match="do it again"):
        checkpoints.load_arrays(saved, like, REMEDY)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="missing does not exist; do it again"):
        checkpoints.read_about(tmp_path / "missing", KIND, REMEDY)
    (tmp_path / "file").write_text("{}")
    with pytest.raises(CheckpointError, match="file is a file, not a checkpoint's folder; do it again"):
        checkpoints.read_about(tmp_path / "file", KIND, REMEDY)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="empty is empty; do it again"):
        checkpoints.read_about(tmp_path / "empty", KIND, REMEDY)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.bin").write_bytes(b"1")
    with pytest.raises(CheckpointError, match="no about.json: it is half-written or another project's; do it again"):
        checkpoints.read_about(tmp_path / "other", KIND, REMEDY)


@pytest.mark.parametrize("text", [b"", b'{"kind": "te', b"\xff\xfe\x00", b"[1, 2]", b'{"kind": "another"}', b'"test"'])
def test_an_about_that_is_damaged_or_anothers_is_refused(copy, text):
    (copy / "about.json").write_bytes(text)
    with pytest.raises(CheckpointError, match="do it again"):
        checkpoints.read_about(copy, KIND, REMEDY)


def test_missing_arrays_are_refused(copy):
    shutil.rmtree(copy / "arrays")
    with pytest.raises(CheckpointError, match="has no arrays: it is half-written; do it again"):
        checkpoints.load_arrays(copy, ARRAYS, REMEDY)


def test_a_cut_off_file_is_noticed_or_harmless(saved, tmp_path):
    files = [file.relative_to(saved) for file in (saved / "arrays").rglob("*") if file.is_file()]
    refused = 0
    for number, file in enumerate(files):
        copy = shutil.copytree(saved, tmp_path / str(number))
        content = (copy / file).read_bytes()
        (copy / file).write_bytes(content[: len(content) // 2])
        try:
            assert_same(checkpoints.load_arrays(copy, ARRAYS, REMEDY), ARRAYS)
        except CheckpointError as error:
            assert "do it again" in str(error)
            refused += 1
    assert refused > 0


def test_nothing_is_unpickled(copy, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert_same(load(copy)[0], ARRAYS)


class Exploit:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_a_pickle_in_a_checkpoints_place_is_not_run(copy, tmp_path):
    marker = tmp_path / "marker"
    exploit = pickle.dumps(Exploit(marker))
    for file in [file for file in copy.rglob("*") if file.is_file()]:
        content = file.read_bytes()
        file.write_bytes(exploit)
        for read in (checkpoints.load_arrays, checkpoints.read_about):
            with contextlib.suppress(CheckpointError):
                read(copy, ARRAYS if read is checkpoints.load_arrays else KIND, REMEDY)
        file.write_bytes(content)
    assert not marker.exists()
    pickle.loads(exploit)
    assert marker.exists()


def test_about_is_json_for_people(saved):
    assert json.loads((saved / "about.json").read_text())["score"] == 1.5


def all_files(folder):
    return sorted(file for file in folder.rglob("*") if file.is_file())


def test_no_flipped_bit_is_loaded(copy):
    generator = np.random.default_rng(0)
    files, outcomes = all_files(copy), []
    for number in range(200):
        file = files[number % len(files)]
        content = file.read_bytes()
        changed = bytearray(content)
        bit = int(generator.integers(8 * len(content)))
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        try:
            arrays, about = load(copy)
            assert_same(arrays, ARRAYS)
            assert about["score"] == 1.5
            outcomes.append("harmless")
        except CheckpointError as error:
            assert file.relative_to(copy).as_posix() in str(error) and "\n" not in str(error)
            outcomes.append("refused")
        file.write_bytes(content)
    assert outcomes.count("refused") > 190  # a space in about.json may become another


def test_every_damaged_file_is_named(copy):
    damaged = all_files(copy / "arrays")
    for number, file in enumerate(damaged):
        content = file.read_bytes()
        file.unlink() if number % 2 else file.write_bytes(content[:-1])
    with pytest.raises(CheckpointError) as error:
        checkpoints.load_arrays(copy, ARRAYS, REMEDY)
    for file in damaged:
        assert file.relative_to(copy).as_posix() in str(error.value)


def sign(folder, change):
    about = json.loads((folder / "about.json").read_text())
    del about["sha256"]
    change(about)
    (folder / "about.json").write_text(documents.text(about))


def test_every_damaged_array_is_named(copy):
    def change(about):
        for name in ("bits", "weights.1"):
            about["arrays"][name]["sha256"] = "0" * 64

    sign(copy, change)
    with pytest.raises(CheckpointError, match="is damaged in the arrays bits, weights.1; do it again"):
        checkpoints.load_arrays(copy, ARRAYS, REMEDY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.update(format=3), "format 3 and this release reads up to 2; update purejaxrrl"),
        (lambda about: about.update(format="2"), "format is '2'; it must be a valid integer"),
        (lambda about: about.pop("format"), "format is missing"),
        (lambda about: about.pop("arrays"), "arrays is missing"),
        (lambda about: about.update(files=[]), r"files is \[\]; it must be a valid dictionary"),
        (
            lambda about: about["arrays"]["bits"].update(shape=[-1]),
            r"arrays.bits.* it must be greater than or equal to 0",
        ),
        (lambda about: about["arrays"]["bits"].update(sha256="f"), "it must|should match"),
    ],
)
def test_a_manifest_that_is_none_is_refused(copy, change, message):
    sign(copy, change)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.read_about(copy, KIND, REMEDY)


def as_the_first_release_wrote_it(folder):
    about = json.loads((folder / "about.json").read_text())
    for name in ("sha256", "arrays", "files"):
        del about[name]
    (folder / "about.json").write_text(json.dumps(about | {"format": 1}, indent=2) + "\n")


def test_a_checkpoint_of_the_first_release_loads(copy):
    as_the_first_release_wrote_it(copy)
    arrays, about = load(copy)
    assert_same(arrays, ARRAYS)
    assert about == {"kind": KIND, "score": 1.5, "format": 1}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: 2}, np.zeros(2), b"1"])
def test_what_json_does_not_have_is_refused_before_anything_is_written(tmp_path, value):
    with pytest.raises(ValueError, match="score"):
        save(tmp_path / "it", score=value)
    assert os.listdir(tmp_path) == []


def test_scalars_of_numpy_and_jax_are_numbers(tmp_path):
    save(tmp_path / "it", score=np.float32(0.5), frames=jnp.int32(3), best=np.bool_(True), widths=(np.int64(1), 2))
    about = checkpoints.read_about(tmp_path / "it", KIND, REMEDY)
    assert (about["score"], about["frames"], about["best"], about["widths"]) == (0.5, 3, True, [1, 2])


@pytest.mark.parametrize("name", ["thesis.tex", "about.jsn", ".git"])
def test_what_is_no_checkpoint_is_not_replaced(tmp_path, name):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / name).write_text("mine")
    with pytest.raises(CheckpointError, match=f"own holds {name}, which is no checkpoint's; give another name"):
        save(tmp_path / "own")
    with pytest.raises(CheckpointError, match=f"{name} is a file; give another name"):
        save(tmp_path / "own" / name)
    assert (tmp_path / "own" / name).read_text() == "mine" and os.listdir(tmp_path) == ["own"]


def test_what_a_killed_save_left_is_removed_by_the_next_and_what_another_writes_is_not(tmp_path):
    number = "0123456789abcdef" * 2
    left, others = tmp_path / f".it.{number}.partial" / "arrays", tmp_path / f".it.more.{number}.partial"
    left.mkdir(parents=True)
    others.mkdir()
    with atomic.new_folder(tmp_path / "it") as written:
        (written / "about.json").write_text("{}")
        save(tmp_path / "it")
        assert sorted(os.listdir(tmp_path)) == sorted([written.name, others.name, "it"])
    assert sorted(os.listdir(tmp_path)) == sorted([others.name, "it"])


def test_programs_that_save_the_same_take_turns(tmp_path):
    def write(writer):
        for number in range(40):
            with atomic.new_folder(tmp_path / "it") as folder:
                for name in ("writer", "number"):
                    (folder / name).write_text(f"{writer} {number}")

    # Each lock is of one opened folder: threads wait for each other as processes do.
    with concurrent.futures.ThreadPoolExecutor(3) as writers:
        list(writers.map(write, range(3)))
    assert (tmp_path / "it" / "writer").read_text() == (tmp_path / "it" / "number").read_text()
    assert (tmp_path / "it" / "number").read_text().endswith(" 39") and os.listdir(tmp_path) == ["it"]


def test_a_file_managers_file_is_nobodys(tmp_path):
    checkpoints.save(tmp_path / "student", {"weights": np.zeros(3)}, {"kind": "test"})
    (tmp_path / "student" / ".DS_Store").write_text("Finder")
    checkpoints.save(tmp_path / "student", {"weights": np.ones(3)}, {"kind": "test"})
    assert atomic.names(tmp_path / "student") == {"about.json", "arrays"}


def test_a_user_without_a_home_has_a_cache(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("PUREJAXRRL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.Path, "home", homeless)
    assert str(os.getuid()) in str(cache.folder("atari")) and cache.folder("atari").name == "atari"
