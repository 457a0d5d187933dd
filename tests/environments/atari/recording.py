"""What ale-py says of a game, frame by frame, under scripted and random play."""

from __future__ import annotations

import dataclasses

import ale_py
import numpy as np
from ale_py import roms

KLAX_RAM = 128
"""Bytes of cartridge RAM behind the console's 128 in `Recording.ram` (zeros except for Klax)."""


@dataclasses.dataclass
class Recording:
    """`frames` consecutive frames: ram uint8 [T, 256], reward, lives int32 [T], game_over, first bool [T], remembered int32 [T, 2].

    A frame that is `first` is the state after `reset_game`; its reward is 0. `remembered` are the reward and score that the
    rules hold then from the reset's own frames, which nobody sees; only Word Zapper's need them (else 0), for they do
    nothing while its clock shows 0.
    """

    ram: np.ndarray
    reward: np.ndarray
    lives: np.ndarray
    game_over: np.ndarray
    first: np.ndarray
    remembered: np.ndarray


def interface(game: str, mode: int | None = None, difficulty: int | None = None) -> ale_py.ALEInterface:
    """A running ale-py without sticky actions, reset into the given mode and difficulty."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("random_seed", 0)
    ale.loadROM(roms.get_rom_path(game))
    if mode is not None:
        ale.setMode(mode)
    if difficulty is not None:
        ale.setDifficulty(difficulty)
    if mode is not None or difficulty is not None:
        ale.reset_game()
    return ale


def scripted_actions(game_actions: tuple[int, ...], frames: int, seed: int) -> np.ndarray:
    """Actions for `frames` frames, int [frames]: stretches of random play, held actions, alternation and idling."""
    rng = np.random.default_rng(seed)
    actions: list[int] = []
    while len(actions) < frames:
        length, style = int(rng.integers(20, 400)), rng.integers(6)
        drawn = rng.choice(game_actions, size=length)
        if style == 1:
            drawn = np.repeat(drawn, 12)[:length]
        elif style == 2:
            drawn[:] = drawn[0]
        elif style == 3:
            drawn[0::2], drawn[1::2] = drawn[0], drawn[1]
        elif style == 4:
            drawn = np.where(rng.random(length) < 0.7, game_actions[min(1, len(game_actions) - 1)], drawn)
        elif style == 5 and rng.random() < 0.3:
            drawn[:] = 0
        actions.extend(drawn.tolist())
    return np.asarray(actions[:frames])


def cartridge_ram(ale: ale_py.ALEInterface) -> np.ndarray:
    """The 128 bytes of an F6SC cartridge, read from a saved state, where each is an integer of four bytes."""
    saved = ale.cloneState().__getstate__()
    start = saved.index(b"CartridgeF6SC") + len(b"CartridgeF6SC")
    numbers = np.frombuffer(saved[start : start + 4 * 130], "<i4")
    assert numbers[1] == 128, "the saved state's layout is another than this reads"
    return numbers[2:].astype(np.uint8)


def word_zapper_memory(ale: ale_py.ALEInterface) -> np.ndarray:
    """Reward and score, int32 [2], from a saved state. It ends with integers of four bytes: those two, the rules' game
    over, whether there is a random stream, and the paddles' two limits."""
    return np.frombuffer(ale.cloneState().__getstate__()[-24:-16], "<i4")


def record(
    game: str,
    frames: int,
    seed: int,
    mode: int | None = None,
    difficulty: int | None = None,
    pokes: tuple[tuple[int, int], ...] = (),
) -> Recording:
    """Plays `frames` frames, resetting at every game over; resets count as frames of the recording.

    pokes: (index, value) pairs of RAM, some of which are written before one frame in eight, so that rules see states that
    random play does not reach.
    """
    rng = np.random.default_rng(seed)
    ale = interface(game, mode, difficulty)
    actions = scripted_actions(tuple(a.value for a in ale.getLegalActionSet()), frames, seed)
    ram = np.zeros((frames, 128 + KLAX_RAM), np.uint8)
    reward, lives = np.zeros(frames, np.int32), np.zeros(frames, np.int32)
    over, first, remembered = np.zeros(frames, bool), np.zeros(frames, bool), np.zeros((frames, 2), np.int32)
    for t, action in enumerate(actions):
        first[t] = t == 0 or over[t - 1]
        if first[t]:
            ale.reset_game()
            remembered[t] = word_zapper_memory(ale) if game == "word_zapper" else 0
        else:
            if pokes and rng.random() < 0.125:
                for index, value in rng.permutation(pokes)[: rng.integers(1, 9)]:
                    ale.setRAM(int(index), int(value))
            reward[t] = ale.act(int(action))
        ram[t, :128] = ale.getRAM()
        if game == "klax":
            ram[t, 128:] = cartridge_ram(ale)
        lives[t], over[t] = ale.lives(), ale.game_over()
    return Recording(ram, reward, lives, over, first, remembered)
