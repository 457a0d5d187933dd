"""The game cartridges: ROM images out of ale-py's wheel, and what the ALE knows of each beside its bytes.

The facts are those of the ALE's property database (`src/ale/emucore/DefProps.hxx`) and of its automatic detection of
bank-switching schemes (`src/ale/emucore/Cart.cxx`), for the ROMs that ale-py 0.12.1 ships.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.resources
import importlib.util
import json

from purejaxrrl.errors import UserError, nearest

_SUPERCHIP = frozenset({"darkchambers", "elevator_action", "klax"})
_SLICED = frozenset({"jamesbond", "montezuma_revenge", "tutankham"})
_BY_ADDRESS = frozenset({"robotank"})
_NO_HMOVE_BLANKS = frozenset({"asteroids", "battle_zone", "darkchambers", "ms_pacman"})
_LEFT_PADDLES = frozenset({"backgammon", "blackjack", "breakout", "casino", "kaboom", "pong"})
_FIRST_LINE = {"carnival": 26, "pooyan": 26, "qbert": 40, "up_n_down": 30}
_HEIGHT = {"carnival": 214, "journey_escape": 230, "pooyan": 220}
_PAL = frozenset(
    {
        "adventure",
        "air_raid",
        "keystone_kapers",
        "king_kong",
        "klax",
        "laser_gates",
        "mr_do",
        "pacman",
        "sir_lancelot",
        "space_war",
    }
)
_SIZES = {2048: "2K", 4096: "4K", 8192: "F8", 16384: "F6"}
_DISPLAY_PROCESSORS = frozenset({"pitfall2"})

UNSUPPORTED = {
    "combat": "ale-py itself cannot load it",
    "joust": "ale-py itself cannot load it",
    "maze_craze": "ale-py itself cannot load it",
    "warlords": "ale-py itself cannot load it",
}
"""ROMs that ale-py ships but that are not played here, and why."""


@dataclasses.dataclass(frozen=True)
class Rom:
    """A cartridge and how the console is set up for it.

    image: the bytes. scheme: bank switching, one of 2K, 4K, F8, F6, E0, FE, DPC. superchip: 128 bytes of RAM on the
    cartridge. first_line: scan line at which the picture begins. height: lines of the picture on an NTSC set, where
    detection of the format begins. pal: whether detection finds a PAL set, whose picture has 250 lines.
    hmove_blanks: whether a late HMOVE blackens 8 pixels. left_paddles, right_paddles: paddles in that port.
    swap_paddles: the two paddles of a port exchanged. swap_ports: the first player's joystick is in the right port.
    switches: the console's difficulty switches (bit 6 left, bit 7 right, set for position A) before the first reset.
    """

    name: str
    image: bytes
    scheme: str
    superchip: bool = False
    first_line: int = 34
    height: int = 210
    pal: bool = False
    hmove_blanks: bool = True
    left_paddles: bool = False
    right_paddles: bool = False
    swap_paddles: bool = False
    swap_ports: bool = False
    switches: int = 0


def _directory():
    if importlib.util.find_spec("ale_py") is None:
        raise ModuleNotFoundError(
            "the Atari ROMs come out of ale-py's wheel, which is not installed: pip install ale-py"
        )
    return importlib.resources.files("ale_py") / "roms"


@functools.cache
def names() -> tuple[str, ...]:
    """The games that can be played, in alphabetical order."""
    files = json.loads((_directory() / "md5.json").read_text())
    return tuple(sorted(file.removesuffix(".bin") for file in files if file.removesuffix(".bin") not in UNSUPPORTED))


def check_name(name: str, known: tuple[str, ...]) -> None:
    """Raises ValueError, with the reason or the nearest names, unless `name` is in `known`."""
    if name in UNSUPPORTED:
        raise UserError(f"the Atari game {name!r} is not supported: {UNSUPPORTED[name]}")
    if name not in known:
        raise UserError(f"unknown Atari game {name!r}; the nearest are {nearest(name, known)}")


def _scheme(name: str, size: int) -> str:
    special = {"E0": _SLICED, "FE": _BY_ADDRESS, "DPC": _DISPLAY_PROCESSORS}
    return next((scheme for scheme, games in special.items() if name in games), None) or _SIZES[size]


@functools.cache
def load(name: str) -> Rom:
    """The cartridge of a game, by its name in `ale_py.roms`.

    Raises ModuleNotFoundError without ale-py, ValueError for an unknown or unsupported name or for bytes of another checksum.
    """
    check_name(name, names())
    directory = _directory()
    image = (directory / f"{name}.bin").read_bytes()
    expected = json.loads((directory / "md5.json").read_text())[f"{name}.bin"]
    found = hashlib.md5(image, usedforsecurity=False).hexdigest()
    if found != expected:
        raise UserError(f"the ROM of {name} has MD5 {found} where ale-py lists {expected}; reinstall ale-py")
    scheme = _scheme(name, len(image))
    return Rom(
        name,
        image,
        scheme,
        superchip=name in _SUPERCHIP,
        first_line=_FIRST_LINE.get(name, 34),
        height=_HEIGHT.get(name, 210),
        pal=name in _PAL,
        hmove_blanks=name not in _NO_HMOVE_BLANKS,
        left_paddles=name in _LEFT_PADDLES,
        right_paddles=name == "pong",
        swap_paddles=name == "pong",
        swap_ports=name in ("surround", "wizard_of_wor"),
        switches=0xC0 if name == "amidar" else 0,
    )
