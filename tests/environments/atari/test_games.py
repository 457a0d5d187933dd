"""The scoring rules against ale-py's: reward, lives and game over of every frame, from the RAM that ale-py shows."""

import dataclasses

import ale_py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ale_py import roms
from recording import Recording, record

from purejaxrrl.environments.atari.games import GAMES, rules
from purejaxrrl.environments.atari.games.ram_values import DECODERS
from purejaxrrl.environments.atari.games.spec import NEVER
from purejaxrrl.students.presets import PAPERS_GAMES

ELEVEN = (*PAPERS_GAMES, "pong")
WORD_ZAPPER = GAMES["word_zapper"].game_id

POKED = {
    "adventure": ([0xB9, 0xE0], [0x12, 2]),
    "beam_rider": ([0x85, 0x8C], [0, 1, 255]),
    "casino": ([0xD3, 0xD4, 0x9E, 0x95, 0x8C], [0, 3, 0xAA]),
    "darkchambers": ([0xD5, 0xCC, 0xCF, 0xCA], [0, 1]),
    "enduro": ([0xAD, 0xAB, 0xAC], [0, 1, 2]),
    "haunted_house": ([0x99, 0x96, 0x82], [0, 0x44]),
    "klax": ([0xA8, *range(0xB3, 0xCC)], [4, 4, 8]),
    "miniature_golf": ([0x87, 0x88, 0xAF], [0, 1, 2]),
    "othello": ([0xC0, 0xCE, 0xD0], [0, 1]),
    "qbert": ([0x88], [0, 1, 2, 254, 255]),
    "superman": ([0x80, 0x81, 0x9F, 0xE2, 0xE3], [0xAC, 0xF2, 0x40]),
    "tennis": ([0xC5, 0xC6, 0xC7, 0xC8], [4, 5, 6, 7, 8]),
    "tic_tac_toe_3d": ([0xFE, 0xFF, 0xE1], [0xF3, 0x10, 8]),
    "video_checkers": (list(range(0x80, 0xA3)), [0, 0, 0x10, 0x90]),
    "video_chess": ([0xE1, 0xEE], [0x82, 0, 1]),
    "video_cube": (list(range(0xA0, 0xD6)), [3, 3, 3]),
    "word_zapper": ([0xCF, 0xDC, 0xDE], [0, 255]),
}
"""Addresses that the irregular rules read and values that they wait for; those of the regular ones are in the tables."""


def pokes(game: str, seed: int) -> tuple[tuple[int, int], ...]:
    """(index, value) of bytes that a game's rules read: at random, and on and beside each bound of each condition."""
    rng = np.random.default_rng(seed)
    spec, chosen = GAMES[game], []
    for reading in (*spec.rules.score, *spec.rules.lives):
        chosen += [(reading.index, value) for value in (*rng.integers(0, 256, 4), 0, 1, 0x10, 0x99, 0xAA)]
    for condition in rules._conditions(spec):
        if condition == NEVER or (condition.low, condition.high) == (0, 255):
            continue
        decoded = DECODERS[condition.kind]
        holds = np.flatnonzero((condition.low <= decoded) & (decoded <= condition.high))
        beside = [(holds[end] + step) % 256 for end in (0, -1) for step in (-1, 0, 1)]
        chosen += [(condition.index, value) for value in (*beside, *[rng.choice(holds)] * 6)]
    if spec.rules.edge[1] >= 0:
        chosen += [(spec.rules.edge[0] & 0x7F, value) for value in spec.rules.edge[1:]] * 4
    addresses, values = POKED.get(game, ((), ()))
    chosen += [(address & 0x7F, value) for address in addresses for value in (*rng.integers(0, 256, 2), *values)]
    return tuple((int(index), int(value)) for index, value in chosen if index < 128)


@jax.jit
@jax.vmap
def replay(game_id, mode, ram, first, remembered):
    """The rules on recorded RAM [T, 256]: reward, lives, game over, each [T]; they start anew where `first`."""

    def frame(state, seen):
        ram, first, remembered = seen
        fresh = rules.initial(game_id, mode)
        state = jax.tree.map(lambda new, old: jnp.where(first, new, old), fresh, state)
        state = rules.step(game_id, state, ram)
        reward, score = jnp.where(first & (game_id == WORD_ZAPPER), remembered, jnp.stack([state.reward, state.score]))
        state = dataclasses.replace(state, reward=reward, score=score)
        return state, (jnp.where(first, 0, state.reward), state.lives, state.game_over)

    return jax.lax.scan(frame, rules.initial(game_id, mode), (ram, first, remembered))[1]


