"""The kernel against the portable path, and what is done where it cannot be had."""

import dataclasses
import functools
import platform
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import AND, BNE, DEX, DEY, INC_ZERO, JMP, LDA_ZERO, LDX, LDY, ORIGIN, STA, cartridge, put, wait, word
from separate import reports

from purejaxrrl.environments import base
from purejaxrrl.environments.atari import engines, frame_skip, machine, picture
from purejaxrrl.environments.atari.console import Console, ConsoleState, hardware_of, lanes_of
from purejaxrrl.environments.atari.kernel import call, modules
from purejaxrrl.environments.atari.observation import Viewer
from purejaxrrl.environments.atari.tia import Write

GAMES = (
    "breakout",
    "pong",
    "pacman",
    "journey_escape",
    "carnival",
    "montezuma_revenge",
    "klax",
    "robotank",
    "pitfall2",
)
"""2K, F8, E0, F6SC, FE, DPC; five heights; NTSC and PAL."""


def test_every_leaf_of_every_game_equals_the_portable_paths():
    found = reports("--frames", 50, script="leaves.py")
    assert found == [{"games": 104, "frames": 50, "differences": {}, "faults": []}]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_every_leaf_of_every_game_equals_the_portable_paths_for_long(seed):
    found = reports("--frames", 600, "--seed", seed, script="leaves.py")
    assert found == [{"games": 104, "frames": 600, "differences": {}, "faults": []}]


@pytest.fixture(scope="module")
def played() -> tuple[Console, ConsoleState]:
    """A console, and states of its games while they are played."""
    console = Console(GAMES, engine="kernel")
    state = jax.jit(jax.vmap(lambda game: console.reset(game=game)))(jnp.arange(len(GAMES)))
    actions = jnp.asarray(np.random.default_rng(0).integers(0, 18, (100, len(GAMES))))
    act = jax.vmap(console.act)
    return console, jax.jit(lambda s, a: jax.lax.scan(lambda s, a: (act(s, a), None), s, a)[0])(state, actions)


