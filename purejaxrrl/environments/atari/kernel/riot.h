// The 6532 RIOT: interval timer and input ports (`riot.py`).

namespace atari {

ATARI_APART int read_riot(Machine& m, int address, int cycles) {
    int number = address & 7;
    if (!(number & 4)) return number == 0 ? m.port_a : number == 1 ? m.direction : number == 2 ? m.port_b : 0;
    int elapsed = minus(cycles - 1, m.timer_set), left = m.timer - (elapsed >> m.shift) - 1;
    int late = (m.timer << m.shift) - elapsed - 1, was_late = m.read_late;
    if (left < 0 && late <= -2 && !was_late && !(number & 1)) {
        m.read_late = 1;
        m.interrupt_reset = cycles;
    }
    if (number & 1) return left >= 0 || was_late ? 0 : 0x80;
    if (left >= 0) return left & 0xFF;
    int offset = minus(m.interrupt_reset, m.timer_set + (m.timer << m.shift));
    return (m.read_late ? m.timer - (elapsed >> m.shift) - offset : late) & 0xFF;
}

ATARI_APART void store_riot(Machine& m, int address, int value, int cycles) {
    if ((address & 0x14) == 0x14) {
        m.timer = value;
        m.shift = (10 << 12 | 6 << 8 | 3 << 4) >> ((address & 3) << 2) & 0xF;
        m.timer_set = cycles;
        m.read_late = 0;
    }
    if ((address & 7) == 1) m.direction = value;
}

// How often the loop that begins with the instruction `word` goes round before the timer it waits for may have run out. Each
// turn is a load and a branch of 7 cycles in all, whose effects the next turn overwrites: they can be skipped.
static ATARI_CODE inline int idle_turns(const Machine& m, int word, int cycles, int left) {
    int kind = word >> 24 & 3, elapsed = minus(cycles - 1, m.timer_set), value = m.timer - (elapsed >> m.shift) - 1;
    if (value <= 0 || (kind != 1 && value >= 0x80)) return 0;
    return clip((((m.timer - 1) << m.shift) - elapsed) / 7, 0, (left - 1) / 2);
}

}  // namespace atari
