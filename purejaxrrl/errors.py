"""The error that is the user's: what was given does not fit, and the message says what would be right."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something that was given, a value, a name, a file or a folder, cannot be used; one line says why and what would be right.

    Programs print it without a traceback. Any other ValueError is a fault in code, the library's or one's own, and shows where.
    """


def in_line(name: str) -> str:
    """A name that a file has, as part of a line: what cannot be printed is escaped."""
    return name if name.isprintable() else repr(name)[1:-1]


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that are most like one that is none, three at most, for a message; all where none is alike."""
    known = list(known)
    return ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known)
