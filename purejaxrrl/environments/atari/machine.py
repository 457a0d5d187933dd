"""The console's hardware, L lanes in lockstep: the chips on their bus, run one television frame at a time. This is the portable
engine; `kernel/` is the same for one lane, compiled.

Every lane executes its next instruction until its frame is done; lanes that wait for the picture (a collision is read, the log is
full) stand still until all do or are done, then the log is worked off for all of them. Sources: the ALE's `src/ale/emucore`,
`System.cxx`, `M6502Low.cxx`, `TIA.cxx`.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from purejaxrrl.environments.atari import cartridge as cartridges
from purejaxrrl.environments.atari import cpu, dpc, picture, randomness, raster, riot, tia
from purejaxrrl.environments.atari.cartridge import Cartridge
from purejaxrrl.environments.atari.instructions import Control, Mode
from purejaxrrl.environments.atari.memory import load, once, store

INSTRUCTIONS = 25_000
"""The ALE gives up on a frame after this many, and goes on with it at the next."""
PATIENCE = 16
"""Instructions for which lanes wait for others that may soon need the picture too, which is then brought up to date for all."""
_TURN = 7
"""Cycles of a load from an absolute address and a branch taken."""
RAM = 128
"""Bytes of the RIOT's memory; those of a cartridge lie behind them."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Hardware:
    """What does not change while lanes play: the words of all ROMs (`cartridge.pack`), the lanes' cartridges and screens, and
    maximum_lines, int32 [L]: scan lines after which a frame is ended."""

    words: jax.Array
    cartridge: Cartridge
    screen: raster.Screen
    maximum_lines: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the chips read of the outside, int32 [L]: port_a, the joysticks' pins; port_b, the console's switches; fire, bits 0
    and 1 for the right sides of INPT4 and INPT5; paddles, int32 [4, L], see `tia.read`."""

    port_a: jax.Array
    port_b: jax.Array
    fire: jax.Array
    paddles: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Machine:
    """All that changes. memory: uint8 [L, 256], RAM and a cartridge's RAM. slices: int32 [L], see `cartridge.py`. cycles:
    int32 [L], since the machine's counter was set back. random: int32 [L], random numbers drawn. fault: bool [L], sticky: it met
    something that is not emulated. dpc: None where no cartridge of the batch has one. The rest are the chips and the picture."""

    registers: cpu.Registers
    memory: jax.Array
    slices: jax.Array
    cycles: jax.Array
    riot: riot.Riot
    tia: tia.Tia
    raster: raster.Raster
    canvas: raster.Canvas
    random: jax.Array
    fault: jax.Array
    dpc: dpc.Dpc | None


def select(condition: jax.Array, new, old):
    """The lanes of a pytree `new` where `condition` [L] holds, of `old` elsewhere."""
    return jax.tree.map(lambda a, b: jnp.where(condition.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old)


def choose_hardware(condition: jax.Array, first: Hardware, second: Hardware) -> Hardware:
    """`first` for the lanes where `condition`, else `second`; both of the same ROMs."""
    return dataclasses.replace(
        second,
        screen=select(condition, first.screen, second.screen),
        maximum_lines=jnp.where(condition, first.maximum_lines, second.maximum_lines),
    )


def power_on(hardware: Hardware, height: int) -> Machine:
    """The lanes switched on: random RAM, all else zero; `reset` must follow. height: lines of the canvas."""
    lanes = hardware.maximum_lines.shape[0]
    zero = jnp.zeros(lanes, jnp.int32)
    memory = jnp.zeros((lanes, 2 * RAM), jnp.uint8).at[:, :RAM].set(randomness.stream()[:RAM].astype("uint8"))
    chip = riot.power_on(jnp.zeros(lanes, jnp.uint32))
    return Machine(
        cpu.power_on(lanes, zero),
        memory,
        zero,
        zero,
        chip,
        tia.power_on(lanes),
        raster.power_on(lanes),
        raster.blank_canvas(lanes, height),
        zero + RAM + 1,
        zero != 0,
        None if hardware.cartridge.dpc is None else dpc.power_on(lanes),
    )


def reset(machine: Machine, hardware: Hardware) -> Machine:
    """The console's power switched off and on: memory stays, and numbers are drawn for the timer and a cartridge's RAM."""
    lanes = machine.random.shape[0]
    stream = jnp.asarray(randomness.stream())
    cartridge = hardware.cartridge
    drawn = stream[machine.random[:, None] + jnp.arange(1 + RAM)]
    memory = jnp.where(
        cartridge.superchip[:, None], machine.memory.at[:, RAM:].set(drawn[:, 1:].astype(jnp.uint8)), machine.memory
    )
    slices = cartridge.reset_slices
    vector = hardware.words[cartridges.place(cartridge, slices, jnp.full(lanes, 0xFFFC))] & 0xFFFF
    chip = tia.reset(machine.tia)
    fresh = dataclasses.replace(raster.power_on(lanes), buffer=machine.raster.buffer)
    random = machine.random + 1 + jnp.where(cartridge.superchip, RAM, 0)
    return Machine(
        cpu.power_on(lanes, vector),
        memory,
        slices,
        jnp.zeros_like(machine.cycles),
        riot.power_on(drawn[:, 0]),
        chip,
        fresh,
        jax.tree.map(jnp.zeros_like, machine.canvas),
        random,
        machine.fault | (random + 1 + RAM > randomness.LENGTH),
        None if machine.dpc is None else dpc.reset(machine.dpc, jnp.zeros_like(machine.cycles)),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Run:
    """A machine in the middle of a frame. left: instructions that may still be executed. done, waits: bool [L]. granted:
    bool [L], collisions are up to date for the instruction to come."""

    registers: cpu.Registers
    memory: jax.Array
    slices: jax.Array
    cycles: jax.Array
    riot: riot.Riot
    tia: tia.Tia
    log: tia.Log
    fault: jax.Array
    left: jax.Array
    done: jax.Array
    waits: jax.Array
    granted: jax.Array
    dpc: dpc.Dpc | None


def begin(machine: Machine, hardware: Hardware, enable: jax.Array) -> tuple[_Run, raster.Raster]:
    """The machine at the start of a frame, or where the last one did not end within it, and the beam."""
    starts = enable & ~machine.tia.partial
    begun, back = tia.start_frame(machine.tia, machine.cycles, starts)
    moved = back + begun.frame_start - machine.tia.frame_start
    beam = raster.start_frame(machine.raster, hardware.screen, moved, begun.last_lines, starts)
    chip = select(enable, dataclasses.replace(begun, partial=enable), machine.tia)
    return _Run(
        machine.registers,
        machine.memory,
        machine.slices,
        machine.cycles - back,
        riot.rebase(machine.riot, back),
        chip,
        tia.empty_log(enable.shape[0]),
        machine.fault,
        jnp.where(enable, INSTRUCTIONS, 0),
        ~enable,
        ~enable,
        jnp.zeros_like(enable),
        None if machine.dpc is None else dpc.rebase(machine.dpc, back),
    ), beam


def frame(machine: Machine, hardware: Hardware, inputs: Inputs, enable: jax.Array) -> Machine:
    """One frame as the ALE runs it, for the lanes that `enable`, bool [L], names."""
    run, beam = begin(machine, hardware, enable)

    def rounds(carry):
        run, beam, canvas = carry
        run = _execute(run, hardware, inputs, beam.collisions)
        beam, canvas = _draw(beam, canvas, hardware.screen, run.tia, run.log)
        emptied = dataclasses.replace(run.log, length=jnp.zeros_like(run.log.length))
        return dataclasses.replace(run, log=emptied, waits=run.done), beam, canvas

    run, beam, canvas = jax.lax.while_loop(lambda c: ~jnp.all(c[0].done), rounds, (run, beam, machine.canvas))
    canvas = picture.finish(beam, canvas, enable)
    line = tia.lines(run.tia, run.cycles)
    beam, canvas = _grey_out(beam, canvas, hardware.screen, line, enable & run.tia.partial)
    chip = dataclasses.replace(run.tia, last_lines=jnp.where(enable & ~run.tia.partial, line, run.tia.last_lines))
    return Machine(
        run.registers,
        run.memory,
        run.slices,
        run.cycles,
        run.riot,
        chip,
        beam,
        canvas,
        machine.random,
        run.fault,
        run.dpc,
    )


def _grey_out(
    beam: raster.Raster, canvas: raster.Canvas, screen: raster.Screen, line: jax.Array, enable: jax.Array
) -> tuple[raster.Raster, raster.Canvas]:
    row = jnp.maximum(line - screen.first_line, 0)
    return jax.lax.cond(
        jnp.any(enable), lambda b, c: picture.grey_out(b, c, row, enable), lambda b, c: (b, c), beam, canvas
    )


def _draw(
    beam: raster.Raster, canvas: raster.Canvas, screen: raster.Screen, chip: tia.Tia, log: tia.Log
) -> tuple[raster.Raster, raster.Canvas]:
    """Works off the logs, then draws up to the last access."""
    odd = jnp.where(screen.colour_loss, chip.last_lines & 1, 0)
    lane = jnp.arange(log.length.shape[0])
    last = tia.entry(chip.seen, jnp.int32(tia.Write.NOTHING), jnp.int32(0))

    def body(carry):
        beam, canvas, place = carry
        item = jnp.where(place < log.length, log.entries[lane, jnp.minimum(place, tia.LOG_LENGTH - 1)], last)
        beam, canvas, done = raster.step(beam, canvas, screen, item, place <= log.length, odd)
        return beam, canvas, place + done

    beam, canvas, _ = jax.lax.while_loop(
        lambda c: jnp.any(c[2] <= log.length), body, (beam, canvas, jnp.zeros_like(log.length))
    )
    return beam, canvas


def _execute(run: _Run, hardware: Hardware, inputs: Inputs, collisions: jax.Array) -> _Run:
    """Executes instructions until every lane is done or waits for the picture, or some have waited for `PATIENCE` of them."""

    def goes_on(carry):
        run, waited = carry
        return ~jnp.all(run.waits) & (waited < PATIENCE)

    def instruction(carry):
        run, waited = carry
        run = _instruction(run, hardware, inputs, collisions)
        return run, waited + jnp.any(run.waits & ~run.done)

    return jax.lax.while_loop(goes_on, instruction, (run, jnp.int32(0)))[0]


def _is_ram(address: jax.Array) -> jax.Array:
    return address & 0x1280 == 0x80


def _byte(memory: jax.Array, index: jax.Array) -> jax.Array:
    return load(memory, index).astype(jnp.int32)


def _fetch(run: _Run, hardware: Hardware) -> tuple[jax.Array, jax.Array]:
    """The three bytes at the program counter, and whether they cannot be fetched this way."""
    pc, cartridge = run.registers.pc, hardware.cartridge
    in_rom = pc & 0x1000 != 0
    whole = in_rom & ~(cartridge.sliced & (pc & cartridges.SLICE - 1 > cartridges.SLICE - 3))
    word = hardware.words[cartridges.place(cartridge, run.slices, pc)]

    def byte_by_byte(_):
        """From RAM, or from two slices of a cartridge that need not be neighbours in its image."""
        rom = [hardware.words[cartridges.place(cartridge, run.slices, pc + n)] & 0xFF for n in range(3)]
        bytes_ = [jnp.where(in_rom, rom[n], _byte(run.memory, pc + n & 0x7F)) for n in range(3)]
        return jnp.where(whole, word, bytes_[0] | bytes_[1] << 8 | bytes_[2] << 16)

    word = jax.lax.cond(jnp.any(~whole & ~run.waits), byte_by_byte, lambda _: word, None)
    # Star Gunner's reset vector is 0, where the TIA then drives nothing on a bus that still holds it: a BRK.
    begins_at_zero = (pc == 0) & (run.cycles == 0)
    return jnp.where(begins_at_zero, 0, word), ~in_rom & ~_is_ram(pc) & ~begins_at_zero


def _instruction(run: _Run, hardware: Hardware, inputs: Inputs, collisions: jax.Array) -> _Run:
    """The next instruction of every lane that does not wait."""
    always = jnp.any(~run.waits)
    word, lost = once(always, lambda run: _fetch(run, hardware), run)

    def read_pointer(low, high):
        return _byte(run.memory, low & 0x7F), _byte(run.memory, high & 0x7F)

    instruction = once(always, lambda registers, word: cpu.address(registers, word, read_pointer), run.registers, word)
    through_tia = ~run.waits & instruction.is_indirect & (_pointer_place(run, instruction) < 0x80)
    instruction = _with_pointers_in_tia(run, word, inputs, collisions, instruction, through_tia)
    address = instruction.address
    turns = _idle_turns(run, word, run.cycles + instruction.cycles)
    cycles = run.cycles + instruction.cycles + turns * _TURN
    in_tia, in_rom = address & 0x1080 == 0, address & 0x1000 != 0
    in_riot = address & 0x1280 == 0x280

    asks = ~run.waits & ~run.granted & (through_tia | instruction.reads & in_tia & (address & 0xF < 8))
    active = ~run.waits & ~asks
    seen = jnp.where(through_tia, run.cycles + instruction.base_cycles, cycles) - run.tia.frame_start
    chip = dataclasses.replace(run.tia, seen=jnp.where(asks, seen, run.tia.seen))
    run = dataclasses.replace(run, tia=chip, waits=run.waits | asks, granted=run.granted | asks)

    slices, value, timer = once(
        always, lambda run, i, c: _load(run, hardware, inputs, i, c, collisions), run, instruction, cycles
    )
    display = run.dpc
    if display is not None:
        display, value = _read_display(run, hardware, instruction, cycles, value, active)
    outcome = once(always, cpu.execute, run.registers, instruction, value)
    cycles = cycles + outcome.extra
    reads = active & instruction.reads
    chip = dataclasses.replace(run.tia, seen=jnp.where(reads & in_tia, cycles - run.tia.frame_start, run.tia.seen))
    timer = select(reads & in_riot, timer, run.riot)

    stores = active & instruction.writes
    timer = select(stores & in_riot, riot.write(timer, address, outcome.value, cycles), timer)
    chip, log, held, ends = tia.write(
        chip, run.log, address & 0x3F, outcome.value, cycles, hardware.maximum_lines, stores & in_tia
    )
    memory = _save(run, hardware, instruction, outcome, active)
    if display is not None:
        display = _write_display(display, hardware, instruction, outcome, stores & in_rom)

    left = run.left - jnp.where(active, 1 + 2 * turns, 0)
    ends |= active & (left == 0)
    fault = lost | _cannot(run, hardware, instruction)
    touched = active & (instruction.reads | instruction.writes) & in_rom
    return _Run(
        select(active, outcome.registers, run.registers),
        memory,
        jnp.where(touched, slices, run.slices),
        jnp.where(active, cycles + held, run.cycles),
        timer,
        chip,
        log,
        run.fault | active & fault,
        left,
        run.done | ends,
        run.waits | ends | tia.is_full(log),
        run.granted & ~active,
        display,
    )


def _idle_turns(run: _Run, word: jax.Array, cycles: jax.Array) -> jax.Array:
    """How often the loop that begins with the instruction `word` goes round before the timer it waits for may have run out.

    Each turn is two instructions of `_TURN` cycles in all, whose effects the next turn overwrites: they can be skipped.
    """
    kind, chip = word >> 24 & 3, run.riot
    elapsed = cycles - 1 - chip.timer_set
    value = chip.timer - (elapsed >> chip.shift) - 1
    turns = ((chip.timer - 1 << chip.shift) - elapsed) // _TURN
    waits = (kind > 0) & (value > 0) & ((kind == 1) | (value < 0x80))
    return jnp.where(waits, jnp.clip(turns, 0, (run.left - 1) // 2), 0)


def _load(
    run: _Run,
    hardware: Hardware,
    inputs: Inputs,
    instruction: cpu.Instruction,
    cycles: jax.Array,
    collisions: jax.Array,
) -> tuple[jax.Array, jax.Array, riot.Riot]:
    """The slices after an access at the instruction's address, what it reads there, and the RIOT after that."""
    address, cartridge = instruction.address, hardware.cartridge
    slices = cartridges.touch(cartridge, run.slices, address)
    on_chip = cartridge.superchip & (address & 0xF80 == 0x80) & (address & 0x1000 != 0)
    held = _byte(run.memory, address & 0x7F | jnp.where(on_chip, RAM, 0))
    word = hardware.words[cartridges.place(cartridge, slices, address)]
    port, timer = riot.read(run.riot, address, cycles, inputs.port_a, inputs.port_b)
    seen = tia.read(run.tia, address, cycles, instruction.bus, collisions, inputs.fire, inputs.paddles)
    value = jnp.where(
        address & 0x1000 != 0,
        jnp.where(on_chip, held, word),
        jnp.where(address & 0x80 == 0, seen, jnp.where(address & 0x200 == 0, held, port)),
    )
    through_ram = (instruction.mode == Mode.INDIRECT) & _is_ram(address)
    return slices, jnp.where(through_ram, instruction.pointer, value), timer


