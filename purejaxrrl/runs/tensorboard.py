"""The metrics of a run's folder as event files, for `tensorboard --logdir OUTPUT/tensorboard`; needs tensorboardX.

    seed=0/events.out.tfevents...   of the run with that label
        online/score, ...           by agent steps
        offline/score, ...          by iteration, as nobody plays in that phase

They follow metrics.csv, which follows the checkpoint, so that no row is in them that a resumed run would make again. What a killed
program left is compared with the checkpoint's rows: a file is cut after the last record that is one of them, and goes on with what it
lacks. It is not replaced, since a TensorBoard that watches it reads on where it was; where something was cut, it has to be started anew.

A file is a row of records: the length of an event (uint64, little-endian), its checksum, the event, its checksum.
"""

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from google.protobuf.message import DecodeError
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from purejaxrrl.files import atomic

_PREFIX, _SUFFIX = "events.out.tfevents.", ".purejaxrrl"  # TensorBoard knows them by the first, we do by the second
_NAMES = f"{_PREFIX}*{_SUFFIX}"
_VERSION = "brain.Event:2"
_MOMENT = "phase", "iteration", "agent_steps", "frames"
_HEAD, _TAIL = 12, 4  # bytes of a record before and after its event


class EventFiles:
    """One file of events for each run, below `folder`.

    Args:
      labels: the columns that say which run a row is of; with their values they name its folder.
    """

    def __init__(self, folder: Path, labels: Sequence[str]):
        self._folder, self._labels = folder, tuple(labels)
        self._written: dict[Path, int] | None = None  # rows in each run's file; None: not looked at yet

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Brings the files to `rows`: a checkpoint's in the first call, and in later ones the same with more after them.

        Raises OSError where the disk does not take them.
        """
        runs: dict[Path, list[Mapping[str, Any]]] = {}
        for row in rows:
            runs.setdefault(self._folder / _name(row, self._labels), []).append(row)
        if self._written is None:
            left = self._folder.glob(f"*/{_NAMES}")
            self._written = {path.parent: _cut(path, runs.get(path.parent, []), self._labels) for path in left}
        for folder, own in runs.items():
            _append(folder, own[self._written.get(folder, 0) :], self._labels)
            self._written[folder] = len(own)


def _name(row: Mapping[str, Any], labels: Sequence[str]) -> str:
    """As schedule=linear,coefficient=1.0,seed=0."""
    return quote(",".join(f"{label}={row[label]}" for label in labels), safe="=,")


def _cut(path: Path, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> int:
    """Takes away what comes after the last record that belongs to `rows`; returns how many of these the file has."""
    content, end, found = path.read_bytes(), 0, 0
    for number, row in enumerate((None, *rows)):
        size = _HEAD + int.from_bytes(content[end : end + 8], "little") + _TAIL
        if not _is(content[end : end + size], row, labels):
            break
        end, found = end + size, number
    with path.open("r+b") as file:
        file.truncate(end)
    return found


def _is(record: bytes, row: Mapping[str, Any] | None, labels: Sequence[str]) -> bool:
    """Whether a record, which may be torn or damaged, is the row's."""
    try:
        event = Event.FromString(record[_HEAD:-_TAIL])
    except DecodeError:
        return False
    return record == _record(row, labels, event.wall_time)


def _append(folder: Path, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    """Does not wait until it is on the disk: what is lost there a resumed run writes again."""
    now = time.time()
    atomic.make_folder(folder)
    path = next(folder.glob(_NAMES), folder / f"{_PREFIX}{int(now)}{_SUFFIX}")
    with atomic.naming(path), path.open("ab") as file:
        begins = [None] if file.tell() == 0 else []
        file.write(b"".join(_record(row, labels, now) for row in (*begins, *rows)))


def _record(row: Mapping[str, Any] | None, labels: Sequence[str], wall_time: float) -> bytes:
    """Of a row of the metrics; None: the one with which a file begins. wall_time: seconds since 1970."""
    if row is None:
        return _framed(Event(wall_time=wall_time, file_version=_VERSION))
    phase = row.get("phase", "online")
    step = row["iteration"] if phase == "offline" else row["agent_steps"]
    values = [
        Summary.Value(tag=f"{phase}/{name}", simple_value=value)
        for name, value in row.items()
        if name not in (*_MOMENT, *labels) and isinstance(value, int | float)
    ]
    return _framed(Event(wall_time=wall_time, step=step, summary=Summary(value=values)))


def _framed(event: Event) -> bytes:
    content = event.SerializeToString()
    length = struct.pack("<Q", len(content))
    return b"".join((length, _checksum(length), content, _checksum(content)))


def _checksum(content: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(content))
