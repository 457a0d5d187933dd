"""A run's folder: its config, its metrics as one tidy CSV, and checkpoints from which it resumes; one program writes to it.

config.json      which run it is (`identity`)
metrics.csv      what was measured, written again from the checkpoint that is restored
metrics.csv.sha256   its checksum, as sha256sum writes and checks it
tensorboard/     the same as event files, where they are asked for: see `tensorboard`
checkpoints/     see `checkpoints`
run.lock         held while a program writes to the folder
"""

import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from purejaxrrl.files import atomic, documents, lock, validation
from purejaxrrl.files.atomic import make_folder, write_text
from purejaxrrl.runs import checkpoints
from purejaxrrl.runs import identity as identities
from purejaxrrl.runs.checkpoints import Restored, RunError

KIND = "purejaxrrl run"
FORMAT = 2
_CONFIG, _METRICS, _CHECKSUM = "config.json", "metrics.csv", "metrics.csv.sha256"


@validation.validated
class _Config:
    kind: Annotated[str, Field(pattern=f"^{KIND}$")]
    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    identity: dict[str, Any]


class RunFolder:
    """Where a run writes, for as long as this object holds its lock: until `close`, the end of a `with`, or of the program.

    Args:
      path: the folder. One that holds an earlier run is moved aside to `path.1`, `path.2`, ... (`moved_to`) unless it is resumed.
      identity: what decides the run's results, as JSON (`identity.of_run`); commit and versions are added here.
      resume: continue what is there, if anything is.

    Attributes:
      rows: the metrics. iterations: those of the last checkpoint that was restored or written; 0 before the first.
      followers: called with the rows whenever metrics.csv was written: all of them are in a checkpoint then.

    Raises:
      RunError: `resume` finds another run (every difference is named), or the folder holds files that are no run's.
      lock.LockedError: another program writes to it.
    """

    def __init__(self, path: str | os.PathLike, identity: dict[str, Any], resume: bool):
        self.path = Path(path)
        self.rows: list[dict[str, Any]] = []
        self.iterations = 0
        self.followers: list[Callable[[Sequence[Mapping[str, Any]]], None]] = []
        self.identity = identities.with_code(identity)
        self._ring: Any = None
        self._lock, self.moved_to = claim(self.path, self.identity, resume)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, _: Any, error: BaseException | None, traceback: Any) -> None:
        """Notes on what stopped the program, Ctrl-C or the disk, where the run goes on, unless one within it has done so."""
        has_note = getattr(error, "__notes__", ())
        if isinstance(error, KeyboardInterrupt | OSError) and self.iterations and not has_note:
            error.add_note(f"the same command with --resume goes on after iteration {self.iterations}")
        self.close()

    def close(self) -> None:
        """Lets others write to the folder."""
        self._lock.release()

    def restore(self, like_state: Any, like_ring: Any = None, places: Sequence[int] | None = None) -> Restored | None:
        """The newest whole checkpoint, None where there is none; `rows` and metrics.csv are then those that belong to it.

        Args:
          like_state, like_ring: pytrees with the shapes and dtypes that are expected (`jax.ShapeDtypeStruct`).
          places: of the ring, see `DeviceRing`.

        Raises:
          RunError: every checkpoint is damaged, or one is of another run.
        """
        found = checkpoints.restore(self._checkpoints, self.identity, like_state, like_ring, places)
        if not found:
            return None
        restored, self._ring, damaged = found
        self.rows, self.iterations = list(restored.rows_of_metrics), restored.iterations
        self.write_metrics()
        if damaged:
            print(
                f"damaged: {'; '.join(damaged)}; going on from iteration {restored.iterations}",
                file=sys.stderr,
                flush=True,
            )
        return restored

    def checkpoint(
        self, iterations: int, state: Any, ring: Any = None, num_rows: int = 0, num_runs: int | None = None
    ) -> None:
        """Writes the run after that many iterations and all metrics so far; killed at any moment, it has this one or the last.

        Args:
          state: a pytree of arrays, without the ring.
          ring: a pytree of arrays `[runs, rows, N, ...]`, of which rows that are new since the last checkpoint are fetched.
            Rows that were written do not change until they are overwritten; those that never were are restored as 0.
          num_rows: how many rows were ever written to the ring.
          num_runs: keep the first ones only of the leading axis, where devices were filled up with copies; None: all.
        """
        self.rows = documents.plain(self.rows, "metrics", finite=False)
        self._ring = checkpoints.save(
            self._checkpoints,
            self.identity,
            int(iterations),
            state,
            self.rows,
            ring,
            int(num_rows),
            self._ring,
            num_runs,
        )
        self.iterations = int(iterations)
        self.write_metrics()

    def record(self, row: dict[str, Any]) -> None:
        """Adds one observation to the metrics; it is on disk with the next checkpoint."""
        self.rows.append(row)

    def write_metrics(self) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path / _METRICS, text.getvalue())
        digest = hashlib.sha256(text.getvalue().encode()).hexdigest()
        write_text(self.path / _CHECKSUM, f"{digest}  {_METRICS}\n")
        for follow in self.followers:
            follow(self.rows)

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"


