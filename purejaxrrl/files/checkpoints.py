"""Pytrees of arrays on disk: orbax for the arrays, JSON for what is said of them, and one rename that makes both appear.

A checkpoint is a folder with `arrays/` (orbax) and `about.json`, which has a SHA-256 of every array, of every file and of
itself. All are verified when it is read, which runs nobody's code. Folders of format 1 have no checksums and are read as they are.
"""

import contextlib
import hashlib
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from pydantic import Field

from purejaxrrl.errors import UserError
from purejaxrrl.files import atomic, documents, system_errors, validation

FORMAT = 2
_ABOUT, _ARRAYS = "about.json", "arrays"


class CheckpointError(UserError):
    """A folder that is not the checkpoint that was asked for; the message says what is wrong and what would be right."""


@validation.validated
class _Array:
    dtype: str
    shape: validation.Shape
    sha256: validation.Sha256


@validation.validated
class _Contents:
    """What `save` adds to what is said of a checkpoint: its arrays by name, and its files by their place in it."""

    format: Annotated[int, Field(ge=2, le=FORMAT)]
    arrays: dict[str, validation.nested(_Array)]
    files: dict[str, validation.Sha256]


def save(path: str | os.PathLike, arrays: Any, about: dict[str, Any]) -> None:
    """Writes `arrays` (a pytree of numpy or jax arrays) and `about` (JSON), in place of the checkpoint that was at `path`.

    Raises:
      ValueError: `about` is not JSON; nothing is written then.
      CheckpointError: `path` holds something else than a checkpoint, which is left alone.
    """
    path = Path(path).absolute()
    about = documents.plain(about)
    _check_replaceable(path)
    stored = {name: np.asarray(leaf) for name, leaf in _by_name(arrays).items()}
    with atomic.new_folder(path) as folder:
        with _disk_errors(path), ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder / _ARRAYS, stored)
        # orbax's own mark of completeness, which names the temporary folder; ours is the rename.
        (folder / _ARRAYS / "commit_success.txt").unlink(missing_ok=True)
        contents = {
            "format": FORMAT,
            "arrays": {
                name: {"dtype": str(leaf.dtype), "shape": list(leaf.shape), "sha256": sha256(leaf)}
                for name, leaf in stored.items()
            },
            "files": {file.relative_to(folder).as_posix(): file_sha256(file) for file in _files(folder / _ARRAYS)},
        }
        (folder / _ABOUT).write_text(documents.text(about | contents))


def describe(path: str | os.PathLike, about: dict[str, Any], remedy: str) -> None:
    """Says `about` (JSON) of the checkpoint at `path` in place of what was said; its arrays stay as they are.

    Raises:
      ValueError: `about` is not JSON; nothing is written then.
      CheckpointError: as `read_about`, or it is of format 1, which has no checksums to keep.
    """
    path, about = atomic.present(Path(path).absolute()), documents.plain(about)
    _, contents = _read(path, remedy)
    if contents is None:
        raise CheckpointError(f"{path} is of the first release, without checksums; save it anew; {remedy}")
    atomic.write_text(path / _ABOUT, documents.text(about | documents.plain(contents)))


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Raises what orbax's threads found wrong with the disk as the OSError that it was, without their tracebacks."""
    logger = logging.getLogger("absl")
    logger.addFilter(_no_record)
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # orbax and tensorstore raise many types
        if fault := system_errors.of_text(str(error), path):
            raise fault from None
        raise
    finally:
        logger.removeFilter(_no_record)


def _no_record(record: logging.LogRecord) -> bool:
    return False


def read_about(path: str | os.PathLike, kind: str, remedy: str) -> dict[str, Any]:
    """What was said of the checkpoint at `path`, without what `save` added but its format.

    Args:
      kind: what `about["kind"]` must be, so that a teacher is not taken for a run and neither for another project's file.
      remedy: what to do about it, for the messages.

    Raises:
      CheckpointError: there is no folder, it is empty, half-written or damaged, of another kind or of a later release.
    """
    path = atomic.present(Path(path).absolute())
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; {remedy}")
    if not path.is_dir():
        raise CheckpointError(f"{path} is a file, not a checkpoint's folder; {remedy}")
    if not any(path.iterdir()):
        raise CheckpointError(f"{path} is empty; {remedy}")
    about, contents = _read(path, remedy)
    if about.get("kind") != kind:
        raise CheckpointError(f"{path} holds {about.get('kind')!r}, not {kind!r}; {remedy}")
    return about | {"format": contents.format if contents else 1}


