"""A folder that one program writes to at a time: a lock that the operating system releases however the program ends."""

import errno
import os
import socket
from pathlib import Path
from typing import IO

from purejaxrrl.errors import UserError

try:
    import fcntl
except ModuleNotFoundError:
    raise ImportError("purejaxrrl needs a POSIX system, whose locks it uses; on Windows install it in WSL 2") from None

NAME = "run.lock"
UNSUPPORTED = errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP


class LockedError(UserError):
    """Another program writes to the folder, and the message names its process; or it cannot be known whether one does."""


class FolderLock:
    """Holds `folder` (which exists) until `release`, garbage collection or the end of the process.

    The file stays when the lock is released: removing it would let two programs lock two files of that name.

    Raises:
      LockedError: another program holds it, or the file system has no locks.
    """

    def __init__(self, folder: Path):
        self._file = None
        while self._file is None:
            file = (folder / NAME).open("a+")
            try:
                take(file, blocking=False)
            except BlockingIOError:
                holder = _holder(file)
                file.close()
                raise LockedError(
                    f"{folder} is being written to by {holder}; wait until it ends, or give another --output"
                ) from None
            except OSError as error:
                file.close()
                if error.errno not in UNSUPPORTED:
                    raise
                raise LockedError(f"the file system of {folder} has no locks; give an --output on another") from None
            if _is_at(file, folder / NAME):
                self._file = file
            else:  # the folder was moved aside before it was locked
                file.close()
        self._file.truncate(0)
        self._file.write(f"{os.getpid()} {socket.gethostname()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def take(file: int | IO, blocking: bool) -> None:
    """Locks an open file or folder; raises BlockingIOError where another process has it and `blocking` is False."""
    fcntl.flock(file, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))


def _holder(file) -> str:
    file.seek(0)
    process, _, host = file.read().strip().partition(" ")
    return f"process {process} on {host}" if host else "another program"


def _is_at(file, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
