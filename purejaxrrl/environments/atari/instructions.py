"""The 6502's instructions as rows of a table: how the operand is addressed and which of a few units it passes through.

Every instruction, the undocumented ones included, is a path through the same processor: a source is chosen, goes through the
shifter, meets a register in the arithmetic unit, and is stored in any of A, X, Y, S, P and memory. Cycles are the
documented ones. Sources: MOS MCS6500 programming manual; J. Vorobjov et al., "64doc" (undocumented opcodes).
"""

from __future__ import annotations

import dataclasses
import enum
import functools

import numpy as np

Mode = enum.IntEnum(
    "Mode",
    "IMPLIED IMMEDIATE ZERO ZERO_X ZERO_Y ABSOLUTE ABSOLUTE_X ABSOLUTE_Y INDIRECT_X INDIRECT_Y "
    "RELATIVE INDIRECT PULL PUSH RETURN VECTOR",
    start=0,
)
Source = enum.IntEnum("Source", "NOTHING M A X Y S P A_AND_X A_AND_M MAGIC_AND_M MAGIC_AND_X_AND_M S_AND_M", start=0)
Shift = enum.IntEnum("Shift", "NONE ASL LSR ROL ROR INC DEC HIGH", start=0)
Unit = enum.IntEnum("Unit", "PASS OR AND EOR ADC SBC CMP BIT ARR ANC", start=0)
Register = enum.IntEnum("Register", "A X Y A_AND_X", start=0)
Control = enum.IntEnum("Control", "NONE BRANCH JUMP CALL RETURN RETURN_INTERRUPT BREAK JAM", start=0)
Dest = enum.IntFlag("Dest", "A X Y S P MEMORY")
Flag = enum.IntFlag("Flag", {"C": 1, "Z": 2, "I": 4, "D": 8, "B": 16, "UNUSED": 32, "V": 64, "N": 128})

_LENGTH = {
    Mode.IMPLIED: 1,
    Mode.PULL: 1,
    Mode.PUSH: 1,
    Mode.RETURN: 1,
    Mode.ABSOLUTE: 3,
    Mode.ABSOLUTE_X: 3,
    Mode.ABSOLUTE_Y: 3,
    Mode.INDIRECT: 3,
}
_READ_CYCLES = {
    Mode.IMPLIED: 2,
    Mode.IMMEDIATE: 2,
    Mode.ZERO: 3,
    Mode.ZERO_X: 4,
    Mode.ZERO_Y: 4,
    Mode.ABSOLUTE: 4,
    Mode.ABSOLUTE_X: 4,
    Mode.ABSOLUTE_Y: 4,
    Mode.INDIRECT_X: 6,
    Mode.INDIRECT_Y: 5,
    Mode.PULL: 4,
    Mode.PUSH: 3,
}
_INDEXED = (Mode.ABSOLUTE_X, Mode.ABSOLUTE_Y, Mode.INDIRECT_Y)


@dataclasses.dataclass(frozen=True)
class Operation:
    """What an instruction does with its operand; `nz`: sets N and Z by the result."""

    source: Source = Source.NOTHING
    shift: Shift = Shift.NONE
    unit: Unit = Unit.PASS
    register: Register = Register.A
    dest: Dest = Dest(0)
    nz: bool = True
    control: Control = Control.NONE


def _read(unit: Unit, dest: Dest = Dest.A, register: Register = Register.A, source: Source = Source.M) -> Operation:
    return Operation(source, unit=unit, dest=dest, register=register)


def _modify(shift: Shift, unit: Unit = Unit.PASS, dest: Dest = Dest(0)) -> Operation:
    return Operation(Source.M, shift, unit, dest=Dest.MEMORY | dest)


def _store(source: Source, shift: Shift = Shift.NONE, dest: Dest = Dest(0)) -> Operation:
    return Operation(source, shift, dest=Dest.MEMORY | dest, nz=False)


def _move(source: Source, dest: Dest, shift: Shift = Shift.NONE) -> Operation:
    return Operation(source, shift, dest=dest)


