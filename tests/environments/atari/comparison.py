"""Plays games on ours and on ale-py's consoles side by side and counts the frames that differ.

    python tests/environments/atari/comparison.py --games pong breakout --frames 2500 --seeds 8
    python tests/environments/atari/comparison.py --frames 500 --every-mode

prints a line of JSON for each game and seed: frames compared, resets among them, and how many frames differed in what; "first" is
the number of the first of these, counted from 1. --explain GAME FRAME says what differs in a frame of that number, and what the
game stored in the TIA before it drew the first line that does.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import operator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ale_py import Action, ALEInterface
from explain import explain
from pixels import pixels
from recording import interface

from purejaxrrl.environments.atari import FUSED_LOOPS, GAMES, picture, rom
from purejaxrrl.environments.atari.console import Console, ConsoleState
from purejaxrrl.runs import devices

CHUNK = 24
"""Frames of one compiled call. Lanes whose games are over wait for its end."""


_ACTIONS = [Action(number) for number in range(18)]


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

    def __post_init__(self):
        self._screen, self._ram = np.empty_like(self.ale.getScreen()), np.empty(128, np.uint8)

    def play(self, seen: dict[str, np.ndarray]) -> None:
        """Plays as many frames as ours did, [T, ...] of `seen`, and compares."""
        numbers = [seen[name].tolist() for name in ("reward", "lives", "game_over", "fault")]
        for ram, screen, ours in zip(seen["ram"], seen["screen"], zip(*numbers, strict=True), strict=True):
            reward = self.ale.act(_ACTIONS[self.actions[self.frames]])
            self.frames += 1
            self.check(ram, screen, ours, reward)

    def check(self, ram: np.ndarray, screen: np.ndarray, ours: tuple, reward: int) -> None:
        """Compares what ours shows of a frame with what ale-py's console shows now. ours: reward, lives, game over, fault."""
        self.ale.getScreen(self._screen)
        self.ale.getRAM(self._ram)
        height, theirs = len(self._screen), (reward, self.ale.lives(), self.ale.game_over(), False)
        same = {
            "ram": np.array_equal(ram, self._ram),
            "screen": np.array_equal(screen[:height], self._screen),
            "padding": height == len(screen) or not screen[height:].any(),
        }
        if all(same.values()) and ours == theirs:
            return
        same |= dict(zip(("reward", "lives", "game_over", "fault"), map(operator.eq, ours, theirs), strict=True))
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
        """CHUNK frames of `actions` [T, lanes] from each lane's `place`, or until its game is over: what is seen after each, and
        whether it was played; numpy."""
        state, place, (seen, drawn), plays = self._play(state, actions, place)
        seen, drawn, plays = jax.device_get((seen, drawn, plays))
        # Pixels are made outside of the loop: within, XLA for CPU compiles them into something ten times as slow.
        screens = pixels(*drawn) if self.console.engine == "kernel" else np.asarray(_pixels(*drawn))
        return state, place, seen | {"screen": screens}, plays

    @functools.partial(jax.jit, static_argnums=0)
    def _play(self, state: ConsoleState, actions: jax.Array, place: jax.Array):
        def step(carry, _):
            state, place = carry
            plays = ~state.game_over & (place < len(actions))
            action = actions[jnp.minimum(place, len(actions) - 1), jnp.arange(place.size)]
            state = jax.vmap(self.console.act)(state, action)
            return (state, place + plays), (self._drawn(state), plays)

        (state, place), (drawn, plays) = jax.lax.scan(step, (state, place), length=CHUNK)
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
            over = np.asarray(state.game_over)
            # A lane after the other, for ale-py's consoles are large.
            for number, lane in enumerate(lanes):
                lane.play({name: value[plays[:, number], number] for name, value in seen.items()})
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


def _check_all(lanes: list[Lane], seen: dict[str, np.ndarray], which: np.ndarray | None = None) -> None:
    for number, lane in enumerate(lanes):
        if which is None or which[number]:
            ours = tuple(seen[name][number].item() for name in ("reward", "lives", "game_over", "fault"))
            lane.check(seen["ram"][number], seen["screen"][number], ours, ours[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", nargs="+", default=rom.names(), help="names as in ale_py.roms; all unless given")
    parser.add_argument("--frames", type=int, default=2_000, help="frames that each lane plays")
    parser.add_argument(
        "--seeds", type=int, default=1, help="number of lanes of each game, which differ in their actions"
    )
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first lane's actions")
    parser.add_argument("--every-mode", action="store_true", help="compare each game in every mode and difficulty")
    parser.add_argument("--lanes", type=int, default=64, help="number of lanes in a batch")
    parser.add_argument("--games-at-once", type=int, default=26, help="number of games in a batch")
    parser.add_argument(
        "--folder", type=Path, help="keeps each lane's line in a file, and leaves out lanes whose files are there"
    )
    parser.add_argument("--explain", nargs=2, metavar=("GAME", "FRAME"), help="what differs in one frame, and why")
    options = parser.parse_args()
    if options.folder and options.every_mode:
        parser.error("--folder keeps one report for each game and seed; leave out --every-mode")
    devices.restart_with(FUSED_LOOPS)
    if options.explain:
        game, frame = options.explain[0], int(options.explain[1])
        print(explain(game, fuzzed_actions(game, frame, options.first_seed)))
        return
    for start in range(0, len(options.games), options.games_at_once):
        games = options.games[start : start + options.games_at_once]
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        wanted = [
            (setting, seed)
            for game in games
            for setting in _settings(game, options.every_mode)
            for seed in seeds
            if not (options.folder and _file(options.folder, game, seed).exists())
        ]
        if not wanted:
            continue
        rack = Rack(list(dict.fromkeys(setting for setting, _ in wanted)))
        for first in range(0, len(wanted), options.lanes):
            lanes = [
                rack.lane(rack.settings.index(setting), options.frames, seed)
                for setting, seed in wanted[first : first + options.lanes]
            ]
            rack.compare(lanes)
            for lane in lanes:
                report = json.dumps(lane.report())
                print(report, flush=True)
                if options.folder:
                    _file(options.folder, lane.game, lane.seed).write_text(report)


def _file(folder: Path, game: str, seed: int) -> Path:
    """Where the report of a lane is kept."""
    return folder / f"{game}_{seed}.json"


def _settings(game: str, every: bool) -> list[tuple[str, int | None, int | None]]:
    if not every:
        return [(game, None, None)]
    return [(game, mode, difficulty) for mode in GAMES[game].modes for difficulty in GAMES[game].difficulties]


if __name__ == "__main__":
    main()
