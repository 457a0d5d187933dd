"""The 6532 RIOT: interval timer and input ports, as the ALE models them (`src/ale/emucore/M6532.cxx`). Its RAM is the machine's."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Riot:
    """int32 [L] each, cycles counted as the machine does. timer: value last written. shift: log2 of the interval. timer_set: cycle
    of that write. interrupt_reset: cycle of the first read after it ran out, once `read_late` (0 or 1). direction: port A's
    data direction register."""

    timer: jax.Array
    shift: jax.Array
    timer_set: jax.Array
    interrupt_reset: jax.Array
    read_late: jax.Array
    direction: jax.Array


def power_on(random: jax.Array) -> Riot:
    """The chip after a reset, given a random number uint32 [L] that the timer is set by."""
    zero = jnp.zeros(random.shape, jnp.int32)
    return Riot((25 + random % 75).astype(jnp.int32), zero + 6, zero, zero, zero, zero)


def rebase(riot: Riot, cycles: jax.Array) -> Riot:
    """The chip after the machine's cycle counter was set back by `cycles`."""
    return dataclasses.replace(riot, timer_set=riot.timer_set - cycles, interrupt_reset=riot.interrupt_reset - cycles)


def read(
    riot: Riot, address: jax.Array, cycles: jax.Array, port_a: jax.Array, port_b: jax.Array
) -> tuple[jax.Array, Riot]:
    """The byte at an address of the chip's registers, and the chip afterwards (reading the timer late changes it).

    port_a: the joysticks' pins. port_b: the console's switches. int32 [L].
    """
    elapsed = cycles - 1 - riot.timer_set
    left = riot.timer - (elapsed >> riot.shift) - 1
    register = address & 7
    late = (riot.timer << riot.shift) - elapsed - 1
    notices = (left < 0) & (late <= -2) & (riot.read_late == 0) & (register & 5 == 4)
    read_late = jnp.where(notices, 1, riot.read_late)
    interrupt_reset = jnp.where(notices, cycles, riot.interrupt_reset)
    offset = interrupt_reset - (riot.timer_set + (riot.timer << riot.shift))
    after = jnp.where(read_late == 1, riot.timer - (elapsed >> riot.shift) - offset, late)
    timer = jnp.where(left >= 0, left, after) & 0xFF
    flag = jnp.where((left >= 0) | (riot.read_late == 1), 0, 0x80)
    ports = jnp.where(
        register == 0, port_a, jnp.where(register == 1, riot.direction, jnp.where(register == 2, port_b, 0))
    )
    value = jnp.where(register & 4 == 0, ports, jnp.where(register & 1 == 0, timer, flag))
    return value, dataclasses.replace(riot, read_late=read_late, interrupt_reset=interrupt_reset)


def write(riot: Riot, address: jax.Array, value: jax.Array, cycles: jax.Array) -> Riot:
    """The chip after a byte was stored at an address of its registers."""
    sets = address & 0x14 == 0x14
    shift = jnp.int32(10 << 12 | 6 << 8 | 3 << 4) >> ((address & 3) << 2) & 0xF
    return dataclasses.replace(
        riot,
        timer=jnp.where(sets, value, riot.timer),
        shift=jnp.where(sets, shift, riot.shift),
        timer_set=jnp.where(sets, cycles, riot.timer_set),
        read_late=jnp.where(sets, 0, riot.read_late),
        direction=jnp.where(address & 7 == 1, value, riot.direction),
    )
