"""Is the console exact here? Against what ale-py was recorded to do: RAM, reward, lives and screen, in blocks of frames.

Lanes of a few games, each with actions of its own, are stepped in one batch through `purejaxrrl.make(...).step`. What ale-py did
is kept as a checksum for each block of ten frames, so that a difference is found to the block.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import purejaxrrl
from accelerator_parts import expectations, timing
from purejaxrrl.environments.atari import FUSED_LOOPS
from purejaxrrl.runs import devices

GAMES = ("breakout", "ms_pacman", "montezuma_revenge", "seaquest", "space_invaders", "pitfall2")
"""Paddles; late HMOVEs; bank switching by address; many sprites; missiles; a cartridge with a chip of its own."""
LANES, FRAMES, BLOCK = 3, 300, 10
"""Lanes of each game, frames of each lane, frames of a block."""
QUICK_GAMES, QUICK_FRAMES = 1, 20
SHARE = 0.8
"""Of the limit: a slow device compares as many frames as fit, and says how many."""
KINDS = ("ram", "outcome", "screen")


def record() -> dict[str, Any]:
    """What ale-py does: for each lane its game, its actions as letters (a is 0), the screen's height, and checksums of blocks."""
    return {"block": BLOCK, "lanes": [_record_lane(game, number) for game in GAMES for number in range(LANES)]}


def _record_lane(game: str, number: int) -> dict[str, Any]:
    import ale_py
    from ale_py import roms

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(roms.get_rom_path(game))
    ale.reset_game()
    rng = np.random.default_rng([number, *game.encode()])
    actions = np.repeat(rng.integers(18, size=FRAMES), rng.integers(1, 16, size=FRAMES))[:FRAMES]
    seen: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
    for action in actions:
        reward = ale.act(ale_py.Action(int(action)))
        seen["ram"].append(ale.getRAM().tobytes())
        seen["outcome"].append(outcome(reward, ale.lives()))
        seen["screen"].append(ale.getScreen().tobytes())
    if ale.game_over():
        raise RuntimeError(
            f"{game} was over within {FRAMES} frames, and resets are not compared here; take other actions"
        )
    letters = "".join(chr(ord("a") + action) for action in actions)
    sums = {kind: checksums(frames) for kind, frames in seen.items()}
    return {"game": game, "actions": letters, "height": ale.getScreen().shape[0]} | sums


def outcome(reward: int, lives: int) -> bytes:
    """Reward and lives of a frame, as what is summed."""
    return np.asarray([reward, lives], "<i4").tobytes()


def checksums(frames: list[bytes]) -> list[str]:
    """CRC-32 of each block of frames, in hexadecimal."""
    return [f"{zlib.crc32(b''.join(frames[start : start + BLOCK])):08x}" for start in range(0, len(frames), BLOCK)]


def measure(quick: bool, limit: float, **_: Any) -> Iterator[dict[str, Any]]:
    """A row for each game (frames compared, whether all were equal, and else the block in which what differed first), and one
    for the pace."""
    devices.restart_with(FUSED_LOOPS)
    ends = time.perf_counter() + SHARE * limit
    games = GAMES[: QUICK_GAMES if quick else None]
    lanes = [lane for lane in expectations.load("atari_exact")["lanes"] if lane["game"] in games]
    environment = boot(games)
    play, state, compile_seconds = _compile(environment, [games.index(lane["game"]) for lane in lanes])
    started = time.perf_counter()
    frames, differences = play_and_compare(play, state, lanes, QUICK_FRAMES if quick else FRAMES, ends)
    seconds = time.perf_counter() - started
    for game in games:
        found = [each for lane, each in zip(lanes, differences, strict=True) if lane["game"] == game]
        row = {"game": game, "lanes": len(found), "frames": frames, "agrees": not any(found)}
        firsts = {kind: [each[kind] for each in found if kind in each] for kind in KINDS}
        yield row | {f"{kind} from": min(blocks) for kind, blocks in firsts.items() if blocks}
    pace = {"ms / frame": 1e3 * seconds / frames, "compile s": compile_seconds}
    yield {"game": "all", "lanes": len(lanes), "frames": frames} | pace


def boot(games: tuple[str, ...]) -> Any:
    """The environment of those games, one frame a step, without chance."""
    options = {"frame_skip": 1, "sticky_action_probability": 0.0, "num_start_states": 1, "full_action_set": True}
    # Booting is thousands of small steps of one lane, which a CPU is quick at.
    with jax.default_device(jax.devices("cpu")[0]):
        return purejaxrrl.make([f"atari/{game}" for game in games], **options)


def play_and_compare(
    play: Any, state: Any, lanes: list[dict], wanted: int, ends: float
) -> tuple[int, list[dict[str, int]]]:
    """Plays `wanted` frames, or as many as fit until `ends`: how many, and for each lane the first block in which what differs."""
    actions = np.asarray([[ord(letter) - ord("a") for letter in lane["actions"]] for lane in lanes], np.int32)
    differences: list[dict[str, int]] = [{} for _ in lanes]
    frames = 0
    while not frames or (frames < wanted and time.perf_counter() < ends):
        state, seen = play(state, jnp.asarray(actions[:, frames : frames + BLOCK]))
        _compare(lanes, jax.device_get(seen), frames, differences)
        frames += BLOCK
    return frames, differences


def _compile(environment: Any, places: list[int]) -> tuple[Any, Any, float]:
    """play(state, actions `[lanes, BLOCK]`) -> (state, what is seen of each frame `[BLOCK, lanes, ...]`), and the first state."""
    params = jax.vmap(lambda place: jax.tree.map(lambda leaf: leaf[place], environment.all_params))(jnp.asarray(places))
    key = jax.random.key(0)  # nothing is drawn: no sticky actions, one start state
    _, state = jax.jit(jax.vmap(environment.reset, in_axes=(None, 0)))(key, params)

    def frame(state: Any, action: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        _, state, reward, _, _, info = environment.step(key, state, action)
        console = environment.console
        seen = {"ram": console.ram(state.console), "screen": console.screen(state.console)}
        return state, seen | {"reward": reward.astype(jnp.int32), "lives": info["lives"]}

    def play(state: Any, actions: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        return jax.lax.scan(jax.vmap(frame), state, actions.T)

    actions = jax.ShapeDtypeStruct((len(places), BLOCK), jnp.int32)
    compiled, seconds = timing.compile(jax.jit(play, donate_argnums=0), state, actions)
    return compiled, state, seconds


def _compare(lanes: list[dict], seen: dict[str, np.ndarray], start: int, differences: list[dict[str, int]]) -> None:
    """Notes what differs from the recording in the block that begins with frame `start`, where it did not before."""
    for number, (lane, first) in enumerate(zip(lanes, differences, strict=True)):
        rewards, lives = seen["reward"][:, number], seen["lives"][:, number]
        frames = {
            "ram": [ram.tobytes() for ram in seen["ram"][:, number]],
            "outcome": [outcome(*pair) for pair in zip(rewards, lives, strict=True)],
            "screen": [screen.tobytes() for screen in seen["screen"][:, number, : lane["height"]]],
        }
        for kind in KINDS:
            if checksums(frames[kind]) != lane[kind][start // BLOCK : start // BLOCK + 1]:
                first.setdefault(kind, start)
