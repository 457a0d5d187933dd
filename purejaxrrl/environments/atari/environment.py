"""Atari games as environments, with the settings of Machado et al. (2018) as defaults, on top of the console.

An agent step is `frame_skip` frames. The observation is the brighter of the last two, pixel by pixel, grey, 84 x 84, behind
the three before it. Episodes begin in one of a few states that are computed when the environment is made (`start_states.py`),
for a console takes hundreds of frames to start; `Console.reset` is what then happens in between.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments import base
from purejaxrrl.environments.atari import preprocessing, start_states
from purejaxrrl.environments.atari.batching import over_lanes
from purejaxrrl.environments.atari.console import Console, ConsoleState
from purejaxrrl.environments.atari.games import GAMES
from purejaxrrl.environments.atari.observation import Viewer
from purejaxrrl.environments.atari.rom import check_name

STACK = 4
NOOP = 0
NUM_ALE_ACTIONS = 18


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EnvParams:
    """game: int32, place among the environment's games; what `reset` starts. A lane then plays that game for good."""

    game: jax.Array | int = 0


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
    game; the game's first mode and 0 unless given. num_start_states: successive resets of the console that episodes begin from.
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

    def __post_init__(self):
        if not 0.0 <= self.sticky_action_probability <= 1.0:
            raise ValueError(f"sticky_action_probability is {self.sticky_action_probability}; it must lie in [0, 1]")
        for name, least in (("frame_skip", 1), ("noop_max", 0), ("num_start_states", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.max_frames_in_episode < 1 or self.max_frames_in_episode % self.frame_skip:
            raise ValueError(
                f"max_frames_in_episode is {self.max_frames_in_episode}; it must be a positive multiple of "
                f"frame_skip, {self.frame_skip}"
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

    def __init__(self, game: str | Sequence[str], **settings: Any):
        self.games = (game,) if isinstance(game, str) else tuple(game)
        if not self.games:
            raise ValueError("no game was given; name at least one, such as 'breakout'")
        self.settings = Settings(**settings)
        self.console = Console(self.games, self.settings.mode, self.settings.difficulty)
        self.name = "atari/" + "+".join(self.games)
        self.default_params = EnvParams()
        several = len(self.games) > 1 or self.settings.full_action_set
        self.actions = tuple(range(NUM_ALE_ACTIONS)) if several else GAMES[self.games[0]].minimal_actions
        self.num_actions = len(self.actions)
        self._viewer = Viewer.of(self.games)
        self._starts = start_states.compute(
            self.console,
            self._viewer,
            self.settings.num_start_states,
            self.settings.noop_max,
            self.settings.fire_on_reset,
        )

    @property
    def all_params(self) -> EnvParams:
        """The params of every game on a leading axis, for `vmap` over lanes that each play another."""
        return EnvParams(jnp.arange(len(self.games)))

    def params_of(self, game: str) -> EnvParams:
        """The params with which `reset` starts that game."""
        check_name(game, self.games)
        return EnvParams(self.games.index(game))

    def observation_space(self, params: EnvParams | None = None) -> Any:
        """Box of uint8 [84, 84, 4]."""
        return base.box(0, 255, (preprocessing.SIZE, preprocessing.SIZE, STACK), jnp.uint8)

    def action_space(self, params: EnvParams | None = None) -> Any:
        """Discrete: `actions`, the ALE's values of which are chosen from."""
        return base.discrete(self.num_actions)

    def reset(self, key: jax.Array, params: EnvParams | None = None) -> tuple[jax.Array, AtariState]:
        """Starts an episode in one of the start states, drawn uniformly; consumes `key`."""
        game = jnp.asarray((self.default_params if params is None else params).game, jnp.int32)
        state = self._start(game, jax.random.randint(key, (), 0, self._starts.number))
        return state.stack, state

    def _start(self, game: jax.Array, place: jax.Array) -> AtariState:
        start = jax.tree.map(lambda leaf: leaf[game, place], self._starts)
        stack = jnp.pad(start.frame[..., None], ((0, 0), (0, 0), (STACK - 1, 0)))
        zero = jnp.int32(0)
        return AtariState(
            console=start.console,
            stack=stack,
            executed=start.executed,
            frames=zero,
            episode_return=jnp.float32(0.0),
            episode_length=zero,
        )

    def step(
        self, key: jax.Array, state: AtariState, action: jax.Array | int, params: EnvParams | None = None
    ) -> tuple[jax.Array, AtariState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """One agent step, with auto-reset (see `base.Environment.step`); consumes `key`.

        action: int32, place in `actions`; outside of them it is a no-op where traced, ValueError where static.

        Returns:
          observation, state, reward (float32), terminated, truncated (bool), info: final_observation; lives (int32) and
          episode_return (float32), episode_length (int32, agent steps), this step included; fault (bool): the
          emulator met what it does not know, and the episode cannot be trusted from there on; game_over (bool): the game
          itself ended, where `terminated` may also mean a lost life.
        """
        self._check(action)
        sticky_key, reset_key = jax.random.split(key)
        played, reward = self._play(sticky_key, state, jnp.asarray(action, jnp.int32))
        game_over = played.console.game_over
        at_limit = played.frames >= self.settings.max_frames_in_episode
        terminated = game_over
        if self.settings.terminal_on_life_loss:
            terminated |= played.console.lives < state.console.lives
        truncated = at_limit & ~terminated
        info = {
            "final_observation": played.stack,
            "lives": played.console.lives,
            "episode_return": played.episode_return,
            "episode_length": played.episode_length,
            "fault": played.console.fault,
            "game_over": game_over,
        }
        place = jax.random.randint(reset_key, (), 0, self._starts.number)
        following = self._restart(game_over | at_limit, place, played)
        clipped = jnp.clip(reward, -1.0, 1.0) if self.settings.clip_rewards else reward
        return following.stack, following, clipped, terminated, truncated, info

    def _check(self, action: jax.Array | int) -> None:
        if isinstance(action, (int, np.integer)) and not 0 <= action < self.num_actions:
            raise ValueError(
                f"action {action} is not one of {self.name}'s {self.num_actions}; give 0 to {self.num_actions - 1}"
            )

    def _play(self, key: jax.Array, state: AtariState, action: jax.Array) -> tuple[AtariState, jax.Array]:
        """The frames of a step: the state after them and the sum of their rewards, float32."""
        known = (action >= 0) & (action < self.num_actions)
        chosen = jnp.where(known, jnp.asarray(self.actions)[jnp.clip(action, 0, self.num_actions - 1)], NOOP)
        skip, sticky = self.settings.frame_skip, self.settings.sticky_action_probability
        repeats = jax.random.uniform(key, (skip,)) < sticky if sticky else jnp.zeros(skip, bool)

        def frame(carry, repeats):
            console, executed, reward, frames = carry
            executed = jnp.where(repeats, executed, chosen)
            frames += ~console.game_over
            console = self.console.act(console, executed)
            return (console, executed, reward + console.reward, frames), None

        start = (state.console, state.executed, jnp.int32(0), state.frames)
        (console, executed, reward, frames), _ = jax.lax.scan(frame, start, repeats)
        newest = self._viewer.observe(console)[..., None]
        reward = reward.astype(jnp.float32)
        return AtariState(
            console=console,
            stack=jnp.concatenate([state.stack[..., 1:], newest], -1),
            executed=executed,
            frames=frames,
            episode_return=state.episode_return + reward,
            episode_length=state.episode_length + 1,
        ), reward

    @functools.cached_property
    def _restart(self):
        """(ended, place, state) -> the state, or where the episode ended the start state at that place."""

        def lanes(ended: jax.Array, place: jax.Array, state: AtariState) -> AtariState:
            def restarted(state: AtariState) -> AtariState:
                return base.select(ended, jax.vmap(self._start)(state.console.game, place), state)

            return jax.lax.cond(jnp.any(ended), restarted, lambda state: state, state)

        return over_lanes(lanes)