def test_observations_equal_the_portable_paths(played):
    console, state = played
    act = jax.jit(jax.vmap(console.act))
    viewers = [Viewer.of(console.games, engine) for engine in engines.ENGINES]
    observe = [jax.jit(jax.vmap(viewer.observe, (0, 0, None))) for viewer in viewers]
    ours = theirs = jnp.zeros((len(GAMES), 84, 84, 4), jnp.uint8)
    for frame, actions in enumerate(np.random.default_rng(0).integers(0, 18, (12, len(GAMES)))):
        state = act(state, jnp.asarray(actions))
        pictures = jnp.int32(1 + frame % 2)
        ours, theirs = (one(state, stack, pictures) for one, stack in zip(observe, (ours, theirs), strict=True))
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("threads", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_what_a_gpu_runs_equals_what_a_cpu_runs(threads, played, monkeypatch):
    """The kernels of a thread a lane, and Warp's own door into JAX, here as Warp compiles them for a CPU."""
    _, state = played

    def frames_and_observation():
        console, viewer = Console(GAMES, engine="kernel"), Viewer.of(GAMES, "kernel")

        @jax.jit
        def play(state):
            state = jax.lax.fori_loop(0, 5, lambda _, s: jax.vmap(console.act, (0, None))(s, 3), state)
            return state, jax.vmap(viewer.observe)(state, jnp.zeros((len(GAMES), 84, 84, 4), jnp.uint8))

        return play(state)

    on_cpu = frames_and_observation()
    monkeypatch.setattr(call, "_play_on_cpu", call.play_on_gpu)
    monkeypatch.setattr(modules, "THREADS_OF_A_LANE", threads)
    monkeypatch.setattr(call, "_observe_on_cpu", call.observe_on_gpu)
    monkeypatch.setattr(call, "_clear_on_cpu", call.keep_on_gpu)
    monkeypatch.setattr(call, "_restore_on_cpu", call.restore_on_gpu)
    jax.tree.map(np.testing.assert_array_equal, frames_and_observation(), on_cpu)
    compare_half_drawn(*restless_console(3, [*wait(120), JMP, *word(ORIGIN)]), steps=5)


def test_unknown_engines_are_errors_before_anything_is_compiled():
    with pytest.raises(ValueError, match="'gpu'.*kernel, portable"):
        Console("breakout", engine="gpu")


BROKEN = """
import sys, warnings
import jax
{breaks}
from purejaxrrl.environments.atari import kernel
from purejaxrrl.environments.atari.console import Console
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    engines = [Console("breakout").engine for _ in range(2)]
print(engines, len(caught), caught[0].message)
try:
    Console("breakout", engine="kernel")
except kernel.Unavailable as error:
    print("error:", error)
"""


@pytest.mark.parametrize(
    ("breaks", "remedy"),
    [
        ("sys.modules['warp'] = None", "pip install 'warp-lang"),
        ("import os; os.environ['WARP_CACHE_PATH'] = '/dev/null/nowhere'", "WARP_CACHE_PATH"),
    ],
)
def test_without_the_kernel_one_warning_names_the_remedy(breaks, remedy):
    done = subprocess.run([sys.executable, "-c", BROKEN.format(breaks=breaks)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    said, error = done.stdout.strip().splitlines()
    assert said.startswith("['portable', 'portable'] 1 Atari games run many times slower") and remedy in said
    assert error.startswith("error:") and remedy in error


def test_making_a_console_prints_nothing_once_the_kernel_is_compiled():
    engines.choose("kernel")
    script = "from purejaxrrl.environments.atari import Console; assert Console('pong').engine == 'kernel'"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def restless_console(lanes: int, unrest: list[int]) -> tuple[Console, ConsoleState]:
    """Consoles with a program that shows a number in every line, one more each frame, and does something else in two frames of eight."""
    frame = [*put(Write.VSYNC, 2), *wait(3), *put(Write.VSYNC, 0), INC_ZERO, 0xF0, LDA_ZERO, 0xF0, STA, Write.COLUBK]
    code = [*frame, AND, 6, BNE, len(unrest), *unrest, *wait(240), *wait(19), JMP, *word(ORIGIN)]
    console = Console("breakout", engine="kernel")
    game = jnp.zeros(lanes, jnp.int32)
    state = jax.jit(jax.vmap(lambda game: console.reset(game=game)))(game)
    # Only now, for a reset waits for what the game's own program does.
    console._tables = dataclasses.replace(console._tables, hardware=hardware_of((cartridge(code),)))
    hardware = lanes_of(console._tables.hardware, game)
    fresh = jax.jit(lambda: machine.reset(machine.power_on(hardware, console.height), hardware))()
    return console, dataclasses.replace(state, machine=fresh)


def compare_half_drawn(console: Console, state: ConsoleState, steps: int) -> ConsoleState:
    """Plays steps with only the last two frames drawn, and with all; both pictures must be equal. Returns the consoles."""
    lanes, rng = state.game.size, np.random.default_rng(0)
    half = jax.jit(functools.partial(frame_skip.play, console))
    whole = jax.jit(functools.partial(frame_skip.play_drawing_all, console))
    ours = theirs = frame_skip.Played(state, jnp.zeros(lanes, jnp.int32), None, None)
    for _ in range(steps):
        chosen, repeats = rng.integers(0, 18, lanes), rng.random((lanes, 4)) < 0.25
        ours = half(ours.console, ours.executed, jnp.asarray(chosen), jnp.asarray(repeats))
        theirs = whole(theirs.console, theirs.executed, jnp.asarray(chosen), jnp.asarray(repeats))
        for name in ("executed", "reward", "frames"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        np.testing.assert_array_equal(ours.console.machine.memory, theirs.console.machine.memory)
        for buffer in range(2):
            one, other = (_picture(played.console, buffer) for played in (ours, theirs))
            np.testing.assert_array_equal(one, other)
    return ours.console


@functools.partial(jax.jit, static_argnums=1)
def _picture(state: ConsoleState, buffer: int) -> jax.Array:
    return picture.pixels(state.machine.canvas.rows[:, buffer], state.machine.canvas.colours[:, buffer])


def test_steps_that_draw_half_of_their_frames_show_what_drawing_all_shows(played):
    compare_half_drawn(*played, steps=40)


@pytest.mark.parametrize("unrest", ["the frame ends", "the frame is given up"])
def test_so_they_do_where_frames_are_not_drawn_from_top_to_bottom(unrest):
    # Given up after 25,000 instructions, a frame goes on in the next, which does not draw its first half.
    long_loop = [LDY, 100, LDX, 0, DEX, BNE, 0xFD, DEY, BNE, 0xF8]
    programs = {"the frame ends": [JMP, *word(ORIGIN)], "the frame is given up": long_loop}
    console, state = restless_console(3, [*wait(120), *programs[unrest]])
    act = jax.jit(jax.vmap(console.act))
    # Each lane is at another of the eight frames when a step begins.
    for lane in range(1, 3):
        for _ in range(3 * lane):
            moved = act(state, jnp.zeros(3, jnp.int32))
            state = base.select(jnp.arange(3) == lane, moved, state)
    played = compare_half_drawn(console, state, steps=13)
    frames = played.machine.memory[:, 0x70] - state.machine.memory[:, 0x70]
    # The first frame after power on ends before it counts, and one that is given up does not count.
    assert frames.min() >= 4 * 13 - 1 if unrest == "the frame ends" else 20 < frames.min() <= frames.max() < 40
    colours = [len(np.unique(_picture(played, buffer)[lane])) for buffer in range(2) for lane in range(3)]
    assert max(colours) > 1, "no picture has lines of two frames: the test sees too little"


STEPS_OF_30_MB = """
import resource, sys
import numpy as np
from purejaxrrl.environments.atari.kernel import compiled

if sys.argv[1] == "kept":
    compiled.register()

def step():
    return [np.ones(3 << 20, np.uint8) for _ in range(10)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

state = step(), step()
before = faults()
for _ in range(10):
    state = state[1], step()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep what they keep")
def test_what_a_step_frees_is_kept_for_the_next():
    def faults(kept):
        command = [sys.executable, "-c", STEPS_OF_30_MB, kept]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    assert 3 * faults("kept") < faults("as it is")
