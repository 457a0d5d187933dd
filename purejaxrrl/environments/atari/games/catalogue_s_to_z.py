"""The games from Seaquest to Zaxxon. Addresses are the console's, as in `src/ale/games/supported`."""

from purejaxrrl.environments.atari.games.catalogue_terms import (
    CROSS,
    CROSS_AND_FIRE,
    DOWN,
    DOWNFIRE,
    DOWNLEFT,
    DOWNRIGHT,
    FIRE,
    FULL,
    LEFT,
    LEFTFIRE,
    NOOP,
    RESET,
    RIGHT,
    RIGHTFIRE,
    SIDEWAYS_AND_FIRE,
    STICK,
    STICK_OR_FIRE,
    UP,
    UPFIRE,
    UPLEFT,
    UPRIGHT,
    game,
)
from purejaxrrl.environments.atari.games.modes import Act, Press, SoftReset, Step, Until, select
from purejaxrrl.environments.atari.games.ram_values import bcd, byte, decimal, digits, high, low, read
from purejaxrrl.environments.atari.games.spec import Rules


def _video_cube_steps(mode: int) -> tuple[Step, ...]:
    """The last two digits choose the game, the others the cube (1 where there are none), found by moving right."""
    cube, shown = mode // 100 or 1, (0, 2, 8)[mode % 100]
    return (
        Until(((read("bits0to4", 0xFB).equals(shown),),), (Press(2),)),
        SoftReset(),
        Until(((bcd(0x9F).equals(cube),),), (Act(RIGHT),)),
    )


