"""Plays every game on the kernel and on the portable path side by side and names the leaves of the machine that differ.

    python tests/environments/atari/leaves.py --frames 600 --seed 1

prints one line of JSON. Consoles are switched on by the kernel, and the first frames of a game are the kernel's alone.
"""

from __future__ import annotations

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari import FUSED_LOOPS, console, controls, engines, machine, rom
from purejaxrrl.runs import devices

WARM_UP = 100
"""Frames before the comparison begins."""


def hardware_of(names: tuple[str, ...]) -> tuple[machine.Hardware, controls.Ports, int]:
    """The games' hardware and ports, a lane each, and the lines of the tallest picture."""
    roms = tuple(rom.load(name) for name in names)
    hardware, lanes = console.hardware_of(roms), jnp.arange(len(roms))
    fields = ("left_paddles", "right_paddles", "swap_paddles", "swap_ports")
    ports = controls.Ports(
        *(jnp.asarray([getattr(one, field) for one in roms]) for field in fields),
        jnp.full(len(roms), controls.PADDLE_MAX),
    )
    return console.lanes_of(hardware, lanes), ports, int(hardware.screen.height.max())


def actions_of(frames: int, lanes: int, seed: int) -> np.ndarray:
    """int [frames, lanes]: a new action every four frames, and now and then the console's reset or select switch."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, controls.ACTIONS, (frames // 4 + 1, lanes))
    pressed = rng.random(drawn.shape) < 0.02
    drawn = np.where(pressed, rng.choice([controls.RESET, controls.SELECT], drawn.shape), drawn)
    return drawn.repeat(4, 0)[:frames]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    devices.restart_with(FUSED_LOOPS)
    names = rom.names()
    hardware, ports, height = hardware_of(names)
    lanes = len(names)

    def step(engine: str):
        def frame(state: machine.Machine, paddle: jax.Array, action: jax.Array):
            inputs = controls.inputs(action, paddle, jnp.zeros(lanes, jnp.int32), ports)
            return engines.frame_of(engine)(state, hardware, inputs, jnp.ones(lanes, bool))

        return jax.jit(frame)

    kernel, portable = (step(engines.choose(engine)) for engine in engines.ENGINES)
    turn = jax.jit(lambda paddle, action: controls.turned(paddle, action, ports))
    ours = jax.jit(lambda: machine.reset(machine.power_on(hardware, height), hardware))()
    theirs, paddle, differences = None, controls.centred(ports), {}
    for time, action in enumerate(actions_of(WARM_UP + options.frames, lanes, options.seed)):
        paddle = turn(paddle, action)
        if time == WARM_UP:
            theirs = ours
        ours = kernel(ours, paddle, action)
        if time >= WARM_UP:
            theirs = portable(theirs, paddle, action)
            note_differences(ours, theirs, names, time - WARM_UP, differences)
    faults = [name for name, fault in zip(names, np.asarray(ours.fault), strict=True) if fault]
    print(json.dumps({"games": lanes, "frames": options.frames, "differences": differences, "faults": faults}))


def note_differences(ours, theirs, names: tuple[str, ...], frame: int, found: dict[str, list]) -> None:
    """Adds to `found` for each leaf that differs the first frame and game in which it does."""
    for (path, one), other in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        same = (np.asarray(one) == np.asarray(other)).reshape(len(names), -1).all(1)
        if not same.all():
            found.setdefault(jax.tree_util.keystr(path), [frame, names[int(np.argmin(same))]])


if __name__ == "__main__":
    main()
