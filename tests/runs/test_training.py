"""The host's loop over iterations, with a program that only counts: shares of devices, resuming, and losses gone wrong."""

import csv
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl import replay
from purejaxrrl.runs import devices, run_folder, training
from purejaxrrl.students import qdagger
from purejaxrrl.students.hyperparameters import as_arrays, replace
from purejaxrrl.students.settings import QDagger

SEEDS = [5, 6, 7]
SHAPES = {
    "num_environments": 2, "steps_per_update": 4, "target_period": 10, "iteration_steps": 40, "offline_iterations": 1,
    "online_iterations": 2, "offline_updates": 10, "capacity": 100,
}  # fmt: skip


class State(NamedTuple):
    number: jax.Array
    total: jax.Array
    ring: Any


def settings(number, exploration=0.0):
    """`number` acts in both phases, `exploration` online alone."""
    return QDagger(**SHAPES, td_coefficient=number, epsilon_end=exploration)


PROGRAM = SimpleNamespace(
    settings=settings(1.0),
    teacher=None,
    memory=replay.ReplayMemory(100, 2, replay.Plain((), jnp.float32), max_n_step=5),
    warm_up_rows=6,
    environment=SimpleNamespace(frames_per_step=4),
)
DATA = SimpleNamespace(ring=jnp.float32(100.0))


def init(program, key, hyperparameters):
    return State(jax.random.uniform(key), jnp.float32(0.0), jnp.zeros((50, 2), jnp.int32))


def iteration(state, hyperparameters, further, index):
    """Adds the run's number and index to what it holds, and what differs by phase."""
    hyperparameters = as_arrays(hyperparameters)
    total = state.total + hyperparameters.td_coefficient * (index + 1) + further(hyperparameters)
    metrics = {
        "td_loss": total,
        "own_loss": jnp.float32(0.0),
        "lambda": total,
        "learning_rate": total,
        "mean_return": total,
        "seed_returns": jnp.stack([total, -total]),
    }
    return state._replace(total=total), metrics | {"score": state.number, "episodes": index}


def offline(program, state, key, hyperparameters, data, index):
    """`data` stands for the teacher's."""
    return iteration(state, hyperparameters, lambda each: data, index)


def online(program, state, key, hyperparameters, data, index):
    """Exploration counts a hundredfold; each of the ring's 20 rows an iteration holds its number, from 1 on."""
    assert data is None
    rows = 20 * index + jnp.arange(20)
    state = state._replace(ring=state.ring.at[rows].set(rows[:, None] + 1))
    return iteration(state, hyperparameters, lambda each: 100 * each.epsilon_end, index)


@pytest.fixture(autouse=True)
def counting(monkeypatch):
    """A training step that only counts."""
    for step in (init, offline, online):
        monkeypatch.setattr(qdagger, step.__name__, step)


def train(path, runs=tuple(map(settings, (1.0, 2.0, 3.0))), resume=False, seeds=SEEDS, after=None, program=PROGRAM):
    labels = [{"seed": seed} for seed in seeds]
    with run_folder.RunFolder(path, {}, resume) as folder:
        return training.run(program, runs, seeds, labels, folder, DATA, after), folder.rows


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture
def four_shares(monkeypatch):
    """As if there were devices for four runs."""
    monkeypatch.setattr(devices, "equal_shares", lambda num_runs: [*range(num_runs), num_runs - 1])


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
    assert len(state.ring) == 4  # as it stood, for it may be too large to have twice
    like = jax.eval_shape(lambda: state._replace(ring=state.ring[:3]))
    with run_folder.RunFolder(tmp_path / "run", {}, resume=True) as folder:
        restored = folder.restore(like._replace(ring=None), like.ring)
    assert restored.iterations == 3
    np.testing.assert_array_equal(restored.state.total, state.total)
    np.testing.assert_array_equal(restored.ring, state.ring[:3])
    np.testing.assert_array_equal(state.ring[0, :, 0], [*range(1, 41), *[0] * 10])


def test_a_resumed_ring_is_never_an_array_of_the_hosts(tmp_path):
    train(tmp_path / "run")
    rings, labels = [], [{"seed": seed} for seed in SEEDS]
    runs = tuple(map(settings, (1.0, 2.0, 3.0)))
    with run_folder.RunFolder(tmp_path / "run", {}, resume=True) as folder:
        training.run(PROGRAM, runs, SEEDS, labels, folder, DATA, at_start=lambda _, state: rings.append(state.ring))
    assert all(isinstance(ring, jax.Array) for ring in rings) and len(rings) == 1


