"""A run's folder: its config, its metrics as one tidy CSV, and checkpoints from which it resumes."""

import csv
import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from purejaxrrl import __version__, checkpoints

KIND = "purejaxrrl run"
_KEPT = 2  # a whole one is left if the newest is damaged


class RunError(ValueError):
    """The folder cannot be started in or resumed from; the message says why and what to do."""


class RunFolder:
    """Where a run writes: `config.json`, `metrics.csv` and `checkpoints/`.

    Args:
      path: the folder. One that holds an earlier run is moved aside to `path.1`, `path.2`, ... unless it is resumed.
      config: the settings as JSON; those that do not change the results are left out by the caller.
      resume: continue what is there, if anything is.

    Raises:
      RunError: `resume` finds a run with other settings, or of another program.
    """

    def __init__(self, path: str | os.PathLike, config: dict[str, Any], resume: bool):
        self.path = Path(path)
        self.rows: list[dict[str, Any]] = []
        self._config = json.loads(json.dumps(config | {"version": __version__}))
        if resume and self.path.exists() and any(self.path.iterdir()):
            self._check_config()
        elif not resume:
            self.moved_to = move_aside(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / "config.json", json.dumps(self._config, indent=2) + "\n")

    moved_to: Path | None = None

    def restore(self, state: Any) -> tuple[int, Any]:
        """The newest whole checkpoint: how many iterations were done, and the state (numpy arrays); metrics come with it.

        Args:
          state: a pytree shaped like the state; (0, `state`) is returned where there is no checkpoint.
        """
        folders = sorted(self._checkpoints.glob("[0-9]*"), reverse=True)
        remedy = "start again without --resume"
        failures = []
        for folder in folders:
            try:
                about = checkpoints.read_about(folder, KIND, remedy)
                arrays = checkpoints.load_arrays(folder, state, remedy)
            except checkpoints.CheckpointError as error:
                failures.append(str(error))
                continue
            self.rows = about["rows"]
            return about["iterations"], arrays
        if failures:
            raise RunError(failures[0])
        return 0, state

    def checkpoint(self, iterations: int, state: Any) -> None:
        """Writes the state after that many iterations, and all metrics so far, atomically."""
        about = {"kind": KIND, "format": 1, "iterations": iterations, "rows": self.rows}
        checkpoints.save(self._checkpoints / f"{iterations:06d}", state, about)
        self.write_metrics()
        complete = sorted(self._checkpoints.glob("[0-9]*"))
        for old in [*complete[:-_KEPT], *self._checkpoints.glob(".*")]:
            shutil.rmtree(old)

    def record(self, row: dict[str, Any]) -> None:
        """Adds one observation to the metrics; it is on disk with the next checkpoint."""
        self.rows.append(row)

    def write_metrics(self) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        partial = self.path / ".metrics.csv.partial"
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.path / "metrics.csv")

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def _check_config(self) -> None:
        try:
            found = json.loads((self.path / "config.json").read_text())
        except (OSError, json.JSONDecodeError):
            raise RunError(f"{self.path} holds no run of ours; give another --output") from None
        differing = sorted(
            name for name in found.keys() | self._config.keys() if found.get(name) != self._config.get(name)
        )
        if differing:
            changes = ", ".join(
                f"{name} {found.get(name)!r} there, {self._config.get(name)!r} now" for name in differing
            )
            raise RunError(f"{self.path} was run with other settings ({changes}); give the same, or another --output")


def move_aside(path: str | os.PathLike) -> Path | None:
    """Renames a folder that is not empty to `path.1`, `path.2`, ...; returns the new name, None where there was nothing."""
    path = Path(path)
    if not path.exists() or not any(path.iterdir()):
        return None
    number = 1
    while (target := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return path.rename(target)


class DivergenceError(RuntimeError):
    """A loss is no longer a number."""


def check_finite(agent_steps: int, **losses: Any) -> None:
    """Raises DivergenceError where a loss (`[runs]`) is NaN or infinite, naming it and the runs."""
    for name, values in losses.items():
        bad = np.flatnonzero(~np.isfinite(np.asarray(values)))
        if bad.size:
            raise DivergenceError(
                f"{name} is {np.asarray(values)[bad[0]]} in run {', '.join(map(str, bad))} of {np.size(values)} within the "
                f"iteration that ends at {agent_steps:,} agent steps; the last checkpoint is from before it. Lower the learning rate."
            )


def settings(config: Any, leave_out: tuple[str, ...] = ("output", "resume")) -> dict[str, Any]:
    """A config dataclass as JSON, without what does not change the results."""
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in leave_out}


def write_text(path: Path, text: str) -> None:
    """Writes a file in one step, so that it is never half there."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
