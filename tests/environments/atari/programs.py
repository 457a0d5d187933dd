"""Programs for a cartridge, byte by byte."""

from purejaxrrl.environments.atari.rom import Rom
from purejaxrrl.environments.atari.tia import Write

LDA, LDA_ZERO, LDA_ABSOLUTE, STA, STA_ABSOLUTE, LDX, DEX, LDY, DEY, BNE, JMP, NOP, INC_ZERO, AND = (
    *(0xA9, 0xA5, 0xAD, 0x85, 0x8D, 0xA2, 0xCA, 0xA0, 0x88, 0xD0, 0x4C, 0xEA, 0xE6, 0x29),
)
ORIGIN, LINES = 0xF000, 240


def word(address: int) -> tuple[int, int]:
    return address & 0xFF, address >> 8


def put(register: int, value: int) -> list[int]:
    """LDA #value, STA register."""
    return [LDA, value, STA, register]


def wait(lines: int) -> list[int]:
    """WSYNC again and again."""
    return [LDX, lines, STA, Write.WSYNC, DEX, BNE, 0xFB]


def program(once: list[int], each_frame: list[int]) -> Rom:
    """A cartridge that does something when it is switched on, something in the first line of each frame, and then waits."""
    frame = put(Write.VSYNC, 2) + wait(3) + put(Write.VSYNC, 0) + each_frame + wait(LINES) + wait(262 - 3 - LINES)
    return cartridge(once + frame + [JMP, *word(ORIGIN + len(once))])


def cartridge(code: list[int]) -> Rom:
    """A cartridge that begins with some code."""
    image = bytearray([NOP] * 4096)
    image[: len(code)] = code
    image[0xFFC:0xFFE] = word(ORIGIN)
    return Rom("test", bytes(image), "4K")
