"""Atari games as environments, with the settings of Machado et al. (2018) as defaults, on top of the console.

An agent step is `frame_skip` frames. The observation is the brighter of its last two, pixel by pixel, grey, 84 x 84, behind
the three before it; with a frame skip of 1 that is the one frame itself. Episodes begin in one of a few states that are computed
(`start_states.py`) and kept on disk (`start_cache.py`) when the environment is made, for a console takes hundreds of frames to start;
`Console.reset` is what then happens in between.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.environments import base, options
from purejaxrrl.environments.atari import capacity, frame_skip, preprocessing, start_cache, start_states
from purejaxrrl.environments.atari.console import Console, ConsoleState
from purejaxrrl.environments.atari.games import GAMES
from purejaxrrl.environments.atari.observation import Viewer
from purejaxrrl.environments.atari.rom import check_name
from purejaxrrl.environments.atari.start_states import STACK
from purejaxrrl.environments.batching import over_lanes
from purejaxrrl.errors import UserError

NUM_ALE_ACTIONS = 18


@struct.dataclass
class EnvParams:
    """game: int32, place among the environment's games; what `reset` starts. A lane then plays that game for good.
    max_steps_in_episode: agent steps after which an episode is truncated; an environment's own params have those of its settings.
    """

    game: jax.Array | int = 0
    max_steps_in_episode: jax.Array | int = 27_000


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AtariState:
    """One lane.

    console: the machine. stack: uint8 [84, 84, 4], the observation. executed: int32, the last frame's action, as ALE's enum.
    frames: int32, of the running episode. episode_return: float32, of the game's own rewards. episode_length: int32, agent
    steps.
    """

    console: ConsoleState
    stack: jax.Array
    executed: jax.Array
    frames: jax.Array
    episode_return: jax.Array
    episode_length: jax.Array


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `Atari` can be told.

    frame_skip: frames of an agent step. sticky_action_probability: chance, drawn anew for every frame, that the action executed
    in the previous frame is repeated instead (Machado et al. 2018). max_frames_in_episode: frames after which an episode is
    truncated. full_action_set: all of the ALE's 18 actions; otherwise those that do something in the game. noop_max: episodes
    begin after 0 to `noop_max` frames without action, uniformly (Mnih et al. 2015). fire_on_reset: and before those one with
    the button pressed, in games that have FIRE among their actions. clip_rewards: to [-1, 1]. terminal_on_life_loss: a lost
    life is reported as terminated; the game plays on. mode, difficulty: as the game offers them, one or one for each
    game; the game's first mode and 0 unless given. num_start_states: successive resets of the console that episodes begin from. engine: what plays
    the frames, "kernel" or "portable", which are equal but for speed; what is fastest here unless given.
    """

    frame_skip: int = 4
    sticky_action_probability: float = 0.25
    max_frames_in_episode: int = 108_000
    full_action_set: bool = False
    noop_max: int = 0
    fire_on_reset: bool = False
    clip_rewards: bool = False
    terminal_on_life_loss: bool = False
    mode: int | tuple[int, ...] | None = None
    difficulty: int | tuple[int, ...] = 0
    num_start_states: int = 8
    engine: str | None = None

    def __post_init__(self):
        if not 0.0 <= self.sticky_action_probability <= 1.0:
            raise UserError(f"sticky_action_probability is {self.sticky_action_probability}; it must lie in [0, 1]")
        for name, least in (("frame_skip", 1), ("noop_max", 0), ("num_start_states", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.max_frames_in_episode < 1 or self.max_frames_in_episode % self.frame_skip:
            raise UserError(
                f"max_frames_in_episode is {self.max_frames_in_episode}; it must be a positive multiple of "
                f"frame_skip, {self.frame_skip}"
            )


def _pool(starts: start_states.StartStates) -> AtariState:
    """The states that episodes begin in, [games, places]."""
    zero = jnp.zeros(starts.executed.shape, jnp.int32)
    return AtariState(
        console=starts.console,
        stack=starts.stack,
        executed=starts.executed,
        frames=zero,
        episode_return=zero.astype(jnp.float32),
        episode_length=zero,
    )


class Atari:
    """One Atari game, or several that lanes of one batch play; observations are uint8 [84, 84, 4], oldest first.

    Args:
      game: a name as in `ale_py.roms`, or several. With several, actions are the ALE's 18, of which those that a game does
        not know do nothing, and `reset` is told by its params which game to start: `env.params_of("pong")`, or all
        games' on a leading axis, `env.all_params`, to `vmap` over.
      **settings: see `Settings`.

    Raises:
      ValueError: a game is unknown, does not offer the mode or difficulty, or cannot be started; a setting is out of range.
      ModuleNotFoundError: ale-py, which has the ROMs, is not installed.
    """

    settings_type = Settings
    stacked_frames = STACK

    @base.as_written
    def __init__(self, game: str | Sequence[str], **settings: Any):
        games = (game,) if isinstance(game, str) else tuple(game)
        if not games:
            raise UserError("no game was given; name at least one, such as 'breakout'")
        self._set_up(games, Settings(**settings))
        self._pool = _pool(
            start_cache.compute(
                self.console,
                self._viewer,
                self.settings.num_start_states,
                self.settings.noop_max,
                self.settings.fire_on_reset,
            )
        )

    def _set_up(self, games: tuple[str, ...], settings: Settings) -> None:
        """All but the start states, which take long to compute."""
        self.games, self.settings = games, settings
        self.console = Console(self.games, self.settings.mode, self.settings.difficulty, engine=self.settings.engine)
        self.name = "atari/" + "+".join(self.games)
        self.default_params = EnvParams(max_steps_in_episode=settings.max_frames_in_episode // settings.frame_skip)
        several = len(self.games) > 1 or self.settings.full_action_set
        self.actions = tuple(range(NUM_ALE_ACTIONS)) if several else GAMES[self.games[0]].minimal_actions
        self.num_actions = len(self.actions)
        self._viewer = Viewer.of(self.games, self.console.engine)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle is made of: compiled programs are not."""
        return {"games": self.games, "settings": self.settings, "pool": jax.device_get(self._pool)}

    @base.as_written
    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set_up(state["games"], state["settings"])
        self._pool = jax.tree.map(jnp.asarray, state["pool"])

    @property
    def frames_per_step(self) -> int:
        """Frames of an agent step."""
        return self.settings.frame_skip

    @property
    def options(self) -> dict[str, Any]:
        """The settings other than defaults, as JSON holds them; without the engine, which plays the same game."""
        return options.non_default(dataclasses.replace(self.settings, engine=None))

    def for_evaluation(self) -> Atari:
        """The same without clipped rewards and ends at lost lives; itself where it has neither."""
        settings = dataclasses.replace(self.settings, clip_rewards=False, terminal_on_life_loss=False)
        if settings == self.settings:
            return self
        played = object.__new__(type(self))
        played.__dict__ |= self.__dict__ | {"settings": settings}  # console and start states are the same
        return played

    @property
    def all_params(self) -> EnvParams:
        """The params of every game on a leading axis, for `vmap` over lanes that each play another."""
        limit = jnp.full(len(self.games), self.default_params.max_steps_in_episode)
        return EnvParams(jnp.arange(len(self.games)), limit)

    def params_of(self, game: str) -> EnvParams:
        """The params with which `reset` starts that game."""
        check_name(game, self.games)
        return self.default_params.replace(game=self.games.index(game))

    def observation_space(self, params: EnvParams | None = None) -> Any:
        """Box of uint8 [84, 84, 4]."""
        return base.box(0, 255, (preprocessing.SIZE, preprocessing.SIZE, STACK), jnp.uint8)

    def action_space(self, params: EnvParams | None = None) -> Any:
        """Discrete: `actions`, the ALE's values of which are chosen from."""
        return base.discrete(self.num_actions)

    def reset(self, key: jax.Array, params: EnvParams | None = None) -> tuple[jax.Array, AtariState]:
        """Starts an episode in one of the start states, drawn uniformly; consumes `key`.

        Raises:
          TooManyLanesError: there are more lanes, with all `vmap`s around this, than the device has memory for.
        """
        params = self.default_params if params is None else params
        return self._reset(key, base.int32(params.game))

    @base.as_written
    @functools.partial(jax.jit, static_argnames="self")
    def _reset(self, key: jax.Array, game: jax.Array) -> tuple[jax.Array, AtariState]:
        state = self._start(game, jax.random.randint(key, (), 0, self._pool.executed.shape[1]))
        return state.stack, state

    @functools.cached_property
    def _start(self):
        """(game, place) -> the start state of the game at that place."""

        def lanes(game: jax.Array, place: jax.Array) -> AtariState:
            capacity.check(self.name, game.size, self._lane_bytes)
            return jax.tree.map(lambda leaf: leaf[game, place], self._pool)

        return over_lanes(lanes)

    @property
    def _lane_bytes(self) -> int:
        """Of a lane's state, its observation and the one that `info` holds."""
        starts = self._pool.executed.size
        return sum(leaf.nbytes for leaf in [*jax.tree.leaves(self._pool), *[self._pool.stack] * 2]) // starts

    def step(
        self, key: jax.Array, state: AtariState, action: jax.Array | int, params: EnvParams | None = None
    ) -> tuple[jax.Array, AtariState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """One agent step, with auto-reset (see `base.Environment.step`); consumes `key`.

        action: place in `actions`, as `base.discrete_action` has it.

        Returns:
          observation, state, reward (float32), terminated, truncated (bool), info: final_observation; lives (int32) and
          episode_return (float32), episode_length (int32, agent steps), this step included; fault (bool): the
          emulator met what it does not know, and the episode cannot be trusted from there on; game_over (bool): the game
          itself ended, where `terminated` may also mean a lost life; restarted (bool): the observation is a new episode's.
        """
        params = base.int32(self.default_params if params is None else params)
        return self._step(key, state, base.discrete_action(self, action), params)

    @base.as_written
    @functools.partial(jax.jit, static_argnames="self")
    def _step(self, key: jax.Array, state: AtariState, action: jax.Array, params: EnvParams) -> tuple[Any, ...]:
        sticky_key, reset_key = jax.random.split(key)
        played, reward, seen = self._play(sticky_key, state, action)
        game_over = played.console.game_over
        at_limit = played.episode_length >= params.max_steps_in_episode
        terminated = game_over
        if self.settings.terminal_on_life_loss:
            terminated |= played.console.lives < state.console.lives
        truncated = at_limit & ~terminated
        info = {
            "final_observation": seen[0],
            "lives": played.console.lives,
            "episode_return": played.episode_return,
            "episode_length": played.episode_length,
            "fault": played.console.fault,
            "game_over": game_over,
            "restarted": game_over | at_limit,
        }
        place = jax.random.randint(reset_key, (), 0, self._pool.executed.shape[1])
        following, observation = self._restart(game_over | at_limit, place, played, seen[1])
        clipped = jnp.clip(reward, -1.0, 1.0) if self.settings.clip_rewards else reward
        return observation, following, clipped, terminated, truncated, info

    def _play(
        self, key: jax.Array, state: AtariState, action: jax.Array
    ) -> tuple[AtariState, jax.Array, tuple[jax.Array, jax.Array]]:
        """The frames of a step: the state after them, the sum of their rewards, float32, and two more copies of the observation."""
        chosen = jnp.asarray(self.actions)[action]
        skip, sticky = self.settings.frame_skip, self.settings.sticky_action_probability
        repeats = jax.random.uniform(key, (skip,)) < sticky if sticky else jnp.zeros(skip, bool)

        played = self._frames(state.console, state.executed, chosen, repeats)
        reward = played.reward.astype(jnp.float32)
        stack, *copies = self._viewer.observe_often(3, played.console, state.stack, min(skip, frame_skip.LOOKED_AT))
        after = AtariState(
            console=played.console,
            stack=stack,
            executed=played.executed,
            frames=state.frames + played.frames,
            episode_return=state.episode_return + reward,
            episode_length=state.episode_length + 1,
        )
        return after, reward, tuple(copies)

    @functools.cached_property
    def _frames(self):
        """`frame_skip.play` of one lane."""
        return over_lanes(functools.partial(frame_skip.play, self.console))

    @functools.cached_property
    def _restart(self):
        """(ended, place, state, observation) -> state and observation, or where the episode ended those of the start state there."""

        def lanes(ended: jax.Array, place: jax.Array, *played: Any) -> tuple[AtariState, jax.Array]:
            def restarted(state: AtariState, observation: jax.Array) -> tuple[AtariState, jax.Array]:
                put = functools.partial(start_states.put, ended, state.console.game, place)
                return jax.tree.map(put, self._pool, state), put(self._pool.stack, observation)

            return jax.lax.cond(jnp.any(ended), restarted, lambda *played: played, *played)

        return over_lanes(lanes)