@pytest.mark.parametrize("killed_after", [None, 1])
def test_runs_that_differ_online_only_share_their_offline_phase(killed_after, four_shares, tmp_path, monkeypatch):
    trained, over_runs = [], devices.over_runs
    monkeypatch.setattr(
        devices, "over_runs", lambda function, *rest, **options: trained.append(rest[0]) or over_runs(function, *rest)
    )
    runs = [settings(1.0, 0.1), settings(2.0), settings(1.0, 0.2), settings(1.0), settings(1.0, 0.3)]
    seeds = [5, 5, 5, 6, 5]
    if killed_after:
        train(tmp_path / "run", runs, seeds=seeds)
        for later in (2, 3):
            shutil.rmtree(tmp_path / "run" / "checkpoints" / f"{later:06d}", ignore_errors=True)
        trained.clear()
    state, rows = train(tmp_path / "run", runs, resume=bool(killed_after), seeds=seeds)
    assert trained == [6, 4, 6]  # the initial students, three offline phases, five online, each with a copy more
    np.testing.assert_allclose(state.total, [124.0, 108.0, 144.0, 104.0, 164.0])
    assert state.number[0] == state.number[1] == state.number[2] == state.number[4] != state.number[3]
    assert [row["td_loss"] for row in rows[:5]] == [101.0, 102.0, 101.0, 101.0, 101.0]


@pytest.mark.parametrize("learners", [1, 2, 3, 5, 6])
def test_a_shared_offline_phase_on_the_devices_that_there_are(learners, tmp_path):
    """Six runs, of which some learn alike offline; how many share a device differs between the phases."""
    numbers = [float(number % learners) for number in range(6)]
    runs = [settings(number, 0.01 * place) for place, number in enumerate(numbers)]
    state, rows = train(tmp_path / "run", runs, seeds=[5] * 6)
    np.testing.assert_allclose(state.total, [100.0 + 4 * number + 2 * place for place, number in enumerate(numbers)])
    np.testing.assert_array_equal(state.ring[:6, :, 0], [[*range(1, 41), *[0] * 10]] * 6)
    assert [row["td_loss"] for row in rows[:6]] == [100.0 + number for number in numbers]


