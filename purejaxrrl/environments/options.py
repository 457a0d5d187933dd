"""An environment's options as text, from a command line, and as data, for cards and fingerprints.

They are the fields of a frozen dataclass, the class' `settings_type`, which checks their ranges.
"""

import contextlib
import dataclasses
import typing
from collections.abc import Collection
from typing import Any

import pydantic

from purejaxrrl.errors import UserError, nearest


def non_default(settings: Any) -> dict[str, Any]:
    """The fields of `settings` that have another value than their default, as JSON holds them: tuples as lists."""
    changed = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value != field.default:
            value = float(value) if isinstance(field.default, float) else value
            changed[field.name] = list(value) if isinstance(value, tuple) else value
    return changed


def check_names(environment: str, settings_type: type, names: Collection[str]) -> None:
    """Raises ValueError, with the nearest ones, where a name is none of the environment's options."""
    known = [field.name for field in dataclasses.fields(settings_type)]
    for name in names:
        if name not in known:
            raise UserError(f"{environment} has no option {name!r}; the nearest are {nearest(name, known)}")


def check_no_text(environment: str, settings_type: type, values: dict[str, Any]) -> None:
    """Raises ValueError where a value is text and the option is none, which a comparison of numbers would not say."""
    types = typing.get_type_hints(settings_type)
    for name, value in values.items():
        if isinstance(value, str) and not _takes(types[name], value):
            raise UserError(f"{environment}'s option {name} is {value!r}; it must be of type {_named(types[name])}")


def _takes(expected: Any, value: Any) -> bool:
    try:
        pydantic.TypeAdapter(expected).validate_python(value, strict=True)
    except pydantic.ValidationError:
        return False
    return True


def _named(expected: Any) -> str:
    return getattr(expected, "__name__", None) or str(expected)


def split(text: str) -> dict[str, str]:
    """`"a=1,b=true"` as names and values, both text. Raises ValueError where it is not of that form."""
    values: dict[str, str] = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not (name and equals and value):
            raise UserError(f"environment option {item!r} is not of the form name=value")
        if name in values:
            raise UserError(f"environment option {name!r} is given twice: {values[name]} and {value}")
        values[name] = value
    return values


def typed(environment: str, settings_type: type, values: dict[str, str]) -> dict[str, Any]:
    """The values as the fields of `settings_type` have them; several, one for each game, are joined by "+".

    Raises:
      ValueError: a name is unknown, or a value has another type or is out of range.
    """
    check_names(environment, settings_type, values)
    types = typing.get_type_hints(settings_type)
    options = {name: _value(name, types[name], value) for name, value in values.items()}
    settings_type(**options)
    return options


def untyped(values: dict[str, str]) -> dict[str, Any]:
    """The values as what they look like: a truth value, an integer, a number, or text."""
    return {name: _value(name, int | float | bool | str, value) for name, value in values.items()}


def _value(name: str, expected: Any, text: str) -> Any:
    """As it is written, as a whole number (1e5), or as several (1+2), whichever is of that type first."""
    adapter = pydantic.TypeAdapter(expected)
    readings = (
        lambda: adapter.validate_strings(text),
        lambda: adapter.validate_strings(f"{float(text):.0f}" if float(text).is_integer() else ""),
        lambda: adapter.validate_python(tuple(text.split("+")) if "+" in text else ""),
    )
    for read in readings:
        with contextlib.suppress(ValueError, OverflowError):  # pydantic's ValidationError is one
            return read()
    raise UserError(f"environment option {name} is {text!r}; it must be of type {_named(expected)}")
