"""The states that episodes begin from, computed when an environment is made.

A console that is reset keeps its RAM and goes on in its random stream, so that successive resets may begin differently (Beam
Rider's do). The pool has those of the first few resets, each after every number of no-op frames that is asked for.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari.console import Console, ConsoleState
from purejaxrrl.environments.atari.games import GAMES
from purejaxrrl.environments.atari.observation import Viewer

NOOP, FIRE = 0, 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StartStates:
    """P states of each of G games. console: [G, P]. frame: uint8 [G, P, 84, 84], what is seen. executed: int32 [G, P], the last
    action, as ALE's enum."""

    console: ConsoleState
    frame: jax.Array
    executed: jax.Array

    @property
    def number(self) -> int:
        """P."""
        return self.executed.shape[1]


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
    games = jnp.arange(len(console.games))
    act = jax.jit(jax.vmap(console.act))
    # Not under a jit of their own: the console has compiled what both kinds of reset do as one program.
    starts = [jax.vmap(lambda game: console.reset(game=game))(games)]
    while len(starts) < num_resets:
        starts.append(jax.vmap(console.reset)(starts[-1]))
    first = jnp.asarray([FIRE if fires and FIRE in GAMES[name].minimal_actions else NOOP for name in console.games])
    found = []
    for state in starts:
        executed = jnp.full_like(first, NOOP)
        if fires:
            fired, executed = act(state, first), first
            state = _where(first == FIRE, fired, state)
        found.append((state, executed))
        for _ in range(noop_max):
            state, executed = act(state, jnp.full_like(first, NOOP)), jnp.full_like(first, NOOP)
            found.append((state, executed))
    consoles, executed = jax.jit(lambda found: jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *found))(found)
    see = jax.jit(jax.vmap(jax.vmap(lambda state: viewer.observe(state, frames=1))))
    pool = StartStates(consoles, see(consoles), executed)
    for name, faults in zip(console.games, np.asarray(consoles.fault), strict=True):
        if faults.any():
            raise ValueError(f"{name} does what is not emulated while it starts; it cannot be played in this mode")
    usable = _usable(np.asarray(consoles.game_over), console.games)
    return jax.jit(jax.vmap(lambda row, places: jax.tree.map(lambda leaf: leaf[places], row)))(pool, usable)


def _where(condition: jax.Array, new, old):
    return jax.tree.map(lambda a, b: jnp.where(condition.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old)


def _usable(over: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """int [G, P]: for each place the state to put there, so that in none the game is over (bool [G, P])."""
    places = []
    for name, row in zip(names, over, strict=True):
        playing = np.flatnonzero(~row)
        if not playing.size:
            raise ValueError(
                f"{name} is over in each of its {len(row)} start states; choose another mode or fewer no-ops"
            )
        places.append(np.resize(playing, len(row)))
    return np.stack(places)
