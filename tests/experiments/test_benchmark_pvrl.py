"""The paper's comparison as its user meets it: two games, methods of all kinds and one's own, killed, extended, redrawn."""

import csv
import json
import logging
import re
import shutil
import sys

import benchmark_pvrl
import jax
import jax.numpy as jnp
import pytest
import reincarnate

from purejaxrrl import benchmark_results, methods, teachers

SMALL = {
    "frames": 640, "iterations": 2, "seeds": 2, "evaluation_steps": 20, "target_period": 10, "widths": "8",
    "data_transitions": 400, "offline_updates": 20,
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # teacher data are kept in ./runs/data
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))


def run_main(monkeypatch, **options) -> None:
    arguments = [
        f"--{name.replace('_', '-')}={value}" for name, value in (SMALL | options).items() if value is not True
    ]
    flags = [f"--{name}" for name, value in options.items() if value is True]
    monkeypatch.setattr(sys, "argv", ["benchmark_pvrl.py", *arguments, *flags])
    benchmark_pvrl.main()


def compilations(caplog, name):
    return sum(f"Finished XLA compilation of jit({name})" in record.getMessage() for record in caplog.records)


def metrics(folder):
    """All that is measured, timings excepted, of every run."""
    rows = []
    for path in folder.glob("*/*/metrics.csv"):
        with path.open() as file:
            rows += [
                (path.parts[-3], *(value for name, value in row.items() if name != "seconds"))
                for row in csv.DictReader(file)
            ]
    return sorted(rows)


def test_the_comparison_with_a_method_of_ones_own(monkeypatch, caplog, capsys, tmp_path):
    # The README's example: a loss of one's own, and a method that has it.
    def entropy(q_values, batch, method, coefficient):
        log_policy = jax.nn.log_softmax(q_values)
        return 0.01 * coefficient * (jnp.exp(log_policy) * log_policy).sum(-1)

    methods.add("soft_qdagger", "QDagger with entropy", like="qdagger", term=entropy, weaning="linear")
    chosen = "tabula_rasa,jsrl,pretraining,qdagger,soft_qdagger"
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        run_main(monkeypatch, games="breakout", methods=chosen, output="out")
    # Programs: without an offline phase, with one, with the term. Not one a method or a seed.
    assert compilations(caplog, "online") == 3 and compilations(caplog, "offline") == 2
    results = benchmark_results.load("out")
    assert set(results.methods) == set(chosen.split(",")) and results.seeds("breakout") == 2
    # Linear weaning is over after 60% of the frames: 320 of 384 there, then 0.
    course = results.runs["breakout"]["soft_qdagger"][0].coefficients
    assert list(course) == pytest.approx([1.0, 1 - 320 / 384, 0.0], abs=1e-6)
    assert "QDagger with entropy" in (tmp_path / "out" / "report.md").read_text()
    (folder,) = tmp_path.glob("out/breakout/pretraining*")
    about = json.loads((folder / "config.json").read_text())
    assert about["teacher_sha256"] == teachers.load(teachers.shipped("minatar/breakout")).fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", about["data_sha256"])

    # Redrawn from the files alone.
    for picture in tmp_path.glob("out/*.png"):
        picture.unlink()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        caplog.clear()
        run_main(monkeypatch, output="out", redraw=True)
    assert compilations(caplog, "online") == 0
    assert (tmp_path / "out" / "aggregate_curves.png").exists()

    # A game and a seed more: what is there is neither trained again nor changed.
    before = metrics(tmp_path / "out")
    run_main(monkeypatch, games="breakout", methods="qdagger", seeds=3, output="out", resume=True)
    after = metrics(tmp_path / "out")
    assert len(after) == len(before) + 3 and set(before) <= set(after)
    # With other settings it is refused.
    with pytest.raises(SystemExit):
        run_main(monkeypatch, games="breakout", methods="qdagger", frames=1280, output="out", resume=True)
    assert "frames is 640" in capsys.readouterr().err


def test_an_interrupted_benchmark_keeps_what_is_finished_and_ends_the_same(monkeypatch, tmp_path):
    options = {"games": "breakout", "methods": "tabula_rasa,kickstarting,rehearsal"}
    run_main(monkeypatch, output="whole", **options)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    shutil.copytree(whole, parts)
    # As if it had been killed in the second program: one iteration done, the first program whole.
    (second,) = parts.glob("breakout/rehearsal*")
    newest = sorted((second / "checkpoints").iterdir())
    shutil.rmtree(newest[-1])
    rows = [row for row in (second / "metrics.csv").read_text().splitlines() if ",640," not in row]
    (second / "metrics.csv").write_text("\n".join(rows) + "\n")
    (first,) = parts.glob("breakout/tabula_rasa*")
    untouched = (first / "metrics.csv").stat().st_mtime_ns
    run_main(monkeypatch, output="parts", resume=True, **options)
    assert metrics(parts) == metrics(whole)
    assert (first / "metrics.csv").stat().st_mtime_ns == untouched


def test_all_methods_of_a_seed_start_from_the_same_student(monkeypatch):
    config = benchmark_pvrl.Config(**SMALL | {"widths": (8,)})
    game = benchmark_pvrl.Game.load(config, "breakout")
    params = []
    for name in ("tabula_rasa", "rehearsal", "qdagger"):
        student = config.student("breakout", name)
        program = reincarnate.make_train(
            student, game.environment, game.environment.default_params, game.teacher, game.dataset
        )
        params.append(program.init(jax.random.key(3)).learner.params)
    for other in params[1:]:
        jax.tree.map(lambda a, b: (a == b).all() or pytest.fail("they differ"), params[0], other)


WRONG = {
    "an unknown game": ({"games": "brekout"}, "unknown environment 'minatar/brekout'; the nearest are minatar/breakout"),
    "an unknown method": ({"methods": "qdager"}, "unknown method 'qdager'; the nearest are qdagger"),
    "no methods": ({"methods": ""}, "--methods is empty"),
    "frames that do not divide": ({"frames": 1001}, "--frames 1001 is not a multiple of --iterations 2"),
    "no results to draw": ({"redraw": True, "output": "nothing"}, "holds no finished results"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_with_what_would_be_right(case, monkeypatch, capsys):
    options, message = WRONG[case]
    with pytest.raises(SystemExit):
        run_main(monkeypatch, **options)
    assert message in capsys.readouterr().err
