"""JSON documents: plain values only, checked before they are written, with a SHA-256 of their own that is verified when read."""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from purejaxrrl.errors import UserError

_CHECKSUM = "sha256"


class DocumentError(UserError):
    """A document that cannot be read or whose checksum does not hold; the message names the file."""


def plain(value: Any, name: str = "", finite: bool = True) -> Any:
    """`value` as JSON has it: numpy's and JAX's scalars become Python's, tuples lists, dataclasses objects.

    Args:
      name: of the value, for the message; what is in it is named with dots.
      finite: refuse NaN and infinities, which JSON does not have and no comparison finds equal.

    Raises:
      ValueError: something in it is not JSON, or not finite; the message names it.
    """
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):  # numpy's float64 and str_ are among them
        if isinstance(value, kind):
            if kind is float and finite and not math.isfinite(value):
                raise UserError(f"{name or 'the value'} is {value}; it must be a finite number")
            return kind(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise UserError(f"{name or 'the value'} has a key {key!r}; it must be a string")
        return {str(key): plain(each, f"{name}.{key}" if name else key, finite) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, f"{name}[{number}]", finite) for number, each in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        item = value.item()
        if isinstance(item, bool | int | float | str):
            return plain(item, name, finite)
    raise UserError(f"{name or 'the value'} is {type(value).__name__} {value!r}, which JSON does not have")


def text(content: Mapping[str, Any]) -> str:
    """The document of that content, made of plain values, with its checksum."""
    return json.dumps({**content, _CHECKSUM: _checksum(content)}, indent=2) + "\n"


def read(path: Path) -> tuple[dict[str, Any], bool]:
    """The content of a document, and whether it had a checksum (which then holds).

    Raises:
      DocumentError: it cannot be read, is no JSON object, or its checksum does not hold.
      FileNotFoundError: there is none.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DocumentError(f"{path} cannot be read ({error})") from None
    return parse(content, str(path))


def parse(document: bytes, name: str) -> tuple[dict[str, Any], bool]:
    """`read` of a document's bytes; `name` stands in the messages."""
    try:
        content = json.loads(document.decode())
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{name} cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise DocumentError(f"{name} cannot be read (it is no JSON object)")
    checksum = content.pop(_CHECKSUM, None)
    if checksum is not None and checksum != _checksum(content):
        raise DocumentError(f"{name} is damaged or was changed: its checksum does not hold")
    return content, checksum is not None


def _checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 over the content, however it is laid out in the file."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
