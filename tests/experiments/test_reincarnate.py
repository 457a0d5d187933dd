"""The main experiment as its user meets it: the files it leaves, being killed and resumed, and wrong inputs."""

import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import event_files
import pytest
import reincarnate
from PIL import Image
from tiny import flags

from purejaxrrl import teachers
from purejaxrrl.students.hyperparameters import declaration, names
from purejaxrrl.students.settings import QDagger

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ITERATIONS = 5


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(EXPERIMENTS / "reincarnate.py"), *arguments]


def long_flags(folder: Path, **options) -> list[str]:
    return flags(teacher=folder, offline_iterations=1, online_iterations=ITERATIONS - 1, **options)


def metrics(folder: Path) -> list[dict[str, str]]:
    """All that is measured, timings excepted."""
    with (folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def uninterrupted(teacher_folder, tmp_path_factory):
    """A finished run: its folder and what it printed."""
    output = tmp_path_factory.mktemp("uninterrupted") / "run"
    data = output.with_name("data")
    done = subprocess.run(
        command(*long_flags(teacher_folder, output=output, data=data), "--tensorboard", "--from-nothing"),
        check=True,
        capture_output=True,
        text=True,
    )
    return output, data, done.stdout


def killed(arguments: list[str], when, patience: float = 240.0) -> None:
    """Runs the command and kills it the moment `when()` is true."""
    process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + patience
    while not when():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run never came to where it was to be killed"
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_run_leaves_its_results(uninterrupted):
    output, _, printed = uninterrupted
    assert {"learning_curve.png", "metrics.csv", "config.json", "student", "student.gif", "summary.txt"} <= set(
        os.listdir(output)
    )
    with Image.open(output / "learning_curve.png") as image:
        assert image.size[0] > 600
    with Image.open(output / "student.gif") as image:
        assert image.n_frames > 1
    rows, from_nothing = metrics(output), metrics(output / "from_nothing")
    assert len(rows) == 2 * ITERATIONS
    assert [(row["phase"], row["seed"]) for row in from_nothing] == [("online", "0"), ("online", "1")] * (
        ITERATIONS - 1
    )
    assert "from nothing, IQM of 2 seeds" in (output / "summary.txt").read_text()
    assert json.loads((output / "from_nothing" / "config.json").read_text())["identity"]["teacher"] is None
    assert {"phase", "iteration", "seed", "agent_steps", "score", "lambda", "td_loss", "distillation_loss"} <= set(
        rows[0]
    )
    identity = json.loads((output / "config.json").read_text())["identity"]
    assert identity["program"] == "reincarnate" and identity["settings"]["n_step"] == 3
    followed = event_files.assert_follow(output)
    assert (
        len(followed["seed=1"]["online/score"]) == ITERATIONS - 1 and followed["seed=0"]["offline/td_loss"][0][0] == 1
    )
    for word in ("teacher", "random policy", "student, IQM of 2 seeds", "95% interval", "frames", "lambda", "left"):
        assert word in printed


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["between iterations", "while saving", "after an earlier end"])
def test_a_killed_run_resumes_to_the_same_metrics(moment, uninterrupted, teacher_folder, tmp_path):
    expected, data, _ = uninterrupted
    output = tmp_path / "run"
    arguments = long_flags(teacher_folder, output=output, data=data)
    if moment == "between iterations":
        killed(arguments, lambda: (output / "checkpoints" / "000002").exists())
    elif moment == "after an earlier end":
        arguments.append("--from-nothing")
        subprocess.run(command(*arguments, "--online-iterations=1"), check=True, capture_output=True)
    else:
        killed(
            arguments,
            lambda: (output / "checkpoints" / "000001").exists() and any(output.glob("checkpoints/.*.partial")),
        )
        assert not (output / "checkpoints" / f"{ITERATIONS:06d}").exists()
    resumed = subprocess.run(command(*arguments, "--resume"), check=True, capture_output=True, text=True)
    assert "offline  1" not in resumed.stdout  # it did not begin again
    assert metrics(output) == metrics(expected)
    if "--from-nothing" in arguments:
        assert metrics(output / "from_nothing") == metrics(expected / "from_nothing")
    assert teachers.load(output / "student").fingerprint() == teachers.load(expected / "student").fingerprint()


