"""`comparison.py`, or a program like it, in a process of its own, for XLA's settings hold for a whole process."""

import json
import os
import subprocess
import sys
from pathlib import Path

from purejaxrrl.environments.atari import FUSED_LOOPS


def reports(*arguments: object, script: str = "comparison.py") -> list[dict]:
    """What a program of this folder finds with some arguments: the lines of JSON that it prints."""
    command = [sys.executable, Path(__file__).with_name(script), *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | {"XLA_FLAGS": FUSED_LOOPS}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
