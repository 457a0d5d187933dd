"""Event files beside the metrics that they follow: after each iteration, and after a resume, whatever is left of them."""

import sys
from types import SimpleNamespace

import dqn
import event_files
import pqn
import pytest
import reincarnate
import sweep_weaning
from followed_run import rows, train

from purejaxrrl.runs import experiment, tensorboard
from purejaxrrl.students.settings import QDagger


def write(path, last, first=1):
    """The files after the iterations `first` to `last`, by a program of its own."""
    events = tensorboard.EventFiles(path, ("seed",))
    for number in range(first, last + 1):
        events.write([row for each in range(1, number + 1) for row in rows(each)])


def the_file(path, seed=3):
    (found,) = path.glob(f"seed={seed}/*")
    return found


def test_the_checksum_is_the_published_one():
    assert event_files.crc32c(b"123456789") == 0xE3069283


def test_every_number_of_the_metrics_is_written_once_by_phase(no_git, tmp_path):
    train(tmp_path / "run", 5)
    found = event_files.assert_follow(tmp_path / "run")
    assert set(found) == {"seed=3", "seed=12"}
    assert [step for step, _ in found["seed=3"]["offline/score"]] == [1, 2]
    assert found["seed=12"]["online/episodes"] == [(40, 3.0), (80, 4.0), (120, 5.0)]
    assert set(found["seed=3"]) == {
        f"{phase}/{name}" for phase in ("offline", "online") for name in ("score", "mean_return", "episodes", "seconds")
    }


@pytest.mark.parametrize("follows", [(True, True, True), (False, True, True), (True, False, True)])
def test_a_resumed_run_writes_what_its_files_lack_and_nothing_twice(follows, no_git, tmp_path):
    """Also where some of its programs were not asked to write any."""
    for last, asked in zip((2, 4, 5), follows, strict=True):
        train(tmp_path / "run", last, follows=asked)
    event_files.assert_follow(tmp_path / "run")


def test_files_are_appended_to_so_that_who_watches_them_reads_on(tmp_path):
    write(tmp_path, 2)
    before, place = the_file(tmp_path).read_bytes(), the_file(tmp_path).stat().st_ino
    write(tmp_path, 4, first=2)
    assert the_file(tmp_path).read_bytes().startswith(before) and the_file(tmp_path).stat().st_ino == place


def test_a_run_that_goes_back_to_an_older_checkpoint_takes_its_points_back(no_git, tmp_path, capsys):
    train(tmp_path / "run", 5)
    (tmp_path / "run" / "checkpoints" / "000005" / "state.arrays").write_bytes(b"")
    assert train(tmp_path / "run", 4) == 4
    event_files.assert_follow(tmp_path / "run")
    train(tmp_path / "run", 5)
    event_files.assert_follow(tmp_path / "run")
    assert "damaged" in capsys.readouterr().err


@pytest.fixture
def one_moment(monkeypatch):
    """In which all is written, so that what is the same is so to the byte."""
    monkeypatch.setattr(tensorboard, "time", SimpleNamespace(time=lambda: 1.7e9))


def test_a_file_of_which_only_the_beginning_was_written_goes_on_from_its_last_whole_record(one_moment, tmp_path):
    write(tmp_path, 3)
    content = the_file(tmp_path).read_bytes()
    for length in range(len(content)):
        the_file(tmp_path).write_bytes(content[:length])
        write(tmp_path, 3, first=3)
        assert the_file(tmp_path).read_bytes() == content, length


def test_a_byte_that_was_changed_is_written_anew(one_moment, tmp_path):
    write(tmp_path, 3)
    content = the_file(tmp_path).read_bytes()
    for place, byte in enumerate(content):
        the_file(tmp_path).write_bytes(content[:place] + bytes([byte ^ 0x55]) + content[place + 1 :])
        write(tmp_path, 3, first=3)
        assert the_file(tmp_path).read_bytes() == content, place


def test_others_files_are_left_alone(tmp_path):
    write(tmp_path, 2)
    (tmp_path / "seed=3" / "events.out.tfevents.1.theirs").write_bytes(b"theirs")
    write(tmp_path, 3, first=2)
    assert (tmp_path / "seed=3" / "events.out.tfevents.1.theirs").read_bytes() == b"theirs"


def test_a_label_is_a_folders_name_whatever_is_in_it(tmp_path):
    events = tensorboard.EventFiles(tmp_path, ("schedule", "coefficient"))
    row = {"phase": "online", "iteration": 1, "agent_steps": 5, "schedule": "../my own", "coefficient": 0.5, "score": 1}
    events.write([row])
    assert [place.name for place in tmp_path.iterdir()] == ["schedule=..%2Fmy%20own,coefficient=0.5"]


def test_the_flag_does_not_make_another_run_of_it():
    options = reincarnate.Options(tensorboard=True), reincarnate.Options()
    asked, not_asked = (experiment.effective(each, QDagger()) for each in options)
    assert asked == not_asked


@pytest.mark.parametrize("program", [reincarnate, sweep_weaning, dqn, pqn])
def test_what_is_missing_is_said_before_anything_is_made(program, monkeypatch, tmp_path, capsys):
    for name in {"tensorboardX", *sys.modules}:
        if name.partition(".")[0] == "tensorboardX":
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, tensorboard.__name__)
    monkeypatch.setattr(experiment, "make", pytest.fail)
    monkeypatch.setattr(sys, "argv", [program.__name__, "--tensorboard", f"--output={tmp_path / 'run'}"])
    with pytest.raises(SystemExit) as end:
        program.main()
    error = capsys.readouterr().err
    assert (
        end.value.code == 2 and error.startswith("error: --tensorboard needs tensorboardX") and error.count("\n") == 1
    )
    assert 'pip install -e ".[tensorboard]"' in error
    assert not (tmp_path / "run").exists()
