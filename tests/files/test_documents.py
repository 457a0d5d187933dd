"""JSON documents with a checksum: plain values come back as they were, anything else is refused."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purejaxrrl.files import documents

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CONTENTS = st.dictionaries(st.text().filter(lambda name: name != "sha256"), VALUES, max_size=5)


@settings(max_examples=100, deadline=None)
@given(CONTENTS)
def test_plain_values_come_back(content):
    assert documents.plain(content) == content
    found, has_checksum = documents.parse(documents.text(content).encode(), "it")
    assert has_checksum and found == content and repr(found) == repr(content)


@settings(max_examples=100, deadline=None)
@given(CONTENTS, st.data())
def test_a_changed_byte_is_noticed_or_changes_nothing(content, data):
    document = bytearray(documents.text(content).encode())
    place = data.draw(st.integers(0, len(document) - 1))
    document[place] ^= data.draw(st.integers(1, 255))
    try:
        found, has_checksum = documents.parse(bytes(document), "it")
    except documents.DocumentError as error:
        assert str(error).startswith("it ")
    else:
        assert not has_checksum or found == content


def test_what_is_not_plain_becomes_so():
    @dataclasses.dataclass
    class Point:
        x: float

    value = {"a": np.float32(0.5), "b": jnp.int32(2), "c": (np.bool_(True), Point(np.float64(1.5))), "d": np.str_("s")}
    found = documents.plain(value)
    assert found == {"a": 0.5, "b": 2, "c": [True, {"x": 1.5}], "d": "s"}
    assert [type(found[name]) for name in "abd"] == [float, int, str]
    assert type(found["c"][1]["x"]) is float
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {"b": [1, float("nan")]}}, r"a\.b\[1\] is nan; it must be a finite number"),
        ({"a": jnp.float32(jnp.inf)}, "a is inf"),
        ({"a": {3: 1}}, "a has a key 3; it must be a string"),
        ({"a": np.zeros(1)}, "a is ndarray"),
        ({"a": 1j}, "a is complex"),
        (object, "the value is type"),
    ],
)
def test_what_json_does_not_have_is_named(value, message):
    with pytest.raises(ValueError, match=message):
        documents.plain(value)


def test_a_document_without_a_checksum_says_so(tmp_path):
    (tmp_path / "it.json").write_text('{"kind": "test"}')
    assert documents.read(tmp_path / "it.json") == ({"kind": "test"}, False)
    with pytest.raises(FileNotFoundError):
        documents.read(tmp_path / "other.json")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_what_is_no_document_is_refused(tmp_path, content):
    (tmp_path / "it.json").write_bytes(content)
    with pytest.raises(documents.DocumentError, match="it.json cannot be read"):
        documents.read(tmp_path / "it.json")