_NOTHING = Operation(nz=False)
OPERATIONS = {
    "ADC": _read(Unit.ADC),
    "AND": _read(Unit.AND),
    "EOR": _read(Unit.EOR),
    "ORA": _read(Unit.OR),
    "SBC": _read(Unit.SBC),
    "LDA": _read(Unit.PASS),
    "LDX": _read(Unit.PASS, Dest.X),
    "LDY": _read(Unit.PASS, Dest.Y),
    "CMP": _read(Unit.CMP, Dest(0)),
    "CPX": _read(Unit.CMP, Dest(0), Register.X),
    "CPY": _read(Unit.CMP, Dest(0), Register.Y),
    "BIT": _read(Unit.BIT, Dest(0)),
    "STA": _store(Source.A),
    "STX": _store(Source.X),
    "STY": _store(Source.Y),
    "SAX": _store(Source.A_AND_X),
    "ASL": _modify(Shift.ASL),
    "LSR": _modify(Shift.LSR),
    "ROL": _modify(Shift.ROL),
    "ROR": _modify(Shift.ROR),
    "INC": _modify(Shift.INC),
    "DEC": _modify(Shift.DEC),
    "ASLA": _move(Source.A, Dest.A, Shift.ASL),
    "LSRA": _move(Source.A, Dest.A, Shift.LSR),
    "ROLA": _move(Source.A, Dest.A, Shift.ROL),
    "RORA": _move(Source.A, Dest.A, Shift.ROR),
    "INX": _move(Source.X, Dest.X, Shift.INC),
    "INY": _move(Source.Y, Dest.Y, Shift.INC),
    "DEX": _move(Source.X, Dest.X, Shift.DEC),
    "DEY": _move(Source.Y, Dest.Y, Shift.DEC),
    "TAX": _move(Source.A, Dest.X),
    "TAY": _move(Source.A, Dest.Y),
    "TXA": _move(Source.X, Dest.A),
    "TYA": _move(Source.Y, Dest.A),
    "TSX": _move(Source.S, Dest.X),
    "TXS": Operation(Source.X, dest=Dest.S, nz=False),
    "PHA": _store(Source.A),
    "PHP": _store(Source.P),
    "PLA": _move(Source.M, Dest.A),
    "PLP": Operation(Source.M, dest=Dest.P, nz=False),
    "NOP": _NOTHING,
    "CLC": _NOTHING,
    "SEC": _NOTHING,
    "CLI": _NOTHING,
    "SEI": _NOTHING,
    "CLV": _NOTHING,
    "CLD": _NOTHING,
    "SED": _NOTHING,
    "BRA": Operation(nz=False, control=Control.BRANCH),
    "JMP": Operation(nz=False, control=Control.JUMP),
    "JSR": Operation(nz=False, control=Control.CALL),
    "RTS": Operation(nz=False, control=Control.RETURN),
    "RTI": Operation(Source.M, dest=Dest.P, nz=False, control=Control.RETURN_INTERRUPT),
    "BRK": Operation(nz=False, control=Control.BREAK),
    "JAM": Operation(nz=False, control=Control.JAM),
    "SLO": _modify(Shift.ASL, Unit.OR, Dest.A),
    "RLA": _modify(Shift.ROL, Unit.AND, Dest.A),
    "SRE": _modify(Shift.LSR, Unit.EOR, Dest.A),
    "RRA": _modify(Shift.ROR, Unit.ADC, Dest.A),
    "DCP": _modify(Shift.DEC, Unit.CMP),
    "ISB": _modify(Shift.INC, Unit.SBC, Dest.A),
    "LAX": _read(Unit.PASS, Dest.A | Dest.X),
    "LXA": _read(Unit.PASS, Dest.A | Dest.X, source=Source.MAGIC_AND_M),
    "ANE": _read(Unit.PASS, source=Source.MAGIC_AND_X_AND_M),
    "LAS": _read(Unit.PASS, Dest.A | Dest.X | Dest.S, source=Source.S_AND_M),
    "ASR": Operation(Source.A_AND_M, Shift.LSR, dest=Dest.A),
    "ARR": Operation(Source.A_AND_M, Shift.ROR, Unit.ARR, dest=Dest.A),
    "ANC": _read(Unit.ANC, source=Source.A_AND_M),
    "SBX": _read(Unit.CMP, Dest.X, Register.A_AND_X),
    "SHA": _store(Source.A_AND_X, Shift.HIGH),
    "SHX": _store(Source.X, Shift.HIGH),
    "SHY": _store(Source.Y, Shift.HIGH),
    "SHS": _store(Source.A_AND_X, Shift.HIGH, Dest.S),
}

