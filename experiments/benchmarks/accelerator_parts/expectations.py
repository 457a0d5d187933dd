"""Recorded data that parts compare with: small JSON files beside the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "expected"
COMMAND = "python experiments/benchmarks/accelerator.py --record"


def load(name: str) -> dict[str, Any]:
    """What the part `name` recorded."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def store(name: str, data: dict[str, Any], versions: dict[str, str]) -> Path:
    """Writes what the part `name` recorded, with the command and the versions that made it; returns the file."""
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps({"command": COMMAND, "versions": versions} | data, indent=1) + "\n")
    return path
