"""The balloon's reincarnation: its methods, what it keeps and how that is compared; and as its user meets it, killed and resumed."""

import csv
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import balloon
import jax
import numpy as np
import pytest
from balloon_parts import figures, methods, results, training
from PIL import Image
from recordings import NEEDS_DATA

from purejaxrrl import networks, teachers
from purejaxrrl.environments.balloon import assets
from purejaxrrl.runs import run_folder
from purejaxrrl.students.balloon import LargeStationKeeper, StationKeeper
from purejaxrrl.students.hyperparameters import names, replace
from purejaxrrl.students.settings import DQN, ValueBased

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def quantile_teacher(head=None, width=4):
    head = head or networks.quantile(7)
    network = networks.describe("mlp", 3, (1099,), widths=(width,), head=head)
    card = teachers.Card("balloon", "q_values", 3, (1099,), 410.3, 123.5, 100, 0)
    return teachers.from_network(network, network.init(jax.random.key(3)), card)


def test_from_nothing_is_the_same_student_without_a_teacher():
    settings = StationKeeper(widths=(8, 8), capacity=4_000)
    made = methods.settings_of("from_nothing", settings, quantile_teacher())
    assert type(made) is DQN and not made.learns_from_teacher
    assert {name: getattr(made, name) for name in names(ValueBased)} == {
        name: getattr(settings, name) for name in names(ValueBased)
    }


def test_behaviour_cloning_is_qdaggers_offline_phase_without_its_temporal_difference():
    settings = StationKeeper()
    made = methods.settings_of("behaviour_cloning", settings, quantile_teacher())
    assert made.online_iterations == 0 and made.td_coefficient == 0.0 and made.needs_data
    assert made.capacity == 120  # six rows, as nothing is played
    same = set(names(StationKeeper)) - {"online_iterations", "td_coefficient", "capacity"}
    assert all(getattr(made, name) == getattr(settings, name) for name in same)
    with pytest.raises(ValueError, match="would not learn at all"):
        methods.settings_of("behaviour_cloning", replace(settings, offline_iterations=0), quantile_teacher())


@pytest.mark.parametrize("name", ["from_nothing", "fine_tuning"])
def test_who_learns_by_playing_alone_has_to_play(name):
    settings = StationKeeper(online_iterations=0)
    with pytest.raises(ValueError, match=f"--online-iterations is 0, and method {name} learns by playing alone"):
        methods.settings_of(name, settings, quantile_teacher())
    assert methods.settings_of("qdagger", settings, quantile_teacher()).online_iterations == 0


def test_fine_tuning_goes_on_with_the_teachers_network():
    teacher = quantile_teacher()
    made = methods.settings_of("fine_tuning", StationKeeper(), teacher)
    assert (made.widths, made.num_atoms, made.learning_rate) == ((4,), 7, 2e-6)

    space = types.SimpleNamespace(shape=(1099,))
    air = types.SimpleNamespace(num_actions=3, default_params=None, observation_space=lambda params: space)
    student = methods.student_of("fine_tuning", made, air, teacher)
    observations = np.random.default_rng(0).normal(size=(5, 1099)).astype(np.float32)
    np.testing.assert_array_equal(
        student.apply(student.init(jax.random.key(9)), observations, None).q_values,
        teacher.apply(teacher.params, observations),
    )
    with pytest.raises(ValueError, match="must be an MLP of quantiles"):
        methods.settings_of("fine_tuning", StationKeeper(), quantile_teacher(networks.plain()))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [(("qdager",), "unknown method 'qdager'; the nearest are qdagger"), ((), "methods is ''"), (("qdagger",) * 2, "each of those wanted once")],
)  # fmt: skip
def test_methods_that_there_are_not_are_refused(wanted, message):
    with pytest.raises(ValueError, match=message):
        methods.check(wanted)


