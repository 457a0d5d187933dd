"""Many runs as one program: vmapped, and split over the devices that there are."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from purejaxrrl import control_groups

_AXIS = ("runs",)
_MOST_ABREAST, _FEWEST_ABREAST = 10, 4
"""How many of its runs a CPU device, most often a core, advances together: the parameters, moments and gradients of more do not fit its
caches."""


def use_cores() -> None:
    """Makes each CPU core that the process may use a device, so that `over_runs` gives every core its share of the runs.

    On one device XLA spreads only the large matrix products over the cores, and everything else runs on one of them.

    Call it first: once JAX has started its backends, or where `XLA_FLAGS` or `JAX_NUM_CPU_DEVICES` say how many there are, it
    changes nothing. Accelerators are not concerned.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "") or jax.config.jax_num_cpu_devices > 0:
        return
    with contextlib.suppress(RuntimeError):  # the backends have started
        jax.config.update("jax_num_cpu_devices", cores())


def cores() -> int:
    """CPU cores that the process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(found, control_groups.processors() or found)


def restart_with(xla_flags: str) -> None:
    """Starts the running program anew with these in `XLA_FLAGS`, unless they are there: XLA reads them as JAX is imported."""
    flags = os.environ.get("XLA_FLAGS", "")
    if xla_flags not in flags:
        os.execve(
            sys.executable, [sys.executable, *sys.argv], os.environ | {"XLA_FLAGS": f"{flags} {xla_flags}".strip()}
        )


def devices_for(num_runs: int) -> list[jax.Device]:
    """As many local devices as share `num_runs` runs equally."""
    devices = jax.local_devices()
    count = max(count for count in range(1, len(devices) + 1) if num_runs % count == 0)
    return devices[:count]


def equal_shares(num_runs: int) -> list[int]:
    """The places of `num_runs` runs, the last one repeated until all local devices (or a device a run) have equal shares."""
    devices = min(len(jax.local_devices()), num_runs)
    return [*range(num_runs), *[num_runs - 1] * (-num_runs % devices)]


def over_runs(
    function: Callable[..., Any],
    num_runs: int,
    per_run: tuple[bool, ...],
    donate: tuple[int, ...] = (),
    in_turn: bool = False,
) -> Callable:
    """`jax.jit` of `function` vmapped over runs, each local device taking an equal share of them.

    Every device executes its runs alone: nothing is communicated, so that a device whose runs' episodes end early does not
    wait for another's.

    Args:
      function: of one run.
      num_runs: the size of the leading axis.
      per_run: for each positional argument, whether it has that axis; the others are shared by all runs.
      donate: the arguments whose buffers the result may take over.
      in_turn: on CPU, a device that has more than ten runs takes them group after group, where they can be divided into equal groups of
        four to ten. `function` returns a pair, of which the first is as its first argument, and so a state and metrics.

    Raises:
      ValueError: `num_runs` < 1.
    """
    if num_runs < 1:
        raise ValueError(f"{num_runs} runs; take at least 1")
    vmapped = jax.vmap(function, in_axes=tuple(0 if batched else None for batched in per_run))
    devices = devices_for(num_runs)
    share = num_runs // len(devices)
    if in_turn and devices[0].platform == "cpu" and abreast(share) < share:
        vmapped = _in_turn(vmapped, per_run, share)
    if len(devices) == 1:
        return jax.jit(vmapped, donate_argnums=donate)
    sharded = jax.shard_map(
        vmapped,
        mesh=Mesh(devices, _AXIS),
        in_specs=tuple(PartitionSpec(*_AXIS) if batched else PartitionSpec() for batched in per_run),
        out_specs=PartitionSpec(*_AXIS),
        check_vma=False,
    )
    # Cores that each have runs of their own have no time to help another with its matrix products.
    options = {"xla_cpu_multi_thread_eigen": False} if devices[0].platform == "cpu" else None
    return jax.jit(sharded, donate_argnums=donate, compiler_options=options)


def abreast(runs: int) -> int:
    """How many of a CPU device's runs are vmapped at a time: the most that divide them into equal groups, if these are not too small."""
    most = max(number for number in range(1, _MOST_ABREAST + 1) if runs % number == 0)
    return runs if most < _FEWEST_ABREAST else most


def _in_turn(vmapped: Callable[..., Any], per_run: tuple[bool, ...], runs: int) -> Callable[..., Any]:
    """`vmapped`, group after group, each written where it was read, so that a donated state needs no second copy."""
    size = abreast(runs)

    @functools.wraps(vmapped)
    def advance(state: Any, *others: Any) -> tuple[Any, Any]:
        _, found = jax.eval_shape(vmapped, state, *others)

        def turn(number: jax.Array, whole: Any) -> Any:
            first = number * size
            part = functools.partial(jax.lax.dynamic_slice_in_dim, start_index=first, slice_size=size)
            arguments = [
                jax.tree.map(part, each) if batched else each
                for each, batched in zip((whole[0], *others), per_run, strict=True)
            ]
            return jax.tree.map(
                lambda all_runs, some: jax.lax.dynamic_update_slice_in_dim(all_runs, some, first, 0),
                whole,
                vmapped(*arguments),
            )

        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), found)
        return jax.lax.fori_loop(0, runs // size, turn, (state, nothing))

    return advance


def spread(tree: Any, num_runs: int) -> Any:
    """Arrays with a leading axis of runs, where `over_runs` has those that it returns.

    Otherwise the program would be compiled twice, and arrays on other devices than its own would be refused.
    """
    devices = devices_for(num_runs)
    if len(devices) == 1:
        return jax.tree.map(lambda leaf: jax.device_put(leaf, devices[0]) if _is_on_several(leaf) else leaf, tree)
    return jax.device_put(tree, _shares(devices))


def zeros(shape: Sequence[int], dtype: Any) -> jax.Array:
    """An array of 0 with a leading axis of runs, where `over_runs` has those that it returns."""
    devices = devices_for(shape[0])
    return jnp.zeros(shape, dtype, device=_shares(devices) if len(devices) > 1 else None)


def copied(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """Arrays that all runs share, on each of the devices that `over_runs` has for them: it would copy them there at every call.

    CPU devices have one memory, and the arrays once in it.
    """
    if len(devices) == 1:
        return tree
    sharding = NamedSharding(Mesh(devices, _AXIS), PartitionSpec())
    if copies(devices):
        return jax.device_put(tree, sharding)

    def everywhere(leaf: jax.Array) -> jax.Array:
        on_host = np.asarray(leaf)  # which a CPU device takes as it is
        each = [jax.device_put(on_host, device) for device in devices]
        return jax.make_array_from_single_device_arrays(leaf.shape, sharding, each)

    return jax.tree.map(everywhere, tree)


def copies(devices: Sequence[jax.Device]) -> int:
    """How many more of an array `copied` makes."""
    return 0 if devices[0].platform == "cpu" else len(devices) - 1


def _shares(devices: Sequence[jax.Device]) -> NamedSharding:
    """An equal share of the leading axis on each."""
    return NamedSharding(Mesh(devices, _AXIS), PartitionSpec(*_AXIS))


def _is_on_several(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) > 1
