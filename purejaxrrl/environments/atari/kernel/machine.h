// One lane of the console: its state in registers and cache while a frame runs, and where it lies in the buffers of a batch.
//
// FOR_EACH_SCALAR, FOR_EACH_SETTING, the registers (`Write`) and the flags (`Bit`) are generated from the Python side's lists
// (`layout.py`), so that both name the same things. Every function mirrors one of the portable path, in the file of its name.

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define ATARI_CODE __device__
#define ATARI_ON_GPU
#else
#define ATARI_CODE
#endif
#define ATARI_APART static ATARI_CODE WP_NOINLINE
#define ATARI_INLINE static ATARI_CODE WP_FORCEINLINE

namespace atari {

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

const int LINE = 76;                         // cycles of a scan line
const int CLOCKS = 228;                      // colour clocks of a scan line, of which the first BLANK show nothing
const int BLANK = 68;
const int NEVER = 0x7FFFFFFF;
const int WORDS = 3;                         // of 64 bits, for the 160 pixels of a line
const int ROW_WORDS = 16, COLOUR_SETS = 24;  // of a row on the canvas
const int RAM = 128, FETCHERS = 8, OBJECTS = 5;
enum { DRAW_NOTHING, DRAW_ALL, DRAW_WHOLE_LINES };  // `Machine::draws`

struct Span {
    u64 word[WORDS];
};

// The batch: arrays of all lanes, as XLA holds them. scalars and settings: [names, lanes]; the rest: [lanes, ...].
struct Buffers {
    const int* words;
    const int* settings;
    int* scalars;
    u8* memory;
    int* positions;
    u32* line;
    u32* line_sets;
    u32* rows;
    u32* colours;
    int* fetchers;
    int lanes;
    int canvas_height;
};

struct Machine {
#define ATARI_FIELD(name) int name;
    FOR_EACH_SCALAR(ATARI_FIELD)
    FOR_EACH_SETTING(ATARI_FIELD)
#undef ATARI_FIELD
    int positions[OBJECTS];
    u8* memory;                 // [256], RAM and the cartridge's RAM
    const int* words;           // all ROMs
    const int* slice[8];        // what shows at address bits 10, 11 and 13
    const int* bank;            // the first of them; where no slice is switched alone, the others follow it
    Span low, high, marks;      // the row that is being drawn
    u32 blank;                  // whether its first 8 pixels are black
    u32* line_sets;
    u32* rows;                  // [2, canvas_height, ROW_WORDS]
    u32* row_colours;           // [2, canvas_height, COLOUR_SETS]
    int* tops;                  // [FETCHERS] each
    int* bottoms;
    int* counters;
    int canvas_height;
    Span objects[6];            // players, missiles, ball, playfield, as they are shown
    int stale;                  // a bit for each of them that must be made anew
    int shown;                  // a bit for each that is not empty
    Span plane_low, plane_high; // the line's two bit planes, and where objects overlap,
    Span overlaps;              // in words
    int planned;                // that have a bit here
    int first_clock, last_clock;  // of the picture
    int odd;                    // 1 while colours have lost their hue
    int ended;                  // the program has ended the frame
    int granted;                // collisions are up to date for this instruction
    int watch_from;             // place in the cartridge from which a fetch is looked at more closely
};

static ATARI_CODE inline int clip(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

// Differences of cycle counts wrap around, as they do in XLA.
static ATARI_CODE inline int minus(int a, int b) {
    return (int)((u32)a - (u32)b);
}

static ATARI_CODE inline int lowest_bit(u32 word) {
#ifdef ATARI_ON_GPU
    return __ffs((int)word) - 1;
#else
    return __builtin_ctz(word);
#endif
}

static ATARI_CODE inline int modulo(int a, int b) {
    int rest = a % b;
    return rest < 0 ? rest + b : rest;
}

static ATARI_CODE inline int is_ram(int address) {
    return (address & 0x1280) == 0x80;
}

static ATARI_CODE inline Span join_words(const u32* word) {
    Span span;
    span.word[0] = word[0] | (u64)word[1] << 32;
    span.word[1] = word[2] | (u64)word[3] << 32;
    span.word[2] = word[4];
    return span;
}

static ATARI_CODE inline void split_words(const Span& span, u32* word) {
    for (int place = 0; place < 5; place++) word[place] = (u32)(span.word[place >> 1] >> (32 * (place & 1)));
}

}  // namespace atari
