"""Files and folders that appear whole or not at all, whenever the program ends; what a killed one left goes with the next save.

A new folder is filled beside its place under a hidden name and renamed when its bytes are on the disk. One that it replaces is
renamed first; a program that is killed between the two renames leaves it there, and `present` finds it.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from purejaxrrl.errors import UserError
from purejaxrrl.files import lock

_PROBE_BYTES = 4096
_FILE_MANAGERS = (".DS_Store", ".directory", "Thumbs.db", "desktop.ini")


def write_text(path: Path, text: str) -> None:
    """Writes a file in one step (UTF-8, line ends as they are), so that it is never half there."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file in one step, so that it is never half there."""
    partial = path.with_name(f".{path.name}.partial")
    with naming(path), partial.open("wb") as file:
        file.write(content)
        flush(file)
    partial.replace(path)
    flush_folder(path.parent)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Writing to an open file raises an OSError without a name; this adds it."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def check_writable(path: str | os.PathLike) -> None:
    """Finds out whether something can be written as `path`, which need not exist, before long work is done for it.

    Raises:
      OSError: the disk is full or read-only, a name is too long, or a file stands where a folder has to be.
      UserError: a link on the way leads nowhere, or the file system has no files of ours.
    """
    place = _nearest(Path(path).absolute())
    if not place.exists():
        raise UserError(f"{place} is a link to {os.readlink(place)}, which does not exist; give another place")
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(place))
    try:
        with naming(place), tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(_PROBE_BYTES))
            flush(file)
    except FileNotFoundError:  # /proc and its like
        raise UserError(f"{place} takes no files; give another place") from None


def _nearest(path: Path) -> Path:
    """What there is of a path: itself, or the first above it that exists, be it a link that leads nowhere."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _nearest(path.parent)
    return path


def names(folder: Path) -> set[str]:
    """What is in a folder, but for what file managers leave where somebody looked. Raises OSError where it is none."""
    found = {entry.name for entry in folder.iterdir()}
    return {name for name in found if name not in _FILE_MANAGERS and not name.startswith("._")}


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, each on the disk before the next."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    flush_folder(path.parent)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `path` when the block ends without an error."""
    make_folder(path.parent)
    remove_leftovers(path)
    temporary, descriptor = _locked_folder(path)
    try:
        yield temporary
        _flush_tree(temporary)
        _replace(path, temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def present(path: Path) -> Path:
    """`path`, or where its folder is if a program was killed while it replaced it."""
    return _replaced(path) if not path.exists() and _replaced(path).exists() else path


def remove_leftovers(path: Path) -> None:
    """Removes what programs left that were killed while they wrote the folder `path`; those still at it are left alone."""
    hidden = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{32}\.partial")
    for folder in path.parent.iterdir():
        if hidden.fullmatch(folder.name):
            with contextlib.suppress(OSError), _held(folder, blocking=False):
                shutil.rmtree(folder, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Removes a folder so that no program that is killed meanwhile leaves half of it under its name."""
    hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def flush(file) -> None:
    """Waits until what was written to an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Waits until a folder's names are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_tree(folder: Path) -> None:
    for place, _, files in os.walk(folder):
        for name in files:
            flush_folder(Path(place) / name)
        flush_folder(Path(place))


def _replaced(path: Path) -> Path:
    """Where the folder that is replaced is for a moment."""
    return path.with_name(f".{path.name}.replaced")


def _locked_folder(path: Path) -> tuple[Path, int]:
    """A new hidden folder beside `path`, and a descriptor that holds it as long as this process writes to it."""
    while True:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
        temporary.mkdir()
        # Another program may take it for a leftover in the moment before it is locked.
        try:
            descriptor = os.open(temporary, os.O_RDONLY)
        except FileNotFoundError:
            continue
        _lock(descriptor)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)


@contextlib.contextmanager
def _held(folder: Path, blocking: bool = True) -> Iterator[None]:
    """Holds a folder's lock; raises OSError where another process has it and `blocking` is False."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, blocking)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, blocking: bool = True) -> None:
    try:
        lock.take(descriptor, blocking)
    except OSError as error:
        # A file system without locks: nothing is removed there that may be in use, and nobody waits.
        if not blocking or error.errno not in lock.UNSUPPORTED:
            raise


def _replace(path: Path, temporary: Path) -> None:
    with _held(path.parent):  # programs that save the same thing take turns
        replaced = _replaced(path)
        if path.exists():
            shutil.rmtree(replaced, ignore_errors=True)  # not without `path`: it would be the only one
            path.rename(replaced)
        temporary.rename(path)
        flush_folder(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)
