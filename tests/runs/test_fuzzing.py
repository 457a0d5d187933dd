"""Every loader given what hypothesis makes of a whole file: an error of ours in one line, or what was saved; nothing else."""

import copy
import json
import shutil
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
import results as pvrl_results
import small_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from purejaxrrl import teachers
from purejaxrrl.errors import UserError
from purejaxrrl.files import documents
from purejaxrrl.replay import codecs
from purejaxrrl.replay.ring import ReplayMemory
from purejaxrrl.teachers import archive, datasets

pytestmark = pytest.mark.slow

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0, 2**31, 2**63, 2**64])
    | st.floats(allow_nan=True)
    | st.text(max_size=8)
    | st.sampled_from(["../x", "q_values", "mlp", "float32", "object", "S0", "\x00", "nan", "bits", "plain"])
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)  # fmt: skip
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def places(value, at=()):
    """Every place in a JSON value."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


@st.composite
def changed(draw, content):
    """The JSON object with one to three places replaced, removed, or given what they had not."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from([place for place in places(content) if place]))
        inner = content
        for key in way:
            inner = inner[key]
        what = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if what == "remove":
            del inner[last]
        elif what == "add" and isinstance(inner, dict):
            inner[draw(st.text(max_size=5))] = draw(VALUES)
        else:
            inner[last] = draw(VALUES)
    return content


@st.composite
def damaged(draw, content):
    """The bytes with some flipped, cut off, put in or taken out."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        what = draw(st.sampled_from(["flip", "cut", "insert", "take"]))
        if what == "flip" and content:
            content[place] ^= draw(st.integers(1, 255))
        elif what == "cut":
            del content[place:]
        elif what == "insert":
            content[place:place] = draw(st.binary(max_size=16))
        else:
            del content[place : place + draw(st.integers(1, 16))]
    return bytes(content)


def refused_or_same(load, same):
    """Runs `load`; its result must be what was saved, unless it ends in an error of ours, of one line."""
    try:
        found = load()
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 3000, str(error)
        return
    assert same(found)


def rewritten(about):
    """A document's text with a checksum that holds, as somebody writes it who means it."""
    try:
        return documents.text(about)
    except (RecursionError, ValueError):
        return json.dumps(about, default=str)


