"""Pytrees of arrays on disk: orbax for the arrays, JSON for what is said of them, and one rename that makes both appear.

A checkpoint is a folder with `arrays/` (orbax) and `about.json`. It is written beside its place under a temporary name and
renamed when complete, so that a folder of that name is a whole checkpoint or none. One that is replaced is renamed first; a
program that is killed between the two renames leaves it there, and it is read from there. Reading runs nobody's code.
"""

import hashlib
import json
import math
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

_ABOUT = "about.json"


class CheckpointError(ValueError):
    """A folder that is not the checkpoint that was asked for; the message says what is wrong and what would be right."""


def save(path: str | os.PathLike, arrays: Any, about: dict[str, Any]) -> None:
    """Writes `arrays` (a pytree of numpy or jax arrays) and `about` (JSON), in place of what was at `path`."""
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(temporary / "arrays", jax.tree.map(np.asarray, _by_name(arrays)))
    # orbax's own mark of completeness, which names the temporary folder; ours is the rename below.
    (temporary / "arrays" / "commit_success.txt").unlink(missing_ok=True)
    (temporary / _ABOUT).write_text(json.dumps(about, indent=2) + "\n")
    replaced = _replaced(path)
    if path.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        path.rename(replaced)
    temporary.rename(path)
    shutil.rmtree(replaced, ignore_errors=True)


def read_about(path: str | os.PathLike, kind: str, remedy: str) -> dict[str, Any]:
    """What was said of the checkpoint at `path`.

    Args:
      kind: what `about["kind"]` must be, so that a teacher is not taken for a run and neither for another project's file.
      remedy: what to do about it, for the messages.

    Raises:
      CheckpointError: there is no folder, it is empty or half-written, or it is of another kind.
    """
    path = _whole(path)
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; {remedy}")
    if not path.is_dir():
        raise CheckpointError(f"{path} is a file, not a checkpoint's folder; {remedy}")
    if not any(path.iterdir()):
        raise CheckpointError(f"{path} is empty; {remedy}")
    try:
        about = json.loads((path / _ABOUT).read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{path} has no {_ABOUT}: it is half-written or another project's; {remedy}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path / _ABOUT} cannot be read ({error}); {remedy}") from None
    if not isinstance(about, dict) or about.get("kind") != kind:
        found = about.get("kind") if isinstance(about, dict) else None
        raise CheckpointError(f"{path} holds {found!r}, not {kind!r}; {remedy}")
    return about


def load_arrays(path: str | os.PathLike, like: Any, remedy: str) -> Any:
    """The arrays of the checkpoint at `path`, as numpy arrays.

    Args:
      like: a pytree of arrays or `jax.ShapeDtypeStruct` with the structure, shapes and types that are expected.

    Raises:
      CheckpointError: the arrays are missing, damaged or not shaped like `like`.
    """
    folder = _whole(path) / "arrays"
    if not folder.is_dir():
        raise CheckpointError(f"{path} has no arrays: it is half-written; {remedy}")
    expected = _by_name(like)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            # As they were stored: given a target, orbax casts to its types without a word.
            restored = checkpointer.restore(folder)
    except Exception as error:  # orbax and tensorstore raise many types for a damaged folder
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(
            f"{path} cannot be restored ({reason}); it is damaged or holds something else; {remedy}"
        ) from error
    if differing := sorted(expected.keys() ^ restored.keys()):
        raise CheckpointError(
            f"{path} does not hold what is expected (it differs in {', '.join(differing[:5])}); {remedy}"
        )
    for name, leaf in expected.items():
        stored = np.asarray(restored[name])
        if (stored.shape, stored.dtype) != (tuple(leaf.shape), np.dtype(leaf.dtype)):
            raise CheckpointError(
                f"{path}: {name} is {stored.dtype} {stored.shape}, expected {np.dtype(leaf.dtype)} {tuple(leaf.shape)}; {remedy}"
            )
    leaves = iter(restored[name] for name in expected)
    return jax.tree.map(lambda leaf: next(leaves) if math.prod(leaf.shape) else np.zeros(leaf.shape, leaf.dtype), like)


def fingerprint(arrays: Any, about: str = "") -> str:
    """SHA-256 (hexadecimal) over a pytree of arrays, their places in it, and `about`."""
    digest = hashlib.sha256(about.encode())
    for path, leaf in jax.tree.leaves_with_path(arrays):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _replaced(path: Path) -> Path:
    """Where `save` keeps the checkpoint that it replaces for a moment."""
    return path.with_name(f".{path.name}.replaced")


def _whole(path: str | os.PathLike) -> Path:
    """`path`, or where its checkpoint is if `save` was killed while it replaced it."""
    path = Path(path).absolute()
    return _replaced(path) if not path.exists() and _replaced(path).exists() else path


def _by_name(tree: Any) -> dict[str, Any]:
    """The leaves by their path in the tree: orbax then sees one flat dictionary, whatever the containers are.

    Arrays of no elements, which orbax refuses, are left out; their shapes say all there is to them.
    """
    named = (
        (jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in jax.tree.leaves_with_path(tree)
    )
    return {name: leaf for name, leaf in named if math.prod(leaf.shape)}
