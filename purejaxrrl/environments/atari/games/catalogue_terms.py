"""How the catalogue's entries are written."""

from __future__ import annotations

from purejaxrrl.environments.atari.games.modes import Step
from purejaxrrl.environments.atari.games.spec import GameSpec, Rules

(
    NOOP,
    FIRE,
    UP,
    RIGHT,
    LEFT,
    DOWN,
    UPRIGHT,
    UPLEFT,
    DOWNRIGHT,
    DOWNLEFT,
    UPFIRE,
    RIGHTFIRE,
    LEFTFIRE,
    DOWNFIRE,
    UPRIGHTFIRE,
    UPLEFTFIRE,
    DOWNRIGHTFIRE,
    DOWNLEFTFIRE,
) = FULL = tuple(range(18))
RESET = 40

STICK = (NOOP, UP, RIGHT, LEFT, DOWN, UPRIGHT, UPLEFT, DOWNRIGHT, DOWNLEFT)
STICK_OR_FIRE = tuple(range(10))
CROSS = (NOOP, UP, RIGHT, LEFT, DOWN)
CROSS_OR_FIRE = (NOOP, FIRE, UP, RIGHT, LEFT, DOWN)
CROSS_AND_FIRE = (NOOP, FIRE, UP, RIGHT, LEFT, DOWN, UPFIRE, RIGHTFIRE, LEFTFIRE, DOWNFIRE)
SIDEWAYS_OR_FIRE = (NOOP, FIRE, RIGHT, LEFT)
SIDEWAYS_AND_FIRE = (NOOP, FIRE, RIGHT, LEFT, RIGHTFIRE, LEFTFIRE)


def game(
    name: str,
    minimal_actions: tuple[int, ...],
    rules: Rules,
    *,
    mode_steps: dict[int, tuple[Step, ...]] | None = None,
    difficulties: tuple[int, ...] = (0,),
    starting_actions: tuple[int, ...] = (),
    legal_actions: tuple[int, ...] = FULL,
    paddle_max: int | None = None,
) -> GameSpec:
    """An entry. The catalogue sets `game_id`; the default mode is the first, as in the ALE."""
    mode_steps = {0: ()} if mode_steps is None else mode_steps
    modes = tuple(mode_steps)
    return GameSpec(
        name=name,
        game_id=-1,
        minimal_actions=minimal_actions,
        legal_actions=legal_actions,
        starting_actions=starting_actions,
        modes=modes,
        default_mode=modes[0],
        difficulties=difficulties,
        mode_steps=mode_steps,
        paddle_max=paddle_max,
        rules=rules,
    )
