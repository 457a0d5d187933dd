"""The kernel as modules of Warp's. Only imported where Warp is."""

from typing import NamedTuple

import warp

from purejaxrrl.environments.atari.kernel import source

BLOCK = 64
"""Threads of one block of a GPU: few, for lanes part company."""
THREADS_OF_A_LANE = 1
"""Threads of a GPU that a lane is given, of which it uses one: a warp of 32 with few lanes in it waits less for each other's
branches, and fewer lanes play at once."""

# So that each instruction of the processor's keeps a jump of its own to the next, of which there are 256.
_CPU_FLAGS = f"{warp.config.cpu_compiler_flags} -mllvm=-tail-dup-pred-size=512 -mllvm=-tail-dup-succ-size=512"


class Gpu(NamedTuple):
    """A module, and the kernels in it."""

    module: warp.Module
    play: warp.Kernel
    observe: warp.Kernel


def for_cpu() -> tuple[warp.Module, warp.Kernel]:
    """A module that holds what XLA calls, and a kernel that tells the addresses of it."""
    module = warp.Module("purejaxrrl.atari.cpu")
    options = warp.ModuleBuildOptions(extra_cpu_preamble=source.cpu())
    module.options |= {"extra_build_options": options, "enable_backward": False, "cpu_compiler_flags": _CPU_FLAGS}

    handlers = ("play", "observe", "clear", "restore")  # as `compiled.HANDLERS`

    @warp.func_native("".join(f"address[{place}] = (wp::uint64)&ffi::{name};" for place, name in enumerate(handlers)))
    def address_of_handlers(address: warp.array(dtype=warp.uint64)): ...

    @warp.kernel(module=module)
    def find_handlers(address: warp.array(dtype=warp.uint64)):
        address_of_handlers(address)

    return module, find_handlers


def for_gpu() -> Gpu:
    """The kernels, whose arguments are arrays of all lanes, `Buffers` and `Pictures` in C++: `threads` of a lane, of which one plays,
    and one of a lane that observes."""
    module = warp.Module("purejaxrrl.atari.gpu")
    options = warp.ModuleBuildOptions(extra_cuda_preamble=source.common(), extra_cpu_preamble=source.common())
    module.options |= {"extra_build_options": options, "enable_backward": False}

    @warp.func_native(
        "atari::Buffers all = {words.data, settings.data, scalars.data, memory.data, positions.data, line.data,"
        " line_sets.data, rows.data, colours.data, fetchers.data, memory.shape[0], rows.shape[2]};"
        " if (thread % threads == 0) atari::play_frame(all, thread / threads);"
    )
    def play_lane(
        thread: warp.int32,
        threads: warp.int32,
        words: warp.array(dtype=warp.int32),
        settings: warp.array2d(dtype=warp.int32),
        scalars: warp.array2d(dtype=warp.int32),
        memory: warp.array2d(dtype=warp.uint8),
        positions: warp.array2d(dtype=warp.int32),
        line: warp.array2d(dtype=warp.uint32),
        line_sets: warp.array2d(dtype=warp.uint32),
        rows: warp.array4d(dtype=warp.uint32),
        colours: warp.array4d(dtype=warp.uint32),
        fetchers: warp.array3d(dtype=warp.int32),
    ): ...

    @warp.kernel(module=module)
    def play(
        threads: warp.int32,
        words: warp.array(dtype=warp.int32),
        settings: warp.array2d(dtype=warp.int32),
        scalars: warp.array2d(dtype=warp.int32),
        memory: warp.array2d(dtype=warp.uint8),
        positions: warp.array2d(dtype=warp.int32),
        line: warp.array2d(dtype=warp.uint32),
        line_sets: warp.array2d(dtype=warp.uint32),
        rows: warp.array4d(dtype=warp.uint32),
        colours: warp.array4d(dtype=warp.uint32),
        fetchers: warp.array3d(dtype=warp.int32),
    ):
        play_lane(
            warp.tid(), threads, words, settings, scalars, memory, positions, line, line_sets, rows, colours, fetchers
        )

    @warp.func_native(
        "atari::Pictures all = {rows.data, colours.data, buffer.data, lines.data, pal.data, pictures.data, greys.data,"
        " (atari::u32*)stack.data, {(atari::u32*)stack.data}, 1, rows.shape[2]}; atari::observe(all, lane);"
    )
    def observe_lane(
        lane: warp.int32,
        rows: warp.array4d(dtype=warp.uint32),
        colours: warp.array4d(dtype=warp.uint32),
        buffer: warp.array(dtype=warp.int32),
        lines: warp.array(dtype=warp.int32),
        pal: warp.array(dtype=warp.int32),
        pictures: warp.array(dtype=warp.int32),
        greys: warp.array2d(dtype=warp.uint8),
        stack: warp.array4d(dtype=warp.uint8),
    ): ...

    @warp.kernel(module=module)
    def observe(
        rows: warp.array4d(dtype=warp.uint32),
        colours: warp.array4d(dtype=warp.uint32),
        buffer: warp.array(dtype=warp.int32),
        lines: warp.array(dtype=warp.int32),
        pal: warp.array(dtype=warp.int32),
        pictures: warp.array(dtype=warp.int32),
        greys: warp.array2d(dtype=warp.uint8),
        stack: warp.array4d(dtype=warp.uint8),
    ):
        observe_lane(warp.tid(), rows, colours, buffer, lines, pal, pictures, greys, stack)

    return Gpu(module, play, observe)


def for_jax(gpu: Gpu) -> tuple:
    """The kernels of `for_gpu` as functions of JAX arrays: (play, observe)."""
    state = ("scalars", "memory", "positions", "line", "line_sets", "rows", "colours", "fetchers")
    return (
        warp.jax_kernel(gpu.play, num_outputs=len(state), in_out_argnames=list(state), block_dim=BLOCK),
        warp.jax_kernel(gpu.observe, num_outputs=1, in_out_argnames=["stack"], block_dim=BLOCK),
    )
