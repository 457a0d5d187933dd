"""Which function or class something is, as far as Python can say: what tells a changed one from the one that a file was made with."""

import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any


def identity(*functions: Callable) -> str:
    """The first one's module and name, and a hash of the source of all of them and of the plain values that they were given in part.

    What Python cannot read adds nothing to the hash.
    """
    taken_apart = [_plain(function) for function in functions]
    code = "".join(_source(plain) + given for plain, given in taken_apart)
    plain = taken_apart[0][0]
    name = getattr(plain, "__qualname__", type(plain).__qualname__)
    return f"{plain.__module__}:{name} {hashlib.sha256(code.encode()).hexdigest()[:16]}"


def of_ones_own(*things: Any) -> list[str]:
    """The identities of those, functions or classes, that are not the library's."""
    return [identity(thing) for thing in things if _plain(thing)[0].__module__.split(".")[0] != __name__.split(".")[0]]


def _plain(function: Callable) -> tuple[Callable, str]:
    """What a partial application, a method or a wrapper is of, and as text the plain values that partial ones were given."""
    given = ""
    while True:
        if isinstance(function, functools.partial):
            values = *function.args, *sorted(function.keywords.items())
            given += "".join(map(repr, filter(_is_plain, values)))
            function = function.func
        elif (inner := getattr(function, "__func__", getattr(function, "__wrapped__", None))) is not None:
            function = inner
        else:
            return function, given


def _is_plain(value: Any) -> bool:
    """Whether it looks the same in every process."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _source(function: Callable) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""
