"""A teacher and its data as one file: whole and untouched, or refused before anything of it is written."""

import errno
import json
import shutil
import zipfile

import jax
import numpy as np
import pytest

import purejaxrrl
from purejaxrrl import networks, teachers
from purejaxrrl.files import checkpoints, documents
from purejaxrrl.teachers import archive, datasets


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    environment = purejaxrrl.make("minatar/breakout")
    network = networks.describe("mlp", 3, (10, 10, 4), widths=(8,))
    card = teachers.Card("minatar/breakout", "q_values", 3, (10, 10, 4), 2.0, 0.5, 1, 1)
    teacher = teachers.from_network(network, network.init(jax.random.key(0)), card)
    data = datasets.collect(jax.random.key(1), environment, teacher, 80, epsilon=0.1)
    folder = tmp_path_factory.mktemp("work")
    teachers.save(folder / "teacher", teacher)
    datasets.save(folder / "teacher_data", data, teacher)
    return folder, teacher, data


@pytest.fixture
def packed(folders, tmp_path):
    folder, _, _ = folders
    archive.pack(tmp_path / "packed.zip", folder / "teacher", folder / "teacher_data")
    return tmp_path / "packed.zip"


def test_another_machine_gets_the_same_teacher_and_data(folders, packed, tmp_path):
    _, teacher, data = folders
    manifest = archive.unpack(packed, tmp_path / "theirs")
    assert (manifest["teacher_sha256"], manifest["data_sha256"]) == (teacher.fingerprint(), data.fingerprint())
    theirs = teachers.load(tmp_path / "theirs" / "teacher")
    assert theirs.card == teacher.card and theirs.fingerprint() == teacher.fingerprint()
    loaded = datasets.load(tmp_path / "theirs" / "teacher_data", theirs)
    jax.tree.map(np.testing.assert_array_equal, loaded.ring, data.ring)
    with pytest.raises(ValueError, match="exists"):
        archive.unpack(packed, tmp_path / "theirs")


def test_a_teacher_may_go_alone(folders, tmp_path):
    folder, teacher, _ = folders
    archive.pack(tmp_path / "alone.zip", folder / "teacher")
    assert archive.unpack(tmp_path / "alone.zip", tmp_path / "theirs")["data_sha256"] is None
    assert teachers.load(tmp_path / "theirs" / "teacher").fingerprint() == teacher.fingerprint()


def rewritten(packed, change, text=documents.text):
    """The archive with its files (name -> bytes) and its manifest changed."""
    with zipfile.ZipFile(packed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    del manifest["sha256"]
    change(files, manifest)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("manifest.json", text(manifest))
        for name, content in files.items():
            archive.writestr(name, content)


def _flip(files, manifest):
    files["teacher/about.json"] = files["teacher/about.json"].replace(b"2.0", b"9.0")


def _longer(files, manifest):
    files["teacher/about.json"] += b" " * 5_000_000


def _escape(name):
    def change(files, manifest):
        files[name] = b"evil"
        manifest["files"][name] = {"sha256": "0" * 64, "bytes": 4}

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
def test_a_changed_archive_is_refused_and_leaves_nothing(packed, tmp_path, change, message):
    rewritten(packed, change)
    with pytest.raises(archive.ArchiveError, match=message):
        archive.unpack(packed, tmp_path / "in" / "theirs")
    assert not list(tmp_path.rglob("evil")) and not list((tmp_path / "in").glob("*"))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "file.zip").write_bytes(content)
    with pytest.raises(archive.ArchiveError, match=r"file\.zip"):
        archive.unpack(tmp_path / "file.zip", tmp_path / "theirs")
    with pytest.raises(archive.ArchiveError, match="does not exist"):
        archive.unpack(tmp_path / "none.zip", tmp_path / "theirs")


def test_only_a_teacher_and_its_own_data_are_packed(folders, tmp_path):
    folder, _, _ = folders
    with pytest.raises(checkpoints.CheckpointError):
        archive.pack(tmp_path / "packed.zip", folder / "teacher_data")
    with pytest.raises(checkpoints.CheckpointError):
        archive.pack(tmp_path / "packed.zip", folder / "teacher", folder / "teacher")
    assert not list(tmp_path.iterdir())


