"""Plays games on ours and on ale-py's consoles side by side and counts the frames that differ.

    python tests/environments/atari/comparison.py --games pong breakout --frames 2500 --seeds 8
    python tests/environments/atari/comparison.py --frames 500 --every-mode

prints a line of JSON for each game and seed: frames compared, resets among them, and how many frames differed in what.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np
from ale_py import Action, ALEInterface
from recording import interface

from purejaxrrl import parallel
from purejaxrrl.environments.atari import FUSED_LOOPS, GAMES, picture, rom
from purejaxrrl.environments.atari.console import Console, ConsoleState

GAMES_IN_A_RACK = 26
CHUNK = 50
"""Most frames of one compiled call, which ends when a lane's game is over."""


@dataclasses.dataclass
class Lane:
    """One game in one of its modes: its place in our console, the actions [T], ale-py's console, and what was found so far."""

    game: str
    place: int
    seed: int
    actions: np.ndarray
    ale: ALEInterface
    mode: int
    difficulty: int
    frames: int = 0
    resets: int = 0
    differences: dict[str, int] = dataclasses.field(default_factory=dict)
    first: int | None = None

    def check(self, ours: dict[str, np.ndarray], reward: int) -> None:
        """Compares what ours shows of a frame with what ale-py's console shows now."""
        screen = self.ale.getScreen()
        height = screen.shape[0]
        same = {
            "ram": np.array_equal(ours["ram"], self.ale.getRAM()),
            "screen": zlib.crc32(ours["screen"][:height].tobytes()) == zlib.crc32(screen.tobytes()),
            "padding": not ours["screen"][height:].any(),
            "reward": ours["reward"] == reward,
            "lives": ours["lives"] == self.ale.lives(),
            "game_over": ours["game_over"] == self.ale.game_over(),
            "fault": not ours["fault"],
        }
        for name in (name for name, equal in same.items() if not equal):
            self.differences[name] = self.differences.get(name, 0) + 1
            self.first = self.frames if self.first is None else self.first

    def report(self) -> dict:
        """What was found, as JSON has it."""
        fields = ("game", "mode", "difficulty", "seed", "frames", "resets", "differences", "first")
        return {name: getattr(self, name) for name in fields}


def fuzzed_actions(game: str, length: int, seed: int) -> np.ndarray:
    """Stretches of chance, of holding one button, of hammering two in turn, and of doing nothing."""
    rng = np.random.default_rng([seed, *game.encode()])
    actions = np.zeros(length, np.int64)
    start = 0
    while start < length:
        # Games draw their rarest pictures when nobody plays for long.
        kind, several = rng.integers(5), rng.integers(18, size=2)
        stretch = int(rng.integers(10, 600 if kind == 4 else 200))
        span = np.arange(start, min(start + stretch, length))
        kinds = (rng.integers(18, size=span.size),) * 2 + (several[0], several[span % 2], 0)
        actions[span] = kinds[kind]
        start += stretch
    return actions


class _Players:
    """Our consoles, stepped together."""

    def __init__(self, console: Console):
        self.console = console
        self.start = jax.jit(jax.vmap(lambda game: console.reset(game=game)))
        self.reset = jax.jit(jax.vmap(lambda state, where: console.reset(state, where=where)))
        self.look = jax.jit(jax.vmap(self._look))

    def _look(self, state: ConsoleState) -> dict[str, jax.Array]:
        return self._read(state) | {"screen": self.console.screen(state)}

    def _read(self, state: ConsoleState) -> dict[str, jax.Array]:
        return {
            "ram": self.console.ram(state),
            "reward": state.reward,
            "lives": state.lives,
            "game_over": state.game_over,
            "fault": state.fault,
        }

    def play(self, state: ConsoleState, actions: jax.Array, place: jax.Array):
        """Up to CHUNK frames of `actions` [T, lanes] from each lane's `place`: what is seen after each, and whether it was played."""
        state, place, (seen, drawn), plays = self._play(state, actions, place)
        # Pixels are made outside of the loop: within, XLA for CPU compiles them into something ten times as slow.
        return state, place, seen | {"screen": _pixels(*drawn)}, plays

    @functools.partial(jax.jit, static_argnums=0)
    def _play(self, state: ConsoleState, actions: jax.Array, place: jax.Array):
        def step(carry):
            time, state, place, seen = carry
            plays = ~state.game_over & (place < len(actions))
            action = actions[jnp.minimum(place, len(actions) - 1), jnp.arange(place.size)]
            state = jax.vmap(self.console.act)(state, action)
            seen = jax.tree.map(lambda rows, row: rows.at[time].set(row), seen, (self._drawn(state), plays))
            return time + 1, state, place + plays, seen

        def goes_on(carry):
            time, state, place, _ = carry
            return (time < CHUNK) & ~jnp.any(state.game_over & (place < len(actions)))

        shapes = jax.eval_shape(self._drawn, state), jax.ShapeDtypeStruct(place.shape, jnp.bool_)
        seen = jax.tree.map(lambda row: jnp.zeros((CHUNK, *row.shape), row.dtype), shapes)
        _, state, place, (drawn, plays) = jax.lax.while_loop(goes_on, step, (0, state, place, seen))
        return state, place, drawn, plays

    def _drawn(self, state: ConsoleState):
        lane, canvas, buffer = jnp.arange(state.game.size), state.machine.canvas, state.machine.raster.buffer
        return jax.vmap(self._read)(state), (canvas.rows[lane, buffer], canvas.colours[lane, buffer])


