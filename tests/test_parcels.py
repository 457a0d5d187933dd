"""A teacher and its data as one file: whole and untouched, or refused before anything of it is written."""

import json
import zipfile

import jax
import numpy as np
import pytest

import purejaxrrl
from purejaxrrl import checkpoints, datasets, networks, parcels, replay, teachers


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    environment = purejaxrrl.make("minatar/breakout")
    memory = replay.memory_for(environment, None, 80, 8, 3)
    network = networks.describe("mlp", 3, memory.observation_shape, widths=(8,))
    card = teachers.Card("minatar/breakout", "q_values", 3, memory.observation_shape, 2.0, 0.5, 1, 1)
    teacher = teachers.from_network(network, network.init(jax.random.key(0)), card)
    data = datasets.collect(jax.random.key(1), environment, None, teacher, memory, 0.1)
    folder = tmp_path_factory.mktemp("work")
    teachers.save(folder / "teacher", teacher)
    datasets.save(folder / "teacher_data", data, teacher)
    return folder, teacher, data


@pytest.fixture
def parcel(folders, tmp_path):
    folder, _, _ = folders
    parcels.pack(tmp_path / "parcel.zip", folder / "teacher", folder / "teacher_data")
    return tmp_path / "parcel.zip"


def test_another_machine_gets_the_same_teacher_and_data(folders, parcel, tmp_path):
    _, teacher, data = folders
    manifest = parcels.unpack(parcel, tmp_path / "theirs")
    assert (manifest["teacher_sha256"], manifest["data_sha256"]) == (teacher.fingerprint(), data.fingerprint())
    theirs = teachers.load(tmp_path / "theirs" / "teacher")
    assert theirs.card == teacher.card and theirs.fingerprint() == teacher.fingerprint()
    loaded = datasets.load(tmp_path / "theirs" / "teacher_data", theirs)
    jax.tree.map(np.testing.assert_array_equal, loaded.ring, data.ring)
    with pytest.raises(ValueError, match="exists"):
        parcels.unpack(parcel, tmp_path / "theirs")


def test_a_teacher_may_go_alone(folders, tmp_path):
    folder, teacher, _ = folders
    parcels.pack(tmp_path / "alone.zip", folder / "teacher")
    assert parcels.unpack(tmp_path / "alone.zip", tmp_path / "theirs")["data_sha256"] is None
    assert teachers.load(tmp_path / "theirs" / "teacher").fingerprint() == teacher.fingerprint()


def rewritten(parcel, change):
    """The parcel with its files (name -> bytes) and its manifest changed."""
    with zipfile.ZipFile(parcel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    change(files, manifest)
    with zipfile.ZipFile(parcel, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, content in files.items():
            archive.writestr(name, content)


def _flip(files, manifest):
    files["teacher/about.json"] = files["teacher/about.json"].replace(b"2.0", b"9.0")


def _longer(files, manifest):
    files["teacher/about.json"] += b" " * 5_000_000


def _escape(name):
    def change(files, manifest):
        files[name] = b"evil"
        manifest["files"][name] = {"sha256": "4c7b21a5b15f", "bytes": 4}

    return change


def _extra(files, manifest):
    files["teacher/unlisted"] = b"?"


def _missing(files, manifest):
    del files["teacher/about.json"]


def _kind(files, manifest):
    manifest["kind"] = "another project's"


def _other_teacher(files, manifest):
    manifest["teacher_sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_flip, r"checksum of teacher/about.json"),
        (_longer, r"checksum of teacher/about.json"),
        (_escape("../evil"), r"'../evil', which would be written outside"),
        (_escape("teacher/../../evil"), r"outside"),
        (_escape("/tmp/evil"), r"outside"),
        (_escape("teacher/..\\evil"), r"outside"),
        (_escape("elsewhere/evil"), r"outside"),
        (_extra, r"teacher/unlisted"),
        (_missing, r"teacher/about.json"),
        (_kind, r"another project's"),
        (_other_teacher, r"another teacher"),
    ],
)
def test_a_changed_parcel_is_refused_and_leaves_nothing(parcel, tmp_path, change, message):
    rewritten(parcel, change)
    with pytest.raises(parcels.ParcelError, match=message):
        parcels.unpack(parcel, tmp_path / "in" / "theirs")
    assert not list(tmp_path.rglob("evil")) and not list((tmp_path / "in").glob("*"))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_parcel_is_refused(tmp_path, content):
    (tmp_path / "file.zip").write_bytes(content)
    with pytest.raises(parcels.ParcelError, match=r"file\.zip"):
        parcels.unpack(tmp_path / "file.zip", tmp_path / "theirs")
    with pytest.raises(parcels.ParcelError, match="does not exist"):
        parcels.unpack(tmp_path / "none.zip", tmp_path / "theirs")


def test_only_a_teacher_and_its_own_data_are_packed(folders, tmp_path):
    folder, _, _ = folders
    with pytest.raises(checkpoints.CheckpointError):
        parcels.pack(tmp_path / "parcel.zip", folder / "teacher_data")
    with pytest.raises(checkpoints.CheckpointError):
        parcels.pack(tmp_path / "parcel.zip", folder / "teacher", folder / "teacher")
    assert not list(tmp_path.iterdir())
