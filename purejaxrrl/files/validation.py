"""What is read or given is checked by pydantic, against types that are declared once; what is wrong is said in one line."""

import functools
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import pydantic
import pydantic.dataclasses
from pydantic import BeforeValidator, ConfigDict, Field

from purejaxrrl.errors import UserError, in_line
from purejaxrrl.files import documents

Class = TypeVar("Class")

CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class InvalidError(UserError):
    """A value that is not what its field says; the message names the field, the value and what would be right."""


def _tuple(value: Any) -> Any:
    """Lists, which is what JSON has, as tuples."""
    return tuple(value) if isinstance(value, list) else value


def _scalar(value: Any) -> Any:
    """numpy's and JAX's scalars as Python's."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


Number = Annotated[float, BeforeValidator(_scalar)]
Integer = Annotated[int, BeforeValidator(_scalar)]
Count = Annotated[int, BeforeValidator(_scalar), Field(ge=0)]
Positive = Annotated[int, BeforeValidator(_scalar), Field(ge=1)]
Shape = Annotated[tuple[Count, ...], BeforeValidator(_tuple)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Options = Annotated[dict[str, Any], BeforeValidator(documents.plain)]


def nested(kind: type[Any]) -> Any:
    """The type of a field that holds the validated dataclass `kind`, which JSON has as an object."""
    return Annotated[kind, BeforeValidator(lambda value: parse(kind, value) if isinstance(value, dict) else value)]


def sequence_of(item: Any) -> Any:
    """The type of a tuple of `item`, which JSON has as a list."""
    return Annotated[tuple[item, ...], BeforeValidator(_tuple)]


def validated(cls: type[Class]) -> type[Class]:
    """A frozen dataclass whose fields pydantic checks; it raises `InvalidError`, of one line, where one does not fit."""
    checked = pydantic.dataclasses.dataclass(frozen=True, config=CONFIG)(cls)
    checked.__init__ = _in_one_line(checked.__init__)
    return checked


def parse(kind: type[Class], value: Any) -> Class:
    """The validated dataclass `kind` of an object that was read from JSON.

    Raises:
      InvalidError: it is not one; the message is one line.
    """
    if not isinstance(value, dict):
        raise InvalidError(f"{_shown(value)} is not an object with the fields of a {kind.__name__}")
    return kind(**value)


def in_one_line(error: pydantic.ValidationError) -> str:
    """The first fault, its place and value, and how many more there are."""
    faults = error.errors(include_url=False)
    first = faults[0]
    place = in_line(".".join(map(str, first["loc"])))
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if first["type"] in ("missing", "missing_argument"):
        return f"{place} is missing{more}"
    rule = " ".join(first["msg"].split()).removeprefix("Value error, ").replace("Input should", "it must")
    return f"{place} is {_shown(first['input'])}; {rule}{more}" if place else f"{rule}{more}"


def _in_one_line(function: Callable) -> Callable:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except pydantic.ValidationError as error:
            raise InvalidError(in_one_line(error)) from None

    return wrapped
