"""A run that computes nothing, for tests of what is on disk: every checkpoint's content follows from its number."""

import jax
import numpy as np

from purejaxrrl.runs.run_folder import RunFolder

IDENTITY = {"program": "small", "settings": {"discount": 0.99, "widths": [4, 4]}}
ROWS, RUNS, ENVIRONMENTS = 11, 2, 3
WRITTEN = [0, 4, 9, 15, 26, 27, 60, 60, 63]  # rows ever written to the ring at each checkpoint
SHAPE = (RUNS, ROWS, ENVIRONMENTS)


def state(number):
    return {
        "params": (np.full((RUNS, 5), number / 3, np.float32), np.arange(RUNS, dtype=np.int32) + number),
        "done": np.array([number % 2 == 0] * RUNS),
        "empty": np.zeros((RUNS, 0), np.float32),
    }


def ring(number):
    """Row r of the rows ever written holds values made of r."""
    leaves = {
        "observation": np.zeros((*SHAPE, 2), np.uint8),
        "reward": np.zeros(SHAPE, np.float32),
        "terminated": np.zeros(SHAPE, bool),
    }
    cells = np.arange(RUNS * ENVIRONMENTS).reshape(RUNS, ENVIRONMENTS)
    for row in range(max(0, WRITTEN[number] - ROWS), WRITTEN[number]):
        leaves["observation"][:, row % ROWS] = ((row * 7 + cells) % 251)[..., None]
        leaves["reward"][:, row % ROWS] = row / 7 + cells
        leaves["terminated"][:, row % ROWS] = (row + cells) % 2 == 0
    return leaves


def row(number):
    return {"iteration": number, "score": number / 7, "return": float("nan"), "phase": "online"}


def shapes(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


STATE, RING = shapes(state(0)), shapes(ring(0))


def save(folder, number, make=lambda tree: tree):
    """Goes on to checkpoint `number`; `make` makes arrays of numpy's."""
    folder.record(row(number))
    folder.checkpoint(number, make(state(number)), make(ring(number)), WRITTEN[number])


def write(path, last, first=1):
    """The checkpoints `first` to `last` of a run in `path`."""
    with RunFolder(path, IDENTITY, resume=first > 1) as folder:
        if first > 1:
            folder.restore(STATE, RING)
        for number in range(first, last + 1):
            save(folder, number)


def restored(path):
    """The number of the checkpoint that is restored, all of which is as it was saved; 0 where there is none."""
    with RunFolder(path, IDENTITY, resume=True) as folder:
        found = folder.restore(STATE, RING)
        if found is None:
            return 0
        assert_is(found, found.iterations, folder)
        return found.iterations


def assert_is(found, number, folder):
    assert_same(found.state, state(number))
    assert_same(found.ring, ring(number))
    rows = [row(each) for each in range(1, number + 1)]
    assert repr(folder.rows) == repr(found.rows_of_metrics) == repr(rows)
    lines = ["iteration,score,return,phase", *(f"{each},{each / 7},nan,online" for each in range(1, number + 1)), ""]
    assert (folder.path / "metrics.csv").read_bytes().decode() == "\r\n".join(lines)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (ours.dtype, ours.shape, ours.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())


def files(path):
    """Everything below the folder, by its place in it; what is random in the names of the ring's files is cut off."""
    names = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return sorted(name.rpartition("-")[0] if name.endswith(".rows") else name for name in names)