def load_arrays(path: str | os.PathLike, like: Any, remedy: str) -> Any:
    """The arrays of the checkpoint at `path`, as numpy arrays.

    Args:
      like: a pytree of arrays or `jax.ShapeDtypeStruct` with the structure, shapes and types that are expected.

    Raises:
      CheckpointError: files or arrays are missing or damaged, all of which are named, or they are not shaped like `like`.
    """
    path = atomic.present(Path(path).absolute())
    folder = path / _ARRAYS
    if not folder.is_dir():
        raise CheckpointError(f"{path} has no arrays: it is half-written; {remedy}")
    _, contents = _read(path, remedy)
    if contents and (damaged := _damaged_files(path, contents)):
        raise CheckpointError(f"{path} is damaged in {', '.join(damaged)}; {remedy}")
    wanted = _by_name(like)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            # Before anything is allocated for them, of whatever size they say that they are.
            _check_shapes(path, dict(checkpointer.metadata(folder).item_metadata.tree), wanted, remedy)
            # As they were stored: given a target, orbax casts to its types without a word.
            restored = checkpointer.restore(folder)
    except CheckpointError:
        raise
    except Exception as error:  # orbax and tensorstore raise many types for a damaged folder
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(
            f"{path} cannot be restored ({reason}); it is damaged or holds something else; {remedy}"
        ) from error
    stored = {name: np.asarray(leaf) for name, leaf in restored.items()}
    if contents and (damaged := _damaged_arrays(stored, contents)):
        raise CheckpointError(f"{path} is damaged in the arrays {', '.join(damaged)}; {remedy}")
    _check_shapes(path, stored, wanted, remedy)
    leaves = iter(stored[name] for name in _by_name(like))
    return jax.tree.map(lambda leaf: next(leaves) if math.prod(leaf.shape) else np.zeros(leaf.shape, leaf.dtype), like)


def fingerprint(arrays: Any, about: str = "") -> str:
    """SHA-256 (hexadecimal) over a pytree of arrays, their places in it, and `about`."""
    digest = hashlib.sha256(about.encode())
    for path, leaf in jax.tree.leaves_with_path(arrays):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(bytes_of(array))
    return digest.hexdigest()


def bytes_of(array: np.ndarray) -> np.ndarray:
    """The bytes of an array in C order, uint8 `[n]`; not copied where they lie in that order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def sha256(array: np.ndarray) -> str:
    """SHA-256 (hexadecimal) over the bytes of an array."""
    return hashlib.sha256(bytes_of(array)).hexdigest()


def file_sha256(file: Path) -> str:
    """SHA-256 (hexadecimal) over a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def by_name(tree: Any) -> dict[str, Any]:
    """The leaves by their path in the tree, whatever the containers are."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in jax.tree.leaves_with_path(tree)
    }


def _by_name(tree: Any) -> dict[str, Any]:
    """`by_name` without arrays of no elements, which orbax refuses; their shapes say all there is to them."""
    return {name: leaf for name, leaf in by_name(tree).items() if math.prod(np.shape(leaf))}


def _check_replaceable(path: Path) -> None:
    """Raises CheckpointError where saving would remove somebody's own files."""
    try:
        others = sorted(atomic.names(path) - {_ABOUT, _ARRAYS})
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise CheckpointError(f"{path} is a file; give another name") from None
    if others:
        raise CheckpointError(f"{path} holds {others[0]}, which is no checkpoint's; give another name")


def _read(path: Path, remedy: str) -> tuple[dict[str, Any], _Contents | None]:
    """What was said of the checkpoint, and what `save` added; None for format 1."""
    try:
        about, has_checksum = documents.read(path / _ABOUT)
    except FileNotFoundError:
        raise CheckpointError(f"{path} has no {_ABOUT}: it is half-written or another project's; {remedy}") from None
    except documents.DocumentError as error:
        raise CheckpointError(f"{error}; {remedy}") from None
    number = about.get("format", 1)
    if isinstance(number, int) and number > FORMAT:
        raise CheckpointError(
            f"{path} has format {number} and this release reads up to {FORMAT}; update purejaxrrl, or {remedy}"
        )
    if number == 1 and not has_checksum:
        return about, None
    added = {name: about.pop(name) for name in ("format", "arrays", "files") if name in about}
    try:
        if not has_checksum:
            raise validation.InvalidError("sha256 is missing")
        return about, validation.parse(_Contents, added)
    except validation.InvalidError as error:
        raise CheckpointError(f"{path / _ABOUT} is damaged or not one of ours ({error}); {remedy}") from None


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _damaged_files(path: Path, contents: _Contents) -> list[str]:
    """The files whose checksum does not hold or that are missing; names that lead elsewhere are of none."""
    found = {file.relative_to(path).as_posix(): file_sha256(file) for file in _files(path / _ARRAYS)}
    return [name for name, expected in contents.files.items() if found.get(name) != expected]


def _damaged_arrays(stored: dict[str, np.ndarray], contents: _Contents) -> list[str]:
    """The arrays that are not those of the checkpoint, missing ones and ones too many included."""

    def holds(name: str) -> bool:
        if name not in stored or name not in contents.arrays:
            return False
        array, expected = stored[name], contents.arrays[name]
        return (str(array.dtype), array.shape, sha256(array)) == (expected.dtype, expected.shape, expected.sha256)

    return sorted(name for name in stored.keys() | contents.arrays.keys() if not holds(name))


def _check_shapes(path: Path, stored: dict[str, np.ndarray], expected: dict[str, Any], remedy: str) -> None:
    if differing := sorted(expected.keys() ^ stored.keys()):
        raise CheckpointError(
            f"{path} does not hold what is expected (it differs in {', '.join(differing[:5])}); {remedy}"
        )
    for name, leaf in expected.items():
        array = stored[name]
        if (array.shape, array.dtype) != (tuple(leaf.shape), np.dtype(leaf.dtype)):
            raise CheckpointError(
                f"{path}: {name} is {array.dtype} {array.shape}, expected {np.dtype(leaf.dtype)} {tuple(leaf.shape)}; {remedy}"
            )
