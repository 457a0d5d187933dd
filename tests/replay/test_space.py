"""A ring that does not fit is refused before anything is allocated."""

import re

import jax
import jax.numpy as jnp
import pytest

from purejaxrrl import replay
from purejaxrrl.replay import space


def pixels(capacity, num_environments=8):
    return replay.ReplayMemory(capacity, num_environments, replay.FrameStack((84, 84), 4), max_n_step=3)


def test_a_million_transitions_of_pixels_take_seven_gigabytes():
    """A frame is kept once: a stack of four in each row would take 28."""
    ring = jax.eval_shape(pixels(1_000_000).init)
    assert ring.observation.shape == (125_000, 8, 7056) and ring.observation.dtype == jnp.uint8
    assert 7.05e9 < space.size(ring) <= 7.2e9


@pytest.mark.parametrize("rings", [1, 3])
def test_the_error_names_the_bytes_and_a_capacity_that_fits(rings):
    memory, beside, available = pixels(1_000_000), 10**8, 5 * 10**9
    with pytest.raises(ValueError, match=r"1,000,000 transitions take.*5,000,000,000 are available") as error:
        replay.check_space(memory, rings, beside, available)
    asked = int(re.search(r"take\w* ([\d,]+) bytes", str(error.value))[1].replace(",", ""))
    assert asked == rings * space.size(jax.eval_shape(memory.init))
    largest = int(re.search(r"at most (\d+)", str(error.value))[1])
    replay.check_space(pixels(largest), rings, beside, available)
    with pytest.raises(ValueError, match="take a capacity"):
        replay.check_space(pixels(largest + 8), rings, beside, available)
    if rings > 1:
        assert "side by side" not in str(error.value)  # not one fits


def test_how_many_runs_fit():
    memory, of_one = pixels(1_000), 10**6
    each = of_one + space.size(jax.eval_shape(memory.init))
    with pytest.raises(ValueError, match="a capacity of at most .*, or train at most 2 side by side"):
        replay.check_space(memory, 3, 3 * of_one, 3 * each - 1)
    with pytest.raises(
        ValueError, match=r"are available; train at most 1 side by side \(fewer seeds\)$"
    ):  # what is beside rings leaves no room for many
        replay.check_space(memory, 30, 30 * of_one, each)
    replay.check_space(memory, 2, 2 * of_one, 3 * each - 1)
    assert [space.fitting(memory, of_one, available) for available in (each - 1, each, 3 * each)] == [0, 1, 3]
    fit = [space.fitting(memory, of_one, runs * each, devices=4) for runs in (3, 4, 7, 8, 10)]
    assert fit == [3, 4, 4, 8, 8]  # in equal shares


def test_data_that_are_shared_are_named_and_leave_less_for_rings():
    memory, of_data = pixels(1_000_000), 3 * 10**9
    with pytest.raises(ValueError, match="beside 0 of learners and environments and 3,000,000,000 of data") as error:
        replay.check_space(memory, 1, 0, 8 * 10**9, shared=of_data, shared_by="data_transitions")
    largest = int(re.search(r"at most (\d+), or take fewer data_transitions$", str(error.value))[1])
    replay.check_space(pixels(largest), 1, 0, 8 * 10**9, shared=of_data)
    with pytest.raises(ValueError):
        replay.check_space(pixels(largest + 8), 1, 0, 8 * 10**9, shared=of_data)
    with pytest.raises(ValueError, match="are available; take fewer data_transitions$"):
        replay.check_space(memory, 1, 0, 8 * 10**9, shared=9 * 10**9, shared_by="data_transitions")
    with pytest.raises(
        ValueError, match="of data, and 7,000,000,000 are available; take a capacity of at most [0-9]+$"
    ):
        replay.check_space(
            memory, 1, 0, 7 * 10**9, shared=10**8, shared_by="data_transitions"
        )  # too large without data, too


def test_where_nothing_fits_no_capacity_is_named():
    with pytest.raises(ValueError, match="no ring fits"):
        replay.check_space(pixels(1_000_000), 1, 10**9, 10**9 + 1000)


def test_what_is_there_is_known_and_less_than_a_control_group_allows(monkeypatch, tmp_path):
    found = replay.available_bytes()
    assert found is None or 10**7 < found < 10**14
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    monkeypatch.setattr(space, "_MEMINFO", tmp_path / "meminfo")
    for left, expected in ((None, 4000 * 1024), (2000, 2000), (9999999, 4000 * 1024)):
        monkeypatch.setattr(space.control_groups, "memory_left", lambda left=left: left)
        assert replay.available_bytes() == expected
    monkeypatch.setattr(space.control_groups, "memory_left", lambda: None)
    monkeypatch.setattr(space, "_MEMINFO", tmp_path / "none")
    assert replay.available_bytes() is None
    replay.check_space(pixels(1_000_000))
