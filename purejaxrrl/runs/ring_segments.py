"""A replay ring on disk: files of consecutive rows, of which a checkpoint writes only those that are new.

Rows are numbered from the first that was ever written; row r is at place r modulo the ring's rows. A file ("segment") holds rows
`first` to `end`, leaf after leaf, each `[rows, runs, N, ...]`; once a checkpoint names it, it never changes.
"""

import functools
import hashlib
import math
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
from pydantic import Field

from purejaxrrl.files import arrays, atomic, checkpoints, validation
from purejaxrrl.runs.device_ring import DeviceRing

_BLOCK_BYTES = 16 << 20  # of a leaf that are fetched, written or read at once


@validation.validated
class Leaf:
    """One array of a ring: its dtype, and the shape `[runs, N, ...]` of its rows."""

    name: str
    dtype: str
    row_shape: validation.Shape

    @property
    def row_bytes(self) -> int:
        return math.prod(self.row_shape) * np.dtype(self.dtype).itemsize

    @property
    def block_rows(self) -> int:
        return max(1, _BLOCK_BYTES // max(1, self.row_bytes))


@validation.validated
class Segment:
    """A file of rows `first` to `end`, and the SHA-256 of every leaf in it."""

    file: Annotated[str, Field(pattern=r"^\d+-\d+-[0-9a-f]+\.rows$")]
    first: validation.Count
    end: validation.Count
    sha256: validation.sequence_of(validation.Sha256)


@validation.validated
class Ring:
    """What a checkpoint says of its ring: `num_rows` were ever written, of which the last `rows` at most are in it."""

    rows: validation.Positive
    num_rows: validation.Count
    leaves: validation.sequence_of(validation.nested(Leaf))
    segments: validation.sequence_of(validation.nested(Segment))

    @property
    def oldest(self) -> int:
        return max(0, self.num_rows - self.rows)


def save(folder: Path, ring: Any, num_rows: int, previous: Ring | None, num_runs: int | None = None) -> Ring:
    """Writes the rows that `previous` does not have, as one file in `folder`.

    Args:
      ring: a pytree of arrays `[runs, rows, N, ...]`, of which only slices are fetched from the device.
      num_rows: how many rows were ever written to it.
      previous: what was last saved or restored of the same ring.
      num_runs: save the first ones only; None: all.

    Raises:
      ValueError: `num_rows` is lower than before: that would be another ring; or there are no arrays.
    """
    named = checkpoints.by_name(ring)
    if not named:
        raise ValueError("a ring without arrays cannot be saved; give None")
    leaves = tuple(_leaf(name, array, num_runs) for name, array in named.items())
    rows = next(iter(named.values())).shape[1]
    if previous is None or (previous.rows, previous.leaves) != (rows, leaves):
        previous = Ring(rows, 0, leaves, ())
    if num_rows < previous.num_rows:
        raise ValueError(f"a ring of {num_rows} rows follows one of {previous.num_rows}; rows are never taken back")
    oldest = max(0, num_rows - rows)
    segments = tuple(segment for segment in previous.segments if segment.end > oldest)
    first = max(previous.num_rows, oldest)
    if first < num_rows:
        segments += (_write_segment(folder, leaves, named.values(), rows, first, num_rows),)
    return Ring(rows, num_rows, leaves, segments)


def load(folder: Path, ring: Ring, target: DeviceRing) -> list[str]:
    """Writes the rows of a saved ring to `target`.

    Returns:
      The files that are damaged or missing, each with the leaves concerned; what was written is of no use then.
    """
    damaged = []
    for segment in ring.segments:
        if faults := _load_segment(folder / segment.file, segment, ring, target):
            damaged.append(f"{folder / segment.file} ({', '.join(faults)})")
    return damaged


def covers(ring: Ring) -> bool:
    """Whether the segments hold just the rows that the ring has, without a gap."""
    reached = ring.oldest
    for number, segment in enumerate(ring.segments):
        starts = segment.first <= reached if number == 0 else segment.first == reached
        if not (starts and reached < segment.end and len(segment.sha256) == len(ring.leaves)):
            return False
        reached = segment.end
    return reached == ring.num_rows


def remove_unused(folder: Path, rings: Iterable[Ring | None]) -> None:
    """Removes the files in `folder` that none of the rings needs, half-written ones included."""
    used = {segment.file for ring in rings if ring for segment in ring.segments}
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.name not in used:
            file.unlink()


def _leaf(name: str, array: Any, num_runs: int | None) -> Leaf:
    runs, _, *rest = array.shape
    return Leaf(name, str(np.dtype(array.dtype)), (min(runs, num_runs or runs), *rest))


def _write_segment(
    folder: Path, leaves: tuple[Leaf, ...], sources: Iterable[Any], rows: int, first: int, end: int
) -> Segment:
    atomic.make_folder(folder)
    name = f"{first}-{end}-{secrets.token_hex(4)}.rows"
    partial = folder / f".{name}.partial"
    blocks = (_fetch(leaf, source, rows, first, end) for leaf, source in zip(leaves, sources, strict=True))
    checksums = arrays.write(partial, blocks)
    partial.replace(folder / name)
    atomic.flush_folder(folder)
    return Segment(name, first, end, tuple(checksums))


def _fetch(leaf: Leaf, source: Any, rows: int, first: int, end: int) -> Iterator[np.ndarray]:
    """Rows `first` to `end` of one leaf as blocks `[., runs, N, ...]` on the host."""
    for start, stop in _pieces(leaf, rows, first, end):
        # Always of one size, so that the slice is compiled once; what precedes the rows that are wanted is cut off here.
        size = min(leaf.block_rows, rows)
        at = min(start % rows, rows - size)
        block = np.asarray(_slice(source, at, size))[: leaf.row_shape[0], start % rows - at :][:, : stop - start]
        yield np.moveaxis(block, 1, 0)


def _slice(source: Any, start: int, size: int) -> Any:
    return source[:, start : start + size] if isinstance(source, np.ndarray) else _device_slice(source, start, size)


@functools.partial(jax.jit, static_argnums=2)
def _device_slice(source: jax.Array, start: int, size: int) -> jax.Array:
    return jax.lax.dynamic_slice_in_dim(source, start, size, axis=1)


def _pieces(leaf: Leaf, rows: int, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Rows `first` to `end` in pieces of at most a block that do not go round the ring's end."""
    while first < end:
        stop = min(end, first + leaf.block_rows, (first // rows + 1) * rows)
        yield first, stop
        first = stop


def _load_segment(path: Path, segment: Segment, ring: Ring, target: DeviceRing) -> list[str]:
    """Places the rows that the ring still has; returns the leaves whose checksum does not hold."""
    length = (segment.end - segment.first) * sum(leaf.row_bytes for leaf in ring.leaves)
    try:
        if path.stat().st_size != length:
            return [f"{path.stat().st_size} bytes, not {length}"]
        with path.open("rb") as file:
            return [
                leaf.name
                for leaf, expected in zip(ring.leaves, segment.sha256, strict=True)
                if _load_leaf(file, leaf, segment, ring, target) != expected
            ]
    except OSError as error:
        return [error.strerror or type(error).__name__]


def _load_leaf(file: Any, leaf: Leaf, segment: Segment, ring: Ring, target: DeviceRing) -> str:
    """Reads one leaf of a segment, places its rows and returns their SHA-256."""
    digest = hashlib.sha256()
    for start, stop in _pieces(leaf, ring.rows, segment.first, segment.end):
        block = np.empty((stop - start, *leaf.row_shape), leaf.dtype)
        arrays.fill(file, block, digest)
        gone = min(max(0, ring.oldest - start), stop - start)
        if gone < stop - start:
            target.write(leaf.name, (start + gone) % ring.rows, np.moveaxis(block[gone:], 0, 1))
    return digest.hexdigest()
