"""MinAtar (Young and Tian, 2019) through pgx: 10x10 boolean images, one channel per kind of object.

Four of the games are pgx's and not copied here; pgx carries them under the GPL-3. What this adds is the protocol: auto-reset, the
true last observation and a time limit, which pgx's games do not have. Seaquest is written anew (`minatar_seaquest`).
"""

import dataclasses
import functools
import importlib
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.environments import base, minatar_seaquest, options
from purejaxrrl.errors import UserError, nearest

_PGXS = {
    "asterix": "MinAtarAsterix",
    "breakout": "MinAtarBreakout",
    "freeway": "MinAtarFreeway",
    "space_invaders": "MinAtarSpaceInvaders",
}
GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")


@struct.dataclass
class EnvParams:
    """`max_steps_in_episode`: agent steps after which an episode is truncated.

    pgx's Freeway terminates by itself at step 2,501, which a limit above 2,500 lets it reach.
    """

    max_steps_in_episode: int = 2500


@struct.dataclass
class MinAtarState:
    """`game` is the game's own state, most often pgx's; `time` (int32) counts the agent steps of the running episode."""

    game: Any
    time: chex.Array


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `MinAtar` can be told.

    sticky_action_probability: chance, drawn at every step, that the previous action is repeated instead.
    """

    sticky_action_probability: float = 0.1

    def __post_init__(self):
        if not 0.0 <= self.sticky_action_probability <= 1.0:
            raise UserError(f"sticky_action_probability is {self.sticky_action_probability}; it must lie in [0, 1]")


def _game(name: str, sticky_action_probability: float) -> Any:
    """A game with pgx's calls, without auto-reset."""
    if name == "seaquest":
        return minatar_seaquest.Seaquest(sticky_action_probability)
    # Importing pgx starts JAX's backends, after which `devices.use_cores` could no longer divide them.
    module = importlib.import_module(f"pgx.minatar.{name}")
    return getattr(module, _PGXS[name])(sticky_action_prob=sticky_action_probability)


class MinAtar:
    """One MinAtar game with the minimal action set; observations are bool `[10, 10, channels]`.

    Args:
      game: one of `GAMES`.
      **settings: see `Settings`.

    Raises:
      ValueError: the game is unknown, or a setting is out of range.
    """

    settings_type = Settings
    frames_per_step = 1

    @base.as_written  # also what pgx makes when it is imported
    def __init__(self, game: str, **settings: Any):
        if game not in GAMES:
            raise UserError(f"unknown MinAtar game {game!r}; the nearest are {nearest(game, GAMES)}")
        self.settings = Settings(**settings)
        self.name = f"minatar/{game}"
        self.default_params = EnvParams()
        self._game = _game(game, self.settings.sticky_action_probability)
        self.num_actions = self._game.num_actions
        self._observation_shape = self._game.observation_shape

    @property
    def options(self) -> dict[str, Any]:
        """The settings other than defaults, as JSON holds them."""
        return options.non_default(self.settings)

    def observation_space(self, params: EnvParams | None = None) -> Any:
        """Box of bool `[10, 10, channels]`."""
        return base.box(0, 1, self._observation_shape, jnp.bool_)

    def action_space(self, params: EnvParams | None = None) -> Any:
        """Discrete: the minimal action set."""
        return base.discrete(self.num_actions)

    def reset(self, key: chex.PRNGKey, params: EnvParams | None = None) -> tuple[chex.Array, MinAtarState]:
        """Starts an episode; consumes `key`."""
        return self._first(key)

    @base.as_written
    @functools.partial(jax.jit, static_argnames="self")
    def _first(self, key: chex.PRNGKey) -> tuple[chex.Array, MinAtarState]:
        """`reset`, which gymnax's vector wrapper replaces by one of many environments."""
        game = self._game.init(key)
        return game.observation, MinAtarState(game, jnp.int32(0))

    def step(
        self, key: chex.PRNGKey, state: MinAtarState, action: chex.Array, params: EnvParams | None = None
    ) -> tuple[chex.Array, MinAtarState, chex.Array, chex.Array, chex.Array, dict[str, Any]]:
        """One agent step, with auto-reset (see `base.Environment.step`); consumes `key`.

        action: as `base.discrete_action` has it.
        """
        params = base.int32(self.default_params if params is None else params)
        return self._step(key, state, base.discrete_action(self, action), params)

    @base.as_written
    @functools.partial(jax.jit, static_argnames="self")
    def _step(
        self, key: chex.PRNGKey, state: MinAtarState, action: chex.Array, params: EnvParams
    ) -> tuple[chex.Array, MinAtarState, chex.Array, chex.Array, chex.Array, dict[str, chex.Array]]:
        step_key, reset_key = jax.random.split(key)
        game = self._game.step(state.game, action, step_key)
        time = state.time + 1
        terminated = game.terminated
        truncated = ~terminated & (time >= params.max_steps_in_episode)
        observation, next_state = base.auto_reset(
            terminated | truncated, self._first(reset_key), (game.observation, MinAtarState(game, time))
        )
        info = {"final_observation": game.observation}
        return observation, next_state, game.rewards[0], terminated, truncated, info