def _read_display(
    run: _Run,
    hardware: Hardware,
    instruction: cpu.Instruction,
    cycles: jax.Array,
    value: jax.Array,
    active: jax.Array,
) -> tuple[dpc.Dpc, jax.Array]:
    """The DPC after an instruction was fetched and read its operand, and what it read."""
    address, cartridge, pc = instruction.address, hardware.cartridge, run.registers.pc
    present = active & cartridge.dpc
    fetched = [dpc.is_clocked(pc + n) & (n < instruction.length) & (pc & 0x1000 != 0) for n in range(3)]
    clocked = dpc.clock(run.dpc, jnp.where(present, sum(f.astype(jnp.int32) for f in fetched), 0))
    reads = present & instruction.reads & (address & 0x1000 != 0)
    clocked = dpc.clock(clocked, (reads & dpc.is_clocked(address)).astype(jnp.int32))
    asked = reads & (address & 0xFFF < 0x40)

    def ask(chip):
        after, place, mask, instead = dpc.read(chip, address, cycles)
        shown = jnp.where(mask == 0, instead, hardware.words[cartridge.base + place] & mask)
        return select(asked, after, chip), jnp.where(asked, shown, value)

    return jax.lax.cond(jnp.any(asked), ask, lambda chip: (chip, value), clocked)


