// The 6507: fetches, decodes and executes until the frame ends (`cpu.py`). The cases are generated from the table of
// instructions (`opcodes.py`); this file has what they are made of. N and Z are kept as the bytes that they are flags of.

namespace atari {

enum { FLAG_C = 1, FLAG_Z = 2, FLAG_I = 4, FLAG_D = 8, FLAG_V = 64, FLAG_N = 128 };

struct Processor {
    int a, x, y, s, pc;
    int carry, overflow, rest;  // rest: flags I and D, in place
    int negative, zero;         // N is bit 7 of one, Z whether the other is 0
    int cycles, left;
};

ATARI_INLINE int get_flags(const Processor& c) {
    return (c.negative & FLAG_N) | c.overflow << 6 | c.rest | (c.zero == 0) << 1 | c.carry;
}

ATARI_INLINE void set_flags(Processor& c, int flags) {
    c.negative = flags & FLAG_N;
    c.overflow = flags >> 6 & 1;
    c.rest = flags & (FLAG_I | FLAG_D);
    c.zero = ~flags & FLAG_Z;
    c.carry = flags & FLAG_C;
}

ATARI_INLINE int read(Machine& m, int address, int bus, int cycles) {
    if (is_ram(address)) return m.memory[address & 0x7F];
    if (address & 0x1000) return read_cartridge(m, address, cycles);
    return address & 0x80 ? read_riot(m, address, cycles) : read_tia(m, address, bus, cycles);
}

ATARI_INLINE void store(Machine& m, Processor& c, int address, int value) {
    if (is_ram(address)) {
        m.memory[address & 0x7F] = (u8)value;
    } else if (address & 0x1000) {
        store_cartridge(m, address, value);
    } else if (address & 0x80) {
        store_riot(m, address, value, c.cycles);
    } else {
        c.cycles += store_tia(m, address, value, c.cycles);
        if (m.ended) c.left = 1;
    }
}

ATARI_INLINE int pointer(Machine& m, int place, int operand, int cycles) {
    if (place < 0x80) return tia_pointer(m, place, operand, cycles);
    if (place == 0xFF) m.fault = 1;
    return m.memory[place & 0x7F] | m.memory[(place + 1) & 0x7F] << 8;
}

ATARI_INLINE int stacked(const Machine& m, int place) {
    return m.memory[place & 0x7F];
}

// Pushes the return address; returns the stack pointer. What is not in RAM is not emulated.
static ATARI_CODE inline int push_return(Machine& m, int s, int pc) {
    if (s - 1 < 0x80) m.fault = 1;
    m.memory[s & 0x7F] = (u8)((pc + 2) >> 8);
    m.memory[(s - 1) & 0x7F] = (u8)(pc + 2);
    return (s - 2) & 0xFF;
}

ATARI_INLINE void branch(Processor& c, int operand, int taken) {
    c.pc = (c.pc + 2) & 0xFFFF;
    if (!taken) return;
    int target = (c.pc + (signed char)operand) & 0xFFFF;
    c.cycles += ((c.pc ^ target) & 0xFF00) ? 2 : 1;
    c.pc = target;
}

static ATARI_CODE inline int from_bcd(int value) {
    return (value >> 4) * 10 + (value & 0xF);
}

// Two decimal digits of 0..255, the hundreds dropped.
static ATARI_CODE inline int to_bcd(int value) {
    int tens = value / 10, hundreds = value / 100;
    return (tens - hundreds * 10) << 4 | (value - tens * 10);
}

ATARI_APART int add_decimal(int a, int m, int carry) {
    int total = from_bcd(a) + from_bcd(m) + carry;
    return to_bcd(total & 0xFF) | (total > 99) << 8;
}

// What is no decimal number reads a neighbouring table of the ALE's.
ATARI_APART int subtract_decimal(int a, int m, int carry) {
    int difference = from_bcd(a) - from_bcd(m) - (1 - carry);
    if (difference < 0) difference += 100;
    int result = difference >= 0 ? to_bcd(difference & 0xFF) : from_bcd(difference & 0xFF);
    return (result & 0xFF) | (a >= m + 1 - carry) << 8;
}

// A + value + carry; returns what A becomes, and sets the flags.
ATARI_INLINE int add(Processor& c, int value) {
    int total = c.rest & FLAG_D ? add_decimal(c.a, value, c.carry) : c.a + value + c.carry;
    c.overflow = ((c.a ^ total) & (total ^ value)) >> 7 & 1;
    c.carry = total >> 8;
    return c.negative = c.zero = total & 0xFF;
}

ATARI_INLINE int subtract(Processor& c, int value) {
    int decimal = c.rest & FLAG_D, inverse = value ^ 0xFF;
    int total = decimal ? subtract_decimal(c.a, value, c.carry) : c.a + inverse + c.carry;
    c.overflow = ((c.a ^ total) & (total ^ (decimal ? value : inverse))) >> 7 & 1;
    c.carry = total >> 8;
    return c.negative = c.zero = total & 0xFF;
}

// A register less a value; returns the difference, and sets the flags.
ATARI_INLINE int compare(Processor& c, int held, int value) {
    c.carry = held >= value;
    return c.negative = c.zero = (held - value) & 0xFF;
}

// ARR: `value` is A & operand, `rotated` the same rotated to the right. Returns the result, carry (bit 8) and overflow (bit 9).
ATARI_APART int rotate_and_adjust(int value, int rotated, int decimal) {
    if (!decimal) return rotated | (rotated >> 6 & 1) << 8 | ((rotated >> 6 ^ rotated >> 5) & 1) << 9;
    int result = rotated;
    if ((value & 0xF) + (value & 1) > 5) result = (rotated & 0xF0) | ((rotated + 6) & 0xF);
    int high = (value & 0xF0) + (value & 0x10) > 0x50;
    if (high) result = (result + 0x60) & 0xFF;
    return result | high << 8 | ((value ^ rotated) >> 6 & 1) << 9;
}

ATARI_INLINE int adjust(Processor& c, int value, int rotated) {
    int found = rotate_and_adjust(value, rotated, c.rest & FLAG_D);
    c.negative = rotated;  // in decimal mode too, where N is the carry before, which was rotated into bit 7
    c.carry = found >> 8 & 1;
    c.overflow = found >> 9;
    return c.zero = found & 0xFF;
}

// What JMP (address) jumps to; reading it has no effects.
ATARI_APART int indirect_target(const Machine& m, int address, int cycles) {
    if (is_ram(address)) return m.memory[address & 0x7F] | m.memory[(address + 1) & 0x7F] << 8;
    Machine seen = m;
    if (!(address & 0x1000)) return address & 0x80 ? read_riot(seen, address, cycles) : tia_value(m, address, cycles, address >> 8);
    if (is_hot(m, address)) switch_bank(seen, address);
    return is_cartridge_ram(m, address) ? m.memory[RAM + (address & 0x7F)] : rom_word(seen, address) & 0xFFFF;
}

#define ATARI_CROSSED(base, address) ((((base) ^ (address)) & 0xFF00) != 0)

// What is fetched otherwise than from the bank that is shown, or is to be looked at.
ATARI_APART int fetch_with_care(Machine& m, int pc, int cycles) {
    const int place = pc & 0xFFF, special = m.sliced || m.by_address || m.has_dpc;
    const int word = (pc & 0x1000) && !special ? m.bank[place] : fetch(m, pc, cycles);
    if (place >= m.watch_from) watch_fetch(m, pc, instruction_length(word & 0xFF));
    return word;
}

#define ATARI_FETCH                                                                           \
    pc = c.pc;                                                                                \
    word = ((pc & 0x1FFF) ^ 0x1000) < plain ? m.bank[pc & 0xFFF] : fetch_with_care(m, pc, c.cycles); \
    operand = word >> 8 & 0xFF;                                                               \
    absolute = word >> 8 & 0xFFFF;                                                            \
    high = word >> 16 & 0xFF;

// A processor guesses best where a program goes on when each instruction has a jump of its own to the next.
#ifdef ATARI_ON_GPU
#define ATARI_BEGIN do { ATARI_FETCH switch (word & 0xFF) {
#define ATARI_CASE(opcode) case opcode:
#define ATARI_NEXT break;
#define ATARI_END } } while (--c.left > 0);
#else
#define ATARI_LABEL(opcode) &&operation_##opcode,
#define ATARI_DISPATCH ATARI_FETCH goto *operations[word & 0xFF];
#define ATARI_BEGIN                                                               \
    static const void* const operations[256] = {ATARI_OPCODES(ATARI_LABEL)};      \
    ATARI_DISPATCH
#define ATARI_CASE(opcode) operation_##opcode:
#define ATARI_NEXT                    \
    if (--c.left <= 0) goto finished; \
    ATARI_DISPATCH
#define ATARI_END finished:;
#endif

static ATARI_CODE void run(Machine& m, int instructions) {
    const int plain = m.sliced || m.by_address || m.has_dpc ? 0 : m.watch_from;  // places that are fetched without care
    int pc, word, operand, absolute, high;
    Processor c;
    c.a = m.a;
    c.x = m.x;
    c.y = m.y;
    c.s = m.s;
    c.pc = m.pc;
    c.cycles = m.cycles;
    c.left = instructions;
    set_flags(c, m.p);
    ATARI_BEGIN
    ATARI_CASES
    ATARI_END
    m.a = c.a;
    m.x = c.x;
    m.y = c.y;
    m.s = c.s;
    m.pc = c.pc;
    m.p = get_flags(c);
    m.cycles = c.cycles;
}

}  // namespace atari
