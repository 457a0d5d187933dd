"""The processor's instructions as the cases of a switch in C++, from the table that the portable path computes with."""

from __future__ import annotations

from purejaxrrl.environments.atari.instructions import (
    OPERATIONS,
    Control,
    Dest,
    Mode,
    Operation,
    Register,
    Shift,
    Source,
    Unit,
    cycles,
    decode,
    length,
    reads_memory,
)

_ADDRESSES = {
    Mode.ZERO: "int address = operand, bus = operand;",
    Mode.ZERO_X: "int address = (operand + c.x) & 0xFF, bus = operand;",
    Mode.ZERO_Y: "int address = (operand + c.y) & 0xFF, bus = operand;",
    Mode.ABSOLUTE: "int address = absolute, bus = high;",
    Mode.ABSOLUTE_X: "int address = (absolute + c.x) & 0xFFFF, bus = high;",
    Mode.ABSOLUTE_Y: "int address = (absolute + c.y) & 0xFFFF, bus = high;",
    Mode.INDIRECT_X: "int address = pointer(m, (operand + c.x) & 0xFF, operand, c.cycles), bus = address >> 8;",
    Mode.INDIRECT_Y: (
        "int base = pointer(m, operand, operand, c.cycles), bus = base >> 8, address = (base + c.y) & 0xFFFF;"
    ),
    Mode.PULL: ("int bus = c.s < 0x80 ? word : stacked(m, c.s); c.s = (c.s + 1) & 0xFF; int address = 0x100 | c.s;"),
    Mode.PUSH: "int address = 0x100 | c.s; c.s = (c.s - 1) & 0xFF;",
    Mode.RETURN: "int address = 0x100 | ((c.s + 1) & 0xFF), bus = operand;",
}
_BASES = {Mode.ABSOLUTE_X: "absolute", Mode.ABSOLUTE_Y: "absolute", Mode.INDIRECT_Y: "base"}
_SOURCES = {
    Source.M: "memory",
    Source.A: "c.a",
    Source.X: "c.x",
    Source.Y: "c.y",
    Source.S: "c.s",
    Source.P: "get_flags(c) | 0x30",
    Source.A_AND_X: "c.a & c.x",
    Source.A_AND_M: "c.a & memory",
    Source.MAGIC_AND_M: "(c.a | 0xEE) & memory",
    Source.MAGIC_AND_X_AND_M: "(c.a | 0xEE) & c.x & memory",
    Source.S_AND_M: "c.s & memory",
}
_SHIFTS = {
    Shift.ASL: "int shifted = value << 1 & 0xFF; c.carry = value >> 7;",
    Shift.LSR: "int shifted = value >> 1; c.carry = value & 1;",
    Shift.ROL: "int shifted = (value << 1 | c.carry) & 0xFF; c.carry = value >> 7;",
    Shift.ROR: "int shifted = value >> 1 | c.carry << 7; c.carry = value & 1;",
    Shift.INC: "int shifted = (value + 1) & 0xFF;",
    Shift.DEC: "int shifted = (value - 1) & 0xFF;",
    Shift.HIGH: "int shifted = value & ((address >> 8) + 1) & 0xFF;",
}
_HELD = {Register.A: "c.a", Register.X: "c.x", Register.Y: "c.y", Register.A_AND_X: "c.a & c.x"}
_DESTINATIONS = {Dest.A: "c.a", Dest.X: "c.x", Dest.Y: "c.y", Dest.S: "c.s"}
_BRANCHES = ("c.negative & FLAG_N", "c.overflow", "c.carry", "c.zero == 0")
_CHANGES = {
    0x18: "c.carry = 0;",
    0x38: "c.carry = 1;",
    0x58: "c.rest &= ~FLAG_I;",
    0x78: "c.rest |= FLAG_I;",
    0xB8: "c.overflow = 0;",
    0xD8: "c.rest &= ~FLAG_D;",
    0xF8: "c.rest |= FLAG_D;",
}
_JUMPS = {
    Control.CALL: "c.s = push_return(m, c.s, c.pc); c.pc = absolute;",
    Control.RETURN: (
        "int s = c.s; if (((s + 1) & 0xFF) < 0x80) m.fault = 1;"
        " c.pc = ((stacked(m, s + 1) | stacked(m, s + 2) << 8) + 1) & 0xFFFF; c.s = (s + 2) & 0xFF;"
    ),
    Control.RETURN_INTERRUPT: (
        "int s = c.s; if (((s + 1) & 0xFF) < 0x80) m.fault = 1;"
        " c.pc = stacked(m, s + 2) | stacked(m, s + 3) << 8; set_flags(c, memory); c.s = (s + 3) & 0xFF;"
    ),
    Control.BREAK: (
        "if (c.s - 2 < 0x80) m.fault = 1; int flags = get_flags(c) | 0x30, s = c.s; push_return(m, s, c.pc);"
        " m.memory[(s - 2) & 0x7F] = (u8)flags; c.s = (s - 3) & 0xFF; c.rest |= FLAG_I;"
        " c.pc = rom_word(m, 0xFFFE) & 0xFFFF;"
    ),
    Control.JAM: "m.fault = 1;",
}


