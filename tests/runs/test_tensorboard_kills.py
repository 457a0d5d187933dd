"""SIGKILL at every file operation of a run whose metrics are followed by event files."""

import json
import shutil
import sys
from pathlib import Path

import event_files
import followed_run
import killing
import pytest

from purejaxrrl.runs import identity


def going_on(folder: Path) -> list[str]:
    """Two iterations after a resume are killed; the next program goes on to the same points."""
    template, path = folder / "template", folder / "run"
    killing.forked(lambda: followed_run.train(template, 2) and None)

    def prepare() -> None:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(template, path)

    return killing.at_every_operation(prepare, lambda: followed_run.train(path, 4), lambda: _finished(path, 5))


def starting(folder: Path) -> list[str]:
    """Likewise the first two."""
    path = folder / "run"

    def prepare() -> None:
        shutil.rmtree(path, ignore_errors=True)

    return killing.at_every_operation(prepare, lambda: followed_run.train(path, 2), lambda: _finished(path, 3))


def _finished(path: Path, last: int) -> str:
    """The iteration after which the killed run went on, its points being those of its metrics after that."""
    done = followed_run.train(path, last)
    event_files.assert_follow(path)
    return str(done)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return killing.run(__file__, tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize(("scenario", "iterations"), [("going_on", {"2", "3", "4"}), ("starting", {"0", "1", "2"})])
def test_a_run_that_is_killed_anywhere_lacks_no_point_and_has_none_twice(scenario, iterations, found):
    assert set(found[scenario]) == iterations and found[scenario] == sorted(found[scenario])
    assert len(found[scenario]) > 40


if __name__ == "__main__":
    identity.commit = lambda: None  # git, asked hundreds of times, would take most of the time
    print(json.dumps({each.__name__: each(Path(sys.argv[1]) / each.__name__) for each in (going_on, starting)}))
