"""How the ring keeps observations: what a row stores of one, and how it comes back when a batch is gathered.

A codec is a small frozen dataclass with the members of `Codec`. `Bits` packs boolean images, `FrameStack` stores one frame of
a stack and forms stacks when they are gathered, `Plain` keeps observations as they are.
"""

import dataclasses
import functools
import math
from typing import Any, Protocol

import chex
import jax
import jax.numpy as jnp

from purejaxrrl.environments.base import select
from purejaxrrl.errors import UserError


class Codec(Protocol):
    """`history`: rows before a row that its observation is formed from. `stored_shape`, `stored_dtype`: of one environment's."""

    history: int

    @property
    def stored_shape(self) -> tuple[int, ...]: ...

    @property
    def stored_dtype(self) -> Any: ...

    def encode(self, observation: chex.Array) -> chex.Array:
        """`[..., *observation's]` as the environment made it, to `[..., *stored_shape]`."""

    def gather(self, stored: chex.Array, is_first: chex.Array, row: chex.Array, environment: chex.Array) -> chex.Array:
        """Observations at places of the ring.

        Args:
          stored: `[rows, N, *stored_shape]`.
          is_first: bool `[rows, N]`, where an episode's first observation is.
          row, environment: int32 `[...]`, places in the ring.

        Returns: `[..., *observation's]`.
        """


@dataclasses.dataclass(frozen=True)
class Plain:
    """Observations as they are."""

    shape: tuple[int, ...]
    dtype: Any
    history: int = 0

    @property
    def stored_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def stored_dtype(self) -> Any:
        return self.dtype

    def encode(self, observation: chex.Array) -> chex.Array:
        return observation

    def gather(self, stored: chex.Array, is_first: chex.Array, row: chex.Array, environment: chex.Array) -> chex.Array:
        return stored[row, environment]


@dataclasses.dataclass(frozen=True)
class Bits:
    """Boolean observations as bits, 32 to a uint32 word: an eighth of the memory, and a batch gathers words."""

    shape: tuple[int, ...]
    stored_dtype: Any = jnp.uint32
    history: int = 0

    @property
    def stored_shape(self) -> tuple[int, ...]:
        return (-(-math.prod(self.shape) // 32),)

    def encode(self, observation: chex.Array) -> chex.Array:
        return pack_bits(observation, len(self.shape))

    def gather(self, stored: chex.Array, is_first: chex.Array, row: chex.Array, environment: chex.Array) -> chex.Array:
        return unpack_bits(stored[row, environment], self.shape)


@dataclasses.dataclass(frozen=True)
class FrameStack:
    """Stacks `[*frame_shape, size]`, oldest first, of which a row keeps the newest frame, flat.

    A stack begins with an episode's first observation: frames from before it are 0, as after the environment's reset. Where a
    life's loss is reported as a termination and the game plays on, its stack goes on too; so it is `is_first` that counts.
    """

    frame_shape: tuple[int, ...]
    size: int
    stored_dtype: Any = jnp.uint8

    @property
    def history(self) -> int:
        return self.size - 1

    @property
    def stored_shape(self) -> tuple[int, ...]:
        return (math.prod(self.frame_shape),)

    def encode(self, observation: chex.Array) -> chex.Array:
        newest = observation[..., -1]
        return newest.reshape(*newest.shape[: newest.ndim - len(self.frame_shape)], -1)

    def gather(self, stored: chex.Array, is_first: chex.Array, row: chex.Array, environment: chex.Array) -> chex.Array:
        rows = stored.shape[0]
        within = jnp.ones(row.shape, jnp.bool_)
        frames = []
        for age in range(self.size):
            place = (row - age) % rows, environment
            frames.append(select(within, stored[place], jnp.zeros((), self.stored_dtype)))
            within &= ~is_first[place]
        return _stacked(frames[::-1]).reshape(*row.shape, *self.frame_shape, self.size)


def _stacked(frames: list[chex.Array]) -> chex.Array:
    """`jnp.stack(frames, -1)`. Four frames of bytes become words first, the oldest in the lowest byte, which `bitcast_convert_type` has
    first: shifts are vectorised, and what is stacked byte by byte is not."""
    if len(frames) != 4 or frames[0].dtype != jnp.uint8:
        return jnp.stack(frames, -1)
    words = (frame.astype(jnp.uint32) << (8 * place) for place, frame in enumerate(frames))
    return jax.lax.bitcast_convert_type(functools.reduce(jnp.bitwise_or, words), jnp.uint8)


def codec_for(shape: tuple[int, ...], dtype: Any, stacked_frames: int = 0) -> Codec:
    """The codec of observations of that shape and type; `stacked_frames` of them on the last axis, where it is not 0.

    Raises ValueError where the last axis is not `stacked_frames` long.
    """
    if stacked_frames:
        if shape[-1] != stacked_frames:
            raise UserError(f"observations {shape} do not end in {stacked_frames} stacked frames")
        return FrameStack(shape[:-1], stacked_frames, dtype)
    return Bits(shape) if jnp.dtype(dtype) == jnp.bool_ else Plain(shape, dtype)


_CODECS = {"plain": Plain, "bits": Bits, "frame_stack": FrameStack}


def codec_to_json(codec: Codec) -> dict[str, Any]:
    """The codec for a file. Raises ValueError where it is one of somebody's own."""
    kinds = {made: name for name, made in _CODECS.items()}
    if type(codec) not in kinds:
        raise UserError(f"a ring with a codec of its own ({type(codec).__name__}) cannot be saved as data")
    fields = dataclasses.asdict(codec)
    return {"kind": kinds[type(codec)]} | {
        name: str(jnp.dtype(value)) if name.endswith("dtype") else value for name, value in fields.items()
    }


def codec_from_json(data: dict[str, Any]) -> Codec:
    """Raises KeyError, TypeError or ValueError where `data` is not what `codec_to_json` made."""
    fields = {
        name: jnp.dtype(value) if name.endswith("dtype") else tuple(value) if isinstance(value, list) else value
        for name, value in data.items()
        if name != "kind"
    }
    return _CODECS[data["kind"]](**fields)


def pack_bits(flags: chex.Array, num_axes: int) -> chex.Array:
    """Packs the last `num_axes` axes of a bool array into uint32 words, `[..., ceil(size / 32)]`, lowest bit first."""
    lead = flags.shape[: flags.ndim - num_axes]
    size = math.prod(flags.shape[flags.ndim - num_axes :])
    words = -(-size // 32)
    flat = jnp.pad(flags.reshape(*lead, size), [(0, 0)] * len(lead) + [(0, words * 32 - size)])
    weights = jnp.uint32(1) << jnp.arange(32, dtype=jnp.uint32)
    return jnp.where(flat.reshape(*lead, words, 32), weights, jnp.uint32(0)).sum(-1, dtype=jnp.uint32)


def unpack_bits(words: chex.Array, shape: tuple[int, ...]) -> chex.Array:
    """The bool array `[..., *shape]` that `pack_bits` made `words` from."""
    bits = (words[..., None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
    lead = words.shape[:-1]
    return bits.reshape(*lead, -1)[..., : math.prod(shape)].reshape(*lead, *shape).astype(jnp.bool_)
