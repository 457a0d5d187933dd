// One frame as the ALE runs it (`machine.py`), from the state in the buffers of a batch and back.

namespace atari {

static ATARI_CODE inline void load(Machine& m, const Buffers& all, int lane) {
    int place = lane;
#define ATARI_LOAD(name)       \
    m.name = all.scalars[place]; \
    place += all.lanes;
    FOR_EACH_SCALAR(ATARI_LOAD)
#undef ATARI_LOAD
    place = lane;
#define ATARI_LOAD(name)        \
    m.name = all.settings[place]; \
    place += all.lanes;
    FOR_EACH_SETTING(ATARI_LOAD)
#undef ATARI_LOAD
    for (int which = 0; which < OBJECTS; which++) m.positions[which] = all.positions[lane * OBJECTS + which];
    m.words = all.words;
    m.memory = all.memory + lane * 2 * RAM;
    const u32* line = all.line + lane * ROW_WORDS;
    m.low = join_words(line);
    m.high = join_words(line + 5);
    m.marks = join_words(line + 10);
    m.blank = line[15];
    m.line_sets = all.line_sets + lane * COLOUR_SETS;
    m.canvas_height = all.canvas_height;
    m.rows = all.rows + (u64)lane * 2 * m.canvas_height * ROW_WORDS;
    m.row_colours = all.colours + (u64)lane * 2 * m.canvas_height * COLOUR_SETS;
    m.tops = all.fetchers + lane * 3 * FETCHERS;
    m.bottoms = m.tops + FETCHERS;
    m.counters = m.bottoms + FETCHERS;
    for (int which = 0; which < 6; which++)
        for (int place = 0; place < WORDS; place++) m.objects[which].word[place] = 0;
    m.stale = 0x3F;
    m.shown = m.odd = m.ended = m.granted = m.planned = 0;
    m.first_clock = m.first * CLOCKS;
    m.last_clock = (m.first + m.height) * CLOCKS;
    m.watch_from = m.hot_count > 0 && m.hot_first < 0xFFE ? m.hot_first - 2 : 0xFFE;
    show_slices(m);
}

static ATARI_CODE inline void save(const Machine& m, const Buffers& all, int lane) {
    int place = lane;
#define ATARI_SAVE(name)       \
    all.scalars[place] = m.name; \
    place += all.lanes;
    FOR_EACH_SCALAR(ATARI_SAVE)
#undef ATARI_SAVE
    for (int which = 0; which < OBJECTS; which++) all.positions[lane * OBJECTS + which] = m.positions[which];
    u32* line = all.line + lane * ROW_WORDS;
    split_words(m.low, line);
    split_words(m.high, line + 5);
    split_words(m.marks, line + 10);
    line[15] = m.blank;
}

// Cycles and the beam set back to the top of the picture.
static ATARI_CODE inline void start_frame(Machine& m) {
    int back = m.cycles, start = -modulo(minus(m.cycles, m.frame_start), LINE);
    int moved = back + start - m.frame_start;
    m.frame_start = start;
    m.vsync_end = minus(m.vsync_end, back * 3);
    m.charged_from = minus(m.charged_from, back);
    m.seen = 0;
    m.cycles = 0;
    m.timer_set = minus(m.timer_set, back);
    m.interrupt_reset = minus(m.interrupt_reset, back);
    m.dpc_updated = minus(m.dpc_updated, back);
    m.flags &= ~GREYED;
    if (m.colour_loss) m.colours = m.last_lines & 1 ? m.colours | 0x01010101 : m.colours & ~0x01010101;
    m.first_line = m.first;
    m.row = 0;
    m.buffer ^= 1;
    m.hmove = minus(m.hmove, moved * 3);
    clear_row(m);
}

static ATARI_CODE inline int count_bits(u64 word) {
    int count = 0;
    for (; word; word &= word - 1) count++;
    return count;
}

// The row drawn up to pixel `end`, the old row beyond it: its marks stay, its colour sets follow the new ones.
ATARI_APART void merge_row(const Machine& m, int end) {
    int place = m.buffer * m.canvas_height + m.row;
    u32* row = m.rows + place * ROW_WORDS;
    u32* sets = m.row_colours + place * COLOUR_SETS;
    Span kept = span(end, 160), mark = span(end, end + 1);
    Span low = join_words(row), high = join_words(row + 5), marks = join_words(row + 10);
    int first = -1;
    for (int word = 0; word < WORDS; word++) {
        u64 keep = kept.word[word];
        first += count_bits(marks.word[word] & (~keep | mark.word[word]));
        low.word[word] = (m.low.word[word] & ~keep) | (low.word[word] & keep);
        high.word[word] = (m.high.word[word] & ~keep) | (high.word[word] & keep);
        marks.word[word] = (m.marks.word[word] & ~keep) | (marks.word[word] & keep) | mark.word[word];
    }
    split_words(low, row);
    split_words(high, row + 5);
    split_words(marks, row + 10);
    row[15] = m.blank;
    u32 merged[COLOUR_SETS];
    for (int set = 0; set < COLOUR_SETS; set++) {
        int source = clip(set - m.sets + (first > 0 ? first : 0), 0, COLOUR_SETS - 1);
        merged[set] = set < m.sets ? m.line_sets[set] : sets[source];
    }
    for (int set = 0; set < COLOUR_SETS; set++) sets[set] = merged[set];
}

static ATARI_CODE inline void finish_picture(Machine& m) {
    int end = clip(m.column - BLANK, 0, 160);
    if (m.draws == DRAW_NOTHING || m.row >= m.canvas_height || end == 0) return;
    if (end == 160) put_row(m);
    else if (m.draws == DRAW_ALL) merge_row(m, end);
}

static ATARI_CODE inline u32 greyed(u32 colours) {
    return colours >> 1 & 0x07070707;
}

// A frame that is shown before it ended: colours lose their hue and half their light from `row` on, once a frame.
ATARI_APART void grey_out(Machine& m, int row) {
    if (m.flags & GREYED) return;
    u32* sets = m.row_colours + m.buffer * m.canvas_height * COLOUR_SETS;
    for (int place = row * COLOUR_SETS; place < m.canvas_height * COLOUR_SETS; place++) sets[place] = greyed(sets[place]);
    if (m.row >= row)
        for (int set = 0; set < COLOUR_SETS; set++) m.line_sets[set] = greyed(m.line_sets[set]);
    m.flags |= GREYED | FRESH;
}

// Empties what a canvas has below a picture of some lines.
static ATARI_CODE inline void clear_below(const Buffers& all, int height, int lane) {
    for (int place = 2 * lane; place < 2 * lane + 2; place++) {
        u64 first = (u64)place * all.canvas_height + height, end = (u64)(place + 1) * all.canvas_height;
        for (u64 word = first * ROW_WORDS; word < end * ROW_WORDS; word++) all.rows[word] = 0;
        for (u64 word = first * COLOUR_SETS; word < end * COLOUR_SETS; word++) all.colours[word] = 0;
    }
}

static ATARI_CODE void play_frame(const Buffers& all, int lane) {
    Machine m;
    load(m, all, lane);
    if (!m.enable) return;
    if (!m.partial) start_frame(m);
    m.partial = 1;
    m.odd = m.colour_loss ? m.last_lines & 1 : 0;
    run(m, INSTRUCTIONS);
    if (m.ended) m.partial = 0;
    draw(m, 3 * fold(m.seen));
    finish_picture(m);
    int line = minus(m.cycles, m.frame_start) / LINE;
    if (!m.partial) m.last_lines = line;
    else if (m.draws == DRAW_ALL) grey_out(m, clip(line - m.first, 0, NEVER));
    save(m, all, lane);
}

}  // namespace atari