def _write_display(
    chip: dpc.Dpc, hardware: Hardware, instruction: cpu.Instruction, outcome: cpu.Outcome, stores: jax.Array
) -> dpc.Dpc:
    """The DPC after an instruction stored a byte in the cartridge, where `stores`."""
    stores &= hardware.cartridge.dpc
    clocked = dpc.clock(chip, stores.astype(jnp.int32))
    place = instruction.address & 0xFFF
    told = stores & (place >= 0x40) & (place < 0x80)
    return jax.lax.cond(
        jnp.any(told),
        lambda c: select(told, dpc.write(c, instruction.address, outcome.value), c),
        lambda c: c,
        clocked,
    )


def _save(
    run: _Run, hardware: Hardware, instruction: cpu.Instruction, outcome: cpu.Outcome, active: jax.Array
) -> jax.Array:
    """The memory after the instruction's stores: one byte, or a return address, below which a break puts the flags."""
    address, s = instruction.address, run.registers.s
    calls = (instruction.control == Control.CALL) | (instruction.control == Control.BREAK)
    on_chip = hardware.cartridge.superchip & (address & 0x1F80 == 0x1000)
    stores = active & (calls | instruction.writes & (on_chip | _is_ram(address)))
    index = jnp.where(calls, s & 0x7F, address & 0x7F | jnp.where(on_chip, RAM, 0))
    memory = store(run.memory, (index,), outcome.value.astype(jnp.uint8), stores)
    low = run.registers.pc + 2 & 0xFF
    memory = store(memory, (s - 1 & 0x7F,), low.astype(jnp.uint8), active & calls)
    breaks = active & (instruction.control == Control.BREAK)
    flags = (run.registers.p | 0x30).astype(jnp.uint8)
    return jax.lax.cond(
        jnp.any(breaks),
        lambda m: store(m, (s - 2 & 0x7F,), flags, breaks),
        lambda m: m,
        memory,
    )