_FLAG_CHANGES = {
    0x18: (Flag.C, 0),
    0x38: (0, Flag.C),
    0x58: (Flag.I, 0),
    0x78: (0, Flag.I),
    0xB8: (Flag.V, 0),
    0xD8: (Flag.D, 0),
    0xF8: (0, Flag.D),
    0x00: (0, Flag.I),
}
_BRANCH_FLAGS = (Flag.N, Flag.V, Flag.C, Flag.Z)

_COLUMN_1 = ("ORA", "AND", "EOR", "ADC", "STA", "LDA", "CMP", "SBC")
_COLUMN_2 = ("ASL", "ROL", "LSR", "ROR", "STX", "LDX", "DEC", "INC")
_COLUMN_3 = ("SLO", "RLA", "SRE", "RRA", "SAX", "LAX", "DCP", "ISB")
_COLUMN_0 = ("NOP", "BIT", "NOP", "NOP", "STY", "LDY", "CPY", "CPX")
_COLUMN_8 = (
    "PHP",
    "CLC",
    "PLP",
    "SEC",
    "PHA",
    "CLI",
    "PLA",
    "SEI",
    "DEY",
    "TYA",
    "TAY",
    "CLV",
    "INY",
    "CLD",
    "INX",
    "SED",
)
_COLUMN_A = (
    "ASLA",
    "NOP",
    "ROLA",
    "NOP",
    "LSRA",
    "NOP",
    "RORA",
    "NOP",
    "TXA",
    "TXS",
    "TAX",
    "TSX",
    "DEX",
    "NOP",
    "NOP",
    "NOP",
)
_COLUMN_B = ("ANC", "ANC", "ASR", "ARR", "ANE", "LXA", "SBX", "SBC")
_IRREGULAR = {
    0x00: ("BRK", Mode.VECTOR),
    0x20: ("JSR", Mode.ABSOLUTE),
    0x40: ("RTI", Mode.RETURN),
    0x60: ("RTS", Mode.RETURN),
    0x4C: ("JMP", Mode.ABSOLUTE),
    0x6C: ("JMP", Mode.INDIRECT),
    0x80: ("NOP", Mode.IMMEDIATE),
    0xA2: ("LDX", Mode.IMMEDIATE),
    0x82: ("NOP", Mode.IMMEDIATE),
    0xC2: ("NOP", Mode.IMMEDIATE),
    0xE2: ("NOP", Mode.IMMEDIATE),
    0x89: ("NOP", Mode.IMMEDIATE),
    0x93: ("SHA", Mode.INDIRECT_Y),
    0x9F: ("SHA", Mode.ABSOLUTE_Y),
    0x9B: ("SHS", Mode.ABSOLUTE_Y),
    0x9C: ("SHY", Mode.ABSOLUTE_X),
    0x9E: ("SHX", Mode.ABSOLUTE_Y),
    0xBB: ("LAS", Mode.ABSOLUTE_Y),
}


def _mode(opcode: int) -> Mode:
    """The addressing mode of a regular opcode, by its column and whether its row is odd."""
    column, odd = opcode & 0x1F, opcode & 0x10
    by_y = opcode & 0xC0 == 0x80 and opcode & 2
    if column in (0x01, 0x03, 0x11, 0x13):
        return Mode.INDIRECT_Y if odd else Mode.INDIRECT_X
    if opcode & 0xC == 0x4:
        return (Mode.ZERO_Y if by_y else Mode.ZERO_X) if odd else Mode.ZERO
    if opcode & 0xC == 0xC:
        return (Mode.ABSOLUTE_Y if by_y else Mode.ABSOLUTE_X) if odd else Mode.ABSOLUTE
    if column in (0x19, 0x1B):
        return Mode.ABSOLUTE_Y
    return {0x00: Mode.IMMEDIATE, 0x10: Mode.RELATIVE}.get(column, Mode.IMMEDIATE if opcode & 1 else Mode.IMPLIED)