def test_full_changes_defaults_and_nothing_that_is_given(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["balloon.py", "--full", "--widths=9"])
    options, settings = balloon.classes()
    assert options().methods == tuple(methods.METHODS) and options().full is False  # the flag itself sets that
    assert settings is LargeStationKeeper and settings().widths == (600,) * 7 and settings().capacity == 2_000_000
    monkeypatch.setattr(sys, "argv", ["balloon.py"])
    assert balloon.classes() == (balloon.Options, StationKeeper) and StationKeeper().capacity == 100_000


def test_a_ring_is_no_longer_than_the_run(capsys):
    settings = LargeStationKeeper(online_iterations=10, iteration_steps=30_000)
    options = balloon.Options(output="nowhere")
    assert training._with_filled_ring(settings, options).capacity == 300_000
    assert "the replay of 2,000,000 transitions would not be filled; it is 300,000" in capsys.readouterr().out
    assert training._with_filled_ring(StationKeeper(), options) == StationKeeper()


def test_a_run_that_goes_on_beyond_its_end_keeps_its_ring(tmp_path):
    options = balloon.Options(output=str(tmp_path), resume=True)
    longer = LargeStationKeeper(online_iterations=20, iteration_steps=30_000)
    assert training._with_filled_ring(longer, options).capacity == 600_000
    for name, capacity in (("qdagger", 300_000), ("behaviour_cloning", 120)):
        run_folder.claim(tmp_path / name, {"settings": {"capacity": capacity}}, False)[0].release()
    assert training._with_filled_ring(longer, options).capacity == 300_000


def found(runs=2, episodes=3, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "seed_twr50": generator.random((runs, episodes)).astype(np.float32),
        "seed_returns": 500 * generator.random((runs, episodes)).astype(np.float32),
    }


MOMENTS = [("offline", 1, 0), ("offline", 2, 0), ("online", 1, 600), ("online", 2, 1200)]


def record(folder, number):
    moment = dict(zip(("phase", "iteration", "agent_steps"), MOMENTS[number], strict=True))
    results.record(folder, moment, [4, 5], np.arange(3), found(seed=number))


def test_what_is_recorded_is_read_again(tmp_path):
    assert results.read(tmp_path) == []
    for number in range(4):
        record(tmp_path, number)
    kept = results.evaluations(tmp_path)
    assert [(one.phase, one.iteration, one.agent_steps) for one in kept] == MOMENTS
    for number, one in enumerate(kept):
        np.testing.assert_array_equal(one.twr50, found(seed=number)["seed_twr50"])
        np.testing.assert_array_equal(one.returns, found(seed=number)["seed_returns"])


def test_a_run_that_goes_on_from_earlier_writes_its_episodes_again(tmp_path):
    for number in range(4):
        record(tmp_path, number)
    whole = (tmp_path / results.FILE).read_text()
    for number in (1, 2, 3):
        record(tmp_path, number)
        assert len(results.evaluations(tmp_path)) == number + 1
    assert (tmp_path / results.FILE).read_text() == whole


def evaluation(twr50, returns=None):
    twr50 = np.asarray(twr50, float)
    return results.Evaluation("online", 2, 1200, twr50, 1000 * twr50 if returns is None else returns)


def test_the_tables_pair_agents_by_episode():
    """Episodes differ by 90 points, the agents by 1 on each of them: the paired intervals are points."""
    episodes = np.array([0.0, 0.3, 0.9])
    teacher = evaluation([episodes])
    last = {"QDagger": evaluation([episodes + 0.01] * 3), "from nothing": evaluation([episodes - 0.02] * 3)}
    lines = results.table(teacher, last).splitlines()
    assert lines[2].startswith("| teacher | 1,200 | 1 | 40.0 (") and lines[2].count("+") == 0
    assert "| QDagger | 1,200 | 3 | 41.0 (" in lines[3] and "| +1.0 (+1.0 to +1.0) |" in lines[3]
    assert lines[3].endswith("| +10.0 (+10.0 to +10.0) |") and "| -2.0 (-2.0 to -2.0) |" in lines[4]
    pairs = results.pairs(last).splitlines()
    assert pairs[0] == "| QDagger less | TWR50, points | return |"
    assert pairs[2] == "| from nothing | +3.0 (+3.0 to +3.0) | +30.0 (+30.0 to +30.0) |"
    assert results.pairs({"QDagger": last["QDagger"]}) == ""


