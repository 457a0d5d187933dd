// The drawing half of the TIA: registers, positions, collisions, and the picture as bits (`raster.py`).

namespace atari {

ATARI_APART void remake_player(Machine& m, int which) {
    int flags = m.flags, mode = m.sizes >> (8 * which) & 7, wide = mode == 5 || mode == 7;
    u32 shape = (u32)m.graphics >> (8 * which + (flags & (VDELP0 << which) ? 16 : 0)) & 0xFF;
    if (!(flags & (REFP0 << which))) shape = reverse_bits(shape);
    if (wide) shape = mode == 5 ? stretch_2(shape) : stretch_4(shape);
    m.objects[which] = copies(shape, mode, flags & (SKIP0 << which), m.positions[which] + wide);
}

ATARI_APART void remake_missile(Machine& m, int which) {
    int flags = m.flags, width = m.sizes >> (4 + 8 * which) & 3;
    int shown = (flags & (ENAM0 << which)) && !(flags & (RESMP0 << which));
    if (which == 0 && (flags & STARS)) {
        width |= m.stars == 1;
        shown = shown && m.stars != 2;
    }
    u64 bar = shown ? (1ull << (1 << width)) - 1 : 0;
    m.objects[MISSILE_0 + which] = copies(bar, m.sizes >> (8 * which) & 7, 0, m.positions[MISSILE_0 + which]);
}

ATARI_APART void remake_ball(Machine& m) {
    u64 bar = m.flags & (m.flags & VDELBL ? DENABL : ENABL) ? (1ull << (1 << (m.sizes >> 20 & 3))) - 1 : 0;
    m.objects[BALL] = copies(bar, 0, 0, m.positions[BALL]);
}

// Brings the masks of objects whose registers have changed up to date.
ATARI_APART void remake_objects(Machine& m) {
    for (int which = 0; which < 6; which++) {
        if (!(m.stale >> which & 1)) continue;
        if (which <= PLAYER_1) remake_player(m, which);
        else if (which <= MISSILE_1) remake_missile(m, which - MISSILE_0);
        else if (which == BALL) remake_ball(m);
        else m.objects[PLAYFIELD] = playfield((u32)m.playfield, m.flags & REFLECTED);
        const Span& object = m.objects[which];
        int present = (object.word[0] | object.word[1] | object.word[2]) != 0;
        m.shown = (m.shown & ~(1 << which)) | present << which;
    }
    m.stale = 0;
    m.planned = 0;
}

// Makes the two bit planes of a word of the line: 0 background, 1 playfield and ball, 2 and 3 the players and their missiles.
ATARI_APART void plan_word(Machine& m, int place) {
    u64 o[6], some = 0, several = 0;
    for (int which = 0; which < 6; which++) {
        o[which] = m.objects[which].word[place];
        several |= some & o[which];
        some |= o[which];
    }
    int control = m.sizes >> 16, score = control & 2, alone = m.playfield != 0 && !(m.shown & 0x1F);
    int first = (control & 4) && !(score && alone);
    u64 left = place == 0 ? ~0ull : place == 1 ? 0xFFFFull : 0;
    u64 zero = o[PLAYER_0] | o[MISSILE_0], one = o[PLAYER_1] | o[MISSILE_1];
    u64 scored = score && !first ? o[PLAYFIELD] : 0, plain = (o[PLAYFIELD] | o[BALL]) & ~scored;
    u64 two = first ? zero & ~plain : zero | (scored & left);
    u64 three = first ? one & ~zero & ~plain : ~two & (one | (scored & ~left));
    m.plane_low.word[place] = three | (first ? plain : plain & ~two & ~three);
    m.plane_high.word[place] = two | three;
    m.overlaps.word[place] = several;
    m.planned |= 1 << place;
}

static ATARI_CODE inline void blank_after_hmove(Machine& m, int stop, int visible) {
    int from = m.column < BLANK ? (stop < BLANK ? stop : BLANK) : m.column;
    if (from >= BLANK + 8 || stop <= m.column) return;
    m.blank |= visible;
    if (stop >= BLANK + 8) m.flags &= ~HMOVE_BLANK;
}

static ATARI_CODE inline void use_colours(Machine& m, int start) {
    int chosen = m.flags & VBLANK ? 0 : m.colours;
    if (m.sets != 0 && chosen == m.last_set && !(m.flags & FRESH)) return;
    m.marks.word[start >> 6] |= 1ull << (start & 63);
    m.line_sets[m.sets < COLOUR_SETS ? m.sets : COLOUR_SETS - 1] = (u32)chosen;
    m.sets++;
    m.last_set = chosen;
}

// Draws the row from where it ends so far up to the clock `stop`.
static ATARI_CODE inline void draw_span(Machine& m, int stop) {
    int start = clip(m.column - BLANK, 0, 160), end = clip(stop - BLANK, 0, 160), visible = end > start;
    if (m.flags & HMOVE_BLANK) blank_after_hmove(m, stop, visible);
    m.column = stop;
    if (!visible) return;
    if (m.stale) remake_objects(m);
    if (m.draws) use_colours(m, start);
    m.flags &= ~FRESH;
    if (!m.shown) return;
    for (int place = start >> 6; place <= (end - 1) >> 6; place++) {
        if (!(m.planned >> place & 1)) plan_word(m, place);
        u64 inside = span_word(start, end, place);
        if (m.draws) {
            m.low.word[place] |= m.plane_low.word[place] & inside;
            m.high.word[place] |= m.plane_high.word[place] & inside;
        }
        if ((m.overlaps.word[place] & inside) && !(m.flags & VBLANK)) m.collisions |= collisions(m, place, inside);
    }
}

static ATARI_CODE inline void put_row(Machine& m) {
    int place = m.buffer * m.canvas_height + m.row;
    u32* row = m.rows + place * ROW_WORDS;
    split_words(m.low, row);
    split_words(m.high, row + 5);
    split_words(m.marks, row + 10);
    row[15] = m.blank;
    // By way of a copy, for a compiler must otherwise think that each store may change the next load.
    u32 sets[COLOUR_SETS];
    for (int set = 0; set < COLOUR_SETS; set++) sets[set] = m.line_sets[set];
    for (int set = 0; set < COLOUR_SETS; set++) m.row_colours[place * COLOUR_SETS + set] = sets[set];
}

static ATARI_CODE inline void clear_row(Machine& m) {
    for (int place = 0; place < WORDS; place++) m.low.word[place] = m.high.word[place] = m.marks.word[place] = 0;
    m.blank = 0;
    m.sets = 0;
    m.column = 0;
}

static ATARI_CODE inline void end_line(Machine& m) {
    if (m.draws && m.row < m.canvas_height) put_row(m);
    int before = m.flags;
    m.flags &= ~(REFLECTED | SKIP0 | SKIP1);
    if (m.sizes >> 16 & 1) m.flags |= REFLECTED;
    int changed = before ^ m.flags;
    if (changed & REFLECTED) m.stale |= 1 << PLAYFIELD;
    if (changed & SKIP0) m.stale |= 1 << PLAYER_0;
    if (changed & SKIP1) m.stale |= 1 << PLAYER_1;
    if (m.flags & STARS) {
        m.stars = (m.stars + 1) & 3;
        int moved = m.positions[MISSILE_0] - ((17 << 24 | 33 << 8 | 18) >> (m.stars << 3) & 0xFF);
        m.positions[MISSILE_0] = moved < 0 ? moved + 160 : moved;
        m.stale |= 1 << MISSILE_0;
    }
    m.row++;
    clear_row(m);
}

// Draws up to a colour clock of the frame.
ATARI_APART void draw(Machine& m, int clock) {
    const int last = m.last_clock;
    while (clock >= m.first_clock) {
        int origin = (m.first_line + m.row) * CLOCKS, drawn = origin + m.column;
        if (drawn >= last || drawn >= clock) return;
        int target = (clock < last ? clock : last) - origin;
        if (target <= CLOCKS) {
            draw_span(m, target);
            return;
        }
        draw_span(m, CLOCKS);
        end_line(m);
    }
}

// Up to which cycle the picture is drawn: far below it, the same cycles count again and again.
static ATARI_CODE inline int fold(int position) {
    const int folded = 1700 * LINE, from = 1725 * LINE;
    return position < from ? position : from + position % folded;
}

// How far HMOVE at a cycle of the line moves an object that asks for `asked` pixels to the right.
static ATARI_CODE inline int motion_at(int cycle, int asked) {
    const signed char floors[21] = {-7, -7, -7, -7, -6, -5, -5, -4, -3, -2, -2, -1, 0, 1, 1, 2, 3, 4, 4, 5, 6};
    const signed char late[20] = {6, 5, 4, 4, 3, 2, 1, 1, 0, -1, -2, -2, -3, -4, -5, -5, -6, -7, -8, -8};
    if (cycle <= 20) return clip(asked, floors[cycle], 8);
    if (cycle <= 54) return 0;
    return cycle == 75 ? clip(asked, -7, 8) : clip(asked + late[cycle - 55], -60, 0);
}

static ATARI_CODE inline void move_objects(Machine& m, int clock, int cycle) {
    for (int which = 0; which < OBJECTS; which++) {
        int asked = -(((m.motions >> (4 * which) & 0xF) ^ 8) - 8);
        int by = motion_at(cycle, asked), moved = m.positions[which] + by;
        m.positions[which] = moved < 0 ? moved + 160 : moved >= 160 ? moved - 160 : moved;
        if (by) m.stale |= 1 << which;
    }
    int along = 3 * cycle;
    if (m.flags & (SKIP0 | SKIP1 | STARS)) m.stale |= 1 << PLAYER_0 | 1 << PLAYER_1 | 1 << MISSILE_0;
    m.flags &= ~(SKIP0 | SKIP1 | STARS);
    if (m.hmove_blanks && (along <= 62 || along >= 225)) m.flags |= HMOVE_BLANK;
    m.hmove = clock;
}

static ATARI_CODE inline void reset_player(Machine& m, int which, int clock, int along) {
    int position = along < BLANK ? 3 : (along - BLANK + 5) % 160;
    int passed = modulo(position - m.positions[which], 160);
    int condition = reset_condition(m.sizes >> (8 * which) & 7, passed);
    draw(m, clock + (condition == 1 ? 11 : 0));
    m.positions[which] = position;
    m.flags &= ~(SKIP0 << which);
    if (condition >= 0) m.flags |= SKIP0 << which;
    m.stale |= 1 << which;
}

static ATARI_CODE inline void reset_bar(Machine& m, int which, int clock, int along) {
    int since = minus(clock, m.hmove), position = along < BLANK ? 2 : (along - BLANK + 4) % 160;
    if (which == MISSILE_0 && since == 60 && along == 69) position = 8;
    if (which == MISSILE_1 && since == 9 && along == 18) position = 3;
    if (which == BALL) {
        if (since == 54 && (along == 60 || along == 69)) position = 10;
        if (since == 9 && along == 18) position = 3;
        if (since == 21 && along == 30) position = 6;
        if (since == 18 && along == 27) position = 5;
    }
    draw(m, clock + (which == BALL ? 0 : 8));
    m.positions[which] = position;
    m.stale |= 1 << which;
}

static ATARI_CODE inline void store_flag(Machine& m, int bit, int set, int clock, int stale) {
    if (((m.flags & bit) != 0) == set) return;
    draw(m, clock);
    m.flags ^= bit;
    m.stale |= stale;
}

// A register of one byte of a word of four; returns the word.
static ATARI_CODE inline int replace_byte(int word, int place, int value) {
    return (int)(((u32)word & ~(0xFFu << (8 * place))) | (u32)value << (8 * place));
}

static ATARI_CODE inline void store_size(Machine& m, int which, int value, int clock) {
    int sizes = replace_byte(m.sizes, which, value);
    if (sizes == m.sizes && !(m.flags & (SKIP0 << which))) return;
    draw(m, clock + 8);
    m.sizes = sizes;
    m.flags &= ~(SKIP0 << which);
    m.stale |= 1 << which | 1 << (MISSILE_0 + which);
}

static ATARI_CODE inline void store_control(Machine& m, int value, int clock, int along) {
    int sizes = replace_byte(m.sizes, 2, value), flags = m.flags;
    if (along < BLANK + 79) flags = value & 1 ? flags | REFLECTED : flags & ~REFLECTED;
    if (sizes == m.sizes && flags == m.flags) return;
    draw(m, clock);
    // Drawing may have gone on to the next line, where flags are others.
    if (along < BLANK + 79) m.flags = value & 1 ? m.flags | REFLECTED : m.flags & ~REFLECTED;
    m.sizes = sizes;
    m.stale |= 1 << BALL | 1 << PLAYFIELD;
}

// What of the players' patterns is shown, a byte each.
static ATARI_CODE inline u32 shown_patterns(u32 graphics, int flags) {
    u32 first = flags & VDELP0 ? graphics >> 16 : graphics, second = flags & VDELP1 ? graphics >> 24 : graphics >> 8;
    return (first & 0xFF) | (second & 0xFF) << 8;
}

static ATARI_CODE inline void store_graphics(Machine& m, int which, int value, int clock) {
    u32 word = (u32)m.graphics;
    u32 graphics = which == 0 ? (word & 0x00FFFF00u) | (u32)value | (word & 0xFF00u) << 16
                              : (word & 0xFF0000FFu) | (u32)value << 8 | (word & 0xFFu) << 16;
    u32 changed = shown_patterns(graphics, m.flags) ^ shown_patterns(word, m.flags);
    int delayed = which == 1 && ((m.flags & ENABL) != 0) != ((m.flags & DENABL) != 0), ball = delayed && (m.flags & VDELBL);
    if (changed || ball) draw(m, clock + 1);
    m.graphics = (int)graphics;
    if (delayed) m.flags ^= DENABL;
    if (changed & 0xFF) m.stale |= 1 << PLAYER_0;
    if (changed & 0xFF00) m.stale |= 1 << PLAYER_1;
    if (ball) m.stale |= 1 << BALL;
}

static ATARI_CODE inline void store_motion(Machine& m, int which, int value, int clock) {
    int shift = 4 * which;
    if (which == MISSILE_0 && clock == m.hmove + 63 && (m.motions >> 8 & 0xF) == 7 && value >> 4 == 6) {
        draw(m, clock);
        m.flags |= STARS;
        m.stars = 0;
        m.stale |= 1 << MISSILE_0;
    }
    m.motions = (m.motions & ~(0xF << shift)) | value >> 4 << shift;
}

static ATARI_CODE inline void lock_missile(Machine& m, int which, int value, int clock) {
    int bit = RESMP0 << which, mode = m.sizes >> (8 * which) & 7;
    if (((m.flags & bit) != 0) == (value >> 1 & 1)) return;
    draw(m, clock);
    if (m.flags & bit)
        m.positions[MISSILE_0 + which] = (m.positions[which] + (mode == 5 ? 8 : mode == 7 ? 16 : 4)) % 160;
    m.flags ^= bit;
    m.stale |= 1 << (MISSILE_0 + which);
}

// A store in one of the registers that the picture is made from, at a cycle of the frame. What changes nothing draws nothing.
ATARI_APART void store_raster(Machine& m, int number, int value, int position) {
    int cycle = position % LINE, clock = 3 * position, along = 3 * cycle;
    switch (number) {
        case REG_VBLANK: store_flag(m, VBLANK, value >> 1 & 1, clock + 1, 0); break;
        case REG_NUSIZ0: case REG_NUSIZ1: store_size(m, number - REG_NUSIZ0, value, clock); break;
        case REG_COLUP0: case REG_COLUP1: case REG_COLUPF: case REG_COLUBK: {
            const int places = 2 | 3 << 4 | 1 << 8 | 0 << 12;
            int colours = replace_byte(m.colours, places >> (4 * (number - REG_COLUP0)) & 0xF, (value & 0xFE) | m.odd);
            if (colours == m.colours) break;
            draw(m, clock);
            m.colours = colours;
            break;
        }
        case REG_CTRLPF: store_control(m, value, clock, along); break;
        case REG_REFP0: store_flag(m, REFP0, value >> 3 & 1, clock + 1, 1 << PLAYER_0); break;
        case REG_REFP1: store_flag(m, REFP1, value >> 3 & 1, clock + 1, 1 << PLAYER_1); break;
        case REG_PF0: case REG_PF1: case REG_PF2: {
            u32 bits = place_playfield_bits(number - REG_PF0, (u32)value, (u32)m.playfield);
            if (bits == (u32)m.playfield) break;
            draw(m, clock + ((4 | 5 << 4 | 2 << 8 | 3 << 12) >> ((cycle & 3) << 2) & 0xF));
            m.playfield = (int)bits;
            m.stale |= 1 << PLAYFIELD;
            break;
        }
        case REG_RESP0: case REG_RESP1: reset_player(m, number - REG_RESP0, clock, along); break;
        case REG_RESM0: case REG_RESM1: case REG_RESBL:
            reset_bar(m, MISSILE_0 + number - REG_RESM0, clock, along);
            break;
        case REG_GRP0: case REG_GRP1: store_graphics(m, number - REG_GRP0, value, clock); break;
        case REG_ENAM0: store_flag(m, ENAM0, value >> 1 & 1, clock, 1 << MISSILE_0); break;
        case REG_ENAM1: store_flag(m, ENAM1, value >> 1 & 1, clock, 1 << MISSILE_1); break;
        case REG_ENABL: store_flag(m, ENABL, value >> 1 & 1, clock, 1 << BALL); break;
        case REG_HMP0: case REG_HMP1: case REG_HMM0: case REG_HMM1: case REG_HMBL:
            store_motion(m, number - REG_HMP0, value, clock);
            break;
        case REG_VDELP0: store_flag(m, VDELP0, value & 1, clock, 1 << PLAYER_0); break;
        case REG_VDELP1: store_flag(m, VDELP1, value & 1, clock, 1 << PLAYER_1); break;
        case REG_VDELBL: store_flag(m, VDELBL, value & 1, clock, 1 << BALL); break;
        case REG_RESMP0: case REG_RESMP1: lock_missile(m, number - REG_RESMP0, value, clock); break;
        case REG_HMOVE:
            draw(m, clock);
            move_objects(m, clock, cycle);
            break;
        case REG_HMCLR: m.motions = 0; break;
        case REG_CXCLR:
            draw(m, clock);
            m.collisions = 0;
            break;
    }
}

}  // namespace atari