ENTRIES = (
    game(
        "seaquest",
        FULL,
        Rules(score=decimal(0xBA, 0xB9, 0xB8), over=((byte(0xA3).nonzero(),),), lives=(byte(0xBB),), initial_lives=4),
        difficulties=(0, 1),
    ),
    game(
        "sir_lancelot",
        SIDEWAYS_AND_FIRE,
        Rules(
            score=decimal(0xA0, 0x9F, 0x9E),
            over=((byte(0xA9).equals(0), byte(0xA7).equals(0xA0)),),
            lives=(byte(0xA9),),
            lives_offset=0,
            initial_lives=3,
        ),
        starting_actions=(RESET, LEFT),
    ),
    game(
        "skiing",
        (NOOP, RIGHT, LEFT),
        Rules(
            score=(bcd(0xEA, -1), bcd(0xE9, -100), byte(0xE8, -6000)),
            over=((byte(0x91).equals(0xFF),),),
            lives_offset=0,
            initial_lives=0,
        ),
        starting_actions=(DOWN,) * 16,
        legal_actions=STICK,
    ),
    game(
        "solaris",
        FULL,
        Rules(
            score=decimal(0xDC, 0xDD, 0xDE, times=10),
            over=((byte(0xD9).equals(0),),),
            lives=(low(0xD9),),
            lives_offset=0,
            initial_lives=3,
        ),
    ),
    game(
        "space_invaders",
        SIDEWAYS_AND_FIRE,
        Rules(
            score=decimal(0xE8, 0xE6),
            wrap=10_000,
            over=((read("bit7", 0x98).equals(1),), (byte(0xC9).equals(0),)),
            lives=(byte(0xC9),),
            lives_offset=0,
            initial_lives=3,
        ),
        mode_steps=select(byte(0xDC), tuple(range(16))),
        difficulties=(0, 1),
    ),
    game(
        "space_war",
        FULL,
        Rules(score=decimal(0xA7), over=((bcd(0xA7).equals(10),), (byte(0x80).equals(0),))),
        mode_steps=select(bcd(0xA7), tuple(range(6, 18))),
    ),
    game(
        "star_gunner",
        FULL,
        Rules(
            score=digits("low_or_blank", 0x83, 0x84, 0x85, 0x86, times=100),
            start=byte(0x87).equals(5),
            over=((byte(0x87).equals(0),),),
            lives=(low(0x87),),
            lives_offset=0,
            unstarted_lives=5,
            initial_lives=5,
        ),
        mode_steps=select(byte(0xF4), (0, 1, 2, 3), 15),
    ),
    game("superman", FULL, Rules(), difficulties=(0, 1, 2, 3)),
    game(
        "surround",
        CROSS,
        Rules(score=(bcd(0xF7), bcd(0xF6, -1)), over=((bcd(0xF6).equals(10),), (bcd(0xF7).equals(10),))),
        mode_steps=select(byte(0xF9), (0, 2), shown=lambda mode: mode + 1),
        difficulties=(0, 1, 2, 3),
    ),
    game(
        "tennis",
        FULL,
        Rules(lives_offset=0, initial_lives=0),
        mode_steps=select(byte(0x80), (0, 2)),
        difficulties=(0, 1, 2, 3),
    ),
    game(
        "tetris",
        (NOOP, FIRE, RIGHT, LEFT, DOWN),
        Rules(
            score=decimal(0xF1, 0xF2),
            reward_range=(0, 2**30),
            over=((read("bit7", 0xF3).equals(1),),),
            lives_offset=0,
            initial_lives=0,
        ),
    ),
    game("tic_tac_toe_3d", STICK_OR_FIRE, Rules(), mode_steps=select(byte(0x88), tuple(range(9))), difficulties=(0, 2)),
    game(
        "time_pilot",
        CROSS_AND_FIRE,
        Rules(
            score=decimal(0x8D, 0x8F, times=100),
            over=((byte(0xA0).nonzero(),),),
            lives=(read("bits0to2", 0x8B),),
            lives_update=low(0x80).equals(2),
            initial_lives=5,
        ),
        difficulties=(0, 1, 2),
    ),
    game(
        "trondead",
        FULL,
        Rules(
            score=decimal(0xBF, 0xBE, 0xBD),
            over=((byte(0xC8).equals(5),),),
            lives=(byte(0xC8, -1),),
            lives_offset=5,
            initial_lives=5,
        ),
        difficulties=(0, 1),
    ),
    game(
        "turmoil",
        (*STICK_OR_FIRE, RIGHTFIRE, LEFTFIRE),
        Rules(
            score=(*decimal(0x89, 0x8A, times=10), byte(0xD3, 10)),
            over=((byte(0xB9).equals(0), byte(0xC5).equals(1)),),
            lives=(byte(0xB9),),
            lives_offset=0,
            initial_lives=4,
        ),
        mode_steps=select(byte(0xEA), tuple(range(9))),
        starting_actions=(FIRE,),
    ),
    game(
        "tutankham",
        (NOOP, UP, RIGHT, LEFT, DOWN, UPFIRE, RIGHTFIRE, LEFTFIRE),
        Rules(
            score=decimal(0x9C, 0x9A),
            over=((byte(0x9E).equals(0), byte(0x81).at_most(0x83)), (byte(0x9E).equals(0), byte(0x81).at_least(0x85))),
            lives=(read("bits0to1", 0x9E),),
            lives_offset=0,
            initial_lives=3,
        ),
        mode_steps=select(byte(0xAB), (0, 4, 8, 12)),
    ),
    game(
        "up_n_down",
        (NOOP, FIRE, UP, DOWN, UPFIRE, DOWNFIRE),
        Rules(
            score=decimal(0x82, 0x81, 0x80),
            over=((byte(0x94).at_least(0x41), low(0x86).equals(0)),),
            lives=(low(0x86),),
            initial_lives=5,
        ),
        difficulties=(0, 1, 2, 3),
        starting_actions=(FIRE,),
    ),
    game(
        "venture",
        FULL,
        Rules(
            score=decimal(0xC8, 0xC7, times=100),
            over=((byte(0xC6).equals(0), byte(0xCD).equals(0xFF), read("bit7", 0xBF).equals(1)),),
            lives=(read("bits0to2", 0xC6),),
            initial_lives=4,
        ),
        difficulties=(0, 1, 2, 3),
    ),
    game(
        "video_checkers",
        (FIRE, UPRIGHT, UPLEFT, DOWNRIGHT, DOWNLEFT),
        Rules(),
        mode_steps=select(
            byte(0xF6), (*range(1, 10), *range(11, 20)), 1, shown=lambda mode: mode + 6 if mode >= 11 else mode
        ),
    ),
    game("video_chess", STICK_OR_FIRE, Rules(), mode_steps=select(byte(0xEA), (0, 1, 2, 3, 4), 1)),
    game(
        "video_cube",
        FULL,
        Rules(edge=(0xDB, 255, 0)),
        mode_steps={
            mode: _video_cube_steps(mode) for mode in (100 * cube + kind for cube in range(51) for kind in range(3))
        },
        difficulties=(0, 1),
        starting_actions=(NOOP,) * 61 + (FIRE, NOOP, NOOP),
    ),
    game(
        "video_pinball",
        (*STICK_OR_FIRE[:6], UPFIRE, RIGHTFIRE, LEFTFIRE),
        Rules(
            score=decimal(0xB0, 0xB2, 0xB4),
            over=((read("bit0", 0xAF).equals(1),),),
            lives=(read("bit0", 0xA8), read("bits0to2", 0x99, -1)),
            lives_offset=4,
            initial_lives=3,
        ),
        mode_steps=select(byte(0xC1), (0, 2)),
        difficulties=(0, 1),
    ),
    game(
        "wizard_of_wor",
        CROSS_AND_FIRE,
        Rules(
            score=decimal(0x86, 0x88, times=100),
            rollover=800_000,
            over=((low(0x8D).equals(0), byte(0xF4).equals(0xF8)),),
            lives=(low(0x8D),),
            lives_offset=0,
            lives_update=read("bit0", 0xD7).equals(0),
            initial_lives=3,
        ),
        difficulties=(0, 1),
    ),
    game(
        "word_zapper",
        FULL,
        Rules(),
        mode_steps=select(byte(0xDB), tuple(range(24))),
        difficulties=(0, 1, 2, 3),
        starting_actions=(NOOP,) * 486 + (FIRE, NOOP, NOOP),
    ),
    game(
        "yars_revenge",
        FULL,
        Rules(
            score=decimal(0xE2, 0xE1, 0xE0),
            over=((high(0x9E).equals(0),),),
            lives=(high(0x9E),),
            lives_offset=0,
            initial_lives=4,
        ),
        mode_steps=select(byte(0xE3), (0, 0x20, 0x40, 0x60), 1, (Press(2),)),
        difficulties=(0, 1),
        starting_actions=(FIRE,),
    ),
    game(
        "zaxxon",
        FULL,
        Rules(
            score=decimal(0xE9, 0xE8, times=100),
            over=((read("bits0to2", 0xEA).equals(0),),),
            lives=(read("bits0to2", 0xEA),),
            lives_offset=0,
            initial_lives=5,
        ),
        mode_steps=select(byte(0x82), (0, 8, 16, 24), 10),
    ),
)
