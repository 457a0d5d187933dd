"""MinAtar's Seaquest (Young and Tian, 2019; 1.0.11 and later) for vector machines: no loop over what is in the water.

The submarine of an agent shoots fish and submarines, fetches divers and brings them to the surface before its oxygen is used
up. What moves stands in small tables, in the order in which it came, which decides who is hit where two are in one place;
enemy bullets, whose order decides nothing, are bits of their rows. Random numbers are drawn as pgx 2.6 draws them, so that
both play the same game from the same keys but for what pgx has otherwise than MinAtar (tests/environments/pgx_seaquest.py).
"""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

WIDTH = 10
ENEMIES, BULLETS, DIVERS = 25, 5, 5
"""Places of the tables: more than can be there at a time; of enemies more might come, and one that finds no free place is dropped."""
MOST_OXYGEN, MOST_DIVERS = 200, 6
DIVER_SPAWN_INTERVAL, FIRST_ENEMY_SPAWN_INTERVAL = 30, 20
RELOAD_OF_OURS, RELOAD_OF_THEIRS = 5, 10
DIVER_WAIT, SLOWEST_WAIT, SHORTEST_WAIT = 5, 5, 2
LEFT, UP, RIGHT, DOWN, FIRE = range(1, 6)
_ROW = (1 << WIDTH) - 1


@struct.dataclass
class Things:
    """A table, int32 `[N]` each; free places come last and have x = -1.

    x, y: column and row, from the upper left. right: 1 where it moves to the right, else 0. wait: steps until it moves.
    reload: steps until it shoots. What has no use for these has 0.
    """

    x: chex.Array
    y: chex.Array
    right: chex.Array
    wait: chex.Array
    reload: chex.Array

    @classmethod
    def none(cls, number: int) -> "Things":
        zeros = jnp.zeros(number, jnp.int32)
        return cls(zeros - 1, zeros, zeros, zeros, zeros)

    @property
    def there(self) -> chex.Array:
        """bool `[N]`."""
        return self.x >= 0

    def at(self, x: chex.Array, y: chex.Array) -> chex.Array:
        """bool `[N]`: who is in that place."""
        return (self.x == x) & (self.y == y)


@struct.dataclass
class State:
    """A game; scalars are int32 unless said otherwise.

    observation: bool `[10, 10, 10]`. rewards: float32 `[1]`, of the last step. terminated: bool. x, y, right: the agent's submarine.
    bullets, fish, submarines, divers: see `Things`. enemy_bullets: `[2, 10]`, of those to the left and to the right a row's bits,
    the lowest its first column. carried: divers aboard; -1 after six were brought up, as in MinAtar. enemy_spawn, diver_spawn: steps
    until one may come. spawn_interval: between enemies. enemy_wait: steps that enemies wait before they move. surfacings: that made
    the game harder. reload: steps until the agent can shoot. surfaced: bool, whether it has been at the surface since it dived.
    last_action: the one taken, after it was or was not repeated.
    """

    observation: chex.Array
    rewards: chex.Array
    terminated: chex.Array
    x: chex.Array
    y: chex.Array
    right: chex.Array
    bullets: Things
    fish: Things
    submarines: Things
    divers: Things
    enemy_bullets: chex.Array
    oxygen: chex.Array
    carried: chex.Array
    enemy_spawn: chex.Array
    diver_spawn: chex.Array
    spawn_interval: chex.Array
    enemy_wait: chex.Array
    surfacings: chex.Array
    reload: chex.Array
    surfaced: chex.Array
    last_action: chex.Array