def decode(opcode: int) -> tuple[str, Mode]:
    """Mnemonic and addressing mode of an opcode 0..255. Branches are all BRA, rotations of A end in A, halts are JAM."""
    if opcode in _IRREGULAR:
        return _IRREGULAR[opcode]
    row, column = opcode >> 5, opcode & 0x1F
    if column in (0x02, 0x12):
        return "JAM", Mode.IMPLIED
    if column == 0x10:
        return "BRA", Mode.RELATIVE
    if opcode & 0xF == 0x8:
        name = _COLUMN_8[opcode >> 4]
        return name, {"PHP": Mode.PUSH, "PHA": Mode.PUSH, "PLP": Mode.PULL, "PLA": Mode.PULL}.get(name, Mode.IMPLIED)
    if opcode & 0xF == 0xA:
        return _COLUMN_A[opcode >> 4], Mode.IMPLIED
    if column == 0x0B:
        return _COLUMN_B[row], Mode.IMMEDIATE
    if opcode & 3 == 0:
        return (_COLUMN_0[row] if not opcode & 0x10 or row in (4, 5) else "NOP"), _mode(opcode)
    return (_COLUMN_1, _COLUMN_2, _COLUMN_3)[(opcode & 3) - 1][row], _mode(opcode)


def cycles(opcode: int) -> tuple[int, bool]:
    """Cycles of an opcode as the ALE counts them, and whether indexing across a page costs one more.

    They are the documented ones but for LAX zero page, where the ALE counts 4 instead of 3.
    """
    name, mode = decode(opcode)
    if (name, mode) == ("LAX", Mode.ZERO):
        return 4, False
    special = {"BRK": 7, "JSR": 6, "RTI": 6, "RTS": 6, "BRA": 2, "JAM": 2}
    if name in special:
        return special[name], False
    if name == "JMP":
        return (3 if mode == Mode.ABSOLUTE else 5), False
    if mode in (Mode.PULL, Mode.PUSH) or not OPERATIONS[name].dest & Dest.MEMORY:
        return _READ_CYCLES[mode], mode in _INDEXED
    late = 1 if mode in _INDEXED else 0
    return _READ_CYCLES[mode] + late + (2 if OPERATIONS[name].source == Source.M else 0), False


def length(mode: Mode) -> int:
    """Bytes of an instruction with an addressing mode."""
    return _LENGTH.get(mode, 2)


def reads_memory(opcode: int) -> bool:
    """Whether an opcode's operand is read from memory."""
    name, mode = decode(opcode)
    if name == "NOP":
        return mode not in (Mode.IMPLIED, Mode.IMMEDIATE)
    through_memory = (Source.M, Source.A_AND_M, Source.S_AND_M, Source.MAGIC_AND_M, Source.MAGIC_AND_X_AND_M)
    return OPERATIONS[name].source in through_memory and mode != Mode.IMMEDIATE


@functools.cache
def tables() -> np.ndarray:
    """int32 [256, 2], a row for every opcode.

    First: mode (4 bits), source (4), shift (3), unit (4), register (2), dest (6), nz (1), cycles (3), page (1), control (3).
    Second: flags cleared (8), flags set (8), length (2), the flag (8) and the value (1) that a branch looks for,
    whether the operand is read from memory (1).
    """
    rows = []
    for opcode in range(256):
        name, mode = decode(opcode)
        does = OPERATIONS[name]
        count, page = cycles(opcode)
        clear, put = _FLAG_CHANGES.get(opcode, (0, 0))
        fields = (
            (mode, 4),
            (does.source, 4),
            (does.shift, 3),
            (does.unit, 4),
            (does.register, 2),
            (int(does.dest), 6),
            (does.nz, 1),
            (count, 3),
            (page, 1),
            (does.control, 3),
        )
        more = (
            (int(clear), 8),
            (int(put), 8),
            (length(mode), 2),
            (int(_BRANCH_FLAGS[opcode >> 6]), 8),
            (opcode >> 5 & 1, 1),
            (reads_memory(opcode), 1),
        )
        rows.append([_join(fields), _join(more)])
    return np.asarray(rows, np.int32)


def _join(fields: tuple[tuple[int, int], ...]) -> int:
    """Fields (value, width) packed from the lowest bit up."""
    word, place = 0, 0
    for value, width in fields:
        word |= int(value) << place
        place += width
    return word
