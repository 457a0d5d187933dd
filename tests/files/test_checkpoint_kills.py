"""SIGKILL at every file operation of saving a checkpoint, orbax's and tensorstore's included."""

import json
import os
import shutil
import sys
from pathlib import Path

import killing
import numpy as np
import pytest

from purejaxrrl.files import checkpoints


def arrays(number: int) -> dict[str, np.ndarray]:
    return {"weights": np.full((30, 40), number, np.float32), "count": np.int32(number)}


def save(path: Path, number: int) -> None:
    checkpoints.save(path, arrays(number), {"kind": "test", "number": number})


def loaded(path: Path) -> int:
    """The number of the checkpoint that is there, all of which is as it was saved; 0 where there is none."""
    try:
        number = checkpoints.read_about(path, "test", "do it again")["number"]
    except checkpoints.CheckpointError as error:
        assert "does not exist" in str(error), error
        return 0
    found = checkpoints.load_arrays(path, arrays(number), "do it again")
    for name, expected in arrays(number).items():
        np.testing.assert_array_equal(found[name], expected)
    return number


def check(path: Path) -> str:
    """Which one is there; the next save leaves itself and nothing else."""
    number = loaded(path)
    save(path, 7)
    assert loaded(path) == 7 and os.listdir(path.parent) == [path.name]
    return str(number)


def first(folder: Path) -> list[str]:
    path = folder / "it"
    return killing.at_every_operation(
        lambda: shutil.rmtree(folder, ignore_errors=True), lambda: save(path, 1), lambda: check(path)
    )


def replacing(folder: Path) -> list[str]:
    path = folder / "it"

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        save(path, 1)

    return killing.at_every_operation(prepare, lambda: save(path, 2), lambda: check(path))


@pytest.mark.slow
def test_a_checkpoint_that_is_killed_anywhere_is_the_old_or_the_new_one(tmp_path):
    found = killing.run(__file__, tmp_path)
    for name, before, after in (("first", "0", "1"), ("replacing", "1", "2")):
        assert found[name] == sorted(found[name]) and set(found[name]) == {before, after}
        assert len(found[name]) > 60


if __name__ == "__main__":
    print(
        json.dumps(
            {function.__name__: function(Path(sys.argv[1]) / function.__name__) for function in (first, replacing)}
        )
    )