@pytest.fixture(scope="module")
def folders(teacher, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    teachers.save(folder / "teacher", teacher)
    datasets.save(folder / "data", dataset, teacher)
    archive.pack(folder / "packed.zip", folder / "teacher", folder / "data")
    small_run.write(folder / "run", 3)
    return folder


def about_of(place: Path):
    return documents.read(place / "about.json")[0]


def with_about(place, text, load):
    """`load()` while the folder's about.json has that text."""
    kept = (place / "about.json").read_bytes()
    try:
        (place / "about.json").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return load()
    finally:
        (place / "about.json").write_bytes(kept)


@MANY
@given(data=st.data())
def test_a_teachers_description(folders, teacher, data):
    about = data.draw(changed(about_of(folders / "teacher")))
    load = lambda: with_about(folders / "teacher", rewritten(about), lambda: teachers.load(folders / "teacher"))  # noqa: E731
    refused_or_same(load, lambda found: same_arrays(found.params, teacher.params))


@MANY
@given(data=st.data())
def test_a_data_sets_description(folders, teacher, dataset, data):
    about = data.draw(changed(about_of(folders / "data")))
    load = lambda: with_about(folders / "data", rewritten(about), lambda: datasets.load(folders / "data", teacher))  # noqa: E731
    refused_or_same(load, lambda found: same_arrays(found.ring, dataset.ring))


@MANY
@given(data=st.data())
@pytest.mark.parametrize("kind", ["teacher", "data"])
def test_bytes_of_a_description(folders, teacher, dataset, kind, data):
    text = data.draw(damaged((folders / kind / "about.json").read_bytes()))
    place = folders / kind
    load, saved = {
        "teacher": (lambda: teachers.load(place).params, teacher.params),
        "data": (lambda: datasets.load(place, teacher).ring, dataset.ring),
    }[kind]
    refused_or_same(lambda: with_about(place, text, load), lambda found: same_arrays(found, saved))


@MANY
@given(data=st.data())
def test_bytes_of_an_archive(folders, teacher, dataset, data, tmp_path_factory):
    content = data.draw(damaged((folders / "packed.zip").read_bytes()))
    unpacked(content, teacher, dataset, tmp_path_factory)


@MANY
@given(data=st.data())
def test_an_archives_manifest(folders, teacher, dataset, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    with zipfile.ZipFile(folders / "packed.zip") as packed, zipfile.ZipFile(folder / "changed.zip", "w") as made:
        manifest = documents.parse(packed.read("manifest.json"), "")[0]
        for name in packed.namelist():
            text = rewritten(data.draw(changed(manifest))) if name == "manifest.json" else packed.read(name)
            made.writestr(name, text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    unpacked((folder / "changed.zip").read_bytes(), teacher, dataset, tmp_path_factory)


def unpacked(content, teacher, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    (folder / "some.zip").write_bytes(content)

    def is_whole(_):
        found = teachers.load(folder / "out" / "teacher")
        data = datasets.load(folder / "out" / "teacher_data", found)
        return same_arrays(found.params, teacher.params) and same_arrays(data.ring, dataset.ring)

    refused_or_same(lambda: archive.unpack(folder / "some.zip", folder / "out"), is_whole)
    assert {place.name for place in folder.iterdir()} <= {"some.zip", "out"}
    shutil.rmtree(folder)


@MANY
@given(data=st.data())
@pytest.mark.parametrize(
    "file", ["config.json", "checkpoints/000003/about.json", "checkpoints/000003/state.arrays", "metrics.csv"]
)
def test_bytes_of_a_run(folders, tmp_path_factory, file, data):
    place = folders / "run" / file
    kept = place.read_bytes()
    place.write_bytes(data.draw(damaged(kept)))
    try:
        refused_or_same(lambda: small_run.restored(folders / "run"), lambda number: number in (2, 3))
    finally:
        place.write_bytes(kept)


@MANY
@given(data=st.data())
def test_a_runs_description(folders, data):
    place = folders / "run" / "checkpoints" / "000003"
    about = data.draw(changed(about_of(place)))

    def restored():
        return with_about(place, rewritten(about), lambda: restored_anything(folders / "run"))

    refused_or_same(restored, lambda _: True)


def restored_anything(path):
    with small_run.RunFolder(path, small_run.IDENTITY, resume=True) as folder:
        return folder.restore(small_run.STATE, small_run.RING)


@MANY
@given(value=VALUES, name=st.text(max_size=5))
def test_values_that_are_written(value, name):
    try:
        plain = documents.plain({name: value})
    except UserError:
        return
    content, has_checksum = documents.parse(documents.text(plain).encode("utf-8", "surrogatepass"), "it")
    assert has_checksum and content == plain


@MANY
@given(memory=st.data())
def test_a_layout_of_data(dataset, memory):
    about = memory.draw(changed(json.loads(json.dumps(dataset.memory.to_json()))))
    try:
        layout = ReplayMemory.from_json(about)
        codecs.codec_to_json(layout.codec)
        jax.eval_shape(layout.init)
    except Exception as error:  # what `datasets.load` turns into an error of ours, as long as it is an Exception
        assert not isinstance(error, MemoryError)


@MANY
@given(data=st.data())
@pytest.mark.parametrize("file", ["config.json", "metrics.csv"])
def test_a_benchmarks_results(tmp_path_factory, file, data):
    folder = tmp_path_factory.mktemp("results")
    about = {
        "kind": pvrl_results.KIND, "game": "breakout", "shared": {"frames": 2, "iterations": 2}, "seeds": [0], "teacher_sha256": "t",
        "methods": {"qdagger": {"title": "Q", "settings": {"n": 1}, "terms": ["x"]}}, "data_sha256": "d", "teacher_score": 9.0,
        "random_score": 1.0, "commit": "abc", "versions": {"jax": "1"},
    }  # fmt: skip
    rows = "phase,iteration,agent_steps,method,seed,score,lambda\nonline,1,1,qdagger,0,0.5,1.0\nonline,2,2,qdagger,0,0.6,0.5\n"
    path = folder / "breakout" / "a"
    path.mkdir(parents=True)
    identity = data.draw(changed(about)) if file == "config.json" else about
    (path / "config.json").write_text(json.dumps({"kind": "purejaxrrl run", "format": 2, "identity": identity}))
    (path / "metrics.csv").write_bytes(data.draw(damaged(rows.encode())) if file == "metrics.csv" else rows.encode())
    refused_or_same(
        lambda: pvrl_results.load(folder),
        lambda found: all(np.isfinite(run.scores).all() for game in found.runs.values() for method in game.values() for run in method.values()),
    )  # fmt: skip
    shutil.rmtree(folder)


def same_arrays(found, expected):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)