def test_the_curve_is_drawn_with_and_without_an_offline_phase(tmp_path):
    def curve(moments, seed):
        return [results.Evaluation(*each, *found(seed=seed + number).values()) for number, each in enumerate(moments)]

    teacher = results.Evaluation("online", 0, 0, *found(1).values())
    each = {"QDagger": curve(MOMENTS, 0), "from nothing": curve(MOMENTS[2:], 4), "cloning": curve(MOMENTS[:1], 8)}
    figures.learning_curve(tmp_path / "curve.png", teacher, each)
    with Image.open(tmp_path / "curve.png") as image:
        assert image.size[0] > 1500 and np.asarray(image.convert("L")).std() > 10


SHORT = {
    "seeds": 1, "suite": "micro", "offline_iterations": 1, "offline_updates": 50, "iteration_steps": 600, "online_iterations": 2,
    "data_transitions": 1000, "capacity": 1000, "warm_up": 200, "widths": 16, "pictures": 1,
}  # fmt: skip
"""Compiles as long as a real one, and runs for seconds."""


def command(folder, *arguments):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SHORT.items()]
    places = [f"--output={folder / 'run'}", f"--data={folder.parent / 'data'}"]
    return [sys.executable, str(EXPERIMENTS / "balloon.py"), *flags, *places, *arguments]


def measured(folder):
    """All that was, timings excepted."""
    found = {}
    for name in ("qdagger", "from_nothing"):
        with (folder / name / "metrics.csv").open() as file:
            rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
        found[name] = rows, (folder / name / results.FILE).read_text()
        found[name] += (teachers.load(folder / name / "student").fingerprint(),)
    return found


@pytest.mark.slow
@NEEDS_DATA
def test_a_killed_run_resumes_to_the_same_metrics(tmp_path):
    (tmp_path / "whole").mkdir()
    done = subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, text=True)
    whole = tmp_path / "whole" / "run"
    assert {"summary.md", "learning_curve.png", "flight_0.gif", "flight_0.png", "teacher"} <= set(os.listdir(whole))
    assert "| QDagger | 1,200 | 1 |" in done.stdout and "the 2 methods take" in done.stdout
    (tmp_path / "killed").mkdir()
    run = tmp_path / "killed" / "run"
    for place in ("qdagger/checkpoints/000002", "from_nothing/checkpoints/000001"):
        resumed = ["--resume"] if run.exists() else []
        process = subprocess.Popen(command(tmp_path / "killed", *resumed), stdout=subprocess.DEVNULL)
        while not (run / place).exists():
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    resumed = subprocess.run(command(tmp_path / "killed", "--resume"), check=True, capture_output=True, text=True)
    assert "flying the teacher" not in resumed.stdout and "offline  1" not in resumed.stdout
    assert measured(run) == measured(whole)
    other = ["--resume", "--discount=0.9", f"--data={tmp_path / 'other'}"]
    changed = subprocess.run(command(tmp_path / "killed", *other), capture_output=True, text=True, check=False)
    assert changed.returncode == 2 and "discount 0.993 there, 0.9 now" in changed.stderr
    assert not (tmp_path / "other").exists()  # refused before any were collected


def test_the_data_are_asked_for_before_anything_is_made(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PUREJAXRRL_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["balloon.py", f"--output={tmp_path / 'run'}"])
    with pytest.raises(SystemExit, match="2"):
        balloon.main()
    assert assets.COMMAND in capsys.readouterr().err and not (tmp_path / "run").exists()
