"""The 6507: a 6502 with 13 address lines, one instruction at a time, L lanes in lockstep.

It follows the ALE's `M6502Low`: all cycles of an instruction are charged before it acts, there are no dummy accesses, and
decimal mode has flags of its own. An instruction is looked up in the tables of `instructions.py` and computed without
branches. Memory is reached through functions handed in, so that the same source serves any memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from purejaxrrl.environments.atari.instructions import Control, Dest, Flag, Mode, Register, Shift, Source, Unit, tables


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Registers:
    """int32 [L] each. a, x, y, s: 0..255. pc: 0..65535. p: flags N V - - D I Z C; those of bits 4 and 5 always read as 1."""

    a: jax.Array
    x: jax.Array
    y: jax.Array
    s: jax.Array
    p: jax.Array
    pc: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Instruction:
    """An instruction that is decoded and addressed but has not acted; int32 [L] unless said otherwise.

    first, second: the opcode's row of the table. operand: the two bytes after the opcode. pointer: 16 bits read through
    the zero page or pulled from the stack. address: effective address, 16 bits. cycles: charged so far. bus: the last byte on
    the data bus, of which only the lower six bits matter. reads: bool, whether it reads memory at `address`.
    """

    first: jax.Array
    second: jax.Array
    operand: jax.Array
    pointer: jax.Array
    address: jax.Array
    cycles: jax.Array
    bus: jax.Array
    reads: jax.Array

    def field(self, place: int, width: int) -> jax.Array:
        return self.first >> place & (1 << width) - 1

    @property
    def mode(self) -> jax.Array:
        return self.field(0, 4)

    @property
    def is_indirect(self) -> jax.Array:
        """Whether `address` comes from a pointer in the zero page."""
        return _is_indirect(self.mode)

    @property
    def base_cycles(self) -> jax.Array:
        """Those that are charged first, before a pointer is read."""
        return _base_cycles(self.first)

    @property
    def writes(self) -> jax.Array:
        """Whether it stores one byte at `address`."""
        return self.field(17, 6) & Dest.MEMORY != 0

    @property
    def control(self) -> jax.Array:
        return self.field(28, 3)

    @property
    def length(self) -> jax.Array:
        return self.second >> 16 & 3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an instruction did. registers: afterwards. value: the byte to store at `Instruction.address`, or the high byte
    of a pushed return address. extra: cycles beyond `Instruction.cycles`. int32 [L]."""

    registers: Registers
    value: jax.Array
    extra: jax.Array


def power_on(lanes: int, pc: jax.Array) -> Registers:
    """The registers after a reset, starting at the vector `pc`, int32 [L]."""
    zero = jnp.zeros(lanes, jnp.int32)
    return Registers(zero, zero, zero, zero + 0xFF, zero, pc)


def _choose(index: jax.Array, choices: dict[int, jax.Array]) -> jax.Array:
    """The choice of each lane; 0 where there is none."""
    chosen = jnp.zeros_like(index)
    for key, value in choices.items():
        chosen = jnp.where(index == key, value, chosen)
    return chosen


def _is_in(value: jax.Array, *members: int) -> jax.Array:
    """Whether `value` (0..31) is one of `members`, by a look at a bit mask."""
    return jnp.int32(sum(1 << m for m in members)) >> value & 1 == 1


def _is_indirect(mode: jax.Array) -> jax.Array:
    return _is_in(mode, Mode.INDIRECT_X, Mode.INDIRECT_Y)


def _base_cycles(first: jax.Array) -> jax.Array:
    return first >> 24 & 7


