"""One frame looked at closely: what differs from ale-py's, and what the game stored in the TIA before it drew that."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from ale_py import Action
from recording import interface

from purejaxrrl.environments.atari import console as consoles
from purejaxrrl.environments.atari import controls, machine, tia
from purejaxrrl.environments.atari.console import Console, ConsoleState

SHOWN = 40
"""Stores that are printed, the last before the line."""


@dataclasses.dataclass(frozen=True)
class Store:
    """A byte stored in the TIA: by the instruction at `pc`, in which line of the picture (from 0, may be negative) and at which
    pixel (0 and less: in the horizontal blank)."""

    pc: int
    line: int
    pixel: int
    register: str
    value: int

    def __str__(self) -> str:
        return (
            f"  line {self.line:4d} pixel {self.pixel:4d}: {self.register:7s} = ${self.value:02X}  (at ${self.pc:04X})"
        )


def stores_of_frame(console: Console, state: ConsoleState, action: int) -> list[Store]:
    """What the frame that `action` is held in stores in registers that the picture is made from, in order; `state` [1, ...]."""
    tables, game = console._tables, state.game
    hardware, ports = consoles.lanes_of(tables.hardware, game), consoles._rows(tables.ports, game)
    held = jnp.full(1, action)
    paddle = controls.turned(state.paddle, held, ports)
    inputs = controls.inputs(held, paddle, jnp.asarray(tables.difficulty)[1, game], ports)

    @jax.jit
    def step(run, beam, canvas):
        run = machine._instruction(run, hardware, inputs, beam.collisions)
        entry, length = run.log.entries[0, jnp.maximum(run.log.length[0] - 1, 0)], run.log.length[0]

        def draw(run, beam, canvas):
            beam, canvas = machine._draw(beam, canvas, hardware.screen, run.tia, run.log)
            empty = dataclasses.replace(run.log, length=jnp.zeros_like(run.log.length))
            return dataclasses.replace(run, log=empty, waits=run.done), beam, canvas

        drawn = jax.lax.cond(run.waits[0], draw, lambda *same: same, run, beam, canvas)
        return *drawn, entry, length

    run, beam = machine.begin(state.machine, hardware, jnp.ones(1, bool))
    canvas, found, before = state.machine.canvas, [], 0
    while not run.done[0]:
        pc = int(run.registers.pc[0])
        run, beam, canvas, entry, length = step(run, beam, canvas)
        if int(length) > before:
            found.append(_store(pc, int(entry), int(hardware.screen.first_line[0])))
        before = int(run.log.length[0])
    return found


def _store(pc: int, entry: int, first_line: int) -> Store:
    position = entry >> 14
    pixel = position % tia.LINE * 3 - 68
    return Store(pc, position // tia.LINE - first_line, pixel, tia.Write(entry >> 8 & 63).name, entry & 0xFF)


def explain(game: str, actions: np.ndarray) -> str:
    """Says what differs after the last frame of `actions` [T], and what was stored before the first line that does."""
    console, ale = Console(game), interface(game)
    ale.reset_game()
    state = jax.jit(jax.vmap(lambda _: console.reset()))(jnp.zeros(1))
    act, reset = jax.jit(jax.vmap(console.act, (0, None))), jax.jit(jax.vmap(console.reset))
    for action in actions[:-1]:
        state = act(state, jnp.int32(action))
        ale.act(Action(int(action)))
        if ale.game_over():
            state = reset(state)
            ale.reset_game()
    action = int(actions[-1])
    held = action if action in console.legal_actions else 0
    after = act(state, jnp.int32(action))
    ale.act(Action(action))
    lines = _compared(console, after, ale)
    first = _first_line(console, after, ale)
    stores = stores_of_frame(console, state, held)
    if first is not None:
        stores = [store for store in stores if store.line <= first]
    return "\n".join([*lines, f"the last stores of {len(stores)}:", *map(str, stores[-SHOWN:])])


def _screens(console: Console, state: ConsoleState, ale) -> tuple[np.ndarray, np.ndarray]:
    theirs = ale.getScreen()
    return np.asarray(jax.vmap(console.screen)(state))[0, : theirs.shape[0]], theirs


def _first_line(console: Console, state: ConsoleState, ale) -> int | None:
    ours, theirs = _screens(console, state, ale)
    differ = (ours != theirs).any(1)
    return int(differ.argmax()) if differ.any() else None


def _compared(console: Console, state: ConsoleState, ale) -> list[str]:
    ours, theirs = _screens(console, state, ale)
    line, said = _first_line(console, state, ale), []
    if line is None:
        said.append("the pictures are equal")
    else:
        pixels = np.flatnonzero(ours[line] != theirs[line])
        said.append(f"line {line} differs at pixels {pixels[0]} to {pixels[-1]} ({pixels.size} of them)")
        said += [
            f"  {whose:6s} {' '.join(f'{pixel:02X}' for pixel in screen[line])}"
            for whose, screen in (("ours", ours), ("ale-py", theirs))
        ]
    ram, other = np.asarray(jax.vmap(console.ram)(state))[0], ale.getRAM()
    differing = [
        f"${0x80 + place:02X}: {ram[place]:02X}, ale-py {other[place]:02X}" for place in np.flatnonzero(ram != other)
    ]
    said.append("RAM is equal:" if not differing else f"RAM differs at {'; '.join(differing)}:")
    said += [
        f"  ${0x80 + row:02X} {' '.join(f'{byte:02X}' for byte in ram[row : row + 16])}" for row in range(0, 128, 16)
    ]
    return said
