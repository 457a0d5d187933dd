"""Arrays in one file, one after the other as plain bytes; what they are and their checksums stand in somebody's manifest.

For what is written often and is large: nothing is held twice, in memory or on disk, and the file is read into arrays that exist.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from purejaxrrl.files import atomic, checkpoints


def write(path: Path, arrays: Iterable[Iterable[np.ndarray]]) -> list[str]:
    """Writes arrays, each given as blocks along its first axis; returns the SHA-256 of each when all is on the disk."""
    checksums = []
    with atomic.naming(path), path.open("wb", buffering=0) as file:
        for blocks in arrays:
            digest = hashlib.sha256()
            for block in blocks:
                content = checkpoints.bytes_of(np.asarray(block))
                digest.update(content)
                _write_all(file, content)
            checksums.append(digest.hexdigest())
        atomic.flush(file)
    return checksums


def fill(file: IO[bytes], array: np.ndarray, digest: Any) -> None:
    """Fills a contiguous array from an open file (buffered), as far as that goes, and adds what was read to `digest`."""
    content = checkpoints.bytes_of(array)
    # Not what the array held before, which may be the right bytes of somebody else.
    digest.update(content[: file.readinto(content)])


def _write_all(file: IO[bytes], content: np.ndarray) -> None:
    """An unbuffered file may take less than it is given."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