class Seaquest:
    """The game with pgx's calls, without auto-reset: `init(key)` and `step(state, action, key)`; traced under `base.as_written`.

    Args:
      sticky_action_prob: chance that the last action is taken once more instead.
    """

    num_actions = 6
    observation_shape = (WIDTH, WIDTH, 10)

    def __init__(self, sticky_action_prob: float):
        self._sticky_action_probability = sticky_action_prob

    def init(self, key: chex.PRNGKey) -> State:
        """The first state; `key` decides nothing."""
        numbers = {
            "x": 5, "y": 0, "right": 0, "oxygen": MOST_OXYGEN, "carried": 0, "enemy_spawn": FIRST_ENEMY_SPAWN_INTERVAL,
            "diver_spawn": DIVER_SPAWN_INTERVAL, "spawn_interval": FIRST_ENEMY_SPAWN_INTERVAL, "enemy_wait": SLOWEST_WAIT,
            "surfacings": 0, "reload": 0, "last_action": 0,
        }  # fmt: skip
        state = State(
            observation=jnp.zeros(self.observation_shape, jnp.bool_),
            rewards=jnp.zeros(1, jnp.float32),
            terminated=jnp.bool_(False),
            bullets=Things.none(BULLETS),
            fish=Things.none(ENEMIES),
            submarines=Things.none(ENEMIES),
            divers=Things.none(DIVERS),
            enemy_bullets=jnp.zeros((2, WIDTH), jnp.int32),
            surfaced=jnp.bool_(True),
            **{name: jnp.int32(number) for name, number in numbers.items()},
        )
        return state.replace(observation=_observation(state))

    def step(self, state: State, action: chex.Array, key: chex.PRNGKey) -> State:
        """One agent step of a game that is not over; consumes `key`."""
        sticky_key, *keys = jax.random.split(key, 6)
        sticks = jax.random.uniform(sticky_key) < self._sticky_action_probability
        action = jnp.where(sticks, state.last_action, action)
        ends = state.oxygen <= 0
        state = _acted(_spawned(state, keys), action)
        state, reward = _moved(state)
        state, brought, drowned = _breathed(state)
        state = state.replace(
            rewards=(reward + brought).astype(jnp.float32)[None],
            terminated=ends | state.terminated | drowned,
            last_action=action,
        )
        return state.replace(observation=_observation(state))


def _spawned(state: State, keys: Any) -> State:
    """With a new enemy, unless one that swims the other way is in its row, and a new diver, where they are due."""
    to_right, submarine_key, row, diver_to_right, diver_row = keys
    right, y = 1 - jax.random.randint(to_right, (), 0, 2), 1 + jax.random.randint(row, (), 0, 8)
    is_submarine = 1.0 - jax.random.uniform(submarine_key) <= 1 / 3
    due = state.enemy_spawn == 0
    against = [
        (things.there & (things.y == y) & (things.right != right)).any() for things in (state.submarines, state.fish)
    ]
    comes = due & ~against[0] & ~against[1]
    enemy = {"x": _side(right), "y": y, "right": right, "wait": state.enemy_wait}
    diver_due = state.diver_spawn == 0
    diver_right = 1 - jax.random.randint(diver_to_right, (), 0, 2)
    diver = {
        "x": _side(diver_right), "y": 1 + jax.random.randint(diver_row, (), 0, 8), "right": diver_right, "wait": DIVER_WAIT,
    }  # fmt: skip
    return state.replace(
        submarines=_with(state.submarines, comes & is_submarine, reload=RELOAD_OF_THEIRS, **enemy),
        fish=_with(state.fish, comes & ~is_submarine, reload=0, **enemy),
        divers=_with(state.divers, diver_due, reload=0, **diver),
        enemy_spawn=jnp.where(due, state.spawn_interval, state.enemy_spawn),
        diver_spawn=jnp.where(diver_due, DIVER_SPAWN_INTERVAL, state.diver_spawn),
    )


def _side(right: chex.Array) -> chex.Array:
    """The column in which those come that swim to the right, or to the left."""
    return jnp.where(right == 1, 0, WIDTH - 1)


def _with(things: Things, comes: chex.Array, **row: Any) -> Things:
    """With one more, in the first free place, if it `comes`."""
    place = jnp.arange(things.x.size) == things.there.sum()
    return Things(**{name: jnp.where(comes & place, value, getattr(things, name)) for name, value in row.items()})


def _acted(state: State, action: chex.Array) -> State:
    """The agent's submarine shoots, or moves."""
    shoots = (action == FIRE) & (state.reload == 0)
    left, right = action == LEFT, action == RIGHT
    return state.replace(
        bullets=_with(state.bullets, shoots, x=state.x, y=state.y, right=state.right, wait=0, reload=0),
        reload=jnp.where(shoots, RELOAD_OF_OURS, state.reload),
        x=jnp.clip(state.x + right - left, 0, WIDTH - 1),
        y=jnp.clip(state.y + (action == DOWN) - (action == UP), 0, WIDTH - 2),
        right=jnp.where(left | right, right, state.right).astype(jnp.int32),
    )


