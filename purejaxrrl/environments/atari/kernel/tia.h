// The TIA as the processor sees it: beam timing, inputs, and its registers (`tia.py`).

namespace atari {

// The byte at an address of the chip; bits that it does not drive keep what was last on the bus.
static ATARI_CODE inline int tia_value(const Machine& m, int address, int cycles, int bus) {
    int number = address & 0xF, driven = 0;
    if (number < 8) {
        int pair = m.collisions >> (number << 1);
        driven = (pair & 1) << 7 | (pair & 2) << 5;
    } else if (number < 12) {
        int input = number & 3, needed = input == 0 ? m.paddle_0 : input == 1 ? m.paddle_1 : input == 2 ? m.paddle_2 : m.paddle_3;
        int full = m.charged_from + needed;
        int charged = needed == 0 || (needed > 0 && !m.dumped && full >= 0 && cycles > full);
        driven = charged << 7;
    } else if (number < 14) {
        driven = (m.fire >> (number & 1) & 1) << 7;
    }
    return driven | (bus & 0x3F);
}

static ATARI_CODE inline void catch_up(Machine& m, int cycles) {
    m.seen = minus(cycles, m.frame_start);
    draw(m, 3 * fold(m.seen));
}

ATARI_APART int read_tia(Machine& m, int address, int bus, int cycles) {
    if ((address & 0xF) < 8 && !m.granted) catch_up(m, cycles);
    m.seen = minus(cycles, m.frame_start);
    return tia_value(m, address, cycles, bus);
}

// A byte stored in a register; returns the cycles that the processor is then held. Beyond `maximum_lines` any ends the frame.
ATARI_APART int store_tia(Machine& m, int address, int value, int cycles) {
    int number = address & 0x3F, position = minus(cycles, m.frame_start), clock = 3 * cycles, held = 0;
    m.seen = position;
    int late = position >= (m.maximum_lines + 1) * LINE;
    if (number == REG_WSYNC) {
        int along = position % LINE;
        held = along ? LINE - along : 0;
    } else if (number == REG_VSYNC) {
        if (value & 2) {
            m.vsync_end = clock + 3 * LINE;
        } else if (clock >= m.vsync_end) {
            m.vsync_end = NEVER;
            m.ended = 1;
        }
    } else {
        if (number == REG_VBLANK) {
            int dumped = value >> 7 & 1;
            if (m.dumped && !dumped) m.charged_from = cycles;
            m.dumped = dumped;
        }
        store_raster(m, number, value, fold(position));
    }
    if (late) m.ended = 1;
    return held;
}

// A pointer that an instruction finds in the TIA's registers, where Gopher has one.
ATARI_APART int tia_pointer(Machine& m, int place, int operand, int cycles) {
    catch_up(m, cycles);
    m.granted = 1;
    int low = tia_value(m, place, cycles, operand), above = place + 1;
    int high = above < 0x80 ? tia_value(m, above, cycles, low) : m.memory[above & 0x7F];
    return low | high << 8;
}

}  // namespace atari
