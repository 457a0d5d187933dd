"""What the operating system refuses a program, in one line with a remedy."""

import errno
import os

_FULL = "free space there"
_NOT_WRITABLE = "give another place, or make it writable"
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "it is more than may be written to one file here; raise that limit, or give another place",
    errno.EROFS: _NOT_WRITABLE,
    errno.EACCES: _NOT_WRITABLE,
    errno.EPERM: _NOT_WRITABLE,
    errno.EBUSY: "something else is mounted there; give another place",
    errno.ENOTDIR: "a file stands where a folder has to be; give another place",
    errno.EISDIR: "a folder stands where a file has to be; give another name",
    errno.EEXIST: "something else stands there; give another name",
    errno.ELOOP: "its links lead round in a circle; give another place",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EIO: "the disk fails; give another place",
    errno.ESTALE: "the file system was taken away; give another place",
}


def in_one_line(error: OSError) -> str | None:
    """The fault, its place and what to do; None for what is no fault of a disk or a name, but of a program."""
    if error.errno not in _REMEDIES:
        return None
    place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes | os.PathLike) else ""
    shown = place if len(place) <= 200 else f"{place[:200]}...: "
    return f"{shown}{os.strerror(error.errno)}; {_REMEDIES[error.errno]}"


def of_text(text: str, path: str | os.PathLike) -> OSError | None:
    """The OSError that a library's message speaks of, which it raised as something else; None where it speaks of none."""
    found = [number for number in _REMEDIES if os.strerror(number) in text]
    return OSError(found[0], os.strerror(found[0]), os.fspath(path)) if found else None
