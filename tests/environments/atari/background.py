"""`comparison.py` in a process of its own, for XLA's settings hold for a whole process."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from purejaxrrl.environments.atari import FUSED_LOOPS


class Comparison:
    """A run of `comparison.py` with some arguments, started and not waited for."""

    def __init__(self, *arguments: object):
        command = [sys.executable, Path(__file__).with_name("comparison.py"), *map(str, arguments)]
        # Files never fill, as pipes do that nobody reads.
        self._output, self._errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, env=os.environ | {"XLA_FLAGS": FUSED_LOOPS}, stdout=self._output, stderr=self._errors
        )

    def kill(self) -> None:
        self._process.kill()

    def reports(self) -> list[dict]:
        """What it found, once it has ended."""
        self._process.wait()
        self._output.seek(0)
        self._errors.seek(0)
        assert self._process.returncode == 0, self._errors.read()[-2000:]
        return [json.loads(line) for line in self._output]