def address(
    registers: Registers, word: jax.Array, read_pointer: Callable[[jax.Array, jax.Array], tuple]
) -> Instruction:
    """Decodes the instruction `word`, int32 [L] with the opcode in its lowest byte, and finds its effective address.

    read_pointer(low, high): two bytes of memory at two addresses, each int32 [L].
    """
    r = registers
    row = jnp.asarray(tables())[word & 0xFF]
    first, second = row[:, 0], row[:, 1]
    mode = first & 0xF
    byte, absolute = word >> 8 & 0xFF, word >> 8 & 0xFFFF
    index = jnp.where(
        _is_in(mode, Mode.ZERO_X, Mode.ABSOLUTE_X, Mode.INDIRECT_X),
        r.x,
        jnp.where(_is_in(mode, Mode.ZERO_Y, Mode.ABSOLUTE_Y, Mode.INDIRECT_Y), r.y, 0),
    )
    returns = first >> 28 & 7
    pulled = r.s + jnp.where(returns == Control.RETURN_INTERRUPT, 2, 1)
    place = _choose(
        mode,
        {
            Mode.INDIRECT_X: byte + r.x & 0xFF,
            Mode.INDIRECT_Y: byte,
            Mode.RETURN: 0x100 | pulled & 0xFF,
            Mode.INDIRECT: absolute,
            Mode.PULL: 0x100 | r.s,
        },
    )
    above = jnp.where(
        mode == Mode.RETURN,
        0x100 | pulled + 1 & 0xFF,
        jnp.where(mode == Mode.INDIRECT, place & 0xFF00 | place + 1 & 0xFF, place + 1),
    )
    low, high = read_pointer(place, above)
    pointer = low | high << 8
    indirect = _is_indirect(mode)
    wide = jnp.where(mode == Mode.INDIRECT_Y, pointer, absolute)
    indexed = wide + index & 0xFFFF
    effective = _choose(
        mode,
        {
            Mode.ZERO: byte,
            Mode.ZERO_X: byte + index & 0xFF,
            Mode.ZERO_Y: byte + index & 0xFF,
            Mode.ABSOLUTE: absolute,
            Mode.ABSOLUTE_X: indexed,
            Mode.ABSOLUTE_Y: indexed,
            Mode.INDIRECT_X: pointer,
            Mode.INDIRECT_Y: indexed,
            Mode.INDIRECT: absolute,
            Mode.PULL: 0x100 | r.s + 1 & 0xFF,
            Mode.PUSH: 0x100 | r.s,
            Mode.RETURN: 0x100 | r.s + 1 & 0xFF,
            Mode.VECTOR: 0xFFFE,
        },
    )
    crossed = (wide ^ indexed) & 0xFF00 != 0
    cycles = _base_cycles(first) + jnp.where(crossed & (first >> 27 & 1 == 1), 1, 0)
    bus = jnp.where(indirect, high, jnp.where(second >> 16 & 3 == 3, word >> 16 & 0xFF, byte))
    bus = jnp.where(mode == Mode.PULL, jnp.where(r.s < 0x80, word, low), bus)
    return Instruction(
        first,
        second,
        absolute,
        pointer,
        effective,
        cycles,
        bus,
        reads=second >> 27 & 1 == 1,
    )


def _from_bcd(value: jax.Array) -> jax.Array:
    return (value >> 4) * 10 + (value & 0xF)


def _to_bcd(value: jax.Array) -> jax.Array:
    """Two decimal digits of 0..255, the hundreds dropped."""
    tens = value * 205 >> 11
    hundreds = value * 41 >> 12
    return tens - hundreds * 10 << 4 | value - tens * 10


