// What an agent sees (`observation.py`, `preprocessing.py`): the brighter of the last two pictures, grey, shrunk to 84 x 84.

namespace atari {

const int SIZE = 84, WIDTH = 160, CELLS = 20;  // a cell is 8 pixels, a byte of each
const int MOST_STACKS = 3;

// Arrays of all lanes. greys: [2, 256], of an NTSC and a PAL set. pictures: 1 or 2, how many are looked at. before: uint8 [lanes,
// SIZE, SIZE, 4], a word a pixel, the newest observation last. stacks: where the next one is put, as often as it is wanted.
struct Pictures {
    const u32* rows;
    const u32* colours;
    const int* buffer;
    const int* lines;
    const int* pal;
    const int* pictures;
    const u8* greys;
    const u32* before;
    u32* stacks[MOST_STACKS];
    int wanted;
    int canvas_height;
};

static ATARI_CODE inline u64 same_bytes(u32 byte) {
    return byte * 0x0101010101010101ull;
}

// The bits of a byte, each as a byte of ones or zeros, the lowest first. Shifts and sums only, which every vector unit has.
static ATARI_CODE inline u64 spread_bits(u64 byte) {
    u64 copies = byte | byte << 8;
    copies |= copies << 16;
    copies |= copies << 32;
    u64 single = copies & 0x8040201008040201ull;
    u64 some = (single + 0x00406070787C7E7Full) & 0x8080808080808080ull;
    return (some << 1) - (some >> 7);
}

// 160 pixels, a byte each.
union Line {
    u64 cells[CELLS];
    u8 pixels[WIDTH];
};

// The pixels of a row from `start` on in one set of colours, given the bits of its two planes, each spread over a byte.
static ATARI_CODE inline void grey_cells(const u64* low, const u64* high, u32 set, const u8* greys, int start, Line& grey) {
    u64 zero = same_bytes(greys[set & 0xFF]), one = same_bytes(greys[set >> 8 & 0xFF]);
    u64 two = same_bytes(greys[set >> 16 & 0xFF]), three = same_bytes(greys[set >> 24]);
    u64 of_low = zero ^ one, of_high = zero ^ two, of_both = zero ^ one ^ two ^ three;
    Line mixed;
    for (int cell = 0; cell < CELLS; cell++)
        mixed.cells[cell] = zero ^ (low[cell] & of_low) ^ (high[cell] & (of_high ^ (low[cell] & of_both)));
    if (start == 0) grey = mixed;
    else
        for (int pixel = start; pixel < WIDTH; pixel++) grey.pixels[pixel] = mixed.pixels[pixel];
}

// A row of a picture as grey levels.
ATARI_APART void grey_row(const u32* row, const u32* sets, const u8* greys, Line& grey) {
    u64 low[CELLS], high[CELLS];
    for (int cell = 0; cell < CELLS; cell++) {
        low[cell] = spread_bits(row[cell >> 2] >> (8 * (cell & 3)) & 0xFF);
        high[cell] = spread_bits(row[5 + (cell >> 2)] >> (8 * (cell & 3)) & 0xFF);
    }
    grey_cells(low, high, sets[0], greys, 0, grey);
    int set = 0;
    for (int word = 0; word < 5; word++) {
        // The first pixel has the first mark.
        for (u32 marks = word ? row[10 + word] : row[10] & ~1u; marks; marks &= marks - 1)
            grey_cells(low, high, sets[++set], greys, 32 * word + lowest_bit(marks), grey);
    }
    if (row[15] & 1) grey.cells[0] = same_bytes(greys[0]);
}

static ATARI_CODE inline int differ(const u32* a, const u32* b, int count) {
    u32 found = 0;
    for (int word = 0; word < count; word++) found |= a[word] ^ b[word];
    return found != 0;
}

// A line of one of the two pictures.
struct Row {
    const u32* bits;
    const u32* sets;
};

static ATARI_CODE inline Row row_of(const Pictures& all, int lane, int picture, int line) {
    u64 place = ((u64)lane * 2 + picture) * all.canvas_height + line;
    return {all.rows + place * ROW_WORDS, all.colours + place * COLOUR_SETS};
}

static ATARI_CODE inline int look_alike(Row one, Row other) {
    if (differ(one.bits, other.bits, ROW_WORDS) || one.sets[0] != other.sets[0]) return 0;
    // A single mark, at the first pixel, is what nearly all rows have.
    u32 more = one.bits[10] >> 1 | one.bits[11] | one.bits[12] | one.bits[13] | one.bits[14];
    return !more || !differ(one.sets, other.sets, COLOUR_SETS);
}

// What a line of the brighter of the last pictures looks like.
ATARI_APART void look_at_line(const Row* seen, int pictures, const u8* greys, Line& grey) {
    grey_row(seen[0].bits, seen[0].sets, greys, grey);
    if (pictures == 1 || look_alike(seen[0], seen[1])) return;
    Line other;
    grey_row(seen[1].bits, seen[1].sets, greys, other);
    for (int pixel = 0; pixel < WIDTH; pixel++)
        grey.pixels[pixel] = grey.pixels[pixel] > other.pixels[pixel] ? grey.pixels[pixel] : other.pixels[pixel];
}

// 84 means of 40 / 21 columns each, every column `unit` times the mean of its lines: sums are whole numbers below 2 ** 24 and the
// divisor is below 2 ** 14, so that single precision rounds their quotients as if they were exact. As newest bytes of a stack.
ATARI_APART void narrow_row(const unsigned short* columns, int unit, u32* newest) {
    float sum[SIZE], divisor = 40.0f * unit;
    for (int part = 0; part < 4; part++) {
        const unsigned short* from = columns + 40 * part;
#pragma unroll
        for (int pixel = 0; pixel < 21; pixel++) {
            const int begin = 40 * pixel, place = begin / 21, end = begin + 40, last = (end - 1) / 21;
            int found = from[place] * (21 * (place + 1) - begin) + from[last] * (end - 21 * last);
            sum[21 * part + pixel] = (float)(last > place + 1 ? found + 21 * from[place + 1] : found);
        }
    }
    for (int pixel = 0; pixel < SIZE; pixel++) {
        union {
            float number;
            u32 bits;
        } rounded;
        rounded.number = sum[pixel] / divisor + 12582912.0f;  // 1.5 * 2 ** 23, where floats are whole numbers
        newest[pixel] = rounded.bits << 24;
    }
}

static ATARI_CODE inline int greatest_divisor(int a, int b) {
    while (b) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static ATARI_CODE void observe(const Pictures& all, int lane) {
    int lines = all.lines[lane], divisor = greatest_divisor(lines, SIZE), cells = SIZE / divisor, unit = lines / divisor;
    int pictures = all.pictures[lane], newest_picture = all.buffer[lane], known = -1, alike = 0;
    const u8* greys = all.greys + 256 * all.pal[lane];
    Line grey;
    unsigned short columns[WIDTH];
    u32 newest[SIZE];
    Row seen[2];
    for (int row = 0; row < SIZE; row++) {
        int begin = row * unit, end = begin + unit, line = begin / cells;
        for (int pixel = 0; pixel < WIDTH; pixel++) columns[pixel] = 0;
        for (; line * cells < end; line++) {
            if (line != known) {
                Row now[2] = {row_of(all, lane, newest_picture, line), row_of(all, lane, 1 - newest_picture, line)};
                int same = known >= 0 && look_alike(now[0], seen[0]) && (pictures == 1 || look_alike(now[1], seen[1]));
                seen[0] = now[0];
                seen[1] = now[1];
                known = line;
                alike = same ? alike + 1 : 0;
                if (!same) look_at_line(seen, pictures, greys, grey);
            }
            int from = begin > line * cells ? begin : line * cells, to = end < (line + 1) * cells ? end : (line + 1) * cells;
            unsigned short weight = (unsigned short)(to - from);  // which sum to `unit`, at most 125
            for (int pixel = 0; pixel < WIDTH; pixel++) columns[pixel] += weight * grey.pixels[pixel];
        }
        // A row of lines like all those of the row above is that row again.
        if (row == 0 || alike < known - (begin - unit) / cells) narrow_row(columns, unit, newest);
        u64 place = ((u64)lane * SIZE + row) * SIZE;
        u32 stack[SIZE];
        for (int pixel = 0; pixel < SIZE; pixel++) stack[pixel] = all.before[place + pixel] >> 8 | newest[pixel];
        for (int copy = 0; copy < all.wanted; copy++)
            for (int pixel = 0; pixel < SIZE; pixel++) all.stacks[copy][place + pixel] = stack[pixel];
    }
}

}  // namespace atari