def _cannot(run: _Run, hardware: Hardware, instruction: cpu.Instruction) -> jax.Array:
    """Whether an instruction does what is not emulated: halting, stack or pointers outside RAM, hot spots among its own bytes."""
    control, mode, s = instruction.control, instruction.mode, run.registers.s
    calls = (control == Control.CALL) | (control == Control.BREAK)
    depth = jnp.where(control == Control.BREAK, 2, 1)
    stack = calls & (s - depth < 0x80) | (mode == Mode.RETURN) & (s + 1 & 0xFF < 0x80)
    pointers = instruction.is_indirect & (_pointer_place(run, instruction) == 0xFF)
    crosses = (mode == Mode.INDIRECT) & (instruction.address & 0xFF == 0xFF)
    last = run.registers.pc + instruction.length - 1
    first_hot = hardware.cartridge.hot_first + 0x1000
    hot = (
        (hardware.cartridge.hot_count > 0)
        & (last & 0x1FFF >= first_hot)
        & (run.registers.pc & 0x1FFF < first_hot + hardware.cartridge.hot_count)
    )
    torn = (run.registers.pc & 0xFFF) + instruction.length - 1 > 0xFFF
    return (control == Control.JAM) | stack | pointers | crosses | hot | torn


def _pointer_place(run: _Run, instruction: cpu.Instruction) -> jax.Array:
    """Where in the zero page the pointer of an indirect instruction lies; of others it says nothing."""
    index = jnp.where(instruction.mode == Mode.INDIRECT_X, run.registers.x, 0)
    return instruction.operand + index & 0xFF


def _with_pointers_in_tia(
    run: _Run,
    word: jax.Array,
    inputs: Inputs,
    collisions: jax.Array,
    instruction: cpu.Instruction,
    through_tia: jax.Array,
) -> cpu.Instruction:
    """The instructions, those of the lanes `through_tia` with the TIA's registers as their pointers (Gopher does that)."""
    cycles = run.cycles + instruction.base_cycles

    def byte(place: jax.Array, bus: jax.Array) -> jax.Array:
        seen = tia.read(run.tia, place, cycles, bus, collisions, inputs.fire, inputs.paddles)
        return jnp.where(through_tia & (place < 0x80), seen, _byte(run.memory, place & 0x7F))

    def read_pointer(low: jax.Array, high: jax.Array) -> tuple[jax.Array, jax.Array]:
        first = byte(low, instruction.operand & 0xFF)
        return first, byte(high, first)

    return jax.lax.cond(
        jnp.any(through_tia),
        lambda registers, word, _: cpu.address(registers, word, read_pointer),
        lambda _, __, found: found,
        run.registers,
        word,
        instruction,
    )
