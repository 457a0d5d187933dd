"""Constants out of TensorFlow's frozen graphs (GraphDef), from the protocol buffers' wire format alone.

A graph is read as data: of its nodes only the name, the operation's name and a constant's tensor are looked at. Every length is
checked against what is left, so that a damaged or hostile file ends in `GraphError`.
"""

import math
from collections.abc import Iterator

import numpy as np

from purejaxrrl.errors import UserError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT = 1
_MOST_DIMENSIONS, _MOST_NUMBERS = 8, 1 << 28


class GraphError(UserError):
    """Bytes that are no frozen graph; the message says what is wrong with them."""


def constants(content: bytes) -> dict[str, np.ndarray]:
    """The graph's float32 constants by their nodes' names.

    Raises:
      GraphError: the bytes are no GraphDef, a tensor's size is not what its shape says, or two nodes have one name.
    """
    found: dict[str, np.ndarray] = {}
    for number, node in _fields(memoryview(content)):
        if number != 1 or isinstance(node, int):
            continue
        name, tensor = _constant(node)
        if tensor is None:
            continue
        if name in found:
            raise GraphError(f"two nodes are called {name!r}")
        found[name] = tensor
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of a message's fields: an integer, or bytes; those of fixed width as bytes."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, place = _varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise GraphError(f"no protocol buffer: a field of kind {kind} at byte {place}")
        if size > len(message) - place:
            raise GraphError(f"cut off: {size} bytes are announced where {len(message) - place} are left")
        yield tag >> 3, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise GraphError("cut off within a number")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise GraphError("no protocol buffer: a number of more than 64 bits")


def _constant(node: memoryview) -> tuple[str, np.ndarray | None]:
    """A node's name and its tensor, None where it is no float32 constant."""
    name, operation, tensor = "", "", None
    for number, value in _fields(node):
        if number == 1:
            name = _text(value)
        elif number == 2:
            operation = _text(value)
        elif number == 5:
            key, attribute = _entry(value)
            tensor = attribute if key == "value" else tensor
    if operation != "Const" or tensor is None:
        return name, None
    return name, _tensor(name, tensor)


def _text(value: int | memoryview) -> str:
    try:
        return bytes(_bytes(value)).decode()
    except UnicodeDecodeError:
        raise GraphError("a name is no text") from None


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise GraphError("a number stands where bytes should")
    return value


def _entry(entry: int | memoryview) -> tuple[str, memoryview | None]:
    """An attribute's name and its tensor, if it has one."""
    key, tensor = "", None
    for number, value in _fields(_bytes(entry)):
        if number == 1:
            key = _text(value)
        elif number == 2:
            tensor = next((_bytes(inner) for inner_number, inner in _fields(_bytes(value)) if inner_number == 8), None)
    return key, tensor


def _tensor(name: str, tensor: memoryview) -> np.ndarray | None:
    kind, shape, content = None, (), b""
    for number, value in _fields(tensor):
        if number == 1:
            kind = value
        elif number == 2:
            shape = _shape(name, _bytes(value))
        elif number in (4, 5):
            content = bytes(_bytes(value))
    if kind != _FLOAT:
        return None
    expected = 4 * math.prod(shape)
    if len(content) == 4 < expected:  # one number that stands for all of them
        return np.full(shape, np.frombuffer(content, "<f4")[0], np.float32)
    if len(content) != expected:
        raise GraphError(f"the tensor {name!r} of shape {shape} has {len(content)} bytes, not {expected}")
    return np.frombuffer(content, "<f4").reshape(shape)


def _shape(name: str, message: memoryview) -> tuple[int, ...]:
    sizes = []
    for number, dimension in _fields(message):
        if number == 2:
            sizes.append(next((size for part, size in _fields(_bytes(dimension)) if part == 1), 0))
    if len(sizes) > _MOST_DIMENSIONS or not all(isinstance(size, int) for size in sizes):
        raise GraphError(f"the tensor {name!r} has no shape that can be: {len(sizes)} dimensions")
    if math.prod(sizes) > _MOST_NUMBERS:
        raise GraphError(f"the tensor {name!r} has a shape of more than {_MOST_NUMBERS} numbers: {tuple(sizes)}")
    return tuple(sizes)
