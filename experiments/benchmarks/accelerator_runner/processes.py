"""Parts as processes of their own, each under a time limit: what hangs or breaks is an outcome like any other."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("child.py")
_LOG_LINES = 30
_GRACE = 5.0
"""Seconds for a killed process to go; one that waits for a broken driver may never, and is left behind."""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a part ended.

    status: "ok", or what went wrong, in a few words. rows: what it measured before that. seconds: wall clock. log: the end
    of what it printed, empty where it is "ok".
    """

    status: str
    rows: list[Row]
    seconds: float
    log: str = ""

    @property
    def is_ok(self) -> bool:
        return self.status == "ok"


def run(
    path: Path,
    options: Mapping[str, Any],
    limit: float,
    environment: Mapping[str, str],
    on_row: Callable[[Row], None] = lambda row: None,
) -> Outcome:
    """Runs the part in the file `path` in a process group of its own, which is gone when this returns.

    Args:
      options: what the part's `measure` is called with; JSON.
      limit: seconds after which the group is killed.
      environment: the process's.
      on_row: called with each row as soon as it is there, from another thread.
    """
    started = time.perf_counter()
    rows: list[Row] = []
    endings: list[Row] = []
    read_end, write_end = os.pipe()
    command = [sys.executable, str(CHILD), str(write_end), str(path), json.dumps(dict(options))]
    with tempfile.TemporaryFile("w+", errors="replace") as log, os.fdopen(read_end) as pipe:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            pass_fds=(write_end,),
            start_new_session=True,
        )
        os.close(write_end)
        reader = threading.Thread(target=_read, args=(pipe, rows, endings, on_row), daemon=True)
        reader.start()
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            endings.append({"status": f"cut off after {limit:.0f} s"})
        finally:
            _kill_group(process)
        reader.join(_GRACE)
        log.seek(0)
        lines = [line.rstrip() for line in log if line.strip()]
    status = _status(endings, rows, process.returncode, lines)
    tail = "" if status == "ok" else "\n".join(lines[-_LOG_LINES:])
    return Outcome(status, rows, time.perf_counter() - started, tail)


def _read(pipe: Any, rows: list[Row], endings: list[Row], on_row: Callable[[Row], None]) -> None:
    for line in pipe:
        message = json.loads(line)
        if "row" in message:
            rows.append(message["row"])
            on_row(message["row"])
        else:
            endings.append(message)


def _kill_group(process: subprocess.Popen) -> None:
    """Also when the part is done: what it has started must not disturb the next one."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)


def _status(endings: list[Row], rows: list[Row], returncode: int | None, lines: list[str]) -> str:
    if endings and "status" in endings[-1]:
        return endings[-1]["status"]
    if endings and "missing" in endings[-1]:
        return f"missing: {endings[-1]['missing']}"
    if returncode is not None and returncode < 0:
        return f"killed by signal {-returncode}"
    if returncode != 0 or not endings:
        return f"failed: {lines[-1] if lines else f'it ended with status {returncode}'}"
    errors, differing = sum("error" in row for row in rows), sum(row.get("agrees") is False for row in rows)
    wrong = [f"{errors} of {len(rows)} cases failed"] * bool(errors) + [f"differs in {differing} rows"] * bool(
        differing
    )
    return "; ".join(wrong) or "ok"