def _moved(state: State) -> tuple[State, chex.Array]:
    """All that swims and flies has moved, in MinAtar's order: the state, `terminated` where the agent was hit, and the reward, int32."""
    bullets = _onwards(state.bullets, state.bullets.there)
    flying = state.bullets.there & _on_screen(bullets.x)
    left, fish_left, submarines_left = _bullets_met(bullets, flying, state)
    divers, carried = _divers_moved(state)
    submarines, swim, left, rammed = _enemies_moved(state, state.submarines, submarines_left, bullets, left)
    # One that swam into a bullet has its turn to the end, as in MinAtar: it shoots where that is due.
    shoots = submarines_left & _on_screen(submarines.x) & (submarines.reload == 0)
    submarines = submarines.replace(reload=jnp.where(shoots, RELOAD_OF_THEIRS, submarines.reload - 1))
    enemy_bullets, shot = _enemy_bullets_moved(state, submarines, shoots)
    fish, fish_swim, left, bitten = _enemies_moved(state, state.fish, fish_left, bullets, left)
    after = state.replace(
        bullets=_kept(bullets, left),
        divers=divers,
        carried=carried,
        submarines=_kept(submarines, swim),
        enemy_bullets=enemy_bullets,
        fish=_kept(fish, fish_swim),
        terminated=rammed | shot | bitten,
    )
    return after, flying.sum() - left.sum()


def _onwards(things: Things, moves: chex.Array) -> Things:
    """Those that move are a column further, which may be off the screen."""
    return things.replace(x=things.x + jnp.where(moves, 2 * things.right - 1, 0))


def _on_screen(x: chex.Array) -> chex.Array:
    return (x >= 0) & (x < WIDTH)


def _met(
    bullets: Things, flying: chex.Array, turns: Any, x: chex.Array, y: chex.Array, there: chex.Array, order: np.ndarray
) -> tuple[chex.Array, chex.Array]:
    """Bullets, in their `turns`, each take the first in `order` of those that are in their place, and are gone with them.

    Returns which bullets are left, and who.
    """
    left = list(flying)
    for bullet in turns:
        here = there & (x == bullets.x[bullet]) & (y == bullets.y[bullet]) & left[bullet]
        there &= ~(here & (order == jnp.where(here, order, len(order)).min()))
        left[bullet] &= ~here.any()
    return jnp.stack(left), there


def _bullets_met(bullets: Things, flying: chex.Array, state: State) -> tuple[chex.Array, chex.Array, chex.Array]:
    """What the agent's bullets meet where they have flown to, the last bullet first, fish before submarines: which of each are left."""
    x, y, there = (
        jnp.concatenate([getattr(state.fish, name), getattr(state.submarines, name)]) for name in ("x", "y", "there")
    )
    left, there = _met(bullets, flying, reversed(range(BULLETS)), x, y, there, np.arange(2 * ENEMIES))
    return left, there[:ENEMIES], there[ENEMIES:]


def _enemies_moved(
    state: State, things: Things, there: chex.Array, bullets: Things, flying: chex.Array
) -> tuple[Things, chex.Array, chex.Array, chex.Array]:
    """Enemies whose turn it is have moved, the last first: who they are, who and which bullets are left, and whether the agent was hit."""
    struck = there & things.at(state.x, state.y)
    moves = there & (things.wait == 0)
    moved = _onwards(things, moves)
    moved = moved.replace(wait=jnp.where(moves, state.enemy_wait, things.wait - 1))
    arrives = moves & _on_screen(moved.x)
    rams = arrives & moved.at(state.x, state.y)
    left, unharmed = _met(bullets, flying, range(BULLETS), moved.x, moved.y, arrives & ~rams, np.arange(ENEMIES)[::-1])
    return moved, (there & ~moves) | rams | unharmed, left, (struck | rams).any()


def _enemy_bullets_moved(state: State, submarines: Things, shoots: chex.Array) -> tuple[chex.Array, chex.Array]:
    """With those that are shot now: where they are, and whether one hit the agent before or after it moved."""
    to_left, to_right = (
        state.enemy_bullets[direction] | _bits(submarines, shoots & (submarines.right == direction))
        for direction in (0, 1)
    )
    moved = jnp.stack([to_left >> 1, to_right << 1 & _ROW])
    return moved, ((to_left | to_right | moved[0] | moved[1])[state.y] >> state.x & 1).astype(jnp.bool_)


def _divers_moved(state: State) -> tuple[Things, chex.Array]:
    """Divers where the submarine is, before or after they move, come aboard, the last first, while there is room."""
    divers = state.divers
    moves = divers.there & (divers.wait == 0)
    moved = _onwards(divers, moves)
    meets = divers.there & divers.at(state.x, state.y) | moves & moved.at(state.x, state.y)
    earlier = np.triu(np.ones((DIVERS, DIVERS), bool), 1)  # whose turn is before, by row
    aboard = meets & ((meets & earlier).sum(1) < MOST_DIVERS - state.carried)
    moved = moved.replace(wait=jnp.where(moves, DIVER_WAIT, divers.wait - 1))
    return _kept(moved, divers.there & ~aboard & _on_screen(moved.x)), state.carried + aboard.sum()


