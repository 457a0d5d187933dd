"""The compiled kernel inside a jitted program."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrrl.environments.atari import raster
from purejaxrrl.environments.atari.engines import DRAW_ALL
from purejaxrrl.environments.atari.kernel import compiled, layout
from purejaxrrl.environments.atari.machine import Hardware, Inputs, Machine


def frame(
    machine: Machine, hardware: Hardware, inputs: Inputs, enable: jax.Array, draws: jax.Array | int = DRAW_ALL
) -> Machine:
    """As `machine.frame`, leaf for leaf where `draws`, int32 [L], is DRAW_ALL.

    Where it is DRAW_NOTHING, the picture stays as it was; where it is DRAW_WHOLE_LINES, so do a line that is not drawn to its end
    and colours that a frame that did not end would grey out. The processor notices nothing of that.
    """
    draws = jnp.broadcast_to(jnp.asarray(draws, jnp.int32), enable.shape)
    state = (
        layout.pack_scalars(machine),
        machine.memory,
        machine.raster.positions,
        machine.raster.line,
        machine.raster.line_sets,
        machine.canvas.rows,
        machine.canvas.colours,
        layout.pack_fetchers(machine),
    )
    settings = layout.pack_settings(hardware, inputs, enable, draws)
    played = _by_platform(_play_on_cpu, play_on_gpu, jnp.asarray(hardware.words), settings, *state)
    scalars, memory, positions, line, line_sets, rows, colours, fetchers = played
    parts = layout.unpack_scalars(machine, scalars)
    return dataclasses.replace(
        machine,
        registers=dataclasses.replace(machine.registers, **parts["registers"]),
        memory=memory,
        riot=dataclasses.replace(machine.riot, **parts["riot"]),
        tia=dataclasses.replace(machine.tia, **parts["tia"]),
        raster=dataclasses.replace(
            machine.raster, positions=positions, line=line, line_sets=line_sets, **parts["raster"]
        ),
        canvas=raster.Canvas(rows, colours),
        dpc=None if machine.dpc is None else layout.unpack_fetchers(fetchers, parts["dpc"]),
        **parts[""],
    )


def observe(
    canvas: raster.Canvas,
    buffer: jax.Array,
    lines: jax.Array,
    pal: jax.Array,
    pictures: jax.Array,
    greys: jax.Array,
    stack: jax.Array,
    copies: int,
) -> list[jax.Array]:
    """The observations after a frame, uint8 [L, 84, 84, 4], as `observation.Viewer` has them; as often as `copies` says, 1 to 3.

    Args:
      buffer: which of the canvas' pictures is the newest. lines: its height. pal: 1 for the second row of `greys`. pictures: 1 or
        2, how many are looked at; int32 [L] each.
      greys: uint8 [2, 256], grey levels by palette index.
      stack: the observations before.

    Raises:
      ValueError: `stack` is of another shape.
    """
    if stack.shape[1:] != (84, 84, 4):
        raise ValueError(f"the kernel makes stacks of four pictures, [lanes, 84, 84, 4]; got {list(stack.shape)}")
    operands = (canvas.rows, canvas.colours, buffer, lines, pal, pictures, greys, stack)
    return _by_platform(*(functools.partial(one, copies) for one in (_observe_on_cpu, observe_on_gpu)), *operands)


def fresh_canvas(canvas: raster.Canvas, heights: jax.Array) -> raster.Canvas:
    """A canvas to draw two whole pictures of `heights` lines, int32 [L], on: it may hold anything but below them.

    On CPUs it is new, so that `canvas` need not be copied before it is drawn on; on GPUs it is `canvas`.
    """
    drawn = _by_platform(_clear_on_cpu, keep_on_gpu, canvas.rows, canvas.colours, heights)
    return raster.Canvas(*drawn)


def restore_canvas(where: jax.Array, old: raster.Canvas, new: raster.Canvas) -> raster.Canvas:
    """`new`, changed in place to `old` in the lanes `where`, bool [L]."""
    operands = (where.astype(jnp.int32), old.rows, old.colours, new.rows, new.colours)
    return raster.Canvas(*_by_platform(_restore_on_cpu, restore_on_gpu, *operands))


def _by_platform(on_cpu: Callable, on_gpu: Callable, *operands: jax.Array) -> Any:
    compiled.register()
    if jax.default_backend() == "cpu":
        return on_cpu(*operands)
    return jax.lax.platform_dependent(*operands, cpu=on_cpu, cuda=on_gpu)


def _play_on_cpu(words: jax.Array, settings: jax.Array, *state: jax.Array) -> list[jax.Array]:
    return jax.ffi.ffi_call(
        compiled.FRAME,
        _like(*state),
        input_output_aliases={2 + place: place for place in range(len(state))},
    )(words, settings, *state)


def play_on_gpu(words: jax.Array, settings: jax.Array, *state: jax.Array) -> list[jax.Array]:
    """A frame through Warp's own door into JAX; the state as packed by `frame`, and afterwards."""
    from purejaxrrl.environments.atari.kernel import modules

    threads = modules.THREADS_OF_A_LANE
    return list(compiled.for_gpu()[0](threads, words, settings, *state, launch_dims=threads * settings.shape[1]))


def _like(*leaves: jax.Array) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]


def _clear_on_cpu(rows: jax.Array, colours: jax.Array, heights: jax.Array) -> list[jax.Array]:
    return jax.ffi.ffi_call(compiled.CANVAS, _like(rows, colours))(heights)


def _restore_on_cpu(where: jax.Array, *canvases: jax.Array) -> list[jax.Array]:
    # As a selection, XLA for CPU would copy all lanes of all pictures, also where none is restored.
    return jax.ffi.ffi_call(compiled.RESTORE, _like(*canvases[2:]), input_output_aliases={3: 0, 4: 1})(where, *canvases)


def restore_on_gpu(where: jax.Array, *canvases: jax.Array) -> list[jax.Array]:
    """As `_restore_on_cpu`, in XLA."""
    lanes = where[:, None, None, None] != 0
    return [jnp.where(lanes, old, new) for old, new in zip(canvases[:2], canvases[2:], strict=True)]


def keep_on_gpu(rows: jax.Array, colours: jax.Array, heights: jax.Array) -> list[jax.Array]:
    """As `_clear_on_cpu`, but nothing is new."""
    return [rows, colours]


def _observe_on_cpu(copies: int, *operands: jax.Array) -> list[jax.Array]:
    # XLA would make the copies one after another, on one core.
    return jax.ffi.ffi_call(compiled.OBSERVATION, _like(operands[-1]) * copies)(*operands)


def observe_on_gpu(copies: int, *operands: jax.Array) -> list[jax.Array]:
    """An observation likewise."""
    return list(compiled.for_gpu()[1](*operands, launch_dims=operands[-1].shape[0])) * copies