def _add(a: jax.Array, m: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Binary a + m + carry: result, carry, overflow."""
    total = a + m + carry
    return total & 0xFF, total >> 8 & 1, (~(a ^ m) & (a ^ total)) >> 7 & 1


def _add_decimal(a: jax.Array, m: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The ALE's decimal a + m + carry; N, Z and V are those of the decimal result."""
    total = _from_bcd(a) + _from_bcd(m) + carry
    result = _to_bcd(total & 0xFF)
    return result, (total > 99).astype(jnp.int32), ((a ^ result) & (result ^ m)) >> 7 & 1


def _subtract_decimal(a: jax.Array, m: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The ALE's decimal a - m - (1 - carry). What is no decimal number reads a neighbouring table of the ALE's."""
    difference = _from_bcd(a) - _from_bcd(m) - (1 - carry)
    difference += jnp.where(difference < 0, 100, 0)
    result = jnp.where(difference >= 0, _to_bcd(difference & 0xFF), _from_bcd(difference & 0xFF)) & 0xFF
    return result, (a >= m + 1 - carry).astype(jnp.int32), ((a ^ result) & (result ^ m)) >> 7 & 1


def _rotate_and_adjust(a: jax.Array, m: jax.Array, decimal: jax.Array, carry: jax.Array) -> tuple:
    """ARR on m = A & operand, already rotated into `a`: result, carry, overflow, N."""
    high = (m & 0xF0) + (m & 0x10) > 0x50
    fixed = jnp.where((m & 0xF) + (m & 1) > 5, a & 0xF0 | a + 6 & 0xF, a)
    fixed = jnp.where(high, fixed + 0x60 & 0xFF, fixed)
    result = jnp.where(decimal, fixed, a)
    over = jnp.where(decimal, (m ^ a) >> 6 & 1, (a >> 6 ^ a >> 5) & 1)
    return (
        result,
        jnp.where(decimal, high, a >> 6 & 1 == 1).astype(jnp.int32),
        over,
        jnp.where(decimal, carry, a >> 7 & 1),
    )


def _shift(kind: jax.Array, value: jax.Array, carry: jax.Array, page: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The shifter: result and carry, which is passed on where nothing is shifted out."""
    result = _choose(
        kind,
        {
            Shift.NONE: value,
            Shift.ASL: value << 1,
            Shift.LSR: value >> 1,
            Shift.ROL: value << 1 | carry,
            Shift.ROR: value >> 1 | carry << 7,
            Shift.INC: value + 1,
            Shift.DEC: value - 1,
            Shift.HIGH: value & page + 1,
        },
    )
    out = jnp.where(
        _is_in(kind, Shift.ASL, Shift.ROL),
        value >> 7 & 1,
        jnp.where(_is_in(kind, Shift.LSR, Shift.ROR), value & 1, carry),
    )
    return result & 0xFF, out


def execute(registers: Registers, instruction: Instruction, memory: jax.Array) -> Outcome:
    """Carries out an instruction, given `memory`, int32 [L]: the byte at its address and the one after it, where it reads.

    Immediate operands are taken from the instruction itself.
    """
    r, i = registers, instruction
    m = jnp.where(i.mode == Mode.IMMEDIATE, i.operand & 0xFF, memory & 0xFF)
    carry, decimal = r.p & Flag.C, r.p & Flag.D != 0
    source, shift, unit = i.field(4, 4), i.field(8, 3), i.field(11, 4)
    value = _choose(
        source,
        {
            Source.M: m,
            Source.A: r.a,
            Source.X: r.x,
            Source.Y: r.y,
            Source.S: r.s,
            Source.P: r.p | 0x30,
            Source.A_AND_X: r.a & r.x,
            Source.A_AND_M: r.a & m,
            Source.MAGIC_AND_M: (r.a | 0xEE) & m,
            Source.MAGIC_AND_X_AND_M: (r.a | 0xEE) & r.x & m,
            Source.S_AND_M: r.s & m,
        },
    )
    shifted, carry = _shift(shift, value, carry, i.address >> 8)
    passed = jnp.where(shift == Shift.HIGH, value, shifted)
    result, carry, overflow, negative = _arithmetic(r, i, unit, passed, value, carry, decimal)

    flags = r.p & ~(i.second & 0xFF) | i.second >> 8 & 0xFF
    zero = jnp.where(unit == Unit.BIT, r.a & m, result) == 0
    with_nz = flags & ~(Flag.N | Flag.Z) | negative << 7 | jnp.where(zero, int(Flag.Z), 0)
    flags = jnp.where(i.field(23, 1) == 1, with_nz, flags)
    flags = flags & ~Flag.V | jnp.where(overflow >= 0, overflow << 6, flags & Flag.V)
    changes_c = (i.second | i.second >> 8) & Flag.C != 0
    flags = jnp.where(changes_c, flags, flags & ~Flag.C | carry)

    dest = i.field(17, 6)
    pc, s, extra = _flow(r, i, memory)
    flags = jnp.where(dest & Dest.P != 0, m & 0xCF, flags)
    stored = Registers(
        a=jnp.where(dest & Dest.A != 0, result, r.a),
        x=jnp.where(dest & Dest.X != 0, result, r.x),
        y=jnp.where(dest & Dest.Y != 0, result, r.y),
        s=jnp.where(dest & Dest.S != 0, result, s),
        p=flags,
        pc=pc,
    )
    return Outcome(
        stored, jnp.where(_is_in(i.control, Control.CALL, Control.BREAK), r.pc + 2 >> 8 & 0xFF, shifted), extra
    )


def _arithmetic(
    r: Registers, i: Instruction, unit: jax.Array, t: jax.Array, value: jax.Array, carry: jax.Array, decimal: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The arithmetic unit on a register and `t`: result, carry, overflow (-1: unchanged) and N."""
    held = _choose(i.field(15, 2), {Register.A: r.a, Register.X: r.x, Register.Y: r.y, Register.A_AND_X: r.a & r.x})
    binary = _add(r.a, jnp.where(unit == Unit.SBC, t ^ 0xFF, t), carry)
    added, subtracted = _add_decimal(r.a, t, carry), _subtract_decimal(r.a, t, carry)
    adds = [
        jnp.where(decimal, jnp.where(unit == Unit.SBC, s, d), b)
        for b, d, s in zip(binary, added, subtracted, strict=False)
    ]
    arr = _rotate_and_adjust(t, value, decimal, r.p & Flag.C)
    compared = held - t
    is_add = _is_in(unit, Unit.ADC, Unit.SBC)
    result = jnp.where(
        is_add,
        adds[0],
        _choose(
            unit,
            {
                Unit.PASS: t,
                Unit.OR: r.a | t,
                Unit.AND: r.a & t,
                Unit.EOR: r.a ^ t,
                Unit.CMP: compared & 0xFF,
                Unit.BIT: t,
                Unit.ARR: arr[0],
                Unit.ANC: t,
            },
        ),
    )
    negative = jnp.where(unit == Unit.ARR, arr[3], result >> 7 & 1)
    carry = jnp.where(
        is_add,
        adds[1],
        jnp.where(
            unit == Unit.CMP,
            (compared >= 0).astype(jnp.int32),
            jnp.where(unit == Unit.ANC, negative, jnp.where(unit == Unit.ARR, arr[1], carry)),
        ),
    )
    overflow = jnp.where(
        is_add, adds[2], jnp.where(unit == Unit.BIT, t >> 6 & 1, jnp.where(unit == Unit.ARR, arr[2], -1))
    )
    return result, carry, overflow, negative


def _flow(r: Registers, i: Instruction, memory: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The next pc, the stack pointer, and the extra cycles of a branch taken."""
    ahead = r.pc + i.length & 0xFFFF
    offset = (i.operand & 0xFF ^ 0x80) - 0x80
    taken = ((r.p & i.second >> 18 & 0xFF) != 0) == (i.second >> 26 & 1 == 1)
    taken &= i.control == Control.BRANCH
    target = ahead + offset & 0xFFFF
    extra = jnp.where(taken, jnp.where((ahead ^ target) & 0xFF00 != 0, 2, 1), 0)
    jump = jnp.where(i.mode == Mode.INDIRECT, memory & 0xFFFF, i.operand)
    pc = jnp.where(
        taken,
        target,
        _choose(
            i.control,
            {
                Control.NONE: ahead,
                Control.BRANCH: ahead,
                Control.JUMP: jump,
                Control.CALL: i.operand,
                Control.RETURN: i.pointer + 1 & 0xFFFF,
                Control.RETURN_INTERRUPT: i.pointer,
                Control.BREAK: memory & 0xFFFF,
                Control.JAM: r.pc,
            },
        ),
    )
    step = _choose(
        i.control,
        {
            Control.CALL: jnp.int32(-2),
            Control.BREAK: jnp.int32(-3),
            Control.RETURN: jnp.int32(2),
            Control.RETURN_INTERRUPT: jnp.int32(3),
        },
    )
    step += jnp.where(i.mode == Mode.PUSH, -1, jnp.where(i.mode == Mode.PULL, 1, 0))
    return pc, r.s + step & 0xFF, extra
