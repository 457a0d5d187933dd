"""Frames per second of the Atari environment beside ale-py's on the same cores, both sides in turn in one run.

    python experiments/benchmarks/atari.py                                    # the paper's ten games and Pong, a quarter of an hour
    python experiments/benchmarks/atari.py --games breakout pong --lanes 128
    python experiments/benchmarks/atari.py --raw

Ours is `jax.jit(jax.vmap(purejaxrrl.make(...).step))` as installed, with keys of its own for every step, sticky actions and
auto-resets included; theirs
`ale_py.AtariVectorEnv` on all cores. Both play random actions with a frame skip of 4 and make observations of 84 x 84 x 4. With
several games, one batch of ours that mixes them is also timed, beside their environments of the same games in turn. With --raw,
frames of the console without observations, beside one `ale_py.ALEInterface`, in seconds of the processor: one core each.

A frame is one of the console's, four to an agent step. Numbers are medians over rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import ale_py
import jax
import jax.numpy as jnp
import numpy as np
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv

import purejaxrrl
from purejaxrrl.environments.atari import Console
from purejaxrrl.runs import command_line
from purejaxrrl.students import presets

GAMES = (*presets.PAPERS_GAMES, "pong")
FRAME_SKIP = 4
RAW_LANES, RAW_FRAMES = 16, 50


def ours(games: list[str], lanes: int) -> Callable[[], int]:
    """A function that steps `lanes` environments once and returns how many frames that was."""
    environment = purejaxrrl.make([f"atari/{game}" for game in games] if len(games) > 1 else f"atari/{games[0]}")
    params = jax.tree.map(lambda leaf: jnp.resize(leaf, lanes), environment.all_params)
    keys = jax.random.split(jax.random.key(0), lanes)
    state = jax.jit(jax.vmap(environment.reset))(keys, params)[1]
    rng = np.random.default_rng(0)

    def one(key, state, action):
        key, step_key = jax.random.split(key)
        return key, *environment.step(step_key, state, action)

    step = jax.jit(jax.vmap(one))

    def play() -> int:
        nonlocal keys, state
        keys, observation, state, *_ = step(keys, state, rng.integers(environment.num_actions, size=lanes))
        jax.block_until_ready(observation)
        return lanes * FRAME_SKIP

    play()
    return play


def theirs(games: list[str], lanes: int) -> Callable[[], int]:
    """The same with ale-py's vector environments, one after another where there are several games."""
    vectors = [AtariVectorEnv(game, max(lanes // len(games), 1)) for game in games]
    for vector in vectors:
        vector.reset(seed=0)
    rng = np.random.default_rng(0)

    def play() -> int:
        for vector in vectors:
            vector.step(rng.integers(vector.single_action_space.n, size=vector.num_envs))
        return sum(vector.num_envs for vector in vectors) * FRAME_SKIP

    return play


def ours_raw(game: str) -> Callable[[], int]:
    """Frames of the console alone, as one program."""
    console = Console(game)
    actions = np.random.default_rng(0).choice(console.minimal_actions, (RAW_FRAMES // 5, RAW_LANES)).repeat(5, 0)
    fresh = jax.jit(jax.vmap(lambda _: console.reset()))(jnp.arange(RAW_LANES))

    @jax.jit
    def roll(state):
        return jax.lax.scan(lambda s, action: (jax.vmap(console.act)(s, action), None), state, jnp.asarray(actions))[0]

    def play() -> int:
        jax.block_until_ready(roll(fresh))
        return RAW_LANES * RAW_FRAMES

    play()
    return play


def theirs_raw(game: str) -> Callable[[], int]:
    """Frames of one `ALEInterface`, from the same start."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(roms.get_rom_path(game))
    actions = np.random.default_rng(0).choice(ale.getMinimalActionSet(), RAW_FRAMES // 5).repeat(5)

    def play() -> int:
        ale.reset_game()
        start = ale.cloneState()
        for _ in range(4):
            ale.restoreState(start)
            for action in actions:
                ale.act(action)
        return 4 * RAW_FRAMES

    return play


def rates(players: list[Callable[[], int]], seconds: float, rounds: int, clock: Callable[[], float]) -> list[float]:
    """Frames per second of each player, the median over `rounds` in which each plays for some seconds in turn."""
    found = [[] for _ in players]
    for _ in range(rounds):
        for player, results in zip(players, found, strict=True):
            frames, started, wall = 0, clock(), time.perf_counter()
            while time.perf_counter() - wall < seconds:
                frames += player()
            results.append(frames / (clock() - started))
    return [float(np.median(results)) for results in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=command_line.Help)
    parser.add_argument(
        "--games",
        nargs="+",
        default=GAMES,
        help="games to time, by their names in ale_py.roms (default: the paper's ten and Pong)",
    )
    parser.add_argument(
        "--lanes",
        type=int,
        nargs="+",
        default=[8, 32, 128],
        help="numbers of environments in a batch; ale-py takes some minutes to make 1024 of a game (default: 8 32 128)",
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="seconds that each side plays in each round (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds in which the sides take turns (default: %(default)s)"
    )
    parser.add_argument("--raw", action="store_true", help="time the console alone, beside ALEInterface, one core each")
    options = parser.parse_args()
    print(f"{'game':>16} {'lanes':>6} {'frames/s':>10} {'ale-py':>10} {'ratio':>6}")

    def report(name: str, lanes: int, players: list[Callable[[], int]], clock: Callable[[], float]) -> float:
        mine, other = rates(players, options.seconds, options.rounds, clock)
        print(f"{name:>16} {lanes:6d} {mine:10.0f} {other:10.0f} {mine / other:6.2f}", flush=True)
        return mine / other

    if options.raw:
        for game in options.games:
            report(game, RAW_LANES, [ours_raw(game), theirs_raw(game)], time.process_time)
        return
    for lanes in options.lanes:
        ratios = [
            report(game, lanes, [ours([game], lanes), theirs([game], lanes)], time.perf_counter)
            for game in options.games
        ]
        if len(options.games) > 1:
            print(f"{'geometric mean':>16} {lanes:6d} {'':10} {'':10} {np.exp(np.mean(np.log(ratios))):6.2f}")
            report("mixed", lanes, [ours(options.games, lanes), theirs(options.games, lanes)], time.perf_counter)


if __name__ == "__main__":
    main()