def differences(games: list[str], recordings: list[Recording], modes: list[int] | None = None) -> dict[str, list[str]]:
    """What differs in which game, all games replayed in one batch."""
    modes = [GAMES[game].default_mode for game in games] if modes is None else modes
    stacked = {name: np.stack([getattr(r, name) for r in recordings]) for name in ("ram", "first", "remembered")}
    results = replay(jnp.array([GAMES[game].game_id for game in games]), jnp.array(modes), **stacked)
    found: dict[str, list[str]] = {}
    for name, result in zip(("reward", "lives", "game_over"), results, strict=True):
        for game, ours, recording in zip(games, np.asarray(result), recordings, strict=True):
            frames = np.flatnonzero(ours != getattr(recording, name))
            if frames.size:
                found.setdefault(game, []).append(f"{name} in {frames.size} frames, first {frames[0]}")
    return found


def test_the_catalogue_agrees_with_ale_py():
    shipped = set(roms.get_all_rom_ids()) - {"combat", "joust", "maze_craze", "warlords"}
    assert set(GAMES) == shipped
    assert [spec.game_id for spec in GAMES.values()] == list(range(len(GAMES)))
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    for name, spec in GAMES.items():
        ale = ale_py.ALEInterface()
        ale.loadROM(roms.get_rom_path(name))
        assert spec.minimal_actions == tuple(a.value for a in ale.getMinimalActionSet()), name
        assert spec.legal_actions == tuple(a.value for a in ale.getLegalActionSet()), name
        assert spec.modes == tuple(ale.getAvailableModes()), name
        assert spec.difficulties == tuple(ale.getAvailableDifficulties()), name
        assert spec.name == name and spec.default_mode == spec.modes[0]


def test_rules_equal_ale_py_in_the_eleven_games():
    recordings = [record(game, 2_000, seed=0) for game in ELEVEN]
    assert differences(list(ELEVEN), recordings) == {}
    assert all((r.reward != 0).any() for r in recordings), "random play scored nothing: the test sees too little"


def test_rules_equal_ale_py_in_every_game_with_ram_overwritten():
    recordings = [record(game, 500, seed=1, pokes=pokes(game, 1)) for game in GAMES]
    assert differences(list(GAMES), recordings) == {}
    assert sum(r.game_over.any() for r in recordings) > 90


def test_backgammon_is_won_and_lost_by_bearing_off_fifteen():
    board = np.zeros(256, np.uint8)
    for index, value, reward in ((0x00, 256 - 15, 1), (0x0E, 15, -1)):
        ram = board.copy()
        ram[index] = value
        ram[5] = 15 if reward == 1 else 256 - 15
        spec = GAMES["backgammon"]
        state = rules.step(spec.game_id, rules.initial(spec.game_id), jnp.asarray(ram), games=("backgammon",))
        assert (int(state.reward), bool(state.game_over), int(state.lives)) == (reward, True, 0)
        ram[5] += 1
        state = rules.step(spec.game_id, rules.initial(spec.game_id), jnp.asarray(ram), games=("backgammon",))
        assert not state.game_over, "the pieces do not add up to fifteen: the board is being redrawn"


def test_ram_of_the_wrong_size_is_an_error():
    klax = GAMES["klax"].game_id
    with pytest.raises(ValueError, match=r"\[64\]"):
        rules.step(klax, rules.initial(klax), jnp.zeros(64, jnp.uint8))
    with pytest.raises(ValueError, match="cartridge"):
        rules.step(klax, rules.initial(klax), jnp.zeros(128, jnp.uint8), games=("klax",))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_rules_equal_ale_py_in_every_game(seed):
    for start in range(0, len(GAMES), 26):
        games = list(GAMES)[start : start + 26]
        assert differences(games, [record(game, 20_000, seed) for game in games]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_rules_equal_ale_py_in_every_game_with_ram_overwritten_for_long(seed):
    recordings = [record(game, 5_000, seed, pokes=pokes(game, seed)) for game in GAMES]
    assert differences(list(GAMES), recordings) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, spec in GAMES.items() if len(spec.modes) > 1 or len(spec.difficulties) > 1]
)
def test_rules_equal_ale_py_in_every_mode_and_difficulty(name):
    spec = GAMES[name]
    rng = np.random.default_rng(0)
    modes = list(spec.modes) if len(spec.modes) <= 33 else rng.choice(spec.modes, 12, replace=False).tolist()
    recordings = [
        record(name, 600, mode, mode, int(rng.choice(spec.difficulties)), pokes(name, mode)) for mode in modes
    ]
    assert differences([name] * len(modes), recordings, modes) == {}
