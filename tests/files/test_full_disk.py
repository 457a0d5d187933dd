"""What the disk refuses: writing more than RLIMIT_FSIZE allows fails as on a full one, in Python's writes and in orbax's threads."""

import contextlib
import errno
import logging
import os
import resource
import sys

import numpy as np
import pytest

from purejaxrrl.errors import UserError
from purejaxrrl.files import arrays, atomic, checkpoints, system_errors
from purejaxrrl.runs import command_line
from purejaxrrl.runs.run_folder import RunFolder

LARGE = np.random.default_rng(0).integers(0, 255, 1 << 20).astype(np.uint8)
LIMIT = 1 << 17


@contextlib.contextmanager
def small_disk(limit=LIMIT):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def written(kind, path):
    if kind == "a checkpoint":
        checkpoints.save(path, {"a": LARGE}, {"kind": "x"})
    elif kind == "arrays":
        arrays.write(path, [[LARGE]])
    else:
        atomic.write_text(path, "x" * LARGE.size)


@pytest.mark.parametrize("kind", ["a checkpoint", "arrays", "a text"])
def test_a_write_that_fails_is_the_disks_error_with_its_place(kind, tmp_path, caplog, capfd):
    with caplog.at_level(logging.ERROR), small_disk(), pytest.raises(OSError) as error:
        written(kind, tmp_path / "there")
    assert error.value.errno == errno.EFBIG and error.value.filename == str(tmp_path / "there")
    assert not (tmp_path / "there").exists() or kind == "arrays"  # whoever writes arrays does so in a new folder
    assert "Traceback" not in caplog.text + capfd.readouterr().err
    assert kind != "a checkpoint" or not os.listdir(tmp_path)


def test_orbax_is_heard_again_after_a_save(tmp_path):
    checkpoints.save(tmp_path / "there", {"a": LARGE}, {"kind": "x"})
    assert not [each for each in logging.getLogger("absl").filters if each is checkpoints._no_record]


def test_a_run_whose_disk_is_full_says_where_it_goes_on_and_goes_on(tmp_path, capsys):
    def run(resume, number):
        with command_line.user_errors(), RunFolder(tmp_path / "run", {"program": "x"}, resume) as folder:
            folder.restore({"a": LARGE})
            folder.checkpoint(number, {"a": LARGE})

    run(False, 1)
    with small_disk(), pytest.raises(SystemExit, match="2"):
        run(True, 2)
    error = capsys.readouterr().err
    assert f"{os.strerror(errno.EFBIG)}; " in error and error.count("\n") == 1
    assert error.endswith("; the same command with --resume goes on after iteration 1\n")
    run(True, 2)
    with RunFolder(tmp_path / "run", {"program": "x"}, True) as folder:
        assert folder.restore({"a": LARGE}).iterations == 2
    assert not [place for place in (tmp_path / "run" / "checkpoints").iterdir() if place.name.startswith(".")]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "", "/there"), "/there: No space left on device; free space there"),
        (OSError(errno.EROFS, "", b"/there"), "/there: Read-only file system; give another place, or make it writable"),
        (OSError(errno.ENOSPC, ""), "No space left on device; free space there"),
        (OSError(errno.ENAMETOOLONG, "", "a" * 999), f"{'a' * 200}...: File name too long; give a shorter name"),
        (OSError(errno.ENOENT, "", "/there"), None),
        (OSError("ours"), None),
    ],
)
def test_an_os_error_is_one_line_where_a_disk_or_a_name_is_at_fault(error, line):
    assert system_errors.in_one_line(error) == line


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file/x", "Not a directory"),
        ("file/x/y", "Not a directory"),
        ("dangling", "a link to nowhere, which does not exist"),
        ("dangling/x", "a link to nowhere, which does not exist"),
        ("loop/x", "Too many levels of symbolic links"),
        ("a" * 300, "File name too long"),
        ("a" * 300 + "/x", "File name too long"),
        ("/proc/x", "/proc takes no files"),
    ],
)
def test_what_cannot_be_written_is_found_before_it_is_written(place, message, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    if place == "/proc/x" and sys.platform != "linux":
        pytest.skip("there is no /proc")
    with pytest.raises((OSError, UserError), match=message):
        atomic.check_writable(tmp_path / place)


def test_what_can_be_written_leaves_nothing(tmp_path):
    atomic.check_writable(tmp_path / "a" / "b")
    assert not os.listdir(tmp_path)
    with pytest.raises(OSError), small_disk(100):
        atomic.check_writable(tmp_path / "a")
