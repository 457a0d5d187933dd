"""Command lines from frozen dataclasses: every field is a flag, its default and help come from the field."""

import argparse
import contextlib
import dataclasses
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, TypeVar

from purejaxrrl import runs

Config = TypeVar("Config")


def option(default: Any, text: str) -> Any:
    """A dataclass field with a help text: `batch_size: int = option(32, "transitions in an update")`."""
    return dataclasses.field(default=default, metadata={"help": text})


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Ends the program with the message alone where what the user gave is at fault, or the run diverged or was stopped."""
    try:
        yield
    except ValueError as error:
        _exit(f"error: {error}", 2)
    except runs.DivergenceError as error:
        _exit(f"diverged: {error}", 1)
    except KeyboardInterrupt:
        _exit("stopped; the same command with --resume continues from the last checkpoint", 130)


def _exit(message: str, status: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(status)


def parser(config: type, description: str) -> argparse.ArgumentParser:
    """A parser with one flag for each field of `config`; underscores become dashes."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        _add_flag(result, field, hints[field.name])
    return result


def parse(config: type[Config], description: str, arguments: Sequence[str] | None = None) -> Config:
    """Reads the command line (or `arguments`) into a `config`. A ValueError of the dataclass ends as a usage message."""
    flags = parser(config, description)
    values = vars(flags.parse_args(arguments))
    try:
        return config(**values)
    except ValueError as error:
        flags.error(str(error))


def _add_flag(flags: argparse.ArgumentParser, field: dataclasses.Field, hint: Any) -> None:
    name = "--" + field.name.replace("_", "-")
    text = field.metadata.get("help", "")
    kind = _without_none(hint)
    if kind is bool:
        flags.add_argument(name, action=argparse.BooleanOptionalAction, default=field.default, help=text)
    elif typing.get_origin(kind) is tuple:
        element = typing.get_args(kind)[0]
        flags.add_argument(name, type=_list_of(element), default=field.default, metavar="A,B,...", help=text)
    else:
        flags.add_argument(
            name, type=_number if kind is int else kind, default=field.default, metavar=kind.__name__.upper(), help=text
        )


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


def _number(text: str) -> int:
    """An integer, also as 200_000 or 2e5."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise
        return int(value)


_number.__name__ = "integer"


def _list_of(element: type) -> Any:
    def split(text: str) -> tuple:
        return tuple((_number if element is int else element)(part) for part in text.split(",") if part)

    split.__name__ = f"list of {element.__name__}"
    return split
