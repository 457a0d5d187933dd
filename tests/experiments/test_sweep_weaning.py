"""The sweep of weaning schedules: one program for all, and a schedule of one's own in one line."""

import csv
import logging
import sys

import jax
import jax.numpy as jnp
import pytest
import sweep_weaning
from PIL import Image
from tiny import TINY

from purejaxrrl.students import weaning


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
    monkeypatch.setattr(sys, "argv", ["sweep_weaning.py", *flags])
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


@pytest.mark.parametrize(
    "arguments, message",
    [(["--schedules="], "--schedules is empty"), (["--schedules=linear,liner"], "unknown weaning 'liner'")],
)
def test_wrong_sweeps_are_refused(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sweep_weaning.py", *arguments])
    with pytest.raises(SystemExit):
        sweep_weaning.main()
    assert message in capsys.readouterr().err
