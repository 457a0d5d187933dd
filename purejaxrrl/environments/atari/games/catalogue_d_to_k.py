"""The games from Darkchambers to Kung-Fu Master. Addresses are the console's, as in `src/ale/games/supported`."""

from purejaxrrl.environments.atari.games.catalogue_terms import (
    CROSS,
    CROSS_OR_FIRE,
    DOWN,
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
    SIDEWAYS_OR_FIRE,
    STICK,
    UP,
    UPFIRE,
    game,
)
from purejaxrrl.environments.atari.games.modes import (
    Act,
    Press,
    SoftReset,
    Step,
    Until,
    UntilChanged,
    select,
    select_until,
)
from purejaxrrl.environments.atari.games.ram_values import bcd, byte, cartridge, decimal, digits, low, read
from purejaxrrl.environments.atari.games.spec import UNBOUNDED, Rules


def _double_dunk_menu(mode: int) -> tuple[Step, ...]:
    """Walk down the menu and set four options, one a bit of the mode, to the right (on) or left (off)."""
    down = UntilChanged(byte(0xB0).index, (Act(DOWN), Act(NOOP)))

    def option(bit: str, on: int) -> Until:
        return Until(((read(bit, 0x80).equals(on),),), (Act(RIGHT if on else LEFT), Act(NOOP)))

    steps: list[Step] = [Press(1), down]
    for place, bit in enumerate(("bit3", "bit4", "bit2", "bit5")):
        steps += [down, option(bit, mode >> place & 1)]
    return (*steps, SoftReset(), Act(UPFIRE), Act(NOOP))


