// The DPC, the chip on Pitfall II's cartridge (`dpc.py`).

namespace atari {

const int DISPLAY = 8192, MUSIC = 5, MUSIC_CLOCK = 143183, CLOCKS_PER_UNIT = 1890;

static ATARI_CODE inline int clocks_dpc(int address) {
    int place = address & 0xFFF;
    return place < 0x80 || place >= 0xFC0;
}

static ATARI_CODE inline void clock_dpc(Machine& m) {
    int byte = m.dpc_random, parity = (byte >> 7 ^ byte >> 5 ^ byte >> 4 ^ byte >> 3) & 1;
    m.dpc_random = (byte << 1 & 0xFF) | (1 - parity);
}

ATARI_APART void fetch_dpc(Machine& m, int pc, int length) {
    for (int n = 0; n < length; n++)
        if (clocks_dpc(pc + n)) clock_dpc(m);
}

static ATARI_CODE inline void set_dpc_flag(Machine& m, int index, int flag) {
    m.dpc_flags = (m.dpc_flags & ~(1 << index)) | flag << index;
}

// The music fetchers brought up to a cycle.
static ATARI_CODE inline void play_dpc(Machine& m, int cycles) {
    int units = (cycles - m.dpc_updated) * CLOCKS_PER_UNIT + m.dpc_fraction;
    int rest = modulo(units, MUSIC_CLOCK), clocks = (units - rest) / MUSIC_CLOCK;
    for (int index = 0; index < FETCHERS; index++) {
        if (!(m.dpc_music >> index & 1) || clocks <= 0) continue;
        int top = m.tops[index], low = (m.counters[index] & 0xFF) - clocks % (top + 1);
        low = top == 0 ? 0 : low < 0 ? low + top + 1 : low;
        if (low <= m.bottoms[index]) set_dpc_flag(m, index, 0);
        else if (low <= top) set_dpc_flag(m, index, 1);
        m.counters[index] = (m.counters[index] & 0x700) | low;
    }
    m.dpc_updated = cycles;
    m.dpc_fraction = rest;
}

ATARI_APART int read_dpc(Machine& m, int address, int cycles, int value) {
    if (clocks_dpc(address)) clock_dpc(m);
    if ((address & 0xFFF) >= 0x40) return value;
    int index = address & 7, function = address >> 3 & 7, counter = m.counters[index], low = counter & 0xFF;
    int flag = low == m.tops[index] ? 1 : low == m.bottoms[index] ? 0 : m.dpc_flags >> index & 1;
    set_dpc_flag(m, index, flag);
    int plays = function == 0 && index >= 4;
    if (plays) play_dpc(m, cycles);
    const int amplitudes[8] = {0x0, 0x4, 0x5, 0x9, 0x6, 0xA, 0xB, 0xF};
    int mask = function == 1 ? 0xFF : function == 2 ? flag * 0xFF : 0, instead = 0;
    if (function == 0) instead = plays ? amplitudes[(m.dpc_music & m.dpc_flags) >> MUSIC & 7] : m.dpc_random;
    if (function == 7) instead = flag * 0xFF;
    if (!(m.dpc_music >> index & 1)) m.counters[index] = (m.counters[index] - 1) & 0x7FF;
    return mask ? m.words[m.base + DISPLAY + 2047 - counter] & mask : instead;
}

ATARI_APART void store_dpc(Machine& m, int address, int value) {
    clock_dpc(m);
    int place = address & 0xFFF, index = address & 7, function = address >> 3 & 7;
    if (place < 0x40 || place >= 0x80) return;
    int counter = m.counters[index], low = m.dpc_music >> index & 1 ? m.tops[index] : value;
    if (function == 0) {
        m.tops[index] = value;
        set_dpc_flag(m, index, 0);
    }
    if (function == 1) m.bottoms[index] = value;
    if (function == 2) m.counters[index] = (counter & 0x700) | low;
    if (function == 3) m.counters[index] = (value & 7) << 8 | (counter & 0xFF);
    if (function == 3 && index >= MUSIC) m.dpc_music = (m.dpc_music & ~(1 << index)) | (value >> 4 & 1) << index;
    if (function == 6) m.dpc_random = 1;
}

}  // namespace atari
