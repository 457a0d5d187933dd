"""The chips by worked examples: small programs for a cartridge, and what the television and the memory must show after a frame."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import LDA, LDA_ABSOLUTE, LDA_ZERO, NOP, STA, STA_ABSOLUTE, program, put, word

from purejaxrrl.environments.atari import console, controls, engines, machine, picture
from purejaxrrl.environments.atari.rom import Rom
from purejaxrrl.environments.atari.tia import Write

INTIM, TIM1T, TIM64T, SWCHA, SWCHB = 0x284, 0x294, 0x296, 0x280, 0x282
BACKGROUND, PLAYFIELD, PLAYER = 0x82, 0x4A, 0x1E
COLOURS = {Write.COLUBK: BACKGROUND, Write.COLUPF: PLAYFIELD, Write.COLUP0: PLAYER}


@functools.cache
def frame_of(engine: str):
    return jax.jit(engines.frame_of(engine))


def run(rom: Rom, engine: str, frames: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """The last picture, palette indices uint8 [210, 160], and the memory, uint8 [128], after some frames."""
    hardware = console.lanes_of(console.hardware_of((rom,)), jnp.zeros(1, jnp.int32))
    ports = controls.Ports(*[jnp.zeros(1, bool)] * 4, jnp.full(1, controls.PADDLE_MAX))
    left_and_fire = jnp.full(1, 12)
    inputs = controls.inputs(left_and_fire, jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32), ports)
    state = jax.jit(lambda: machine.reset(machine.power_on(hardware, 210), hardware))()
    for _ in range(frames):
        state = frame_of(engine)(state, hardware, inputs, jnp.ones(1, bool))
    assert not state.fault[0]
    buffer = int(state.raster.buffer[0])
    shown = picture.pixels(state.canvas.rows[0, buffer], state.canvas.colours[0, buffer])
    return np.asarray(shown), np.asarray(state.memory[0, : machine.RAM])


@pytest.fixture(params=["kernel", pytest.param("portable", marks=pytest.mark.slow)])
def engine(request):
    return request.param


def line(*, playfield: tuple[int, ...] = (), player: tuple[int, ...] = ()) -> np.ndarray:
    """A line of the picture with these pixels set."""
    pixels = np.full(160, BACKGROUND)
    pixels[list(playfield)] = PLAYFIELD
    pixels[list(player)] = PLAYER
    return pixels


def blocks(*firsts: int) -> tuple[int, ...]:
    """The playfield's blocks of four pixels."""
    return tuple(first + pixel for first in firsts for pixel in range(4))


def draw(registers: dict[int, int], engine: str) -> np.ndarray:
    """A picture of registers that are stored once, objects having been put at the left edge."""
    stores = [byte for register, value in {**COLOURS, **registers}.items() for byte in put(register, value)]
    placed = [STA, Write.WSYNC, STA, Write.RESP0, STA, Write.RESM0, STA, Write.RESBL]
    shown, _ = run(program(placed + stores, []), engine)
    assert (shown == shown[0]).all()
    return shown[0]


def test_playfield_is_shown_twice_or_mirrored(engine):
    bits = {Write.PF0: 0x10, Write.PF1: 0x80, Write.PF2: 0x01}
    np.testing.assert_array_equal(draw(bits, engine), line(playfield=blocks(0, 16, 48, 80, 96, 128)))
    mirrored = draw({**bits, Write.CTRLPF: 1}, engine)
    np.testing.assert_array_equal(mirrored, line(playfield=blocks(0, 16, 48, 108, 140, 156)))


@pytest.mark.parametrize(
    ("size", "reflected", "pixels"),
    [
        (0, 0, (3, 4, 10)),
        (0, 8, (3, 9, 10)),
        (1, 0, (3, 4, 10, 19, 20, 26)),
        (4, 0, (3, 4, 10, 67, 68, 74)),
        (5, 0, (4, 5, 6, 7, 18, 19)),
        (7, 0, (*range(4, 12), *range(32, 36))),
    ],
)
def test_a_player_and_its_copies(engine, size, reflected, pixels):
    shown = draw({Write.NUSIZ0: size, Write.REFP0: reflected, Write.GRP0: 0xC1}, engine)
    np.testing.assert_array_equal(shown, line(player=pixels))


def test_players_hide_the_playfield_unless_it_has_priority(engine):
    both = {Write.PF0: 0x30, Write.GRP0: 0xFF}
    np.testing.assert_array_equal(draw(both, engine)[:12], line(playfield=range(8), player=range(3, 11))[:12])
    ahead = draw({**both, Write.CTRLPF: 4}, engine)
    assert ahead[:12].tolist() == [PLAYFIELD] * 8 + [PLAYER] * 3 + [BACKGROUND]


def test_motion_moves_an_object_once_a_hmove(engine):
    moves = [STA, Write.WSYNC, STA, Write.RESP0, *put(Write.HMP0, 0x70), STA, Write.WSYNC, STA, Write.HMOVE]
    moves += [byte for register, value in {**COLOURS, Write.GRP0: 0x80}.items() for byte in put(register, value)]
    shown, _ = run(program(moves, []), engine)
    np.testing.assert_array_equal(shown[100], line(player=((3 - 7) % 160,)))


def test_collisions_are_kept_until_cleared(engine):
    placed = [STA, Write.WSYNC, STA, Write.RESM0, STA, Write.RESBL, *put(Write.ENAM0, 2), *put(Write.ENABL, 2)]
    read_cxm0fb = [LDA_ZERO, 4, STA, 0x80, STA, Write.CXCLR, LDA_ZERO, 4, STA, 0x81]
    _, memory = run(program(placed, read_cxm0fb), engine)
    missile_and_ball = 0x40
    assert [byte & 0xC0 for byte in memory[:2]] == [missile_and_ball, 0]


def test_the_timer_counts_down_by_its_interval_and_then_by_cycles(engine):
    def read(place: int) -> list[int]:
        return [LDA_ABSOLUTE, *word(INTIM), STA, place]

    def start(timer: int, value: int) -> list[int]:
        return [LDA, value, STA_ABSOLUTE, *word(timer)]

    # A load takes 4 cycles and is charged before it reads, a store to page zero 3; the first tick comes at once.
    once = start(TIM1T, 20) + read(0x80) + read(0x81) + start(TIM64T, 10) + read(0x82) + [NOP] * 32 + read(0x83)
    once += start(TIM64T, 1) + [NOP] * 40 + read(0x84)
    _, memory = run(program(once, []), engine, frames=1)
    assert list(memory[:4]) == [20 - 1 - 3, 20 - 1 - 10, 9, 8]
    ran_out_by = 80 + 3 - 64
    assert memory[4] == 256 - ran_out_by - 1


def test_the_ports_show_the_joystick_and_the_switches(engine):
    once = [LDA_ABSOLUTE, *word(SWCHA), STA, 0x80, LDA_ABSOLUTE, *word(SWCHB), STA, 0x81, LDA_ZERO, 0x0C, STA, 0x82]
    _, memory = run(program(once, []), engine, frames=1)
    left = 0x40
    assert (memory[0], memory[1], memory[2] & 0x80) == (0xFF & ~left, 0x3F, 0)