ENTRIES = (
    game("darkchambers", FULL, Rules(), starting_actions=(NOOP,) * 486),
    game(
        "defender",
        FULL,
        Rules(
            score=digits("low_or_blank", 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1),
            over=((byte(0xC2).equals(0),),),
            lives=(byte(0xC2),),
            lives_offset=0,
            initial_lives=3,
        ),
        mode_steps=select(byte(0x9B), (*range(1, 10), 16)),
        difficulties=(0, 1),
    ),
    game(
        "demon_attack",
        SIDEWAYS_AND_FIRE,
        Rules(
            score=decimal(0x85, 0x83, 0x81),
            blank=(byte(0x81).equals(0xAB), byte(0x83).equals(0xCD), byte(0x85).equals(0xEA)),
            over=((byte(0xF2).equals(0), byte(0xF1).equals(0xBD)),),
            lives=(byte(0xF2),),
            initial_lives=4,
        ),
        mode_steps=select(byte(0xEA), (1, 3, 5, 7), 1),
        difficulties=(0, 1),
    ),
    game(
        "donkey_kong",
        FULL,
        Rules(
            score=decimal(0x88, 0x87, times=100),
            over=((byte(0xA3).equals(0), byte(0x8F).equals(0x03), byte(0x8B).equals(0x1F)),),
            lives=(byte(0xA3),),
            lives_offset=0,
            initial_lives=2,
        ),
    ),
    game(
        "double_dunk",
        FULL,
        Rules(
            score=(bcd(0xF6), bcd(0xF7, -1)),
            over=((bcd(0xF6).at_least(24), byte(0xFE).equals(0xE7)), (bcd(0xF7).at_least(24), byte(0xFE).equals(0xE7))),
            lives_offset=0,
            initial_lives=0,
        ),
        mode_steps={mode: _double_dunk_menu(mode) for mode in range(16)},
        starting_actions=(UPFIRE,),
    ),
    game("earthworld", FULL, Rules(score=decimal(0xA7), over=((bcd(0xA7).equals(10),),))),
    game(
        "elevator_action",
        FULL,
        Rules(
            score=decimal(0x89, 0x88, 0x87),
            over=((byte(0x83).equals(0), byte(0x81).nonzero()),),
            lives=(byte(0x83),),
            lives_offset=0,
            initial_lives=4,
        ),
        starting_actions=(FIRE,) * 16,
    ),
    game(
        "enduro",
        (NOOP, FIRE, RIGHT, LEFT, DOWN, DOWNRIGHT, DOWNLEFT, RIGHTFIRE, LEFTFIRE),
        Rules(over=((byte(0xAF).equals(0xFF),),), lives_offset=0, initial_lives=0),
        starting_actions=(FIRE,),
    ),
    game(
        "entombed",
        FULL,
        Rules(score=(byte(0xE3),), over=((read("bits0to1", 0xC7).equals(0),),)),
        difficulties=(0, 2),
        starting_actions=(FIRE,) + (NOOP,) * 5,
    ),
    game(
        "et",
        FULL,
        Rules(
            score=decimal(0xE1, 0xE0, 0xDF),
            over=((byte(0xE5).equals(0xFF), byte(0x80).equals(8)),),
            lives=(read("signed_successor", 0xE5),),
            lives_offset=0,
            initial_lives=0,
        ),
        mode_steps=select(byte(0xEA), (0, 1, 2), 25, shown=lambda mode: mode + 1),
        difficulties=(0, 1, 2, 3),
    ),
    game(
        "fishing_derby",
        FULL,
        Rules(
            score=(bcd(0xBD), bcd(0xBE, -1)),
            over=((byte(0xBD).equals(0x99),), (byte(0xBE).equals(0x99),)),
            lives_offset=0,
            initial_lives=0,
        ),
        difficulties=(0, 1, 2, 3),
    ),
    game(
        "flag_capture",
        FULL,
        Rules(score=decimal(0xEA), over=((byte(0xEB).equals(0),),)),
        mode_steps=select(byte(0xD6), (8, 9, 10)),
    ),
    game(
        "freeway",
        (NOOP, UP, DOWN),
        Rules(
            score=decimal(0xE7), reward_range=(0, 1), over=((byte(0x96).equals(1),),), lives_offset=0, initial_lives=0
        ),
        mode_steps=select(byte(0x80), tuple(range(8)), 1),
        difficulties=(0, 1),
    ),
    game(
        "frogger",
        CROSS,
        Rules(
            score=decimal(0xCE, 0xCC),
            over=((byte(0xD0).equals(0xFF),),),
            lives=(byte(0xD0),),
            lives_offset=0,
            initial_lives=4,
        ),
        mode_steps=select(byte(0xDD), (0, 1, 2), shown=lambda mode: 1 + 2 * mode),
        difficulties=(0, 1),
    ),
    game(
        "frostbite",
        FULL,
        Rules(
            score=decimal(0xCA, 0xC9, 0xC8),
            over=((low(0xCC).equals(0), read("bit7", 0xF1).equals(1)),),
            lives=(low(0xCC),),
            initial_lives=4,
        ),
        mode_steps=select(byte(0x80), (0, 2), 1),
    ),
    game(
        "galaxian",
        SIDEWAYS_AND_FIRE,
        Rules(
            score=decimal(0xAE, 0xAD, 0xAC),
            wrap=1_000_000,
            over=((read("bit7", 0xBF).equals(1),),),
            lives=(byte(0xB9),),
            initial_lives=3,
        ),
        mode_steps=select(byte(0xB3), tuple(range(1, 10)), 1),
        difficulties=(0, 1),
    ),
    game(
        "gopher",
        (NOOP, FIRE, UP, RIGHT, LEFT, UPFIRE, RIGHTFIRE, LEFTFIRE),
        Rules(
            score=decimal(0xB2, 0xB1, 0xB0),
            over=((read("bits0to2", 0xB4).equals(0),),),
            lives=(read("carrots", 0xB4),),
            lives_offset=0,
            initial_lives=3,
        ),
        mode_steps=select(byte(0xD3), (0, 2), 5, (SoftReset(),)),
        difficulties=(0, 1),
        starting_actions=(FIRE,),
    ),
    game(
        "gravitar",
        FULL,
        Rules(
            score=decimal(0x89, 0x88, 0x87),
            over=((byte(0x81).equals(1),),),
            lives=(byte(0x84),),
            lives_exception=(byte(0x81).equals(0), 6),
            initial_lives=6,
        ),
        mode_steps=select(byte(0x80), (0, 1, 2, 3, 4), 10),
        starting_actions=(FIRE,) * 16,
    ),
    game(
        "hangman",
        FULL,
        Rules(score=(bcd(0xEB), bcd(0xEC, -1)), edge=(0xF1, 255, 0)),
        mode_steps=select(byte(0xEE), (0, 1, 2, 3)),
        difficulties=(0, 1),
    ),
    game(
        "haunted_house",
        FULL,
        Rules(
            score=decimal(0x82),
            over=((byte(0x96).equals(0),), (byte(0x99).equals(0x44),)),
            lives=(byte(0x96),),
            lives_offset=0,
            initial_lives=9,
        ),
        mode_steps=select(byte(0xCC), tuple(range(9))),
        difficulties=(0, 1),
    ),
    game(
        "hero",
        FULL,
        Rules(
            score=decimal(0xB9, 0xB8, 0xB7),
            over=((byte(0xB3).equals(0),),),
            lives=(byte(0xB3),),
            lives_offset=0,
            initial_lives=4,
        ),
        mode_steps=select(byte(0x80), (0, 1, 2, 3, 4), 1),
    ),
    game(
        "human_cannonball",
        FULL,
        Rules(score=decimal(0xB6), over=((bcd(0xB6).equals(7),), (bcd(0xB7).equals(7),))),
        mode_steps=select_until({mode: ((byte(0xB6).equals(mode + 1), byte(0xB7).equals(1)),) for mode in range(8)}, 2),
        difficulties=(0, 1),
    ),
    game(
        "ice_hockey",
        FULL,
        Rules(
            score=(bcd(0x8A), bcd(0x8B, -1)),
            reward_range=(-UNBOUNDED, 1),
            over=((byte(0x87).equals(0), byte(0x86).equals(0)),),
            lives_offset=0,
            initial_lives=0,
        ),
        mode_steps=select(byte(0x80), (0, 2)),
        difficulties=(0, 1, 2, 3),
    ),
    game(
        "jamesbond",
        FULL,
        Rules(
            score=decimal(0xDC, 0xDD, 0xDE),
            over=((low(0x86).equals(0), byte(0x8C).equals(0x68)),),
            lives=(low(0x86),),
            initial_lives=6,
        ),
        mode_steps=select_until(
            {mode: ((byte(0x8C).equals(mode),), (byte(0x8C).equals(mode + 0x48),)) for mode in (0, 1)}, 20
        ),
    ),
    game(
        "journey_escape",
        (NOOP, *range(UP, UPFIRE), *range(RIGHTFIRE, 18)),
        Rules(
            score=decimal(0x92, 0x91, 0x90),
            ignored=50_000,
            over=((byte(0x95).equals(0), byte(0x96).equals(0)),),
            lives_offset=0,
            initial_lives=0,
        ),
        difficulties=(0, 1),
        starting_actions=(FIRE,),
    ),
    game(
        "kaboom",
        SIDEWAYS_OR_FIRE,
        Rules(score=decimal(0xA5, 0xA4, 0xA3), over=((byte(0xA1).equals(0),),), over_score=(999_999, 999_999)),
        starting_actions=(FIRE,),
    ),
    game(
        "kangaroo",
        FULL,
        Rules(
            score=decimal(0xA8, 0xA7, times=100),
            over=((byte(0xAD).equals(0xFF),),),
            lives=(read("bits0to2", 0xAD),),
            initial_lives=3,
        ),
        mode_steps=select_until(
            {mode: ((byte(0xBA).equals(mode),), (byte(0xBA).equals(mode + 0x80),)) for mode in (0, 1)}, 2
        ),
    ),
    game(
        "keystone_kapers",
        tuple(range(14)),
        Rules(
            score=decimal(0x9C, 0x9B),
            over=((byte(0x96).equals(0), byte(0x88).equals(0)),),
            lives=(byte(0x96),),
            lives_offset=0,
            initial_lives=3,
        ),
        starting_actions=(RESET,),
    ),
    game(
        "king_kong",
        CROSS_OR_FIRE,
        Rules(
            score=decimal(0x83, 0x82),
            over=((byte(0xEE).equals(0),),),
            lives=(byte(0xEE),),
            lives_offset=0,
            initial_lives=3,
        ),
        mode_steps=select(byte(0xEC), (0, 1, 2, 3), shown=lambda mode: 2 * mode),
    ),
    game(
        "klax",
        FULL,
        Rules(
            score=tuple(
                cartridge("bcd", address, 100**place) for place, address in enumerate((0xF0B4, 0xF0B5, 0xF0B6))
            ),
            over=((cartridge("byte", 0xF09D).equals(0x99),),),
        ),
        mode_steps=select(cartridge("byte", 0xF0EA), (0, 1, 2)),
        starting_actions=(FIRE, NOOP),
    ),
    game(
        "koolaid",
        STICK,
        Rules(
            score=decimal(0x81, 0x80, times=100), over=((byte(0xD1).equals(0x80),),), lives_offset=0, initial_lives=0
        ),
    ),
    game(
        "krull",
        FULL,
        Rules(
            score=decimal(0x9E, 0x9D, 0x9C),
            over=((byte(0x9F).equals(0), byte(0xA2).equals(3), byte(0x80).equals(0x80)),),
            lives=(read("bits0to2", 0x9F),),
            initial_lives=3,
        ),
    ),
    game(
        "kung_fu_master",
        (*CROSS[:1], UP, RIGHT, LEFT, DOWN, DOWNRIGHT, DOWNLEFT, *range(RIGHTFIRE, 18)),
        Rules(
            score=decimal(0x9A, 0x99, 0x98),
            over=((byte(0x9D).equals(0xFF),),),
            lives=(read("bits0to2", 0x9D),),
            initial_lives=4,
        ),
    ),
)
