"""Places that cannot be written to, given as --output or --data: one line, before anything is collected or compiled."""

import re
import sys

import dqn
import pytest
import reincarnate
from tiny import flags

from purejaxrrl.runs import training
from purejaxrrl.teachers import datasets


class ReachedError(Exception):
    """The checks let it pass."""


@pytest.fixture(autouse=True)
def nothing_is_computed(monkeypatch):
    def reached(*_, **__):
        raise ReachedError

    for module, name in ((datasets, "collect"), (training, "run")):
        monkeypatch.setattr(module, name, reached)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "theirs")
    return tmp_path


WRONG = {
    "below a file": ("file/x", "file: Not a directory"),
    "deep below a file": ("file/x/y", "file: Not a directory"),
    "a file": ("file", "file is a file"),
    "the folder that one is in": (".", "notes.txt|no about.json"),
    "somebody's": ("theirs", "notes.txt|no about.json"),
    "a dangling link": ("dangling", "is a link to .*nowhere, which does not exist"),
    "below a dangling link": ("dangling/x", "is a link to .*nowhere, which does not exist"),
    "a circle": ("loop", "is a link to .*loop, which does not exist"),
    "below a circle": ("loop/x", "Too many levels of symbolic links"),
    "a long name": ("a" * 300, "File name too long"),
    "below a long name": ("a" * 300 + "/x", "File name too long"),
    "a device": ("/dev/null", "/dev/null is a file"),
    "everything": ("/", "/ holds|/ has no about.json"),
}


def run(monkeypatch, program, **options):
    arguments = flags(**options) if program is reincarnate else [f"--{name}={value}" for name, value in options.items()]
    monkeypatch.setattr(sys, "argv", [f"{program.__name__}.py", *arguments])
    program.main()


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize(
    ("program", "flag"), [(reincarnate, "output"), (reincarnate, "data"), (dqn, "output")], ids=lambda value: str(value)
)
def test_a_place_that_is_of_no_use_is_refused_in_one_line(program, flag, case, folder, monkeypatch, capsys):
    place, message = WRONG[case]
    options = {"output": folder / "run", "data": folder / "data"} if program is reincarnate else {}
    options |= {flag: place if place.startswith((".", "/")) else folder / place}
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, program, **options)
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert re.search(message, error), error


@pytest.mark.parametrize("place", ["empty", "new", "new/below"])
@pytest.mark.parametrize("flag", ["output", "data"])
def test_a_place_that_is_of_use_passes(flag, place, folder, monkeypatch):
    options = {"output": folder / "run", "data": folder / "data"} | {flag: folder / place}
    with pytest.raises(ReachedError):
        run(monkeypatch, reincarnate, **options)


def test_an_earlier_run_in_the_folder_that_one_is_in_is_not_moved(folder, monkeypatch, capsys):
    with pytest.raises(ReachedError):
        run(monkeypatch, dqn, output=folder / "run")
    monkeypatch.chdir(folder / "run")
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, dqn, output=".")
    assert "is where this program runs" in capsys.readouterr().err


@pytest.mark.parametrize("at", [(datasets, "collect"), (training, "run")])
def test_ctrl_c_before_the_first_checkpoint_is_one_true_line(at, folder, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(*at, stopped)
    program = reincarnate if at[0] is datasets else dqn
    options = {"output": folder / "run"} | ({"data": folder / "data"} if program is reincarnate else {})
    with pytest.raises(SystemExit, match="130"):
        run(monkeypatch, program, **options)
    assert capsys.readouterr().err == "stopped before the first checkpoint; the same command starts again\n"
    with pytest.raises(SystemExit, match="130"):  # which is so
        run(monkeypatch, program, **options)
