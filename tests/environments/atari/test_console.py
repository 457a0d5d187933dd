"""The console against ale-py: RAM, screen, reward, lives and game over after every single frame, through game-overs and resets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ale_py import Action, ALEInterface, LoggerMode, roms

from purejaxrrl.environments.atari import rom
from purejaxrrl.environments.atari.console import Console, ConsoleState
from purejaxrrl.environments.atari.machine import select

FIRST_GAMES = (
    "asterix",
    "beam_rider",
    "bowling",
    "breakout",
    "enduro",
    "ms_pacman",
    "pong",
    "qbert",
    "riverraid",
    "seaquest",
    "space_invaders",
)
CHUNK = 50
OBSERVED = ("ram", "screen", "reward", "lives", "game_over")


def play_ale(game: str, actions: np.ndarray, mode: int | None = None, difficulty: int = 0) -> dict[str, np.ndarray]:
    """What ale-py shows after its first reset and after each action [T], reset whenever the game is over."""
    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale = ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("random_seed", 0)
    ale.loadROM(roms.get_rom_path(game))
    if mode is not None:
        ale.setMode(mode)
    ale.setDifficulty(difficulty)
    ale.reset_game()
    frames = [_look(ale, 0)]
    for action in actions:
        if ale.game_over():
            ale.reset_game()
        frames.append(_look(ale, ale.act(Action(int(action)))))
    return {name: np.stack([frame[name] for frame in frames]) for name in OBSERVED}


def _look(ale: ALEInterface, reward: int) -> dict[str, np.ndarray]:
    return {
        "ram": ale.getRAM().copy(),
        "screen": ale.getScreen().copy(),
        "reward": np.int32(reward),
        "lives": np.int32(ale.lives()),
        "game_over": np.bool_(ale.game_over()),
    }


class Players:
    """Our consoles, one for each game, stepped together."""

    def __init__(self, console: Console):
        self.console = console
        self._reset = jax.vmap(console.reset)
        self._act = jax.vmap(console.act)
        self.start = jax.jit(jax.vmap(lambda game: console.reset(game=game)))
        self.look = jax.jit(jax.vmap(self._look))

    def _look(self, state: ConsoleState) -> dict[str, jax.Array]:
        return {
            "ram": self.console.ram(state),
            "screen": self.console.screen(state),
            "reward": state.reward,
            "lives": state.lives,
            "game_over": state.game_over,
            "fault": state.fault,
        }

    @functools.partial(jax.jit, static_argnums=0)
    def play(self, state: ConsoleState, actions: jax.Array):
        """Actions [T, lanes]: the last state, and what is seen after each."""

        def step(state, action):
            over = state.game_over
            state = jax.lax.cond(jnp.any(over), lambda s: select(over, self._reset(s), s), lambda s: s, state)
            state = self._act(state, action)
            return state, self.look(state)

        return jax.lax.scan(step, state, actions)


def random_actions(game: str, length: int, seed: int) -> np.ndarray:
    """Stretches of holding one button, of hammering two in turn, of chance, and of doing nothing."""
    rng = np.random.default_rng([seed, *game.encode()])
    actions = np.zeros(length, np.int64)
    start = 0
    while start < length:
        stop = start + int(rng.integers(10, 200))
        kind, several = rng.integers(5), rng.integers(18, size=2)
        span = np.arange(start, min(stop, length))
        actions[span] = (
            rng.integers(18, size=span.size)
            if kind < 2
            else several[0]
            if kind == 2
            else several[span % 2]
            if kind == 3
            else 0
        )
        start = stop
    return actions


def compare(games: tuple[str, ...], actions: np.ndarray, **settings) -> dict[str, int]:
    """Plays `actions` [T, games] on ours and on ale-py's consoles. Frames that differ, by game and what was looked at."""
    players = Players(Console(games, **settings))
    references = [play_ale(game, actions[:, lane]) for lane, game in enumerate(games)]
    state = players.start(jnp.arange(len(games), dtype=jnp.int32))
    differing: dict[str, int] = {}
    _count(differing, games, references, jax.device_get(jax.tree.map(lambda x: x[None], players.look(state))), 0)
    for start in range(0, len(actions), CHUNK):
        state, seen = players.play(state, jnp.asarray(actions[start : start + CHUNK], jnp.int32))
        _count(differing, games, references, jax.device_get(seen), start + 1)
    return differing


def _count(
    differing: dict[str, int], games: tuple[str, ...], references: list, seen: dict[str, np.ndarray], start: int
) -> None:
    for lane, game in enumerate(games):
        for name in OBSERVED:
            ours, theirs = seen[name][:, lane], references[lane][name][start : start + len(seen[name])]
            if name == "screen":
                assert not ours[:, theirs.shape[1] :].any()
                ours = ours[:, : theirs.shape[1]]
            wrong = int((ours != theirs).reshape(len(ours), -1).any(1).sum())
            if wrong:
                differing[f"{game} {name}"] = differing.get(f"{game} {name}", 0) + wrong
        if seen["fault"][:, lane].any():
            differing[f"{game} fault"] = 1


@pytest.mark.parametrize("frames", [100, pytest.param(2_000, marks=pytest.mark.slow)])
def test_first_games_equal_ale_every_frame(frames):
    """The paper's ten games and Pong in one batch."""
    actions = np.stack([random_actions(game, frames, 0) for game in FIRST_GAMES], 1)
    assert compare(FIRST_GAMES, actions) == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_game_equals_ale_every_frame(seed):
    """All supported games, 20,000 frames each."""
    games = rom.names()
    for start in range(0, len(games), 16):
        group = games[start : start + 16]
        actions = np.stack([random_actions(game, 20_000, seed + 1) for game in group], 1)
        assert compare(group, actions) == {}


def test_unknown_game_names_the_nearest():
    with pytest.raises(ValueError, match="breakout"):
        Console("brekout")


@pytest.mark.parametrize("game", sorted(rom.UNSUPPORTED))
def test_unsupported_game_says_why(game):
    with pytest.raises(ValueError, match=f"{game}|unknown"):
        Console(game)


def test_offers_are_checked():
    with pytest.raises(ValueError, match="mode 3"):
        Console("breakout", mode=3)
    with pytest.raises(ValueError, match="difficulty 9"):
        Console("breakout", difficulty=9)


def test_static_action_outside_the_set():
    console = Console("breakout")
    with pytest.raises(ValueError, match="40"):
        console.act(None, 40)
