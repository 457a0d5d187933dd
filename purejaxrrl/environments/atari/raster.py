"""Works off the TIA's log: its registers, the objects' positions, collisions, and the picture as bits.

The ALE brings the picture up to date, with the registers as they were, whenever one is about to change; a few pixels
later for registers whose change shows late. So does this, one stretch of one scan line of every lane at a time. A scan
line of the picture is kept as two bit planes that choose one of four colours, and the colour sets along the line with
marks where each begins; `picture.py` turns that into pixels. Source: the ALE's `src/ale/emucore/TIA.cxx`.
"""

from __future__ import annotations

import dataclasses
import enum

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari import objects
from purejaxrrl.environments.atari.memory import once, store
from purejaxrrl.environments.atari.tia import Write

CLOCKS = 228
"""Colour clocks of a scan line, of which the first BLANK show nothing."""
BLANK = 68
HMOVE_BLANK = 8
"""Pixels that an HMOVE during the horizontal blank blackens."""
ROW_WORDS = 3 * objects.WORDS + 1
COLOUR_SETS = 24
"""More than the stores that fit in the visible part of a line, each of which may change a colour."""

Bit = enum.IntFlag(
    "Bit",
    "REFP0 REFP1 ENAM0 ENAM1 ENABL DENABL VDELP0 VDELP1 VDELBL RESMP0 RESMP1 SKIP0 SKIP1 REFLECTED "
    "HMOVE_BLANK VBLANK STARS GREYED FRESH",
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Raster:
    """The drawing half of the TIA; [L] each unless said otherwise.

    flags: int32, the bits named in `Bit`: registers of one bit, a player's first copy left out (SKIP), playfield mirrored
    in the current line, blanks pending, the stars of Cosmic Ark, a frame greyed out, a colour set that must be stored anew.
    sizes: int32, NUSIZ0, NUSIZ1 and CTRLPF, a byte each. colours: uint32, COLUBK, COLUPF, COLUP0, COLUP1, a byte each.
    playfield: uint32, 20 blocks, leftmost lowest. graphics: uint32, GRP0, GRP1 and what each was before, a byte each.
    motions: int32, HMP0, HMP1, HMM0, HMM1, HMBL, 4 bits each. positions: int32 [L, 5], pixels. hmove: int32, clock of the last
    HMOVE. stars: int32, counter of the stars. collisions: int32, see `objects.PAIRS`. first_line: int32, scan line that
    row 0 shows. row, column: int32, how far the picture is drawn: the row and the clock within it, 0..228. buffer: int32,
    which picture is drawn to. line: uint32 [L, ROW_WORDS], the planes and marks of the row, and whether 8 pixels are blank.
    sets: int32, how many colour sets the row has. line_sets: uint32 [L, COLOUR_SETS], these sets. last_set: uint32, the latest.
    """

    flags: jax.Array
    sizes: jax.Array
    colours: jax.Array
    playfield: jax.Array
    graphics: jax.Array
    motions: jax.Array
    positions: jax.Array
    hmove: jax.Array
    stars: jax.Array
    collisions: jax.Array
    first_line: jax.Array
    row: jax.Array
    column: jax.Array
    buffer: jax.Array
    line: jax.Array
    sets: jax.Array
    line_sets: jax.Array
    last_set: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Canvas:
    """Two pictures for each lane. rows: uint32 [L, 2, H, ROW_WORDS]. colours: uint32 [L, 2, H, COLOUR_SETS]."""

    rows: jax.Array
    colours: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Screen:
    """The part of the frame that is shown, int32 or bool [L]: its first scan line, its height in lines, whether HMOVE blanks
    are shown, whether colours lose their hue after a frame of odd length (as on a PAL set)."""

    first_line: jax.Array
    height: jax.Array
    hmove_blanks: jax.Array
    colour_loss: jax.Array


def power_on(lanes: int) -> Raster:
    """All registers zero."""
    zero, bits = jnp.zeros(lanes, jnp.int32), jnp.zeros(lanes, jnp.uint32)
    return Raster(
        flags=zero,
        sizes=zero,
        colours=bits,
        playfield=bits,
        graphics=bits,
        motions=zero,
        positions=jnp.zeros((lanes, 5), jnp.int32),
        hmove=zero,
        stars=zero,
        collisions=zero,
        first_line=zero,
        row=zero,
        column=zero,
        buffer=zero,
        line=jnp.zeros((lanes, ROW_WORDS), jnp.uint32),
        sets=zero,
        line_sets=jnp.zeros((lanes, COLOUR_SETS), jnp.uint32),
        last_set=bits,
    )


def blank_canvas(lanes: int, height: int) -> Canvas:
    """Two black pictures of `height` lines."""
    return Canvas(
        jnp.zeros((lanes, 2, height, ROW_WORDS), jnp.uint32), jnp.zeros((lanes, 2, height, COLOUR_SETS), jnp.uint32)
    )


def put_row(
    canvas: Canvas, place: tuple[jax.Array, ...], line: jax.Array, sets: jax.Array, enable: jax.Array
) -> Canvas:
    """`line` [L, ROW_WORDS] and its `sets` [L, COLOUR_SETS] on the canvas, at picture and row `place`, where `enable`."""
    return Canvas(store(canvas.rows, place, line, enable), store(canvas.colours, place, sets, enable))


def start_frame(raster: Raster, screen: Screen, moved: jax.Array, last_lines: jax.Array, starts: jax.Array) -> Raster:
    """The beam back at the top where `starts`, `moved` cycles after the top of the frame before."""
    odd = jnp.where(last_lines & 1 == 1, raster.colours | 0x01010101, raster.colours & ~jnp.uint32(0x01010101))
    fresh = dataclasses.replace(
        raster,
        flags=raster.flags & ~Bit.GREYED,
        colours=jnp.where(screen.colour_loss, odd, raster.colours),
        first_line=screen.first_line,
        row=jnp.zeros_like(raster.row),
        column=jnp.zeros_like(raster.column),
        buffer=raster.buffer ^ 1,
        line=jnp.zeros_like(raster.line),
        sets=jnp.zeros_like(raster.sets),
        hmove=raster.hmove - moved * 3,
    )
    return jax.tree.map(lambda new, old: jnp.where(starts.reshape(-1, *[1] * (new.ndim - 1)), new, old), fresh, raster)


_PLAYFIELD = 15
_DELAYS = {
    Write.VBLANK: 1,
    Write.NUSIZ0: 8,
    Write.NUSIZ1: 8,
    Write.REFP0: 1,
    Write.REFP1: 1,
    Write.RESM0: 8,
    Write.RESM1: 8,
    Write.GRP0: 1,
    Write.GRP1: 1,
    Write.PF0: _PLAYFIELD,
    Write.PF1: _PLAYFIELD,
    Write.PF2: _PLAYFIELD,
}
_SWITCHES = {
    Write.REFP0: (Bit.REFP0, 3),
    Write.REFP1: (Bit.REFP1, 3),
    Write.ENAM0: (Bit.ENAM0, 1),
    Write.ENAM1: (Bit.ENAM1, 1),
    Write.ENABL: (Bit.ENABL, 1),
    Write.VDELP0: (Bit.VDELP0, 0),
    Write.VDELP1: (Bit.VDELP1, 0),
    Write.VDELBL: (Bit.VDELBL, 0),
    Write.RESMP0: (Bit.RESMP0, 1),
    Write.RESMP1: (Bit.RESMP1, 1),
    Write.VBLANK: (Bit.VBLANK, 1),
}


def _effects() -> np.ndarray:
    """int32 [64], by register: the bit of `flags` that it sets (19 bits), from which bit of the value (2), its delay (4)."""
    table = np.zeros(64, np.int32)
    for register in Write:
        bit, place = _SWITCHES.get(register, (0, 0))
        table[register] = int(bit) | place << 20 | _DELAYS.get(register, 0) << 24
    return table


def _motions() -> np.ndarray:
    """int32 [76], by the cycle of the line at which HMOVE is written: how far the objects then move.

    What a motion register asks for (-7 to 8 pixels to the right) is added to the first byte, then kept above the second and
    below the third; each is stored with 64 added.
    """
    floors = (-7, -7, -7, -7, -6, -5, -5, -4, -3, -2, -2, -1, 0, 1, 1, 2, 3, 4, 4, 5, 6)
    late = (6, 5, 4, 4, 3, 2, 1, 1, 0, -1, -2, -2, -3, -4, -5, -5, -6, -7, -8, -8)
    rows = [(0, floor, 8) for floor in floors] + [(0, 0, 0)] * 34 + [(shift, -60, 0) for shift in late] + [(0, -7, 8)]
    return np.asarray([a + 64 | b + 64 << 8 | c + 64 << 16 for a, b, c in rows], np.int32)


def step(
    raster: Raster, canvas: Canvas, screen: Screen, item: jax.Array, pending: jax.Array, odd: jax.Array
) -> tuple[Raster, Canvas, jax.Array]:
    """Draws up to an entry of the log, or up to the end of the line if that comes first; then does what the entry says.

    item: uint32 [L], see `tia.entry`. pending: bool [L], whether there is one. odd: int32 [L], 1 where colours have lost
    their hue. Returns also whether the entry is done with.
    """
    position, register, value = (
        (item >> 14).astype(jnp.int32),
        (item >> 8 & 63).astype(jnp.int32),
        (item & 255).astype(jnp.int32),
    )
    clock = position * 3
    effect = jnp.asarray(_effects())[register]
    condition = _reset_condition(raster, register, clock)
    delay = effect >> 24
    delay = jnp.where(
        delay == _PLAYFIELD, jnp.int32(4 | 5 << 4 | 2 << 8 | 3 << 12) >> (position % 76 << 2 & 0xC) & 0xF, delay
    )
    delay = jnp.where(condition == 1, 11, delay)

    target = _column(raster, screen, clock + delay, pending)
    ends_line = target > CLOCKS
    stop = jnp.minimum(target, CLOCKS)
    raster = _draw(raster, stop, jnp.any(pending))
    raster, canvas = _end_line(raster, canvas, ends_line)
    done = pending & ~ends_line
    stored = _store(raster, screen, register, value, clock, effect, condition, odd)
    keep = jax.tree.map(lambda new, old: jnp.where(done.reshape(-1, *[1] * (new.ndim - 1)), new, old), stored, raster)
    return keep, canvas, done


def _column(raster: Raster, screen: Screen, clock: jax.Array, pending: jax.Array) -> jax.Array:
    """The clock of the current row up to which the picture must be drawn; beyond CLOCKS if that is in a later row."""
    first, last = screen.first_line * CLOCKS, (screen.first_line + screen.height) * CLOCKS
    origin = (raster.first_line + raster.row) * CLOCKS
    drawn = origin + raster.column
    draws = pending & (clock >= first) & (drawn < last) & (drawn < clock)
    return jnp.where(draws, jnp.minimum(clock, last) - origin, raster.column)


def _reset_condition(raster: Raster, register: jax.Array, clock: jax.Array) -> jax.Array:
    """What the player that RESP0 or RESP1 resets is doing (`objects.reset_conditions`); 0 for other registers."""
    second = register == Write.RESP1
    old = jnp.where(second, raster.positions[:, 1], raster.positions[:, 0])
    mode = jnp.where(second, raster.sizes >> 8, raster.sizes) & 7
    passed = (_player_position(clock) - old) % 160
    found = jnp.asarray(objects.reset_conditions().ravel())[mode * 160 + passed]
    return jnp.where(second | (register == Write.RESP0), found, 0)


def _player_position(clock: jax.Array) -> jax.Array:
    along = clock % CLOCKS - BLANK
    return jnp.where(along < 0, 3, (along + 5) % 160)


def _patterns(raster: Raster) -> list[list[jax.Array]]:
    """The six objects of the line, five words [L] each: players, missiles, ball, playfield."""
    flags, sizes = raster.flags, raster.sizes

    def bit(which: Bit) -> jax.Array:
        return flags & which != 0

    def both(*rows: jax.Array) -> jax.Array:
        return jnp.stack(jnp.broadcast_arrays(*rows))

    modes = both(sizes & 7, sizes >> 8 & 7)
    delayed, mirrored = both(bit(Bit.VDELP0), bit(Bit.VDELP1)), both(bit(Bit.REFP0), bit(Bit.REFP1))
    graphics = both(raster.graphics & 0xFF, raster.graphics >> 8 & 0xFF)
    before = both(raster.graphics >> 16 & 0xFF, raster.graphics >> 24)
    shape = jnp.where(delayed, before, graphics)
    shape = jnp.where(mirrored, shape, objects.reverse_bits(shape))
    shape = jnp.where(modes == 5, objects.stretch_2(shape), jnp.where(modes == 7, objects.stretch_4(shape), shape))
    players = raster.positions.T[:2] + jnp.where((modes == 5) | (modes == 7), 1, 0)
    players = jnp.where(players >= 160, players - 160, players)

    stars = bit(Bit.STARS)
    widths = both(sizes >> 4 & 3 | jnp.where(stars & (raster.stars == 1), 1, 0), sizes >> 12 & 3, sizes >> 20 & 3)
    shown = both(
        bit(Bit.ENAM0) & ~bit(Bit.RESMP0) & ~(stars & (raster.stars == 2)),
        bit(Bit.ENAM1) & ~bit(Bit.RESMP1),
        jnp.where(bit(Bit.VDELBL), bit(Bit.DENABL), bit(Bit.ENABL)),
    )
    bars = jnp.where(shown, (jnp.uint32(1) << (jnp.uint32(1) << widths.astype(jnp.uint32))) - 1, 0)

    pattern = jnp.concatenate([shape, bars.astype(jnp.uint32)])
    position = jnp.concatenate([players, raster.positions.T[2:]])
    mode = jnp.concatenate([modes, modes, jnp.zeros_like(modes[:1])]).astype(jnp.uint32)
    skips = jnp.concatenate([both(bit(Bit.SKIP0), bit(Bit.SKIP1)), jnp.zeros_like(shown)])
    words = objects.copies(pattern, mode, skips, position)
    found = [[word[which] for word in words] for which in range(5)]
    return [*found, objects.playfield(raster.playfield, bit(Bit.REFLECTED))]


def _planes(raster: Raster, shown: list[list[jax.Array]]) -> tuple[list[jax.Array], list[jax.Array]]:
    """The two bit planes of the line's colours: 0 background, 1 playfield and ball, 2 and 3 the players and their missiles."""
    player_0, player_1, missile_0, missile_1, ball, field = shown
    score = raster.sizes >> 16 & 2 != 0
    alone = raster.playfield != 0
    for other in shown[:5]:
        alone &= (other[0] | other[1] | other[2] | other[3] | other[4]) == 0
    first = (raster.sizes >> 16 & 4 != 0) & ~(score & alone)
    low, high = [], []
    for word in range(objects.WORDS):
        left = jnp.uint32((0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF, 0, 0)[word])
        zero, one = player_0[word] | missile_0[word], player_1[word] | missile_1[word]
        scored = jnp.where(score & ~first, field[word], 0)
        plain = field[word] & ~scored | ball[word] & ~scored
        two = jnp.where(first, zero & ~plain, zero | scored & left)
        three = jnp.where(first, one & ~zero & ~plain, ~two & (one | scored & ~left))
        low.append(three | jnp.where(first, plain, plain & ~two & ~three))
        high.append(two | three)
    return low, high


def _draw(raster: Raster, stop: jax.Array, always: jax.Array) -> Raster:
    """Draws the row from where it ends so far up to the clock `stop`."""
    start, end = (jnp.clip(clock - BLANK, 0, 160) for clock in (raster.column, stop))
    visible = end > start
    blanked = raster.flags & Bit.VBLANK != 0
    inside = objects.span(start, end)
    shown = once(always, _patterns, raster)
    low, high = once(always, _planes, raster, shown)
    lit = [jnp.where(blanked, 0, word) for word in inside]
    collided = objects.collisions([[word & mask for word, mask in zip(thing, lit, strict=False)] for thing in shown])

    chosen = jnp.where(blanked, 0, raster.colours)
    new_set = visible & ((raster.sets == 0) | (chosen != raster.last_set) | (raster.flags & Bit.FRESH != 0))
    mark = objects.span(start, start + 1)
    pending = raster.flags & Bit.HMOVE_BLANK != 0
    early = jnp.where(raster.column < BLANK, jnp.minimum(stop, BLANK), raster.column) < BLANK + HMOVE_BLANK
    blanks = pending & early & (stop > raster.column)
    old = [raster.line[:, word] for word in range(ROW_WORDS)]
    line = [
        *(old[word] | low[word] & inside[word] for word in range(5)),
        *(old[5 + word] | high[word] & inside[word] for word in range(5)),
        *(old[10 + word] | jnp.where(new_set, mark[word], 0) for word in range(5)),
        old[15] | (blanks & visible).astype(jnp.uint32),
    ]
    flags = jnp.where(blanks & (stop >= BLANK + HMOVE_BLANK), raster.flags & ~Bit.HMOVE_BLANK, raster.flags)
    return dataclasses.replace(
        raster,
        column=stop,
        collisions=raster.collisions | collided,
        line=jnp.stack(line, axis=1),
        sets=raster.sets + new_set,
        line_sets=store(raster.line_sets, (raster.sets,), chosen, new_set),
        last_set=jnp.where(new_set, chosen, raster.last_set),
        flags=jnp.where(visible, flags & ~Bit.FRESH, flags),
    )


def _end_line(raster: Raster, canvas: Canvas, ends: jax.Array) -> tuple[Raster, Canvas]:
    """Where `ends`, puts the finished row on the canvas and goes to the next."""
    place, shown = (raster.buffer, raster.row), ends & (raster.row < canvas.rows.shape[2])
    canvas = put_row(canvas, place, raster.line, raster.line_sets, shown)
    reflected = jnp.where(raster.sizes >> 16 & 1 == 1, int(Bit.REFLECTED), 0)
    flags = raster.flags & ~(Bit.REFLECTED | Bit.SKIP0 | Bit.SKIP1) | reflected
    twinkles = ends & (raster.flags & Bit.STARS != 0)
    stars = raster.stars + 1 & 3
    moved = raster.positions[:, 2] - (jnp.int32(17 << 24 | 33 << 8 | 18) >> (stars << 3) & 0xFF)
    missile = jnp.where(twinkles, jnp.where(moved < 0, moved + 160, moved), raster.positions[:, 2])
    return dataclasses.replace(
        raster,
        flags=jnp.where(ends, flags, raster.flags),
        stars=jnp.where(twinkles, stars, raster.stars),
        positions=jnp.concatenate([raster.positions[:, :2], missile[:, None], raster.positions[:, 3:]], 1),
        row=raster.row + ends,
        column=jnp.where(ends, 0, raster.column),
        line=jnp.where(ends[:, None], 0, raster.line),
        sets=jnp.where(ends, 0, raster.sets),
    ), canvas


def _replace_byte(word: jax.Array, place: jax.Array, value: jax.Array) -> jax.Array:
    """`word` with the byte at `place` (0..3; otherwise none) replaced."""
    place = place.astype(word.dtype)
    kind = word.dtype.type
    changed = word & ~(kind(0xFF) << (place << 3)) | value.astype(word.dtype) << (place << 3)
    return jnp.where((place >= 0) & (place < 4), changed, word)


def _store(
    raster: Raster,
    screen: Screen,
    register: jax.Array,
    value: jax.Array,
    clock: jax.Array,
    effect: jax.Array,
    condition: jax.Array,
    odd: jax.Array,
) -> Raster:
    """The registers after a write at a colour clock of the frame."""
    along = clock % CLOCKS
    mask = effect & (1 << 19) - 1
    flags = raster.flags & ~mask | jnp.where(value >> (effect >> 20 & 3) & 1 == 1, mask, 0)
    size = jnp.where(register == Write.CTRLPF, 2, jnp.where(register < Write.COLUP0, register - Write.NUSIZ0, 9))
    sizes = _replace_byte(raster.sizes, jnp.where(size < 0, 9, size), value)
    colour = register - Write.COLUP0
    place = jnp.where(
        (colour >= 0) & (colour < 4), jnp.int32(2 | 3 << 4 | 1 << 8 | 0 << 12) >> ((colour & 3) << 2) & 0xF, 9
    )
    colours = _replace_byte(raster.colours, place.astype(jnp.uint32), value & 0xFE | odd)
    field = register - Write.PF0
    playfield = jnp.where(
        (field >= 0) & (field < 3),
        objects.place_playfield_bits(field, value.astype(jnp.uint32), raster.playfield),
        raster.playfield,
    )
    graphics, flags = _store_graphics(raster, register, value, flags)
    motion = register - Write.HMP0
    is_motion = (motion >= 0) & (motion < 5)
    shift = (motion & 7) << 2
    motions = jnp.where(is_motion, raster.motions & ~(0xF << shift) | value >> 4 << shift, raster.motions)
    motions = jnp.where(register == Write.HMCLR, 0, motions)
    starts_stars = (
        (register == Write.HMM0) & (clock == raster.hmove + 63) & (raster.motions >> 8 & 0xF == 7) & (value >> 4 == 6)
    )

    hmove = register == Write.HMOVE
    reflects = (register == Write.CTRLPF) & (along < BLANK + 79)
    flags = jnp.where(reflects, flags & ~Bit.REFLECTED | jnp.where(value & 1 == 1, int(Bit.REFLECTED), 0), flags)
    cleared = jnp.where(hmove, Bit.SKIP0 | Bit.SKIP1 | Bit.STARS, 0) | jnp.where(
        register == Write.NUSIZ0, int(Bit.SKIP0), 0
    )
    flags &= ~(cleared | jnp.where(register == Write.NUSIZ1, int(Bit.SKIP1), 0))
    skips = jnp.where(condition >= 0, Bit.SKIP0 | Bit.SKIP1, 0)
    which = jnp.where(register == Write.RESP0, int(Bit.SKIP0), 0) | jnp.where(
        register == Write.RESP1, int(Bit.SKIP1), 0
    )
    flags = flags & ~which | which & skips
    flags |= jnp.where(hmove & screen.hmove_blanks & ((along <= 62) | (along >= 225)), int(Bit.HMOVE_BLANK), 0)
    flags |= jnp.where(starts_stars, int(Bit.STARS), 0)
    return dataclasses.replace(
        raster,
        flags=flags,
        sizes=sizes,
        colours=colours,
        playfield=playfield,
        graphics=graphics,
        motions=motions,
        positions=_move(raster, register, value, clock),
        hmove=jnp.where(hmove, clock, raster.hmove),
        stars=jnp.where(starts_stars, 0, raster.stars),
        collisions=jnp.where(register == Write.CXCLR, 0, raster.collisions),
    )


def _store_graphics(
    raster: Raster, register: jax.Array, value: jax.Array, flags: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The players' patterns; writing one also fixes the other's delayed pattern, and GRP1 the ball's."""
    word, byte = raster.graphics, value.astype(jnp.uint32)
    zero, one = register == Write.GRP0, register == Write.GRP1
    graphics = jnp.where(zero, word & 0x00FFFF00 | byte | (word & 0xFF00) << 16, word)
    graphics = jnp.where(one, word & ~jnp.uint32(0x00FFFF00) | byte << 8 | (word & 0xFF) << 16, graphics)
    held = flags & ~Bit.DENABL | jnp.where(flags & Bit.ENABL != 0, int(Bit.DENABL), 0)
    return graphics, jnp.where(one, held, flags)


def _move(raster: Raster, register: jax.Array, value: jax.Array, clock: jax.Array) -> jax.Array:
    """The objects' positions, int32 [L, 5], after a write."""
    along, since = clock % CLOCKS, clock - raster.hmove
    asked = -(((raster.motions[:, None] >> jnp.arange(0, 20, 4) & 0xF) ^ 8) - 8)
    packed = jnp.asarray(_motions())[along // 3][:, None]
    shift, low, high = ((packed >> place & 0xFF) - 64 for place in (0, 8, 16))
    moved = raster.positions + jnp.clip(asked + shift, low, high)
    moved = jnp.where(moved < 0, moved + 160, jnp.where(moved >= 160, moved - 160, moved))
    positions = jnp.where((register == Write.HMOVE)[:, None], moved, raster.positions)

    other = jnp.where(along < BLANK, 2, (along - BLANK + 4) % 160)
    quirks = {
        Write.RESM0: ((60, 69, 8),),
        Write.RESM1: ((9, 18, 3),),
        Write.RESBL: ((54, 60, 10), (54, 69, 10), (9, 18, 3), (21, 30, 6), (18, 27, 5)),
    }
    for which, cases in quirks.items():
        for distance, place, result in cases:
            other = jnp.where((register == which) & (since == distance) & (along == place), result, other)
    reset = jnp.where(register <= Write.RESP1, _player_position(clock), other)
    thing = jnp.arange(5)
    positions = jnp.where((register - Write.RESP0)[:, None] == thing, reset[:, None], positions)

    modes = raster.sizes[:, None] >> jnp.asarray([0, 8]) & 7
    centre = raster.positions[:, :2] + jnp.where(modes == 5, 8, jnp.where(modes == 7, 16, 4))
    locked = raster.flags[:, None] & jnp.asarray([Bit.RESMP0, Bit.RESMP1]) != 0
    released = locked & ((register - Write.RESMP0)[:, None] == jnp.arange(2)) & (value & 2 == 0)[:, None]
    missiles = jnp.where(released, centre % 160, positions[:, 2:4])
    return jnp.concatenate([positions[:, :2], missiles, positions[:, 4:]], 1)