def test_a_flipped_bit_is_refused_or_harmless(folders, packed, tmp_path):
    _, teacher, data = folders
    generator, content, outcomes = np.random.default_rng(0), packed.read_bytes(), []
    manifest = archive.unpack(packed, tmp_path / "whole")
    for number in range(80):
        changed = bytearray(content)
        # The directory at the end, which decides what is read, as often as all before it.
        start = 0 if number % 2 else content.index(b"PK\x01\x02")
        place = int(generator.integers(start, len(content)))
        changed[place] ^= 1 << int(generator.integers(8))
        packed.write_bytes(changed)
        try:
            assert archive.unpack(packed, tmp_path / f"theirs{number}") == manifest
            theirs = teachers.load(tmp_path / f"theirs{number}" / "teacher")
            assert theirs.card == teacher.card and theirs.fingerprint() == teacher.fingerprint()
            outcomes.append("harmless")
        except archive.ArchiveError as error:
            assert "\n" not in str(error)
            outcomes.append("refused")
            assert not (tmp_path / f"theirs{number}").exists()
    assert outcomes.count("refused") > 40


def test_an_archive_of_the_first_release_is_unpacked(folders, packed, tmp_path):
    def change(files, manifest):
        manifest |= {"kind": "purejaxrrl parcel", "format": 1}

    rewritten(packed, change, text=json.dumps)
    assert archive.unpack(packed, tmp_path / "theirs")["teacher_sha256"] == folders[1].fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "format is 3; it must be less than or equal to 2"),
        ({"format": 1}, "it holds 'purejaxrrl teacher archive', not 'purejaxrrl parcel'"),
        ({"files": {"teacher/about.json": {"sha256": "0" * 64, "bytes": -1}}}, "bytes is -1"),
        ({"data_sha256": 3}, "data_sha256 is 3; it must be a valid string"),
    ],
)
def test_a_manifest_that_is_none_is_refused(packed, tmp_path, change, message):
    rewritten(packed, lambda files, manifest: manifest.update(change))
    with pytest.raises(archive.ArchiveError, match=message):
        archive.unpack(packed, tmp_path / "theirs")


def test_a_manifest_without_its_checksum_is_refused(packed, tmp_path):
    rewritten(packed, lambda files, manifest: None, text=json.dumps)
    with pytest.raises(archive.ArchiveError, match="its manifest has no checksum"):
        archive.unpack(packed, tmp_path / "theirs")


def test_more_than_is_taken_is_refused_before_it_is_unpacked(folders, packed, tmp_path):
    """1.8 MB that unpack to 1.5 GB: what the manifest says decides, and nothing is written beyond that."""

    def claim(files, manifest):
        manifest["files"]["teacher/about.json"]["bytes"] = 5 << 30

    rewritten(packed, claim)
    with pytest.raises(archive.ArchiveError, match=r"would be 5.0 GiB unpacked, more than the 4 that are taken"):
        archive.unpack(packed, tmp_path / "theirs")
    with pytest.raises(archive.ArchiveError, match="checksum"):
        archive.unpack(packed, tmp_path / "theirs", largest=6)
    assert not (tmp_path / "theirs").exists()


def test_data_that_are_not_there_are_not_packed(folders, tmp_path):
    with pytest.raises(ValueError, match="nowhere does not exist; give the folder of the teacher's data, or none"):
        archive.pack(tmp_path / "mine.zip", folders[0] / "teacher", tmp_path / "nowhere")
    assert not (tmp_path / "mine.zip").exists()


def test_a_full_disk_is_not_a_damaged_archive(packed, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "theirs")

    monkeypatch.setattr(archive, "_extract_file", full)
    with pytest.raises(OSError, match="No space left"):
        archive.unpack(packed, tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def _patched(packed, signature, offset, value):
    """Sets two bytes of every header of that kind, which zipfile itself would never write."""
    content, place = bytearray(packed.read_bytes()), 0
    while (place := content.find(signature, place)) >= 0:
        content[place + offset : place + offset + 2] = value.to_bytes(2, "little")
        place += 4
    packed.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "local", "central", "value"),
    [("encrypted", 6, 8, 1), ("an unknown compression", 8, 10, 99), ("a strong encryption", 6, 8, 0x41)],
)
def test_entries_that_cannot_be_read_are_refused(packed, tmp_path, name, local, central, value):
    _patched(packed, b"PK\x03\x04", local, value)
    _patched(packed, b"PK\x01\x02", central, value)
    with pytest.raises(archive.ArchiveError, match="is damaged or no archive of ours"):
        archive.unpack(packed, tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_links_are_not_followed(folders, tmp_path):
    folder, _, _ = folders
    copy = tmp_path / "copy"
    shutil.copytree(folder / "teacher", copy)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (copy / "arrays" / "more").symlink_to(secret)
    with pytest.raises(ValueError, match="arrays/more is a link, which is not followed"):
        archive.pack(tmp_path / "packed.zip", copy)
    assert not (tmp_path / "packed.zip").exists()


def test_the_folder_of_an_archive_is_made(folders, tmp_path):
    folder, _, _ = folders
    archive.pack(tmp_path / "a" / "b" / "packed.zip", folder / "teacher")
    assert (tmp_path / "a" / "b" / "packed.zip").exists()
