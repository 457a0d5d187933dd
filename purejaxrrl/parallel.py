"""Many runs as one program: vmapped, and split over the devices that there are."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec


def devices_for(num_runs: int) -> list[jax.Device]:
    """As many local devices as share `num_runs` runs equally."""
    devices = jax.local_devices()
    count = max(count for count in range(1, len(devices) + 1) if num_runs % count == 0)
    return devices[:count]


def over_runs(
    function: Callable[..., Any], num_runs: int, per_run: tuple[bool, ...], donate: tuple[int, ...] = ()
) -> Callable:
    """`jax.jit` of `function` vmapped over runs, each local device taking an equal share of them.

    Every device executes its runs alone: nothing is communicated, so that a device whose runs' episodes end early does not
    wait for another's.

    Args:
      function: of one run.
      num_runs: the size of the leading axis.
      per_run: for each positional argument, whether it has that axis; the others are shared by all runs.
      donate: the arguments whose buffers the result may take over.

    Raises:
      ValueError: `num_runs` < 1.
    """
    if num_runs < 1:
        raise ValueError(f"{num_runs} runs; take at least 1")
    vmapped = jax.vmap(function, in_axes=tuple(0 if batched else None for batched in per_run))
    devices = devices_for(num_runs)
    if len(devices) == 1:
        return jax.jit(vmapped, donate_argnums=donate)
    sharded = jax.shard_map(
        vmapped,
        mesh=Mesh(devices, ("runs",)),
        in_specs=tuple(PartitionSpec("runs") if batched else PartitionSpec() for batched in per_run),
        out_specs=PartitionSpec("runs"),
        check_vma=False,
    )
    return jax.jit(sharded, donate_argnums=donate)
