"""The replay memory: the ring, how it keeps observations, what is drawn from it, and the actors that fill it."""

from purejaxrrl.replay.codecs import Bits, Codec, FrameStack, Plain, codec_for
from purejaxrrl.replay.prioritised import Prioritised
from purejaxrrl.replay.ring import (
    Batch,
    Draw,
    ReplayMemory,
    Sampler,
    Step,
    Uniform,
    check_batch,
    check_capacity,
    least_rows,
    memory_for,
    mix,
)
from purejaxrrl.replay.space import available_bytes, check_space

SAMPLERS = "uniform", "prioritised"

__all__ = [
    "Batch",
    "Bits",
    "Codec",
    "Draw",
    "FrameStack",
    "Plain",
    "Prioritised",
    "ReplayMemory",
    "SAMPLERS",
    "Sampler",
    "Step",
    "Uniform",
    "available_bytes",
    "check_batch",
    "check_capacity",
    "check_space",
    "codec_for",
    "least_rows",
    "memory_for",
    "mix",
]
