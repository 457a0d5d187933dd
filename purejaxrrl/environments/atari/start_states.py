"""The states that episodes begin from, computed when an environment is made.

A console that is reset keeps its RAM and goes on in its random stream, so that successive resets may begin differently (Beam
Rider's do). The pool has those of the first few resets, each after every number of no-op frames that is asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari import preprocessing
from purejaxrrl.environments.atari.console import Console, ConsoleState
from purejaxrrl.environments.atari.games import GAMES
from purejaxrrl.environments.atari.observation import Viewer
from purejaxrrl.environments.base import select
from purejaxrrl.errors import UserError

NOOP, FIRE = 0, 1
STACK = 4
"""Pictures of an observation."""
OBSERVATION = jax.ShapeDtypeStruct((preprocessing.SIZE, preprocessing.SIZE, STACK), jnp.uint8)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StartStates:
    """P states of each of G games. console: [G, P]. stack: uint8 [G, P, 84, 84, STACK], what is seen. executed: int32 [G, P], the
    last action, as ALE's enum."""

    console: ConsoleState
    stack: jax.Array
    executed: jax.Array


def compute(console: Console, viewer: Viewer, num_resets: int, noop_max: int, fires: bool) -> StartStates:
    """The start states of a console's games, `num_resets * (noop_max + 1)` each.

    Args:
      num_resets: successive resets.
      noop_max: each of which is followed by 0 to this many frames without action.
      fires: and, before those, by one with the button pressed in games that have FIRE among their minimal actions.

    A state in which the game is over already is left out; another takes its place.

    Raises:
      ValueError: the game is over in all of them, or the emulator met what it does not know.
    """
    first = jnp.asarray([FIRE if fires and FIRE in GAMES[name].minimal_actions else NOOP for name in console.games])
    act = jax.jit(jax.vmap(console.act))
    found = [
        state for reset in console.first_resets(num_resets) for state in _after(act, reset, first, noop_max, fires)
    ]
    # On the host, for the states have many leaves, each of which would take time to compile.
    consoles, executed = jax.tree.map(lambda *leaves: np.stack(leaves, 1), *found)
    blank = jnp.zeros(OBSERVATION.shape, OBSERVATION.dtype)
    see = jax.jit(jax.vmap(jax.vmap(lambda state: viewer.observe(state, blank, pictures=1))))
    pool = StartStates(consoles, np.asarray(see(consoles)), executed)
    for name, faults in zip(console.games, np.asarray(consoles.fault), strict=True):
        if faults.any():
            raise UserError(f"{name} does what is not emulated while it starts; it cannot be played in this mode")
    usable = _usable(np.asarray(consoles.game_over), console.games)
    rows = np.arange(len(console.games))[:, None]
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[rows, usable]), pool)


def _after(
    act: Callable, state: ConsoleState, first: jax.Array, noop_max: int, fires: bool
) -> list[tuple[ConsoleState, jax.Array]]:
    """The states 0 to `noop_max` frames after a reset, whether or not the game is over by then, and the last action; numpy."""
    executed = noops = jnp.full_like(first, NOOP)
    if fires:
        state, executed = jax.jit(select)(first == FIRE, act(state, first), state), first
    found = [(state, executed)]
    for _ in range(noop_max):
        found.append((act(found[-1][0], noops), noops))
    return jax.device_get(found)


_LARGE = 1024
"""Numbers of a lane, from which on a leaf is not rewritten as a whole because a few lanes change."""


def put(where: jax.Array, game: jax.Array, place: jax.Array, pool: jax.Array, leaf: jax.Array) -> jax.Array:
    """`leaf` [L, ...], with those of `pool` [G, P, ...] at `game` and `place`, int32 [L], in the lanes `where`, bool [L]."""

    def at_once(where, game, place, pool, leaf):
        return select(where, pool[game, place], leaf)

    def in_turn(where, game, place, pool, leaf):
        lanes = jnp.nonzero(where, size=where.size)[0]

        def one(number, leaf):
            lane = lanes[number]
            return jax.lax.dynamic_update_index_in_dim(leaf, pool[game[lane], place[lane]], lane, 0)

        return jax.lax.fori_loop(0, jnp.sum(where), one, leaf)

    if leaf[0].size < _LARGE:
        return at_once(where, game, place, pool, leaf)
    return jax.lax.platform_dependent(where, game, place, pool, leaf, cpu=in_turn, default=at_once)


def _usable(over: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """int [G, P]: for each place the state to put there, so that in none the game is over (bool [G, P])."""
    places = []
    for name, row in zip(names, over, strict=True):
        playing = np.flatnonzero(~row)
        if not playing.size:
            raise UserError(
                f"{name} is over in each of its {len(row)} start states; choose another mode or fewer no-ops"
            )
        places.append(np.resize(playing, len(row)))
    return np.stack(places)
