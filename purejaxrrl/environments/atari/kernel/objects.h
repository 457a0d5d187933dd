// The TIA's six objects on a scan line as bit patterns, the leftmost pixel the lowest bit (`objects.py`).

namespace atari {

enum { PLAYER_0, PLAYER_1, MISSILE_0, MISSILE_1, BALL, PLAYFIELD };

static ATARI_CODE inline u32 reverse_bits(u32 byte) {
    byte = (byte >> 4 | byte << 4) & 0xFF;
    byte = (byte >> 2 & 0x33) | (byte & 0x33) << 2;
    return (byte >> 1 & 0x55) | (byte & 0x55) << 1;
}

static ATARI_CODE inline u32 stretch_2(u32 byte) {
    u32 spread = (byte | byte << 4) & 0x0F0F;
    spread = (spread | spread << 2) & 0x3333;
    return ((spread | spread << 1) & 0x5555) * 3;
}

static ATARI_CODE inline u32 stretch_4(u32 byte) {
    u32 spread = (byte | byte << 12) & 0x000F000F;
    spread = (spread | spread << 6) & 0x03030303;
    return ((spread | spread << 3) & 0x11111111) * 15;
}

// Pixels `start` up to `stop` (0..160) of word `place`.
static ATARI_CODE inline u64 span_word(int start, int stop, int place) {
    int low = clip(start - 64 * place, 0, 64), high = clip(stop - 64 * place, 0, 64);
    u64 below_low = low == 64 ? ~0ull : (1ull << low) - 1, below_high = high == 64 ? ~0ull : (1ull << high) - 1;
    return below_high & ~below_low;
}

static ATARI_CODE inline Span span(int start, int stop) {
    Span result;
    for (int place = 0; place < WORDS; place++) result.word[place] = span_word(start, stop, place);
    return result;
}

// Puts a pattern of up to 32 pixels at pixel `position` (0..319) of the line, around whose end it goes.
static ATARI_CODE inline void put_pattern(Span& span, u64 pattern, int position) {
    if (position >= 160) position -= 160;
    int bit = position & 63;
    u64 first = pattern << bit, carried = bit ? pattern >> (64 - bit) : 0;
    if (position < 64) {
        span.word[0] |= first;
        span.word[1] |= carried;
    } else if (position < 128) {
        span.word[1] |= first;
        span.word[2] |= carried & 0xFFFFFFFF;
        span.word[0] |= carried >> 32;
    } else {
        span.word[2] |= first & 0xFFFFFFFF;
        span.word[0] |= first >> 32;
    }
}

// An object and its copies, which modes 1 to 4 and 6 of NUSIZ put 16, 32 or 64 pixels further on.
static ATARI_CODE inline Span copies(u64 pattern, int mode, int skips_first, int position) {
    Span result = {{0, 0, 0}};
    if (!pattern) return result;
    if (!skips_first) put_pattern(result, pattern, position);
    if (mode == 1 || mode == 3) put_pattern(result, pattern, position + 16);
    if (mode == 2 || mode == 3 || mode == 6) put_pattern(result, pattern, position + 32);
    if (mode == 4 || mode == 6) put_pattern(result, pattern, position + 64);
    return result;
}

// The playfield's 20 blocks of 4 pixels, shown twice, or mirrored.
static ATARI_CODE inline Span playfield(u32 bits, int reflected) {
    u32 right = bits;
    if (reflected)
        right = reverse_bits(bits & 0xFF) << 12 | reverse_bits(bits >> 8 & 0xFF) << 4 | reverse_bits(bits >> 16 & 0xFF) >> 4;
    Span result;
    result.word[0] = stretch_4(bits & 0xFF) | (u64)stretch_4(bits >> 8 & 0xFF) << 32;
    result.word[1] = stretch_4((bits >> 16 & 0xF) | (right & 0xF) << 4) | (u64)stretch_4(right >> 4 & 0xFF) << 32;
    result.word[2] = stretch_4(right >> 12 & 0xFF);
    return result;
}

static ATARI_CODE inline u32 place_playfield_bits(int number, u32 value, u32 bits) {
    if (number == 0) return (bits & 0xFFFF0) | value >> 4;
    if (number == 1) return (bits & 0xFF00F) | reverse_bits(value) << 4;
    return (bits & 0x00FFF) | value << 12;
}

// What a player in a mode is doing at the pixel where its position is reset, counted from the old one: -1 in the delay of four
// pixels before a copy, 1 within a copy, 0 neither.
static ATARI_CODE inline int reset_condition(int mode, int passed) {
    int width = mode == 5 ? 16 : mode == 7 ? 32 : 8, condition = 0;
    for (int copy = 0; copy < 5; copy++) {
        int exists = copy == 0 || (copy == 1 && (mode == 1 || mode == 3)) ||
                     (copy == 2 && (mode == 2 || mode == 3 || mode == 6)) || (copy == 4 && (mode == 4 || mode == 6));
        int along = passed - 16 * copy;
        if (exists && along >= 0 && along < 4) condition = -1;
        if (exists && along >= 4 && along < 4 + width) condition = 1;
    }
    return condition;
}

// Collision bits of the objects within some pixels of a word of the line (`objects.PAIRS`).
ATARI_APART int collisions(const Machine& m, int place, u64 inside) {
    u64 p0 = m.objects[PLAYER_0].word[place] & inside, p1 = m.objects[PLAYER_1].word[place] & inside;
    u64 m0 = m.objects[MISSILE_0].word[place] & inside, m1 = m.objects[MISSILE_1].word[place] & inside;
    u64 ball = m.objects[BALL].word[place] & inside, field = m.objects[PLAYFIELD].word[place] & inside;
    int bits = (m0 & p1) != 0;
    bits |= ((m0 & p0) != 0) << 1;
    bits |= ((m1 & p0) != 0) << 2;
    bits |= ((m1 & p1) != 0) << 3;
    bits |= ((p0 & field) != 0) << 4;
    bits |= ((p0 & ball) != 0) << 5;
    bits |= ((p1 & field) != 0) << 6;
    bits |= ((p1 & ball) != 0) << 7;
    bits |= ((m0 & field) != 0) << 8;
    bits |= ((m0 & ball) != 0) << 9;
    bits |= ((m1 & field) != 0) << 10;
    bits |= ((m1 & ball) != 0) << 11;
    bits |= ((ball & field) != 0) << 12;
    bits |= ((p0 & p1) != 0) << 14;
    bits |= ((m0 & m1) != 0) << 15;
    return bits;
}

}  // namespace atari
