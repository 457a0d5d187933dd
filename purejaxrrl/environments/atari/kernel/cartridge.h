// Cartridges: which byte of the ROM the processor sees, and the accesses that switch banks (`cartridge.py`).

namespace atari {

static ATARI_CODE inline int slice_of(int address) {
    return (address >> 10 & 3) | (address >> 11 & 4);
}

static ATARI_CODE inline void show_slices(Machine& m) {
    for (int place = 0; place < 8; place++) {
        int shown = (m.slices >> (8 * (place & 3)) & 0xFF) + (m.by_address && place < 4 ? 4 : 0);
        m.slice[place] = m.words + m.base + shown * 1024;
    }
    m.bank = m.slice[0];
}

static ATARI_CODE inline int rom_word(const Machine& m, int address) {
    return m.slice[slice_of(address)][address & 1023];
}

static ATARI_CODE inline int is_hot(const Machine& m, int address) {
    return (u32)((address & 0xFFF) - m.hot_first) < (u32)m.hot_count;
}

static ATARI_CODE inline int touched_slices(const Machine& m, int address) {
    int spot = (address & 0xFFF) - m.hot_first, shift = spot & 0x18;
    return m.sliced ? (m.slices & ~(0xFF << shift)) | (spot & 7) << shift : 0x03020100 + spot * 0x04040404;
}

ATARI_APART void switch_bank(Machine& m, int address) {
    m.slices = touched_slices(m, address);
    show_slices(m);
}

static ATARI_CODE inline int is_cartridge_ram(const Machine& m, int address) {
    return m.superchip && (address & 0xF80) == 0x80;
}

static ATARI_CODE inline int read_cartridge(Machine& m, int address, int cycles) {
    if (is_hot(m, address)) switch_bank(m, address);
    if (is_cartridge_ram(m, address)) return m.memory[RAM + (address & 0x7F)];
    int value = rom_word(m, address) & 0xFF;
    return m.has_dpc ? read_dpc(m, address, cycles, value) : value;
}

ATARI_APART void store_cartridge(Machine& m, int address, int value) {
    if (is_hot(m, address)) switch_bank(m, address);
    if (m.superchip && (address & 0x1F80) == 0x1000) m.memory[RAM + (address & 0x7F)] = (u8)value;
    if (m.has_dpc) store_dpc(m, address, value);
}

// The three bytes at `pc`, which need not be one word of the ROM: in RAM, or in two slices that need not be neighbours.
ATARI_APART int fetch(Machine& m, int pc, int cycles) {
    if ((pc & 0x1000) && !(m.sliced && (pc & 1023) > 1021)) {
        int word = rom_word(m, pc);
        if (m.has_dpc) fetch_dpc(m, pc, instruction_length(word & 0xFF));
        return word;
    }
    // Star Gunner's reset vector is 0, where the TIA then drives nothing on a bus that still holds it: a BRK.
    if (pc == 0 && cycles == 0) return 0;
    int in_rom = pc & 0x1000, word = 0;
    if (!in_rom && !is_ram(pc)) m.fault = 1;
    for (int n = 2; n >= 0; n--)
        word = word << 8 | (in_rom ? rom_word(m, pc + n) & 0xFF : m.memory[(pc + n) & 0x7F]);
    return word;
}

// A fetch near hot spots or the end of the bank: what is fetched from there is not emulated.
ATARI_APART void watch_fetch(Machine& m, int pc, int length) {
    if (!(pc & 0x1000)) return;
    int last = pc + length - 1, first_hot = m.hot_first + 0x1000;
    int hot = m.hot_count > 0 && (last & 0x1FFF) >= first_hot && (pc & 0x1FFF) < first_hot + m.hot_count;
    if (hot || (pc & 0xFFF) + length - 1 > 0xFFF) m.fault = 1;
}

}  // namespace atari