def cases() -> str:
    """What each instruction does, one line a case."""
    return "\n".join(f"ATARI_CASE(0x{opcode:02X}) {{ {_case(opcode)} }} ATARI_NEXT" for opcode in range(256))


def opcodes() -> str:
    """A macro that applies another to every opcode."""
    return f"#define ATARI_OPCODES(F) {' '.join(f'F(0x{opcode:02X})' for opcode in range(256))}"


def lengths() -> str:
    """A function from an opcode to the bytes of its instruction."""
    shorts, longs = ([opcode for opcode in range(256) if length(decode(opcode)[1]) == n] for n in (1, 3))

    def labels(opcodes: list[int]) -> str:
        return " ".join(f"case 0x{opcode:02X}:" for opcode in opcodes)

    return (
        "namespace atari { ATARI_APART int instruction_length(int opcode) { switch (opcode) { "
        f"{labels(shorts)} return 1; {labels(longs)} return 3; }} return 2; }} }}"
    )


def _case(opcode: int) -> str:
    name, mode = decode(opcode)
    does, (count, page) = OPERATIONS[name], cycles(opcode)
    # A pointer is read when the instruction's own cycles are charged, before what crossing a page costs.
    parts = [f"c.cycles += {count};"]
    if does.control == Control.BRANCH:
        wanted = "" if opcode >> 5 & 1 else "!"
        return " ".join([*parts, f"branch(c, operand, {wanted}({_BRANCHES[opcode >> 6]}));"])
    if does.control == Control.JUMP:
        return " ".join([*parts, "c.pc = " + ("absolute;" if mode == Mode.ABSOLUTE else _INDIRECT_JUMP)])
    if does.control in (Control.NONE, Control.RETURN_INTERRUPT):
        parts.append(_ADDRESSES.get(mode, ""))
    if page:
        parts.append(f"c.cycles += ATARI_CROSSED({_BASES[mode]}, address);")
    if opcode in (0xAC, 0xAD, 0xAE):
        parts.append(_IDLE)
    if reads_memory(opcode):
        parts.append("int memory = read(m, address, bus, c.cycles);" + ("" if name != "NOP" else " (void)memory;"))
    elif mode == Mode.IMMEDIATE and name != "NOP":
        parts.append("int memory = operand;")
    if does.control != Control.NONE:
        return " ".join([*parts, _JUMPS[does.control]])
    parts += [_operate(does), _CHANGES.get(opcode, "")]
    if mode in (Mode.INDIRECT_X, Mode.INDIRECT_Y):
        parts.append("m.granted = 0;")
    parts.append(f"c.pc = (pc + {length(mode)}) & 0xFFFF;")
    return " ".join(part for part in parts if part)


_INDIRECT_JUMP = "indirect_target(m, absolute, c.cycles); if ((absolute & 0xFF) == 0xFF) m.fault = 1;"
_IDLE = (
    "if (word >> 24 & 3) { int turns = idle_turns(m, word, c.cycles, c.left);"
    " c.cycles += turns * 7; c.left -= turns * 2; }"
)


def _operate(does: Operation) -> str:
    """What an instruction does with its operand, `memory`, and the registers."""
    if does.source == Source.NOTHING:
        return ""
    if does.dest == Dest.P:
        return "set_flags(c, memory);"
    parts = [f"int value = {_SOURCES[does.source]};", _SHIFTS.get(does.shift, "")]
    stored = "value" if does.shift == Shift.NONE else "shifted"
    passed = "value" if does.shift in (Shift.NONE, Shift.HIGH) else "shifted"
    result = _unit(does, passed)
    if does.dest & ~Dest.MEMORY or does.nz:
        parts.append(f"int result = {result};")
    if does.unit == Unit.BIT:
        parts.append("c.negative = result; c.zero = c.a & result; c.overflow = result >> 6 & 1;")
    elif does.unit == Unit.ANC:
        parts.append("c.negative = c.zero = result; c.carry = result >> 7;")
    elif does.nz and does.unit in (Unit.PASS, Unit.OR, Unit.AND, Unit.EOR):
        parts.append("c.negative = c.zero = result;")
    parts += [f"{place} = result;" for dest, place in _DESTINATIONS.items() if does.dest & dest]
    if does.dest & Dest.MEMORY:
        parts.append(f"store(m, c, address, {stored});")
    return " ".join(part for part in parts if part)


def _unit(does: Operation, passed: str) -> str:
    """What comes out of the arithmetic unit; some set flags themselves."""
    return {
        Unit.PASS: passed,
        Unit.OR: f"c.a | {passed}",
        Unit.AND: f"c.a & {passed}",
        Unit.EOR: f"c.a ^ {passed}",
        Unit.ADC: f"add(c, {passed})",
        Unit.SBC: f"subtract(c, {passed})",
        Unit.CMP: f"compare(c, {_HELD[does.register]}, {passed})",
        Unit.BIT: passed,
        Unit.ARR: f"adjust(c, value, {passed})",
        Unit.ANC: passed,
    }[does.unit]
