"""Command lines from declared options and hyperparameters: every field is a flag; default, range and help come from it."""

import argparse
import contextlib
import difflib
import re
import sys
import typing
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from pydantic.fields import FieldInfo

from purejaxrrl.errors import UserError
from purejaxrrl.files import system_errors
from purejaxrrl.runs import run_folder
from purejaxrrl.students.hyperparameters import declaration, names

_LIBRARY = Path(__file__).parents[1]
_LONGEST = 1200  # what is shown of a message, which may have somebody's value in it
_METAVARS = {int: "INTEGER", float: "NUMBER", str: "TEXT"}
_WANTED = {
    "integer": "an integer",
    "float": "a number",
    "list of int": "integers, separated by commas",
    "list of float": "numbers, separated by commas",
}
"""What a value must be, by what argparse calls its type."""


@contextlib.contextmanager
def user_errors(afterwards: str = "") -> Iterator[None]:
    """Ends the program with one line where what the user gave is at fault, the disk is, or the run diverged or was stopped.

    Anything else is a fault of the program, and keeps its traceback.

    Args:
      afterwards: what is true of a program that was stopped or ran out of disk, whenever that was. Unless given, that a
        training goes on with --resume, which `RunFolder` notes on the error, or else that there is no checkpoint yet.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a terminal cannot show is no reason to end
            stream.reconfigure(errors="replace")
    try:
        with _warnings_in_a_line():
            yield
    except UserError as error:
        _exit(f"error: {error}", 2)
    except run_folder.DivergenceError as error:
        _exit(f"diverged: {error}", 1)
    except OSError as error:
        if (line := system_errors.in_one_line(error)) is None:
            raise
        note = afterwards or "; ".join(getattr(error, "__notes__", []))
        _exit(f"error: {line}{'; ' if note else ''}{note}", 2)
    except KeyboardInterrupt as error:
        note = afterwards or "; ".join(getattr(error, "__notes__", []))
        _exit(f"stopped; {note}" if note else "stopped before the first checkpoint; the same command starts again", 130)


@contextlib.contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Prints what the library's own modules warn of without the line of code, which tells a program's user nothing."""
    written = warnings.formatwarning

    def in_a_line(message: Warning, category: type, filename: str, *place: Any) -> str:
        ours = Path(filename).is_relative_to(_LIBRARY)
        return f"note: {message}\n" if ours else written(message, category, filename, *place)

    warnings.formatwarning = in_a_line
    try:
        yield
    finally:
        warnings.formatwarning = written


def _exit(message: str, status: int) -> NoReturn:
    print(message if len(message) <= _LONGEST else f"{message[:_LONGEST]} ...", file=sys.stderr)
    raise SystemExit(status)


class Help(argparse.HelpFormatter):
    """Help whose description is wrapped like any text, except for its examples: what is indented keeps its lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = re.split(r"\n\s*\n", text.strip())
        filled = (
            block if block.startswith(" ") else argparse.HelpFormatter._fill_text(self, block, width, indent)
            for block in blocks
        )
        return "\n\n".join(filled)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, with the nearest flags where one is unknown and what a value must be, instead of all usage."""
        if found := re.match(r"unrecognized arguments: (--[\w-]+)", message):
            flags = [flag for action in self._actions for flag in action.option_strings]
            nearest = difflib.get_close_matches(found[1], flags, n=2, cutoff=0.6)
            message += f" (the nearest are {', '.join(nearest)})" if nearest else ""
        if found := re.match(rf"argument (--[\w-]+): invalid ({'|'.join(_WANTED)}) value: (.*)", message, re.DOTALL):
            message = f"{found[1]} is {found[3]}; it must be {_WANTED[found[2]]}"
        _exit(f"error: {message}; --help lists every flag", 2)


def parser(
    classes: Sequence[type],
    description: str,
    leave_out: Sequence[str] = (),
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> argparse.ArgumentParser:
    """A parser with one flag for each field of the classes (`hyperparameters.declare`); underscores become dashes.

    leave_out: fields that the program sets itself. defaults: of fields, in place of those that the classes declare.
    """
    result = _Parser(
        description=description, usage="%(prog)s [--FLAG VALUE ...]", formatter_class=Help, allow_abbrev=False
    )
    fields = {name: cls for cls in reversed(classes) for name in names(cls) if name not in leave_out}
    for cls in classes:
        for name in names(cls):
            if fields.get(name) is cls:
                _add_flag(result, cls, name, fields, defaults.get(name, declaration(cls, name).default))
    return result


def parse(
    classes: Sequence[type],
    description: str,
    arguments: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> list[Any]:
    """Reads the command line (or `arguments`) into one of each class. A value that is refused ends as a usage message.

    leave_out: fields that the program sets itself. defaults: of fields, in place of those that the classes declare.
    """
    flags = parser(classes, description, leave_out, defaults)
    values = vars(flags.parse_args(arguments))
    try:
        return [cls(**{name: values[name] for name in names(cls) if name in values}) for cls in classes]
    except UserError as error:
        flags.error(_as_flags(str(error), values))


def given(name: str, default: str) -> str:
    """What the command line says of one flag, before those that depend on it are known."""
    flags = _Parser(add_help=False, allow_abbrev=False)
    flags.add_argument(f"--{name}", default=default)
    return getattr(flags.parse_known_args()[0], name)


def _as_flags(message: str, fields: Collection[str]) -> str:
    """The message with fields called as the flags that they are; what is quoted, or part of a path, is left as it is."""

    def named(found: re.Match) -> str:
        name = found[0]
        # "rates.0 is nan" is about the first of a list
        is_at_fault = found.start() == 0 and message.startswith((f"{name} is", f"{name}."))
        return _flag(name) if name in fields and ("_" in name or is_at_fault) else name

    return re.sub(r"(?<!\w)'[^']*'|(?<![\w/])\w+(?![\w/])", named, message)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _add_flag(flags: argparse.ArgumentParser, cls: type, name: str, fields: Collection[str], default: Any) -> None:
    declared = declaration(cls, name)
    kind = declared.annotation
    text = _help(declared, fields, default).replace("%", "%%")  # argparse formats it
    if kind is bool:
        flags.add_argument(_flag(name), action=argparse.BooleanOptionalAction, default=default, help=text)
    elif typing.get_origin(kind) is tuple:
        element = typing.get_args(kind)[0]
        flags.add_argument(_flag(name), type=_list_of(element), default=default, metavar="A,B,...", help=text)
    else:
        read = _number if kind is int else kind
        flags.add_argument(_flag(name), type=read, default=default, metavar=_METAVARS[kind], help=text)


def _help(declared: FieldInfo, fields: Collection[str], default: Any) -> str:
    """What is said of a flag: its text, its choices, and its default, where that is anything."""
    text = _as_flags(declared.description, fields)
    if choices := declared.json_schema_extra["choices"]:
        text = f"{text}; one of {', '.join(choices)}"
    if isinstance(default, bool):
        default = "yes" if default else "no"
    elif isinstance(default, tuple):
        default = ", ".join(map(str, default))
    return f"{text} (default: {default})" if default != "" else text


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
