"""pgx's Seaquest mended to be MinAtar's, which ours is compared with.

- Oxygen: MinAtar (since 1.0.11) ends the episode in a step that begins with none left, and shows an empty bar from then on.
  pgx goes on for one step, and below zero shows nine of the bar's ten cells.
- Enemy bullets: MinAtar removes those that leave the screen. pgx keeps them, and what moves and hits are only the bullets
  before the first that has left on the left side: others hang in the water, harmless. Those that left on the right fill
  the table of 25, after which no bullet moves or hits any more.
- Submarines: MinAtar's that swims into a bullet of the agent shoots once more where that is due; pgx's is gone before. This is not
  mended: comparisons leave it out, and it is tested by hand and against MinAtar.
- Tables: MinAtar's lists have no end. In a full table pgx writes a newcomer over the first; ours, which no test fills, drops it.
- Difficulty: MinAtar's enemies move faster after every second surfacing; pgx's after the first, the third and the fifth.
"""

import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.minatar_seaquest import State, Things

_OXYGEN_BAR = np.zeros((10, 10, 10), bool)
_OXYGEN_BAR[9, :, 7] = True
COLUMNS = "x", "y", "right", "wait", "reload"
SCALARS = {
    "terminated": "terminated", "_sub_x": "x", "_sub_y": "y", "_sub_or": "right", "_oxygen": "oxygen", "_diver_count": "carried",
    "_e_spawn_timer": "enemy_spawn", "_d_spawn_timer": "diver_spawn", "_e_spawn_speed": "spawn_interval", "_move_speed": "enemy_wait",
    "_ramp_index": "surfacings", "_shot_timer": "reload", "_surface": "surfaced", "_last_action": "last_action",
}  # fmt: skip


def mended(before, after):
    """pgx's state `after` a step from `before`, as MinAtar has it; consumes no key."""
    terminated = after.terminated | (before._oxygen <= 0)
    return after.replace(
        observation=after.observation & ~(_OXYGEN_BAR & (after._oxygen < 0)),
        terminated=terminated,
        _terminal=terminated,
        _e_bullets=_on_screen(after._e_bullets),
        _move_speed=jnp.maximum(5 - after._ramp_index // 2, 2),
    )


def _on_screen(bullets):
    """The rows (x, y, direction) of int32 `[25, 3]` that are on the screen, in their order; the rest are -1, as pgx's free rows."""
    on = (bullets[:, 0] >= 0) & (bullets[:, 0] < 10)
    goes_to = on[:, None] & ((jnp.cumsum(on) - 1)[:, None] == jnp.arange(len(bullets)))
    return jnp.where(goes_to[..., None], bullets[:, None] + 1, 0).sum(0) - 1


def as_ours(game):
    """pgx's state as ours."""
    bullets = game._e_bullets
    rows, columns = jnp.where(bullets[:, 0] >= 0, bullets[:, 1], 10), bullets[:, 0]
    grids = [
        jnp.zeros((10, 10), jnp.int32).at[jnp.where(bullets[:, 2] == right, rows, 10), columns].set(1, mode="drop")
        for right in (0, 1)
    ]
    scalars = {ours: getattr(game, theirs) for theirs, ours in SCALARS.items()}
    return State(
        observation=game.observation,
        rewards=game.rewards,
        bullets=_things(game._f_bullets),
        fish=_things(game._e_fish),
        submarines=_things(game._e_subs),
        divers=_things(game._divers),
        enemy_bullets=jnp.stack([(grid << jnp.arange(10)).sum(1) for grid in grids]),
        **scalars | {"right": scalars["right"].astype(jnp.int32)},
    )


def _things(table):
    there = table[:, 0] >= 0
    columns = {name: jnp.where(there, table[:, i], 0) for i, name in enumerate(COLUMNS[: table.shape[1]])}
    none = Things.none(len(table))
    return none.replace(**columns | {"x": table[:, 0]})
