"""Whose folder it is: one program's at a time, an earlier run's, somebody else's."""

import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import small_run

from purejaxrrl.files import checkpoints, lock
from purejaxrrl.files.lock import LockedError
from purejaxrrl.runs.run_folder import RunError, RunFolder

pytestmark = pytest.mark.usefixtures("no_git")

HOLD = """
import sys, time
from purejaxrrl.runs.run_folder import RunFolder
folder = RunFolder(sys.argv[1], {"program": "holder"}, resume=False)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another program that writes to tmp_path / "run"."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def snapshot(path):
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_second_program_is_refused_until_the_first_is_killed(holder, tmp_path):
    before = snapshot(tmp_path)
    for resume in (True, False):
        with pytest.raises(LockedError, match=f"run is being written to by process {holder.pid} on .*--output"):
            RunFolder(tmp_path / "run", {"program": "second"}, resume)
    assert snapshot(tmp_path) == before and os.listdir(tmp_path) == ["run"]
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with RunFolder(tmp_path / "run", {"program": "second"}, resume=False) as folder:
        assert folder.moved_to == tmp_path / "run.1"


def test_the_lock_is_released_by_close_and_with_the_object(tmp_path):
    first = RunFolder(tmp_path / "run", {}, resume=False)
    with pytest.raises(LockedError, match=f"process {os.getpid()} "):
        RunFolder(tmp_path / "run", {}, resume=True)
    first.close()
    second = RunFolder(tmp_path / "run", {}, resume=True)
    del second
    RunFolder(tmp_path / "run", {}, resume=True).close()


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with pytest.raises(lock.LockedError, match="the file system of .*run has no locks; give an --output on another"):
        RunFolder(tmp_path / "run", {}, resume=False)
    checkpoints.save(tmp_path / "teacher", {"weights": np.zeros(3)}, {"kind": "test"})
    assert (tmp_path / "teacher" / "about.json").exists()


def test_a_refused_start_leaves_the_folder_unlocked(tmp_path):
    RunFolder(tmp_path / "run", {"seed": 1}, resume=False).close()
    with pytest.raises(RunError, match="seed 1 there, 2 now"):
        RunFolder(tmp_path / "run", {"seed": 2}, resume=True)
    RunFolder(tmp_path / "run", {"seed": 1}, resume=True).close()


def test_an_earlier_run_is_moved_aside(tmp_path):
    for number, moved_to in enumerate([None, "run.1", "run.2"]):
        with RunFolder(tmp_path / "run", {"seed": number}, resume=False) as folder:
            assert folder.moved_to == (tmp_path / moved_to if moved_to else None)
            assert os.listdir(folder.path) in (["run.lock", "config.json"], ["config.json", "run.lock"])
            (folder.path / "precious").write_text(str(number))
    assert [(tmp_path / name / "precious").read_text() for name in ("run.1", "run.2", "run")] == ["0", "1", "2"]


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "name, content",
    [
        ("thesis.tex", "years of work"),
        (".git", "gitdir: elsewhere"),
        ("config.json", '{"name": "theirs", "version": "3.1"}'),
        ("config.json", '{"kind": "another project"}'),
        ("config.json", "not JSON"),
        ("config.json", "[]"),
    ],
)
def test_somebodys_own_folder_is_never_written_to_or_renamed(tmp_path, name, content, resume):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / name).write_text(content)
    with pytest.raises(RunError, match="own holds .*left alone, give another --output"):
        RunFolder(tmp_path / "own", {}, resume)
    assert snapshot(tmp_path) == {str(tmp_path / "own" / name): content.encode()}


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("1")
    with pytest.raises(RunError, match="file is a file; give another --output"):
        RunFolder(tmp_path / "file", {}, resume=False)


def test_what_is_missing_or_empty_is_started_in(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "missing" / "below"):
        for resume in (True, False):
            with RunFolder(path, {}, resume) as folder:
                assert folder.moved_to == (None if resume else path.with_name(f"{path.name}.1"))


def test_a_run_of_the_first_release_is_moved_aside_and_not_resumed(tmp_path):
    (tmp_path / "run" / "checkpoints" / "000001").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text(json.dumps({"seed": 0, "version": "0.1.0"}))
    about = {"kind": "purejaxrrl run", "format": 1, "iterations": 1, "rows": []}
    (tmp_path / "run" / "checkpoints" / "000001" / "about.json").write_text(json.dumps(about))
    with pytest.raises(
        RunError, match="release 0.1.0, whose runs this one does not resume; start again without --resume"
    ):
        RunFolder(tmp_path / "run", {"seed": 0}, resume=True)
    with RunFolder(tmp_path / "run", {"seed": 0}, resume=False) as folder:
        assert (folder.moved_to / "checkpoints" / "000001").is_dir()


def test_a_resume_names_every_difference_in_one_line(tmp_path):
    RunFolder(tmp_path / "run", small_run.IDENTITY, resume=False).close()
    other = {"program": "small", "settings": {"discount": 0.9, "widths": [4], "term": "cql"}, "teacher": {"score": 7.5}}
    with pytest.raises(RunError) as error:
        RunFolder(tmp_path / "run", other, resume=True)
    for difference in (
        "settings.discount 0.99 there, 0.9 now",
        "settings.term nothing there, 'cql' now",
        "settings.widths [4, 4] there, [4] now",
        "teacher.score nothing there, 7.5 now",
    ):
        assert difference in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_json_identifies_no_run(tmp_path):
    with pytest.raises(ValueError, match="identity.settings.rate is nan; it must be a finite number"):
        RunFolder(tmp_path / "run", {"settings": {"rate": float("nan")}}, resume=False)
    assert not (tmp_path / "run").exists()
