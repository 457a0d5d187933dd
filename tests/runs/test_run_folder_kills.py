"""SIGKILL at every file operation of what writes to a run's folder."""

import json
import shutil
import sys
from pathlib import Path

import killing
import pytest
import small_run

from purejaxrrl.runs import identity
from purejaxrrl.runs.run_folder import RunFolder

LAST = 4  # its rows go round the ring's end, and the files of older ones are removed


def saving(folder: Path, share: float) -> list[str]:
    """The last checkpoint is killed: this or the one before is restored, and the run goes on without a trace."""
    template, path = folder / "template", folder / "run"
    killing.forked(lambda: small_run.write(template, LAST - 1))

    def go_on() -> str:
        number = small_run.restored(path)
        small_run.write(path, LAST + 1, first=number + 1)
        assert small_run.restored(path) == LAST + 1
        return f"{number} {small_run.files(path)}"

    return killing.at_every_operation(
        lambda: _copy(template, path), lambda: small_run.write(path, LAST, first=LAST), go_on, share
    )


def starting(folder: Path) -> list[str]:
    """A new run in an earlier one's place is killed: the earlier one is there or beside it, and a third one starts."""
    template, path = folder / "template", folder / "run"
    killing.forked(lambda: small_run.write(template, 2))

    def check() -> str:
        place = path if (path / "metrics.csv").exists() else folder / "run.1"
        small_run.write(path, 1)
        assert small_run.restored(place if place != path else folder / "run.1") == 2
        return f"{place.name} {small_run.restored(path)}"

    def prepare() -> None:
        shutil.rmtree(folder / "run.1", ignore_errors=True)
        _copy(template, path)

    def action() -> None:
        with RunFolder(path, small_run.IDENTITY, resume=False):
            pass

    return killing.at_every_operation(prepare, action, check)


def resuming(folder: Path) -> list[str]:
    """A resume of a run whose metrics are cut is killed: the next one restores the same, metrics too."""
    template, path = folder / "template", folder / "run"
    killing.forked(lambda: small_run.write(template, 2))
    content = (template / "metrics.csv").read_bytes()
    (template / "metrics.csv").write_bytes(content[: len(content) // 2])
    return killing.at_every_operation(
        lambda: _copy(template, path), lambda: str(small_run.restored(path)), lambda: str(small_run.restored(path))
    )


def _copy(template: Path, path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(template, path)


SHARE = 0.4
"""Of a checkpoint's file operations that are killed; the slow tests kill them all."""


@pytest.fixture(scope="module", params=[SHARE, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
def share(request):
    return request.param


@pytest.fixture(scope="module")
def found(tmp_path_factory, share):
    return killing.run(__file__, tmp_path_factory.mktemp("kills"), str(share))


def test_a_checkpoint_that_is_killed_anywhere_is_the_last_or_the_new_one(found, share):
    numbers = [int(line.split()[0]) for line in found["saving"]]
    assert numbers == sorted(numbers) and set(numbers) == {LAST - 1, LAST}
    assert len(numbers) > 40 * share
    assert len({line.partition(" ")[2] for line in found["saving"]}) == 1, "a killed one leaves something behind"


def test_an_earlier_run_survives_a_start_that_is_killed_anywhere(found):
    assert set(found["starting"]) == {"run 1", "run.1 1"} and len(found["starting"]) > 10


def test_a_resume_that_is_killed_anywhere_changes_nothing(found):
    assert set(found["resuming"]) == {"2"} and len(found["resuming"]) > 6


if __name__ == "__main__":
    identity.commit = lambda: None  # git, asked hundreds of times, would take most of the time
    place, share = Path(sys.argv[1]), float(sys.argv[2])
    found = {each.__name__: each(place / each.__name__) for each in (starting, resuming)}
    print(json.dumps(found | {"saving": saving(place / "saving", share)}))
