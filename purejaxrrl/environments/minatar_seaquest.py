"""What MinAtar's Seaquest does and pgx 2.6's does not, over the fields of pgx's state.

- Oxygen: MinAtar (since 1.0.11) ends the episode in a step that begins with none left, and shows an empty bar from then on.
  pgx goes on for one step, and below zero shows nine of the bar's ten cells.
- Enemy bullets: MinAtar removes those that leave the screen. pgx keeps them, and what moves and hits are only the bullets
  before the first that has left on the left side: others hang in the water, harmless. Those that left on the right fill
  the table of 25, after which no bullet moves or hits any more.
- Difficulty: MinAtar's enemies move faster after every second surfacing; pgx's after the first, the third and the fifth.
"""

from typing import Any

import chex
import jax.numpy as jnp
import numpy as np

_WIDTH = 10
_SLOWEST, _FASTEST = 5, 2
_OXYGEN_BAR = np.zeros((10, 10, 10), bool)
_OXYGEN_BAR[9, :, 7] = True


def mended(before: Any, after: Any) -> Any:
    """pgx's state `after` a step from `before`, as MinAtar has it; consumes no key."""
    terminated = after.terminated | (before._oxygen <= 0)
    return after.replace(
        observation=after.observation & ~(_OXYGEN_BAR & (after._oxygen < 0)),
        terminated=terminated,
        _terminal=terminated,
        _e_bullets=_on_screen(after._e_bullets),
        _move_speed=jnp.maximum(_SLOWEST - after._ramp_index // 2, _FASTEST),
    )


def _on_screen(bullets: chex.Array) -> chex.Array:
    """The rows (x, y, direction) of int32 `[25, 3]` that are on the screen, in their order; the rest are -1, as pgx's free rows."""
    on = (bullets[:, 0] >= 0) & (bullets[:, 0] < _WIDTH)
    goes_to = on[:, None] & ((jnp.cumsum(on) - 1)[:, None] == jnp.arange(len(bullets)))
    return jnp.where(goes_to[..., None], bullets[:, None] + 1, 0).sum(0) - 1