_pixels = jax.jit(picture.pixels)


class Rack:
    """Our consoles for some settings (game, mode, difficulty; None for what ale-py begins with), compiled once."""

    def __init__(self, settings: list[tuple[str, int | None, int | None]]):
        self.settings = settings
        games, modes, difficulties = zip(*settings, strict=True)
        self.modes = [
            GAMES[game].default_mode if mode is None else mode for game, mode in zip(games, modes, strict=True)
        ]
        self.players = _Players(Console(games, tuple(self.modes), tuple(one or 0 for one in difficulties)))

    def lane(self, place: int, frames: int, seed: int) -> Lane:
        """A lane of the settings at `place` that is about to play fuzzed actions."""
        game, mode, difficulty = self.settings[place]
        ale = interface(game, mode, difficulty)
        if mode is None and difficulty is None:
            ale.reset_game()
        actions = fuzzed_actions(game, frames, seed)
        return Lane(game, place, seed, actions, ale, self.modes[place], difficulty or 0)

    def compare(self, lanes: list[Lane]) -> None:
        """Plays the actions of all lanes, in one batch, resetting where a game is over; the lanes hold what differed."""
        players = self.players
        state = players.start(jnp.asarray([lane.place for lane in lanes], jnp.int32))
        _check_all(lanes, jax.device_get(players.look(state)))
        actions = jnp.asarray(np.stack([lane.actions for lane in lanes], 1), jnp.int32)
        place = jnp.zeros(len(lanes), jnp.int32)
        while any(lane.frames < len(lane.actions) for lane in lanes):
            state, place, seen, plays = players.play(state, actions, place)
            seen, plays, over = jax.device_get((seen, plays, state.game_over))
            for time, number in itertools.product(range(CHUNK), range(len(lanes))):
                if plays[time, number]:
                    _advance(lanes[number], {name: value[time, number] for name, value in seen.items()})
            # Lanes that have played all their actions go on unwatched until the others have.
            over = over & np.asarray([lane.frames < len(lane.actions) for lane in lanes])
            if not plays.any():
                # Demon Attack for two is over before it begins, as ale-py says too.
                place = jnp.where(over, len(actions), place)
                for lane in itertools.compress(lanes, over):
                    lane.actions = lane.actions[: lane.frames]
                continue
            if over.any():
                state = players.reset(state, over)
                for lane in itertools.compress(lanes, over):
                    lane.ale.reset_game()
                    lane.resets += 1
                _check_all(lanes, jax.device_get(players.look(state)), over)


def _advance(lane: Lane, ours: dict[str, np.ndarray]) -> None:
    reward = lane.ale.act(Action(int(lane.actions[lane.frames])))
    lane.frames += 1
    lane.check(ours, reward)


def _check_all(lanes: list[Lane], seen: dict[str, np.ndarray], which: np.ndarray | None = None) -> None:
    for number, lane in enumerate(lanes):
        if which is None or which[number]:
            lane.check({name: value[number] for name, value in seen.items()}, int(seen["reward"][number]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", nargs="+", default=rom.names(), help="names as in ale_py.roms; all unless given")
    parser.add_argument("--frames", type=int, default=2_000, help="of each lane")
    parser.add_argument("--seeds", type=int, default=1, help="lanes of each game, that differ in their actions")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--every-mode", action="store_true", help="each game in every mode and difficulty")
    parser.add_argument("--lanes", type=int, default=64, help="lanes in a batch")
    options = parser.parse_args()
    parallel.restart_with(FUSED_LOOPS)
    for start in range(0, len(options.games), GAMES_IN_A_RACK):
        games = options.games[start : start + GAMES_IN_A_RACK]
        rack = Rack([setting for game in games for setting in _settings(game, options.every_mode)])
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        wanted = list(itertools.product(range(len(rack.settings)), seeds))
        for first in range(0, len(wanted), options.lanes):
            lanes = [rack.lane(place, options.frames, seed) for place, seed in wanted[first : first + options.lanes]]
            rack.compare(lanes)
            for lane in lanes:
                print(json.dumps(lane.report()), flush=True)


def _settings(game: str, every: bool) -> list[tuple[str, int | None, int | None]]:
    if not every:
        return [(game, None, None)]
    return [(game, mode, difficulty) for mode in GAMES[game].modes for difficulty in GAMES[game].difficulties]


if __name__ == "__main__":
    main()
