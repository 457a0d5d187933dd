"""The reference's data: the wind's decoder and the teacher Perciatelli44, in a cache that `fetch.py` fills.

They are files of the wheel balloon-learning-environment 1.0.1 (Apache-2.0, The Balloon Learning Environment Authors), which asks for
packages that no longer install, so that it cannot be a dependency. What is loaded is verified, and nothing in it is run.
"""

import functools
import hashlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import serialization

from purejaxrrl.environments.balloon.wind import LATENTS, OUTPUTS, Decoder
from purejaxrrl.errors import UserError
from purejaxrrl.files import cache

COMMAND = "python -m purejaxrrl.environments.balloon.fetch"
DECODER, TEACHER_GRAPH = "offlineskies22_decoder.msgpack", "perciatelli44.pb"
TEACHER = "perciatelli44"
"""The folder of the teacher that is made of its graph."""
SHA256 = {
    DECODER: "f18da7f5bf148ad39f06d664a949fcedbc74553acf78baf80d254a8d6516f8b9",
    TEACHER_GRAPH: "f4185886e583324092d5424a2b9a4fa0956e1027e1ad2a05d35e15be59714fc8",
}
_WIDTHS = (LATENTS, 1000, 1000, 1000, OUTPUTS)


class MissingAssetsError(UserError):
    """The data are not there, or not what they should be; the message has the command that fetches them."""


def folder() -> Path:
    """Where the data are."""
    return cache.folder("balloon")


def available() -> bool:
    """Whether the files are there, verified or not."""
    return all((folder() / name).is_file() for name in SHA256)


def read(name: str) -> bytes:
    """The verified bytes of one of the files.

    Raises:
      MissingAssetsError: it is not there, or it is not the one that it should be.
    """
    path = folder() / name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MissingAssetsError(f"the balloon's data are not here ({path}); fetch them with: {COMMAND}") from None
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise MissingAssetsError(f"{path} is damaged, its SHA-256 is another one; fetch it again with: {COMMAND}")
    return content


def teacher_folder() -> Path:
    """Perciatelli44 as `fetch.py` saved it. Raises MissingAssetsError."""
    path = folder() / TEACHER
    if not path.is_dir():
        raise MissingAssetsError(f"Perciatelli44 is not here ({path}); fetch it with: {COMMAND}")
    return path


@functools.cache
def decoder() -> Decoder:
    """The wind's decoder. Raises MissingAssetsError."""
    return parse_decoder(read(DECODER))


def parse_decoder(content: bytes) -> Decoder:
    """The decoder that msgpack bytes hold, as flax writes them: arrays with their shape and type, nothing that is run.

    Raises:
      MissingAssetsError: they hold something else.
    """
    try:
        layers = serialization.msgpack_restore(content)["params"]
        parameters = [(layers[f"Dense_{layer}"]["kernel"], layers[f"Dense_{layer}"]["bias"]) for layer in range(4)]
    except Exception as error:  # whatever msgpack makes of bytes that are none
        raise MissingAssetsError(f"these bytes are no wind decoder ({type(error).__name__}: {error})") from None
    for layer, (kernel, bias) in enumerate(parameters):
        _check(f"Dense_{layer}'s kernel", kernel, (_WIDTHS[layer], _WIDTHS[layer + 1]))
        _check(f"Dense_{layer}'s bias", bias, (_WIDTHS[layer + 1],))
    kernels, biases = zip(*parameters, strict=True)
    return Decoder(tuple(map(jnp.asarray, kernels)), tuple(map(jnp.asarray, biases)))


def _check(what: str, array: Any, shape: tuple[int, ...]) -> None:
    if not (isinstance(array, np.ndarray) and array.dtype == np.float32 and array.shape == shape):
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise MissingAssetsError(f"these bytes are no wind decoder: {what} is {found}, not float32 {shape}")
    if not np.isfinite(array).all():
        raise MissingAssetsError(f"these bytes are no wind decoder: {what} holds numbers that are not finite")
