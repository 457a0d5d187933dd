"""Our environments as trainers written for gymnax before 1.0 unpack them: PureJaxRL's, Rejax 0.1's, PureJaxQL's."""

from typing import Any

import chex

from purejaxrrl.environments.base import Environment


class FiveValues:
    """`step` returns `obs, state, reward, done, info`; everything else is the environment's own.

    Such a trainer bootstraps from nothing where an episode ends, time limits included: `done` does not tell them apart.

    Args:
      final_observation: keep it in `info`. Trainers that stack the `info` of a whole training have no memory for it.
    """

    def __init__(self, environment: Environment, final_observation: bool = False):
        self._environment, self._final_observation = environment, final_observation

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") or attribute == "_environment":  # copying and pickling ask before __init__ ran
            raise AttributeError(attribute)
        return getattr(self._environment, attribute)

    def reset(self, key: chex.PRNGKey, params: Any = None) -> tuple[chex.Array, Any]:
        return self._environment.reset(key, params)

    def step(
        self, key: chex.PRNGKey, state: Any, action: chex.Array, params: Any = None
    ) -> tuple[chex.Array, Any, chex.Array, chex.Array, dict[str, Any]]:
        """`done` is bool: terminated or truncated, which are in `info`."""
        observation, state, reward, terminated, truncated, info = self._environment.step(key, state, action, params)
        info = {**info, "terminated": terminated, "truncated": truncated}
        if not self._final_observation:
            info.pop("final_observation", None)
        return observation, state, reward, terminated | truncated, info
