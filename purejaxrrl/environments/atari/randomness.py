"""The ALE's random numbers, from Mersenne Twisters: the emulator's, of fixed seed, is drawn from at every reset of a console."""

from __future__ import annotations

import functools

import numpy as np

SEED = 4753849
"""The ALE's `system_random_seed`; what makes all its consoles alike."""

LENGTH = 1 << 17
"""Numbers kept: 130 thousand resets of a console, or a thousand where the cartridge has RAM of its own."""


@functools.cache
def stream(seed: int = SEED) -> np.ndarray:
    """uint32 [LENGTH]: a generator's outputs in order (Matsumoto and Nishimura 1998, MT19937)."""
    return np.random.RandomState(seed).randint(0, 1 << 32, size=LENGTH, dtype=np.uint32)