@pytest.mark.parametrize("count", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_a_shared_offline_phase_on_many_devices(count):
    """The test above, in a process that has them."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    test = f"{__file__}::{test_a_shared_offline_phase_on_the_devices_that_there_are.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", test]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout + done.stderr


def test_the_teachers_data_are_copied_once_it_is_known_that_they_fit(tmp_path, monkeypatch):
    """Each of four states beside its ring is two numbers; the data are there already, and count where they are."""
    asked, copied = [], devices.copied
    monkeypatch.setattr(training.replay, "check_space", lambda *given: asked.append(given))
    monkeypatch.setattr(devices, "copied", lambda *given: copied(*given) if asked else pytest.fail("copied too early"))
    train(tmp_path / "run", [settings(float(number)) for number in range(4)], seeds=range(4))
    (_, rings, beside, _, used) = asked[0]
    assert (rings, beside, used) == (4, 4 * 8, len(devices.devices_for(4)))


def test_both_phases_of_many_runs_are_taken_in_turn(tmp_path, monkeypatch):
    taken, in_turn = [], devices._in_turn
    monkeypatch.setattr(
        devices, "_in_turn", lambda function, per_run, runs: taken.append(runs) or in_turn(function, per_run, runs)
    )
    numbers = range(12 * len(jax.local_devices()))
    state, _ = train(tmp_path / "run", [settings(float(number)) for number in numbers], seeds=numbers)
    assert taken == [12, 12]
    np.testing.assert_allclose(state.total, [100.0 + 4 * number for number in numbers])


def test_what_never_learns_online_is_measured_in_frames(tmp_path, monkeypatch):
    """Three runs of two iterations, 40 agent steps of 4 frames each; an update every 4 steps that find the ring warm."""
    totals, made = [], training.ProgressBar
    monkeypatch.setattr(training, "ProgressBar", lambda total, *rest: totals.append(total) or made(total, *rest))
    for rows in (25, 41):
        train(tmp_path / str(rows), program=SimpleNamespace(**vars(PROGRAM) | {"warm_up_rows": rows}))
    assert totals == [{"online": 3 * 8, "offline": 3 * 10}, {"online": 3 * 2 * 40 * 4, "offline": 3 * 10}]


def test_iterations_that_only_fill_the_replay_say_so(tmp_path, capsys):
    """20 rows an iteration, two a cycle: the ring is warm in the second iteration's third cycle, or never."""
    for rows, learns in ((25, (False, True)), (41, (False, False))):
        program = SimpleNamespace(**vars(PROGRAM) | {"warm_up_rows": rows})
        _, written = train(tmp_path / str(rows), program=program)
        *before, offline, first, second = capsys.readouterr().out.splitlines()
        online = first, second
        assert any(line.startswith("nothing is learned online: ") for line in before) == (rows == 41)
        assert "td 10" in offline and "updates/s" in offline
        for line, learned in zip(online, learns, strict=True):
            assert ("td " in line) == ("updates/s" in line) == learned and "frames/s" in line
            assert ("no update" in line) == (not learned)
            assert ("filling the replay" in line) == (not learned and rows == 25)
        losses = [row["td_loss"] for row in written if row["seed"] == SEEDS[0]]
        assert [loss is not None for loss in losses] == [True, *learns]
        with (tmp_path / str(rows) / "metrics.csv").open() as file:
            assert [row["td_loss"] for row in csv.DictReader(file)] == [
                "" if row["td_loss"] is None else str(row["td_loss"]) for row in written
            ]


def test_a_run_that_had_ended_goes_on_where_there_are_more_iterations(tmp_path):
    def train_for(path, online_iterations, **options):
        runs = [replace(settings(number), online_iterations=online_iterations) for number in (1.0, 2.0, 3.0)]
        program = SimpleNamespace(**vars(PROGRAM) | {"settings": runs[0]})
        return train(tmp_path / path, runs, program=program, **options)

    train_for("run", 1)
    state, rows = train_for("run", 2, resume=True)
    whole, expected = train_for("whole", 2)
    assert without_seconds(rows) == without_seconds(expected)
    jax.tree.map(np.testing.assert_array_equal, state, whole)
    with pytest.raises(ValueError, match="online_iterations is 1, but the run in .*run has done 2; give at least that"):
        train_for("run", 1, resume=True)


def test_a_run_is_resumed_with_another_number_of_devices(tmp_path, monkeypatch):
    whole, rows = train(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "000003")
    monkeypatch.setattr(devices, "equal_shares", lambda num_runs: [*range(num_runs), num_runs - 1])
    resumed, resumed_rows = train(tmp_path / "killed", resume=True)
    jax.tree.map(np.testing.assert_array_equal, resumed._replace(ring=resumed.ring[:3]), whole)
    assert without_seconds(resumed_rows) == without_seconds(rows)


def test_a_loss_that_is_not_finite_names_the_run_and_keeps_the_checkpoint_before_it(four_shares, tmp_path):
    with pytest.raises(
        run_folder.DivergenceError,
        match=r"td_loss is inf in online iteration 1 \(seed 6; 1 of 3 runs\); .*Lower the learning rate",
    ):
        train(tmp_path / "run", runs=[settings(number) for number in (1.0, 3e38, 3.0)])
    done = [place.name for place in (tmp_path / "run").glob("checkpoints/[0-9]*")]
    assert done == ["000001"]


def test_runs_of_another_program_are_refused(tmp_path):
    other = QDagger(**SHAPES | {"capacity": 200})
    with pytest.raises(ValueError, match="capacity is 100 in one and 200 in another run of one program"):
        train(tmp_path / "run", runs=[settings(1.0), other], seeds=[1, 2])
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_row_says_all_that_was_measured_in_columns_of_one_order(tmp_path):
    _, rows = train(tmp_path / "run")
    assert [*rows[0]] == [
        "phase", "iteration", "agent_steps", "seed", "score", "mean_return", "episodes", "lambda", "learning_rate", "own_loss",
        "td_loss", "seconds",
    ]  # fmt: skip
    assert [row["td_loss"] for row in rows if row["seed"] == 6] == [102.0, 104.0, 108.0]


def test_what_is_done_after_an_iteration_comes_before_its_checkpoint(tmp_path):
    """So that what it writes is written again by a run that is killed between the two."""
    seen = []

    def after(agent_steps, state, metrics):
        assert metrics["seed_returns"].shape == (3, 2)
        checkpoints = sorted(place.name for place in (tmp_path / "run").glob("checkpoints/[0-9]*"))
        seen.append((agent_steps, checkpoints[-1:], float(state.total[0])))

    train(tmp_path / "run", after=after)
    assert seen == [(0, [], 101.0), (40, ["000001"], 102.0), (80, ["000002"], 104.0)]


def test_a_resume_makes_no_state_that_it_throws_away(tmp_path, monkeypatch):
    whole, _ = train(tmp_path / "run")
    made = []
    monkeypatch.setattr(
        qdagger, "init", lambda *arguments: jax.debug.callback(lambda: made.append(1)) or init(*arguments)
    )
    again, _ = train(tmp_path / "run", resume=True)
    jax.effects_barrier()
    assert not made
    jax.tree.map(np.testing.assert_array_equal, again, whole)
    train(tmp_path / "other")
    jax.effects_barrier()
    assert made


def test_rings_that_do_not_fit_are_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "available_bytes", lambda devices: 4_000)
    made = []
    monkeypatch.setattr(qdagger, "init", lambda *given: jax.debug.callback(made.append, True) or init(*given))
    with pytest.raises(
        ValueError,
        match=r"3 rings of 100 .* 4,000 are available; take a capacity of at most 82, or train at most 2 side by side",
    ):
        train(tmp_path / "run")
    jax.effects_barrier()
    assert not made and not (tmp_path / "run" / "checkpoints").exists()


def test_the_table_has_the_last_iterations_scores():
    def row(phase, iteration, seed, score):
        return {"phase": phase, "iteration": iteration, "seed": seed, "score": score, "mean_return": 10 * score}

    rows = [row("offline", 1, 0, 9.0), row("offline", 1, 1, 9.0), row("online", 1, 0, 0.5), row("online", 1, 1, 1.0)]
    assert training.last_rows(rows) == rows[2:]
    card = SimpleNamespace(environment="toy", score=8.0, random_score=1.0, algorithm="DQN", frames=1_000)
    student = training.table(rows, card, 2_000).splitlines()[-1]
    assert student.split()[-6:] == ["7.50", "0.75", "0.50", "to", "1.00", "2,000"]
