"""Start states on disk: the same as computed, of what they depend on, and nobody's loss where the file is damaged."""

import jax
import numpy as np
import pytest

from purejaxrrl.environments.atari import Atari, start_cache, start_states

OPTIONS = {"num_start_states": 2, "noop_max": 1, "fire_on_reset": True}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PUREJAXRRL_CACHE", str(tmp_path))
    return tmp_path / "atari"


@pytest.fixture
def computed(monkeypatch):
    """How often start states were asked for that were not read; once they are computed indeed, for it takes seconds."""
    calls, found, compute = [], {}, start_states.compute

    def counted(console, viewer, *asked):
        calls.append(asked)
        if asked not in found:
            found[asked] = compute(console, viewer, *asked)
        return found[asked]

    monkeypatch.setattr(start_states, "compute", counted)
    return calls


def pool(**options):
    return jax.device_get(Atari("breakout", **OPTIONS | options)._pool)


def test_what_is_read_is_what_was_computed(folder, computed, monkeypatch):
    first = pool()
    (file,) = folder.iterdir()
    again = pool()
    assert len(computed) == 1
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert jax.tree.map(lambda leaf: leaf.dtype, first) == jax.tree.map(lambda leaf: leaf.dtype, again)

    # Damaged, shortened or another's, they are computed again, and the file is mended.
    content = file.read_bytes()
    middle = len(content) // 2
    for damaged in (content[:middle], content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :], b""):
        file.write_bytes(damaged)
        jax.tree.map(np.testing.assert_array_equal, first, pool())
        assert file.read_bytes() == content
    assert len(computed) == 4 and list(folder.iterdir()) == [file]

    # Other settings, another emulator: other states.
    monkeypatch.setattr(start_cache, "_source", lambda: "changed")
    pool()
    assert len(computed) == 5 and len(list(folder.iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_done_without(folder, computed, tmp_path):
    (tmp_path / "atari").write_text("no folder")
    pool(num_start_states=1, noop_max=0), pool(num_start_states=1, noop_max=0)
    assert len(computed) == 2
