"""TensorBoard's event files, read by hand, beside what the metrics of their run say that they have to hold."""

import csv
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tensorboardX.proto.event_pb2 import Event

Scalars = dict[str, dict[str, list[tuple[int, float]]]]
"""(step, value) by run and tag."""


def crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def checksum(content: bytes) -> bytes:
    """As TFRecord has it: rotated, and a constant added."""
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def records(content: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(content):
        head, (length,) = content[place : place + 8], struct.unpack_from("<Q", content, place)
        record = content[place + 12 : place + 12 + length]
        assert content[place + 8 : place + 12] == checksum(head)
        place += 12 + length + 4
        assert content[place - 4 : place] == checksum(record)
        yield record


def scalars(folder: Path) -> Scalars:
    """Of all files below the folder, one a run."""
    found: Scalars = {}
    for path in folder.glob("*/*tfevents*"):
        assert path.parent.name not in found, "two files of one run"
        first, *events = map(Event.FromString, records(path.read_bytes()))
        assert first.file_version == "brain.Event:2" and not first.summary.value
        run = found[path.parent.name] = {}
        for event in events:
            for value in event.summary.value:
                run.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def of_metrics(run_folder: Path, labels: Sequence[str]) -> Scalars:
    found: Scalars = {}
    with (run_folder / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            run = found.setdefault(",".join(f"{label}={row[label]}" for label in labels), {})
            phase = row.get("phase", "online")
            step = int(row["iteration" if phase == "offline" else "agent_steps"])
            for name, text in row.items():
                if name not in (*labels, "phase", "iteration", "agent_steps", "frames") and text:
                    run.setdefault(f"{phase}/{name}", []).append((step, float(np.float32(text))))
    return found


def assert_follow(run_folder: Path, labels: Sequence[str] = ("seed",)) -> Scalars:
    """That a run's event files hold each number of its metrics once, and nothing else; returns them."""
    found, expected = scalars(run_folder / "tensorboard"), of_metrics(run_folder, labels)
    assert found and repr(sorted(found.items())) == repr(sorted(expected.items()))  # in which NaN is NaN
    return found