def metrics_are_whole(path: str | os.PathLike) -> bool:
    """Whether metrics.csv in the folder `path` is as its run wrote it; True where there is none, or no checksum, as in the first release's."""
    metrics, checksum = Path(path) / _METRICS, Path(path) / _CHECKSUM
    if not metrics.exists() or not checksum.exists():
        return True
    digest = hashlib.sha256(metrics.read_bytes()).hexdigest()
    return checksum.read_bytes() == f"{digest}  {_METRICS}\n".encode()


def claim(path: str | os.PathLike, identity: dict[str, Any], resume: bool) -> tuple[lock.FolderLock, Path | None]:
    """Makes a folder a program's own: locked, with `identity` in its config.json, and what an earlier one left moved aside.

    Args:
      identity: plain values; compared as they are.
      resume: keep what is there, if it is of this identity.

    Returns:
      the lock, and where the earlier folder now is, None where there was none.

    Raises:
      RunError, lock.LockedError: as `RunFolder`; nothing is written or moved then.
    """
    path = Path(path)
    read_identity(path)  # before a lock is written into somebody's folder
    make_folder(path)
    held, moved = lock.FolderLock(path), None
    try:
        earlier = read_identity(path)
        if earlier is not None and resume:
            _check_same(path, earlier, identity)
            return held, None
        if earlier is not None:
            moved = _move(path)
            held.release()
            make_folder(path)
            held = lock.FolderLock(path)
        config = {"kind": KIND, "format": FORMAT, "identity": identity}
        write_text(path / _CONFIG, json.dumps(config, indent=2) + "\n")
    except BaseException:
        held.release()
        raise
    return held, moved


def read_identity(path: str | os.PathLike) -> dict[str, Any] | None:
    """Which run a folder holds, `{"version": ...}` and more for one of the first release; None for a missing or empty folder.

    Raises:
      RunError: it holds something else, or its config cannot be read.
    """
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise RunError(f"{path} is a link to {os.readlink(path)}, which does not exist; give another --output")
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; give another --output")
    names = atomic.names(path) if path.exists() else set()
    if not names - {lock.NAME, f".{_CONFIG}.partial"}:
        return None
    if _CONFIG not in names:
        raise RunError(f"{path} holds {min(names)!r} and no run of ours; it is left alone, give another --output")
    try:
        config, _ = documents.read(path / _CONFIG)
        if _is_of_format_1(path, config):
            return config
        return validation.parse(_Config, config).identity
    except ValueError as error:
        raise RunError(
            f"{path} holds no run of ours ({error}); it is left alone, give another --output or move it away"
        ) from None


def _is_of_format_1(path: Path, config: dict[str, Any]) -> bool:
    """Whether the first release wrote it, whose configs say nothing of their kind, but whose checkpoints do."""
    if "version" not in config or "format" in config:
        return False
    return any(documents.read(about)[0].get("kind") == KIND for about in path.glob("checkpoints/[0-9]*/about.json"))


def _move(path: Path) -> Path:
    """Renames a run's folder to `path.1`, `path.2`, ...; returns the new name."""
    path = path.absolute()
    if Path.cwd().is_relative_to(path):
        raise RunError(
            f"{path} is where this program runs, so the earlier run in it cannot be moved; give another --output"
        )
    number = 1
    while (target := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return path.rename(target)


def check_resumable(path: str | os.PathLike, identity: dict[str, Any], unknown: Set[str]) -> None:
    """Raises RunError where the folder holds another run, or something else; names in `unknown` are not compared.

    identity: as `RunFolder` has it.
    """
    path = Path(path)
    if (earlier := read_identity(path)) is not None:
        same = {name: earlier[name] for name in earlier.keys() & unknown}
        _check_same(path, earlier, identities.with_code(identity) | same)


def _check_same(path: Path, earlier: dict[str, Any], now: dict[str, Any]) -> None:
    if "versions" not in earlier and "version" in earlier:
        raise RunError(
            f"{path} was written by release {earlier['version']}, whose runs this one does not resume; start again without "
            f"--resume (it is moved aside, its metrics.csv and teachers stay readable)"
        )
    if found := identities.differences(earlier, now):
        raise RunError(
            f"{path} is another run ({identities.listed(found)}); give the same, start again without --resume, or give another "
            f"--output"
        )


class DivergenceError(RuntimeError):
    """A loss is no longer a number."""


def check_finite(labels: Sequence[Mapping[str, Any]], iteration: str, **losses: Any) -> None:
    """Raises DivergenceError where a loss (`[runs]`) is NaN or infinite, naming it, the iteration and the runs by their labels."""
    for name, values in losses.items():
        bad = np.flatnonzero(~np.isfinite(np.asarray(values)))
        if bad.size:
            runs = [" ".join(f"{label} {value}" for label, value in labels[place].items()) for place in bad]
            more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
            raise DivergenceError(
                f"{name} is {np.asarray(values)[bad[0]]} in {iteration} ({', '.join(runs[:3])}{more}; {bad.size} of {np.size(values)} runs); "
                f"checkpoints are from before it. Lower the learning rate."
            )
