"""MinAtar (Young and Tian, 2019) through pgx: 10x10 boolean images, one channel per kind of object.

The games are pgx's and not copied here; pgx carries them under the GPL-3. What this adds is the protocol: auto-reset, the
true last observation and a time limit, which pgx's games do not have.
"""

import difflib
import importlib
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.environments import base

_CLASSES = {
    "asterix": "MinAtarAsterix",
    "breakout": "MinAtarBreakout",
    "freeway": "MinAtarFreeway",
    "seaquest": "MinAtarSeaquest",
    "space_invaders": "MinAtarSpaceInvaders",
}
GAMES = tuple(_CLASSES)


@struct.dataclass
class EnvParams:
    """`max_steps_in_episode`: agent steps after which an episode is truncated.

    pgx's Freeway terminates by itself at step 2,501, which a limit above 2,500 lets it reach.
    """

    max_steps_in_episode: int = 2500


@struct.dataclass
class MinAtarState:
    """`game` is pgx's state; `time` (int32) counts the agent steps of the running episode."""

    game: Any
    time: chex.Array


class MinAtar:
    """One MinAtar game with the minimal action set; observations are bool `[10, 10, channels]`.

    Args:
      game: one of `GAMES`.
      sticky_action_probability: chance, drawn at every step, that the previous action is repeated instead.

    Raises:
      ValueError: the game is unknown, or the probability is outside [0, 1].
    """

    def __init__(self, game: str, *, sticky_action_probability: float = 0.1):
        if game not in GAMES:
            nearest = difflib.get_close_matches(game, GAMES, n=2, cutoff=0.3) or GAMES
            raise ValueError(f"unknown MinAtar game {game!r}; the nearest are {', '.join(nearest)}")
        if not 0.0 <= sticky_action_probability <= 1.0:
            raise ValueError(f"sticky_action_probability is {sticky_action_probability}; it must lie in [0, 1]")
        self.name = f"minatar/{game}"
        self.default_params = EnvParams()
        # Importing pgx starts JAX's backends, after which `parallel.use_cores` could no longer divide them.
        module = importlib.import_module(f"pgx.minatar.{game}")
        self._game = getattr(module, _CLASSES[game])(sticky_action_prob=sticky_action_probability)
        self.num_actions = self._game.num_actions
        self._observation_shape = self._game.observation_shape

    def observation_space(self, params: EnvParams | None = None) -> Any:
        """Box of bool `[10, 10, channels]`."""
        return base.box(0, 1, self._observation_shape, jnp.bool_)

    def action_space(self, params: EnvParams | None = None) -> Any:
        """Discrete: the minimal action set."""
        return base.discrete(self.num_actions)

    def reset(self, key: chex.PRNGKey, params: EnvParams | None = None) -> tuple[chex.Array, MinAtarState]:
        """Starts an episode; consumes `key`."""
        game = self._game.init(key)
        return game.observation, MinAtarState(game, jnp.int32(0))

    def step(
        self, key: chex.PRNGKey, state: MinAtarState, action: chex.Array, params: EnvParams | None = None
    ) -> tuple[chex.Array, MinAtarState, chex.Array, chex.Array, chex.Array, dict[str, Any]]:
        """One agent step, with auto-reset (see `base.Environment.step`); consumes `key`."""
        params = self.default_params if params is None else params
        step_key, reset_key = jax.random.split(key)
        game = self._game.step(state.game, action, step_key)
        time = state.time + 1
        terminated = game.terminated
        truncated = ~terminated & (time >= params.max_steps_in_episode)
        observation, next_state = base.auto_reset(
            terminated | truncated, self.reset(reset_key, params), (game.observation, MinAtarState(game, time))
        )
        info = {"final_observation": game.observation}
        return observation, next_state, game.rewards[0], terminated, truncated, info
