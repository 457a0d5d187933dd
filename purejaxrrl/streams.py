"""Streams of random numbers: one root key a run, and every stream derived from it by its purpose.

`jax.random.split` into two and into three begin alike, and so would a teacher and a student of one seed; keys that are folded
with a purpose of their own do not. `fold_in` of a small number is an entry of `split`, too, so purposes are large ones.
"""

import enum

import chex
import jax


class Purpose(enum.IntEnum):
    """What a stream is for. Values are for good: another value is another run."""

    NETWORK = 1
    EPISODES = 2
    OFFLINE = 3
    ONLINE = 4
    ACT = 5
    UPDATE = 6
    SAMPLE = 7
    NOISE = 8
    EVALUATE = 9
    TEACHER_DATA = 10
    CARD = 11
    PICTURE = 12
    EXPLORE = 13


_FIRST = 2**30


def root(seed: int, purpose: Purpose) -> chex.PRNGKey:
    """The key of what a program does for that purpose with that seed."""
    return stream(jax.random.key(seed), purpose)


def stream(key: chex.PRNGKey, purpose: Purpose) -> chex.PRNGKey:
    """The stream of that purpose; `key` may be asked for others, and for nothing else."""
    return jax.random.fold_in(key, _FIRST + int(purpose))


def of_teacher(key: chex.PRNGKey, fingerprint: str) -> chex.PRNGKey:
    """The key of what is made from that teacher (`Teacher.fingerprint`, hexadecimal), or with it.

    A student that becomes a teacher, and its student of the same seed, so share nothing.
    """
    return jax.random.fold_in(key, int(fingerprint[:8], 16))
