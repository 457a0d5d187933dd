"""Which function or class something is, as far as Python can say: what tells a changed one from the one that a file was made with."""

import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any


def identity(*functions: Callable) -> str:
    """The first one's module and name, and a hash of what all of them say; without the hash's part of those that Python cannot read."""
    plain = [_plain(function) for function in functions]
    code = "".join(map(_source, plain))
    name = getattr(plain[0], "__qualname__", type(plain[0]).__qualname__)
    return f"{plain[0].__module__}:{name} {hashlib.sha256(code.encode()).hexdigest()[:16]}"


def of_ones_own(*things: Any) -> list[str]:
    """The identities of those, functions or classes, that are not the library's."""
    return [identity(thing) for thing in things if _plain(thing).__module__.split(".")[0] != __name__.split(".")[0]]


def _plain(function: Callable) -> Callable:
    """What a partial application or a method is of."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(getattr(function, "__func__", function))


def _source(function: Callable) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""
