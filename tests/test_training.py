"""The host's loop over iterations, with a program that only counts: shares of devices, resuming, and losses gone wrong."""

import dataclasses
import shutil
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import parallel, reincarnation, runs, training

SEEDS = [5, 6, 7]
CONFIG = SimpleNamespace(
    rehearses=False, offline_iterations=1, online_iterations=2, offline_updates=10, iteration_steps=40,
    cadence=SimpleNamespace(updates_per_iteration=10),
)  # fmt: skip


class State(NamedTuple):
    number: jax.Array
    total: jax.Array


class Metrics(NamedTuple):
    td_loss: jax.Array
    distillation_loss: jax.Array
    coefficient: jax.Array
    mean_return: jax.Array
    score: jax.Array


NAMES = [field.name for field in dataclasses.fields(reincarnation.Method) if field.name != "weaning"]
ZERO = reincarnation.Method(weaning=reincarnation.weaning("none", 1.0), **dict.fromkeys(NAMES, jnp.float32(0.0)))


def method(number, learning_rate=0.0):
    return ZERO.replace(td_coefficient=jnp.float32(number), learning_rate=jnp.float32(learning_rate))


def iteration(state, key, method, data, index):
    """Adds the run's method and index to what it holds, online its learning rate too; `data` stands for the teacher's."""
    further = method.learning_rate if data is None else data.ring
    total = state.total + method.td_coefficient * (index + 1) + further
    return State(state.number, total), Metrics(total, 0 * total, total, total, state.number)


PROGRAM = SimpleNamespace(
    init=lambda key: State(jax.random.uniform(key), jnp.float32(0.0)),
    offline=lambda state, key, method, data, index: iteration(state, key, method, SimpleNamespace(ring=data), index),
    online=iteration,
)
DATA = SimpleNamespace(ring=jnp.float32(100.0))


def train(path, methods=tuple(map(method, (1.0, 2.0, 3.0))), resume=False, seeds=SEEDS):
    folder = runs.RunFolder(path, {}, resume)
    labels = [{"seed": seed} for seed in seeds]
    return training.run(CONFIG, PROGRAM, DATA, seeds, methods, labels, folder), folder.rows


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture
def four_shares(monkeypatch):
    """As if there were devices for four runs."""
    monkeypatch.setattr(parallel, "equal_shares", lambda num_runs: [*range(num_runs), num_runs - 1])


def test_copies_that_fill_up_a_device_are_neither_reported_nor_kept(four_shares, tmp_path):
    state, rows = train(tmp_path / "run")
    assert [(row["phase"], row["iteration"], row["agent_steps"], row["seed"]) for row in rows] == [
        (phase, iteration, steps, seed)
        for phase, iteration, steps in (("offline", 1, 0), ("online", 1, 40), ("online", 2, 80))
        for seed in SEEDS
    ]
    # Offline 100 and the method once; online once and twice more.
    np.testing.assert_allclose(state.total, [104.0, 108.0, 112.0])
    assert len(set(state.number.tolist())) == 3
    restored = runs.RunFolder(tmp_path / "run", {}, resume=True).restore(jax.eval_shape(lambda: state))
    assert restored[0] == 3
    np.testing.assert_array_equal(restored[1].total, state.total)


@pytest.mark.parametrize("killed_after", [None, 1])
def test_runs_that_differ_online_only_share_their_offline_phase(killed_after, four_shares, tmp_path, monkeypatch):
    trained, over_runs = [], parallel.over_runs
    monkeypatch.setattr(
        parallel, "over_runs", lambda function, *rest, **options: trained.append(rest[0]) or over_runs(function, *rest)
    )
    methods = [method(1.0, 10.0), method(2.0), method(1.0, 20.0), method(1.0), method(1.0, 30.0)]
    seeds = [5, 5, 5, 6, 5]
    if killed_after:
        train(tmp_path / "run", methods, seeds=seeds)
        for later in (2, 3):
            shutil.rmtree(tmp_path / "run" / "checkpoints" / f"{later:06d}", ignore_errors=True)
        trained.clear()
    state, rows = train(tmp_path / "run", methods, resume=bool(killed_after), seeds=seeds)
    assert trained == [6, 4, 6]  # the initial students, three offline phases, five online, each with a copy more
    np.testing.assert_allclose(state.total, [124.0, 108.0, 144.0, 104.0, 164.0])
    assert state.number[0] == state.number[1] == state.number[2] == state.number[4] != state.number[3]
    assert [row["td_loss"] for row in rows[:5]] == [101.0, 102.0, 101.0, 101.0, 101.0]


def test_a_run_is_resumed_with_another_number_of_devices(tmp_path, monkeypatch):
    whole, rows = train(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "000003")
    monkeypatch.setattr(parallel, "equal_shares", lambda num_runs: [*range(num_runs), num_runs - 1])
    resumed, resumed_rows = train(tmp_path / "killed", resume=True)
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert without_seconds(resumed_rows) == without_seconds(rows)


def test_a_loss_that_is_not_finite_names_the_run_and_keeps_the_checkpoint_before_it(four_shares, tmp_path):
    with pytest.raises(runs.DivergenceError, match="td_loss is nan in run 1 of 3.*Lower the learning rate"):
        train(tmp_path / "run", methods=[method(number) for number in (1.0, float("nan"), 3.0)])
    assert not list((tmp_path / "run").glob("checkpoints/[0-9]*"))
