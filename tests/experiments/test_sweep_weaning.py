"""The sweep of weaning schedules: one program for all, and a schedule of one's own in one line."""

import csv
import logging
import sys

import event_files
import jax
import jax.numpy as jnp
import pytest
import sweep_weaning
from PIL import Image
from tiny import TINY

from purejaxrrl.students import presets, weaning
from purejaxrrl.students.hyperparameters import names
from purejaxrrl.students.settings import QDagger


def test_a_sweep_compiles_once_and_draws(monkeypatch, teacher_folder, tmp_path, caplog, capsys):
    halves = lambda hyperparameters, progress, score: jnp.where(progress < 1.0, 0.5, 0.0)  # noqa: E731
    monkeypatch.setitem(weaning.SCHEDULES, "half", halves)
    arguments = {
        "teacher": teacher_folder, "data": tmp_path / "data", "output": tmp_path / "sweep", "schedules": "linear,half,none",
        "coefficients": "1,3", "temperatures": "0.1", "seeds": 1, "weaning_steps": 200, "offline_iterations": 1,
        "offline_updates": 20, "online_iterations": 2, "iteration_steps": 160,
    }  # fmt: skip
    shapes = {
        name: TINY[name]
        for name in ("capacity", "batch_size", "target_period", "warm_up", "data_transitions", "max_n_step")
    }
    arguments |= shapes | {"evaluation_steps": 1, "evaluation_environments": 1}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    monkeypatch.setattr(sys, "argv", ["sweep_weaning.py", *flags, "--tensorboard"])
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        sweep_weaning.main()
    compilations = [
        record.getMessage() for record in caplog.records if "Finished XLA compilation" in record.getMessage()
    ]
    assert sum("jit(online)" in message for message in compilations) == 1
    assert sum("jit(offline)" in message for message in compilations) == 1

    with (tmp_path / "sweep" / "metrics.csv").open() as file:
        last = [row for row in csv.DictReader(file) if row["phase"] == "online" and row["iteration"] == "1"]
    coefficients = {row["schedule"]: float(row["lambda"]) for row in last}
    assert coefficients == pytest.approx({"linear": 1 - 160 / 200, "half": 0.5, "none": 0.0}, abs=1e-6)
    assert len(last) == 6
    with Image.open(tmp_path / "sweep" / "sweep.png") as image:
        assert image.size[0] > 1000
    assert "half" in capsys.readouterr().out
    followed = event_files.assert_follow(tmp_path / "sweep", ("schedule", "coefficient", "temperature", "seed"))
    assert "schedule=half,coefficient=3.0,temperature=0.1,seed=0" in followed and len(followed) == 6


def test_runs_are_what_their_labels_say():
    options = sweep_weaning.Options(
        schedules=("linear", "none"), coefficients=(1.0, 3.0), temperatures=(0.1, 1.0), seed=7, seeds=2
    )
    runs, seeds, labels = sweep_weaning.swept(options, sweep_weaning.Settings())
    assert [
        (run.weaning, run.distillation_coefficient, run.teacher_temperature, run.student_temperature, seed)
        for run, seed in zip(runs, seeds, strict=True)
    ] == [
        (label["schedule"], label["coefficient"], label["temperature"], label["temperature"], label["seed"])
        for label in labels
    ]
    assert len({tuple(label.values()) for label in labels}) == 16 and set(seeds) == {7, 8}


def test_the_summary_ranks_settings_by_their_last_scores():
    def rows(schedule, *scores):
        about = {"phase": "online", "schedule": schedule, "coefficient": 3.0, "temperature": 0.1}
        return [about | {"iteration": number, "seed": 0, "score": score} for number, score in enumerate(scores, 1)]

    interleaved = sorted([*rows("linear", 0.9, 0.2), *rows("step", 0.1, 0.6)], key=lambda row: row["iteration"])
    lines = sweep_weaning.summary(interleaved).splitlines()[1:]
    assert [(line.split()[0], line.split()[3]) for line in lines] == [("step", "0.600"), ("linear", "0.200")]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--schedules="], "--schedules is empty"),
        (["--schedules=linear,liner"], "unknown weaning 'liner'"),
        (["--coefficients=1,3,1.0"], "--coefficients is (1.0, 3.0, 1.0); give each once"),
    ],
)
def test_wrong_sweeps_are_refused(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sweep_weaning.py", *arguments])
    with pytest.raises(SystemExit):
        sweep_weaning.main()
    assert message in capsys.readouterr().err


class ReachedError(Exception):
    """The program would make environment, teacher and data."""


def asked_for(monkeypatch, *arguments):
    """Options, settings and runs as the program reads them."""
    found = []

    def prepare(name, *asked, leave_out):
        found.extend(asked)
        raise ReachedError

    monkeypatch.setattr(sweep_weaning.experiment, "prepare", prepare)
    monkeypatch.setattr(sweep_weaning.devices, "use_cores", lambda: None)
    monkeypatch.setattr(sys, "argv", ["sweep_weaning.py", *arguments])
    with pytest.raises(ReachedError):
        sweep_weaning.main()
    return found


def test_students_see_pixels_on_atari_and_are_few(monkeypatch):
    """The learner of reincarnate.py, which its replay of one run's steps fits."""
    options, settings, runs = asked_for(monkeypatch, "--environment=atari/breakout", "--width=0.25")
    learner = {
        name: value
        for name, value in presets.QUICK_ON_ATARI.items()
        if name in names(QDagger) and name not in ("weaning_steps", "teacher_temperature", "student_temperature")
    }
    assert {name: getattr(settings, name) for name in learner} == learner | {"width": 0.25}
    assert (options.coefficients, options.temperatures, options.seeds, len(runs)) == ((3.0,), (0.1,), 2, 6)
    offline = settings.offline_iterations, settings.offline_updates
    assert offline == (QDagger().offline_iterations, QDagger().offline_updates)
    assert settings.online_iterations * settings.iteration_steps == settings.weaning_steps == settings.capacity
    options, settings, runs = asked_for(monkeypatch, "--environment=minatar/asterix")
    assert settings == sweep_weaning.Settings() and options.schedules == sweep_weaning.Options().schedules
    assert len(runs) == 5 * 2 * 2 * 2


def test_a_game_without_a_teacher_is_answered_with_the_command_that_trains_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["sweep_weaning.py", "--environment=atari/tennis", f"--output={tmp_path / 'run'}"])
    with pytest.raises(SystemExit) as end:
        sweep_weaning.main()
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1
    assert "train one with python experiments/pqn.py --environment atari/tennis --frames 50e6" in error
    assert "then give --teacher runs/tennis/teacher" in error