def test_a_student_is_a_teacher_for_the_next_run(uninterrupted, tmp_path):
    output, _, printed = uninterrupted
    card = teachers.load(output / "student").card
    is_above_random = card.score > card.random_score
    assert is_above_random == ("student (a teacher for the next run)" in printed)
    assert is_above_random != ("the student is no teacher for the next run: its score of" in printed)
    teacher = teachers.load(output / "student")
    teachers.save(
        tmp_path / "teacher", dataclasses.replace(teacher, card=dataclasses.replace(card, score=card.random_score + 1))
    )
    arguments = flags(
        teacher=tmp_path / "teacher", output=tmp_path / "run", data=tmp_path / "data", online_iterations=1
    )
    subprocess.run(command(*arguments), check=True, capture_output=True)
    assert teachers.load(tmp_path / "run" / "student").card.environment == card.environment


def run_main(monkeypatch, capsys, *arguments: str) -> str:
    """The message with which main refuses these arguments."""
    monkeypatch.setattr(sys, "argv", ["reincarnate.py", *arguments])
    with pytest.raises(SystemExit) as exit:
        reincarnate.main()
    assert exit.value.code == 2
    return capsys.readouterr().err


def test_what_is_not_as_in_the_paper_is_said_before_data_are_collected(monkeypatch, capsys, tmp_path):
    def collect(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(reincarnate.experiment, "load_data", collect)
    small = ["--network=mlp", "--capacity=8000", "--data-transitions=8000", "--seeds=1", f"--output={tmp_path / 'run'}"]
    monkeypatch.setattr(sys, "argv", ["reincarnate.py", "--preset=paper", *small])
    with pytest.raises(SystemExit):
        reincarnate.main()
    said = capsys.readouterr().out
    listed = said[said.index("not as in the paper:\n") :].splitlines()[1:]
    assert len(listed) == 7 and all(line.startswith("- ") for line in listed) and "{" not in said
    assert "this one is DQN after 500,000 frames" in said and "ends at agent step 1,500,000 here" in said
    assert listed[-1] == "- the paper has 3 seeds a game; here there are 1"


WRONG = {
    "an unknown game": (["--environment=minatar/brekout"], r"unknown environment 'minatar/brekout'.*minatar/breakout"),
    "no seeds": (["--seeds=0"], r"--seeds is 0; it must be greater than or equal to 1"),
    "a missing teacher": (["--teacher={tmp}/none"], r"none does not exist; give a teacher's folder"),
    "an empty teacher": (["--teacher={tmp}"], r"is empty"),
    "another game's teacher": (["--teacher={teacher}", "--environment=minatar/asterix"], r"trained on 'minatar/breakout', not 'minatar/asterix'"),
    "a ring smaller than a batch": (["--capacity=16"], r"batch of 32 is larger than the replay memory's capacity of 16"),
    "a ring smaller than n steps": (["--capacity=40", "--teacher={teacher}"], r"too few for 5-step returns; take at least 48"),
    "a ring that has no whole rows": (["--capacity=1001", "--teacher={teacher}"], r"1001 does not divide into rows of 8"),
    "an empty batch": (["--batch-size=0"], r"--batch-size is 0"),
    "updates that do not fit the environments": (["--steps-per-update=3"], r"every 3 agent steps and 8 environments do not fit"),
    "an iteration that does not divide": (["--iteration-steps=1234"], r"1234 agent steps is not a multiple of the 8 "),
    "offline updates that do not divide": (["--offline-updates=300"], r"--offline-updates is 300, not a multiple of --target-period, 250"),
    "too long returns": (["--n-step=9"], r"--n-step is 9; it must lie between 1 and --max-n-step"),
    "a student from nothing that only fills its replay": (["--from-nothing", "--warm-up=100000"], r"warm_up is 100000, all of the 100000 agent steps"),
    "an unknown schedule": (["--weaning=cosin"], r"unknown weaning 'cosin'; the nearest are cosine"),
    "a temperature of 0": (["--student-temperature=0"], r"--student-temperature is 0.0"),
    "an unknown network": (["--network=cnn", "--teacher={teacher}"], r"unknown network 'cnn'; the nearest are nature_cnn, minatar_cnn"),
    "a flag that is not one": (["--sed=3"], r"unrecognized arguments: --sed=3"),
    "a number that is none": (["--seeds=four"], r"--seeds is 'four'; it must be an integer"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_with_the_value_and_the_remedy(case, monkeypatch, capsys, tmp_path, teacher_folder):
    arguments, message = WRONG[case]
    (tmp_path / "empty").mkdir()
    places = {"tmp": tmp_path / "empty", "teacher": teacher_folder}
    arguments = [argument.format(**places) for argument in arguments]
    error = run_main(monkeypatch, capsys, f"--output={tmp_path / 'run'}", f"--data={tmp_path / 'data'}", *arguments)
    assert re.search(message, error), error
    assert "Traceback" not in error
    assert not (tmp_path / "data").exists() and not (tmp_path / "run").exists()


def test_a_run_of_the_first_release_is_not_resumed_either_where_the_teacher_is_scored_anew(
    monkeypatch, capsys, teacher_folder, tmp_path
):
    """Its description has the teacher's path where later ones have what the teacher scored."""
    (tmp_path / "run" / "checkpoints" / "000001").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text(json.dumps({"teacher": str(teacher_folder), "version": "0.1.0"}))
    about = {"kind": "purejaxrrl run", "format": 1, "iterations": 1, "rows": []}
    (tmp_path / "run" / "checkpoints" / "000001" / "about.json").write_text(json.dumps(about))
    arguments = long_flags(teacher_folder, output=tmp_path / "run", data=tmp_path / "data")
    anew = "--environment-options=sticky_action_probability=0.0", "--scoring-episodes=2", "--resume"
    assert "release 0.1.0, whose runs this one does not resume" in run_main(monkeypatch, capsys, *arguments, *anew)


def test_another_runs_settings_are_not_resumed(uninterrupted, monkeypatch, capsys, teacher_folder, tmp_path):
    """Which is said before data are collected for it; what their checksum alone tells, afterwards."""
    output, _, _ = uninterrupted
    data = tmp_path / "data"
    arguments = long_flags(teacher_folder, output=output, data=data)
    error = run_main(monkeypatch, capsys, *arguments, "--discount=0.9", "--resume")
    assert "discount 0.99 there, 0.9 now" in error and not data.exists()
    error = run_main(monkeypatch, capsys, *arguments, "--data-epsilon=0.5", "--resume")
    assert "is another run (data_sha256" in error and data.exists()


def test_a_teacher_that_would_be_moved_aside_is_refused(uninterrupted, monkeypatch, capsys):
    """With the run that it is in; resuming would not find it."""
    output, data, _ = uninterrupted
    shutil.copytree(teachers.shipped("minatar/breakout"), output / "another")
    places = f"--output={output}", f"--teacher={output / 'another'}", f"--data={data}"
    error = run_main(monkeypatch, capsys, *places, *flags())
    assert f"--teacher is {output / 'another'}, in {output}, which would be moved aside with the earlier run" in error
    shutil.rmtree(output / "another")


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_data_in_the_folder_of_a_run_that_begins_are_refused_before_they_are_collected(
    resume, monkeypatch, capsys, teacher_folder, tmp_path
):
    output = tmp_path / "run"
    arguments = long_flags(teacher_folder, output=output, data=output / "data")
    error = run_main(monkeypatch, capsys, *arguments, *resume)
    assert f"in {output}, which is to be the run's alone; give another --output" in error and not output.exists()


def test_help_names_every_setting_with_its_default(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["reincarnate.py", "--help"])
    with pytest.raises(SystemExit):
        reincarnate.main()
    text = " ".join(capsys.readouterr().out.split())
    letters = lambda words: "".join(filter(str.isalnum, words))  # noqa: E731  lines break at the hyphens of flags
    for cls in (reincarnate.Options, QDagger):
        for name in names(cls):
            assert f"--{name.replace('_', '-')}" in text
            assert letters(declaration(cls, name).description) in letters(text)
    assert "weight of the distillation loss, which lambda multiplies (default: 3.0)" in text


TERM = """
import jax
import jax.numpy as jnp
from purejaxrrl.students.hyperparameters import hyperparameter
from purejaxrrl.students.losses import term

@term(
    weight=lambda context, hyperparameters: hyperparameters.entropy_coefficient,
    entropy_coefficient=hyperparameter(0.25, "of the negative entropy", minimum=0),
)
def entropy(context, hyperparameters):
    log_policy = jax.nn.log_softmax(context.online.q_values)
    return (jnp.exp(log_policy) * log_policy).sum(-1)
"""


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users_losses.py").write_text(TERM)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.slow
def test_a_term_of_ones_own_from_the_command_line(users_module, monkeypatch, teacher_folder, tmp_path, capsys):
    arguments = flags(
        teacher=teacher_folder, output=tmp_path / "run", offline_iterations=0, online_iterations=1, seeds=1,
        term="users_losses:entropy", entropy_coefficient=0.5, evaluation_limit=20,
    )  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["reincarnate.py", *arguments])
    reincarnate.main()
    assert "scoring the student: 2 episodes of at most 20 agent steps\n" in capsys.readouterr().out
    assert teachers.load(tmp_path / "run" / "student").card.evaluation_limit == 20
    (row,) = metrics(tmp_path / "run")
    assert -1.2 < float(row["entropy_loss"]) < 0.0  # at most the logarithm of three actions
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["identity"]["settings"]
    assert settings["entropy_coefficient"] == 0.5
    assert any(term.startswith("users_losses:entropy ") for term in settings["terms"])
    # With another coefficient it is another run.
    monkeypatch.setattr(sys, "argv", ["reincarnate.py", *arguments, "--resume", "--entropy-coefficient=0.1"])
    with pytest.raises(SystemExit):
        reincarnate.main()
    assert "entropy_coefficient 0.5 there, 0.1 now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--term=users_losses:entropi"], "the term 'users_losses:entropi' cannot be imported"),
        (["--term=users_lasses:entropy"], "the term 'users_lasses:entropy' cannot be imported"),
        (["--term=users_losses:jnp"], "users_losses:jnp is a module; decorate a function with"),
        (
            ["--term", "users_losses:entropy", "--entropy-coefficient=-1"],
            "--entropy-coefficient is -1.0; it must be greater",
        ),
        (["--entropy-coefficient=1"], "unrecognized arguments: --entropy-coefficient=1"),
        (["--term=users_losses:entropy", "--n-step=9"], "--n-step is 9; it must lie between 1 and --max-n-step"),
    ],
)
def test_a_wrong_term_is_refused(arguments, message, users_module, monkeypatch, capsys):
    assert message in run_main(monkeypatch, capsys, *arguments)


def test_help_names_the_terms_hyperparameters(users_module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["reincarnate.py", "--term=users_losses:entropy", "--help"])
    with pytest.raises(SystemExit):
        reincarnate.main()
    assert "of the negative entropy (default: 0.25)" in " ".join(capsys.readouterr().out.split())


def test_help_shows_the_defaults_of_the_environment_that_is_given(monkeypatch, capsys):
    def shown(*arguments):
        monkeypatch.setattr(sys, "argv", ["reincarnate.py", *arguments])
        with pytest.raises(SystemExit):
            reincarnate.main()
        return " ".join(capsys.readouterr().out.split())

    monkeypatch.setattr(reincarnate.devices, "cores", lambda: 2)
    on_atari = shown("--environment", "atari/breakout", "--help")
    assert "(default: nature_cnn)" in on_atari and "each with its own seed (default: 2)" in on_atari
    assert shown("--help", "--environment=atari/breakout") == on_atari
    without = shown("--help")
    assert "each with its own seed (default: 4)" in without
    assert "--environment atari/breakout --help" in without and "On Atari other defaults hold" in without
