"""A run's checkpoints: the learners, the replay ring and the metrics so far, which are restored together or not at all.

    checkpoints/
      000041/, 000042/     about.json (identity, metrics, what the arrays are, checksums) and state.arrays; the last two are kept
      ring/                the rows of the ring, each written once: see `ring_segments`

A checkpoint appears by one rename, after the rows that it names. Where the newest is damaged, the one before it is restored.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
from pydantic import Field

from purejaxrrl.errors import UserError
from purejaxrrl.files import arrays, atomic, checkpoints, documents, validation
from purejaxrrl.runs import identity as identities
from purejaxrrl.runs import ring_segments
from purejaxrrl.runs.device_ring import DeviceRing

KIND = "purejaxrrl run checkpoint"
FORMAT = 2
_KEPT = 2  # a whole one is left if the newest is damaged
_ABOUT, _STATE, _RING = "about.json", "state.arrays", "ring"


class RunError(UserError):
    """The folder cannot be started in or resumed from; the message says why and what to do."""


class Restored(NamedTuple):
    """A run as it was after so many iterations.

    state, ring: pytrees, the state of numpy arrays, the ring of arrays on devices; it is None where none was asked for.
    rows_of_metrics: all rows up to then.
    """

    iterations: int
    state: Any
    ring: Any
    rows_of_metrics: list[dict[str, Any]]


@validation.validated
class _Array:
    name: str
    dtype: str
    shape: validation.Shape
    sha256: validation.Sha256


@validation.validated
class _About:
    kind: Annotated[str, Field(pattern=f"^{KIND}$")]
    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    iterations: validation.Count
    identity: dict[str, Any]
    rows_of_metrics: list[dict[str, Any]]
    state: validation.sequence_of(validation.nested(_Array))
    ring: validation.nested(ring_segments.Ring) | None


def save(
    folder: Path,
    identity: dict[str, Any],
    iterations: int,
    state: Any,
    rows_of_metrics: list[dict[str, Any]],
    ring: Any = None,
    num_rows: int = 0,
    previous: ring_segments.Ring | None = None,
    num_runs: int | None = None,
) -> ring_segments.Ring | None:
    """Writes a checkpoint and removes what no kept one needs; see `ring_segments.save` for the ring.

    Checkpoints from this one on are there only where a run has gone back to an older one; they are removed first.

    Args:
      state: a pytree of arrays, fetched from the device one by one.
      rows_of_metrics: plain values (`documents.plain`).
      previous: what this returned last, or what `restore` returned.
    """
    atomic.make_folder(folder)
    for place in _numbered(folder):
        if int(place.name) >= iterations:
            atomic.remove_folder(place)
    saved = None if ring is None else ring_segments.save(folder / _RING, ring, num_rows, previous, num_runs)
    named = {name: _first(leaf, num_runs) for name, leaf in checkpoints.by_name(state).items()}
    with atomic.new_folder(folder / f"{iterations:06d}") as temporary:
        checksums = arrays.write(temporary / _STATE, ([leaf] for leaf in named.values()))
        described = tuple(
            _Array(name, str(np.dtype(leaf.dtype)), tuple(leaf.shape), checksum)
            for (name, leaf), checksum in zip(named.items(), checksums, strict=True)
        )
        about = _About(KIND, FORMAT, iterations, identity, rows_of_metrics, described, saved)
        (temporary / _ABOUT).write_text(documents.text(documents.plain(about, finite=False)))
    _remove_unused(folder)
    return saved


def restore(
    folder: Path, identity: dict[str, Any], like_state: Any, like_ring: Any, places: Sequence[int] | None = None
) -> tuple[Restored, ring_segments.Ring | None, list[str]] | None:
    """The newest whole checkpoint, what is known of its ring's files, and what is wrong with newer ones; None without any.

    Args:
      like_state, like_ring: pytrees with the shapes and dtypes that are expected (`jax.ShapeDtypeStruct`). `like_ring` None: the
        learners alone, to be looked at.
      places: of the ring, see `DeviceRing`.

    Raises:
      RunError: all are damaged (every damaged file is named), or one is of another run or of other shapes.
    """
    damaged: list[str] = []
    for place in reversed(_numbered(folder)):
        about, fault = _read_about(place)
        if about is None:
            damaged.append(fault)
            continue
        _check_identity(place, about, identity)
        _check_shapes(place, about, like_state, like_ring)
        state, faults = _load_state(place / _STATE, about, like_state)
        ring, faults_of_ring = _load_ring(folder / _RING, about, like_ring, places)
        if not faults + faults_of_ring:
            return Restored(about.iterations, state, ring, about.rows_of_metrics), about.ring, damaged
        damaged += faults + faults_of_ring
        del state, ring  # others are allocated next
    if damaged:
        raise RunError(f"no whole checkpoint is left, damaged: {'; '.join(damaged)}; start again without --resume")
    return None


def _first(leaf: Any, num_runs: int | None) -> Any:
    return leaf if num_runs in (None, leaf.shape[0]) else leaf[:num_runs]


def _numbered(folder: Path) -> list[Path]:
    """The checkpoints by their number."""
    return sorted((place for place in folder.glob("*") if place.name.isdigit()), key=lambda place: int(place.name))


def _read_about(place: Path) -> tuple[_About | None, str]:
    """What a checkpoint says of itself, or what is wrong with it."""
    path = place / _ABOUT
    try:
        content, has_checksum = documents.read(path)
        if not has_checksum:
            return None, f"{path} (it has no checksum)"
        about = validation.parse(_About, content)
    except FileNotFoundError:
        return None, f"{path} (it is missing)"
    except documents.DocumentError as error:
        return None, str(error)
    except validation.InvalidError as error:
        return None, f"{path} ({error})"
    if about.ring and not ring_segments.covers(about.ring):
        return None, f"{path} (its rows have gaps)"
    return about, ""


def _check_identity(place: Path, about: _About, identity: dict[str, Any]) -> None:
    if found := identities.differences(about.identity, identity):
        raise RunError(f"{place} is of another run ({identities.listed(found)}); move it away")


def _check_shapes(place: Path, about: _About, like_state: Any, like_ring: Any) -> None:
    """Raises RunError where the checkpoint is whole but not of what is to be restored."""
    expected = {name: (str(np.dtype(leaf.dtype)), tuple(leaf.shape)) for name, leaf in _leaves(like_state)}
    found = {array.name: (array.dtype, array.shape) for array in about.state}
    if like_ring is not None:
        ring = about.ring
        expected |= {
            f"ring.{name}": (str(np.dtype(leaf.dtype)), tuple(leaf.shape)) for name, leaf in _leaves(like_ring)
        }
        for leaf in ring.leaves if ring else ():
            runs, *rest = leaf.row_shape
            found[f"ring.{leaf.name}"] = (leaf.dtype, (runs, ring.rows, *rest))
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise RunError(
                f"{place} holds another state ({name} is {_shape(found, name)} there, {_shape(expected, name)} now); "
                f"start again without --resume"
            )


def _shape(arrays_by_name: dict[str, tuple[str, tuple[int, ...]]], name: str) -> str:
    dtype, shape = arrays_by_name.get(name, ("missing", ()))
    return f"{dtype} {list(shape)}" if dtype != "missing" else dtype


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    return list(checkpoints.by_name(tree).items())


def _load_state(path: Path, about: _About, like: Any) -> tuple[Any, list[str]]:
    """The arrays, and the file with those in it whose checksums do not hold, if there are any."""
    targets = {name: np.empty(leaf.shape, np.dtype(leaf.dtype)) for name, leaf in _leaves(like)}
    faults = []
    try:
        with path.open("rb") as file:
            for array in about.state:
                digest = hashlib.sha256()
                arrays.fill(file, targets[array.name], digest)
                if digest.hexdigest() != array.sha256:
                    faults.append(array.name)
            if file.read(1):
                faults.append("it is too long")
    except OSError as error:
        faults.append(error.strerror or type(error).__name__)
    state = jax.tree.unflatten(jax.tree.structure(like), targets.values())
    return state, [f"{path} ({', '.join(faults)})"] if faults else []


def _load_ring(folder: Path, about: _About, like: Any, places: Sequence[int] | None) -> tuple[Any, list[str]]:
    """The ring, None where none is wanted, and what is damaged of it."""
    if not about.ring or like is None:
        return None, []
    target = DeviceRing(like, places)
    faults = ring_segments.load(folder, about.ring, target)
    return target.arrays(), faults


def _remove_unused(folder: Path) -> None:
    """Keeps the last checkpoints and the rows that they need; what killed programs left is removed too."""
    numbered = _numbered(folder)
    for place in numbered[:-_KEPT]:
        atomic.remove_folder(place)
    for place in folder.glob(".*"):
        if place.is_dir() and not place.is_symlink():  # a file is somebody else's, such as a file manager's
            shutil.rmtree(place)
    abouts = [_read_about(place)[0] for place in numbered[-_KEPT:]]
    ring_segments.remove_unused(folder / _RING, [about.ring for about in abouts if about])
