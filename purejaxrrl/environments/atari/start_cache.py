"""Start states kept on disk, for computing them compiles programs that nothing else needs: some seconds whenever an environment is made.

A file is named after everything that its states depend on, the emulator's own source files included, so that it is never out of date.
One that is damaged, or cannot be written, is computed again without a word.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari import rom, start_states
from purejaxrrl.environments.atari.console import Console
from purejaxrrl.environments.atari.observation import Viewer
from purejaxrrl.environments.atari.start_states import StartStates
from purejaxrrl.files import cache

LARGEST = 2**26
"""Bytes from which on states are not kept."""


def compute(console: Console, viewer: Viewer, num_resets: int, noop_max: int, fires: bool) -> StartStates:
    """`start_states.compute`, or what it returned for the same arguments before; raises as it does."""
    asked = num_resets, noop_max, fires
    place = cache.folder("atari") / f"{_name(console, asked)}.npz"
    kept = _read(place, _shapes(console, num_resets * (noop_max + 1)))
    if kept is not None:
        return jax.tree.map(jnp.asarray, kept)
    found = start_states.compute(console, viewer, *asked)
    _write(place, found)
    return found


def _name(console: Console, asked: tuple) -> str:
    roms = [hashlib.sha256(rom.load(name).image).hexdigest() for name in console.games]
    about = console.identity, asked, roms, _source()
    return hashlib.sha256(repr(about).encode()).hexdigest()[:32]


@functools.cache
def _source() -> str:
    """Of the emulator's files, and of what runs them."""
    digest = hashlib.sha256(jax.__version__.encode())
    here = Path(__file__).parent
    for file in sorted([*here.rglob("*.py"), *here.rglob("*.h")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _shapes(console: Console, number: int) -> StartStates:
    def pool(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((len(console.games), number, *leaf.shape), leaf.dtype)

    executed = jax.ShapeDtypeStruct((), jnp.int32)
    return jax.tree.map(pool, StartStates(console.shapes(), start_states.OBSERVATION, executed))


def _read(place: Path, like: StartStates) -> StartStates | None:
    """numpy; None where there is no such file, or it is not what was written (its archive has a checksum of each array)."""
    leaves, structure = jax.tree.flatten(like)
    try:
        with np.load(place, allow_pickle=False) as file:
            found = [file[str(number)] for number in range(len(leaves))]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    if [(leaf.shape, leaf.dtype) for leaf in found] != [(leaf.shape, leaf.dtype) for leaf in leaves]:
        return None
    return jax.tree.unflatten(structure, found)


def _write(place: Path, states: StartStates) -> None:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(states)]
    if sum(leaf.nbytes for leaf in leaves) > LARGEST:
        return
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=place.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **{str(number): leaf for number, leaf in enumerate(leaves)})
            os.replace(partial, place)
        except BaseException:
            os.unlink(partial)
            raise