def _kept(things: Things, left: chex.Array) -> Things:
    """Those that are left, in their order, without gaps."""
    # A row is one word meanwhile, so that finding each place's row moves all of its columns.
    shifts = {"x": 0, "y": 4, "right": 8, "wait": 9, "reload": 12}
    bits = {"x": 4, "y": 4, "right": 1, "wait": 3, "reload": 4}
    words = sum(getattr(things, name) << shift for name, shift in shifts.items())
    number = left.size
    before = np.tril(np.ones((number, number), bool), -1)
    place = (left & before).sum(1)
    words = jnp.where(left & (place == np.arange(number)[:, None]), words, 0).sum(1)
    filled = np.arange(number) < left.sum()
    columns = {name: words >> shift & (1 << bits[name]) - 1 for name, shift in shifts.items()}
    return Things(**columns | {"x": jnp.where(filled, columns["x"], -1)})


def _breathed(state: State) -> tuple[State, chex.Array, chex.Array]:
    """Timers and oxygen: the state, the reward for what was brought to the surface, int32, and whether the agent came up with nobody.

    With six divers aboard the oxygen that is left counts; otherwise one of them goes ashore. Either way the next dive is harder.
    """
    under_water = state.y > 0
    surfaces = ~under_water & ~state.surfaced
    brings = surfaces & (state.carried != 0)
    harder = brings & ((state.spawn_interval > 1) | (state.enemy_wait > SHORTEST_WAIT))
    reward = jnp.where(brings & (state.carried == MOST_DIVERS), state.oxygen * 10 // MOST_OXYGEN, 0)
    surfacings = state.surfacings + harder
    after = state.replace(
        enemy_spawn=jnp.maximum(state.enemy_spawn - 1, 0),
        diver_spawn=jnp.maximum(state.diver_spawn - 1, 0),
        reload=jnp.maximum(state.reload - 1, 0),
        oxygen=jnp.where(brings, MOST_OXYGEN, state.oxygen - under_water),
        surfaced=~under_water & (state.surfaced | brings),
        carried=jnp.where(brings, jnp.where(state.carried == MOST_DIVERS, 0, state.carried) - 1, state.carried),
        surfacings=surfacings,
        spawn_interval=jnp.where(harder, jnp.maximum(state.spawn_interval - 1, 1), state.spawn_interval),
        enemy_wait=jnp.maximum(SLOWEST_WAIT - surfacings // 2, SHORTEST_WAIT),
    )
    return after, reward, surfaces & (state.carried == 0)


def _bits(things: Things, there: chex.Array, trail: bool = False) -> chex.Array:
    """int32 `[10]`: of each row the columns in which these are, or of their trails, which are a column behind them."""
    bits = jnp.where(there, 1 << jnp.maximum(things.x, 0), 0)
    if trail:
        bits = jnp.where(things.right == 1, bits >> 1, bits << 1 & _ROW)
    rows = jnp.where(things.y == np.arange(WIDTH)[:, None], bits, 0)
    return jax.lax.reduce(rows, jnp.int32(0), jax.lax.bitwise_or, (1,))


def _observation(state: State) -> chex.Array:
    """bool `[10, 10, 10]`: row, column; the submarine and its back, its bullets, trails, enemy bullets, fish, submarines, oxygen, divers
    aboard and divers."""
    rows = np.arange(WIDTH)
    place = jnp.where(rows == state.y, 1 << state.x, 0)
    back = jnp.where(state.right == 1, place >> 1, place << 1 & _ROW)
    oxygen = (1 << jnp.maximum(state.oxygen * 10 // MOST_OXYGEN, 0)) - 1
    aboard = jnp.maximum(state.carried, 0)
    swimmers = state.fish, state.submarines, state.divers
    fish, submarines, divers = (_bits(things, things.there) for things in swimmers)
    trails = functools.reduce(jnp.bitwise_or, [_bits(things, things.there, trail=True) for things in swimmers])
    channels = [
        place, back, _bits(state.bullets, state.bullets.there), trails, state.enemy_bullets[0] | state.enemy_bullets[1], fish,
        submarines, jnp.where(rows == WIDTH - 1, oxygen, 0), jnp.where(rows == WIDTH - 1, ((1 << aboard) - 1) << 9 - aboard, 0), divers,
    ]  # fmt: skip
    return (jnp.stack(channels, -1)[:, None] >> np.arange(WIDTH)[:, None] & 1).astype(jnp.bool_)
