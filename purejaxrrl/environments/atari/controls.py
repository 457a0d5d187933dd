"""What an action does to the console's input pins: joysticks, paddles and switches (the ALE's `ale_state.cpp`, `Paddles.cxx`)."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from purejaxrrl.environments.atari.machine import Inputs

ACTIONS = 18
RESET, SELECT = 40, 41
"""Not for players: the console's reset switch, as in the ALE's enum, and its select switch."""
PADDLE_STEP, PADDLE_MIN, PADDLE_MAX = 23_000, 27_450, 790_196
_UNPLUGGED = -1

_UP, _DOWN, _LEFT, _RIGHT, _FIRE = 0x10, 0x20, 0x40, 0x80, 1
_PRESSED = (
    0,
    _FIRE,
    _UP,
    _RIGHT,
    _LEFT,
    _DOWN,
    _UP | _RIGHT,
    _UP | _LEFT,
    _DOWN | _RIGHT,
    _DOWN | _LEFT,
    _UP | _FIRE,
    _RIGHT | _FIRE,
    _LEFT | _FIRE,
    _DOWN | _FIRE,
    _UP | _RIGHT | _FIRE,
    _UP | _LEFT | _FIRE,
    _DOWN | _RIGHT | _FIRE,
    _DOWN | _LEFT | _FIRE,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ports:
    """What is plugged in, [L]. left_paddles, right_paddles, swap_paddles, swap_ports: bool, see `rom.Rom`. paddle_max: int32,
    the ALE's limit of a paddle's resistance."""

    left_paddles: jax.Array
    right_paddles: jax.Array
    swap_paddles: jax.Array
    swap_ports: jax.Array
    paddle_max: jax.Array


def _pressed(action: jax.Array) -> jax.Array:
    """The buttons, int32 [L], that an action of the ALE's enum holds down; none where it is not one."""
    known = (action >= 0) & (action < ACTIONS)
    return jnp.where(known, jnp.asarray(_PRESSED, jnp.int32)[jnp.clip(action, 0, ACTIONS - 1)], 0)


def centred(ports: Ports) -> jax.Array:
    """The resistance, int32 [L], that the ALE resets a paddle to."""
    return (PADDLE_MIN + ports.paddle_max) // 2


def turned(paddle: jax.Array, action: jax.Array, ports: Ports) -> jax.Array:
    """The resistance of the first player's paddle, int32 [L], after a frame's action has turned it."""
    pressed = _pressed(action)
    step = jnp.where(pressed & _RIGHT != 0, -PADDLE_STEP, jnp.where(pressed & _LEFT != 0, PADDLE_STEP, 0))
    return jnp.clip(paddle + step, PADDLE_MIN, ports.paddle_max)


def inputs(action: jax.Array, paddle: jax.Array, difficulty: jax.Array, ports: Ports) -> Inputs:
    """The pins while an action is held. The second player does nothing.

    action: int32 [L], 0..17, RESET or SELECT. paddle: int32 [L], resistance of the first paddle; the second is centred.
    difficulty: int32 [L], bit 0 the left switch, bit 1 the right, set for position A.
    """
    pressed = _pressed(action)
    stick, fire = pressed >> 4, pressed & _FIRE
    paddles = ports.left_paddles | ports.right_paddles
    wired = jnp.where(ports.swap_ports, stick, stick << 4)
    trigger = jnp.where(fire == 1, jnp.where(ports.swap_paddles, 0x40, 0x80), 0)
    port_a = 0xFF & ~jnp.where(paddles, trigger, wired)
    button = jnp.where(paddles, 0, jnp.where(ports.swap_ports, fire << 1, fire))
    port_b = 0x3F & ~jnp.where(action == RESET, 1, 0) & ~jnp.where(action == SELECT, 2, 0) | difficulty << 6
    return Inputs(port_a, port_b, 3 & ~button, _charging(paddle, centred(ports), ports))


def idle(switches: jax.Array, ports: Ports) -> Inputs:
    """The pins before the ALE has touched them: nothing pressed, paddles at their end; switches: as in `rom.Rom`."""
    zero = jnp.zeros_like(switches)
    return Inputs(zero + 0xFF, 0x3F | switches, zero + 3, _charging(zero, zero, ports))


def _charging(first: jax.Array, second: jax.Array, ports: Ports) -> jax.Array:
    """Cycles until the capacitor of each paddle input is charged, int32 [4, L], through resistances of the left port's two
    paddles: 1.6 * 0.01e-6 seconds per ohm at 1.19e6 cycles per second. Those of the right port stand at their end."""
    needed = [resistance * 119 // 6250 for resistance in (first, second)]
    left = [jnp.where(ports.swap_paddles, needed[1], needed[0]), jnp.where(ports.swap_paddles, needed[0], needed[1])]
    right = jnp.where(ports.right_paddles, 0, _UNPLUGGED)
    return jnp.stack([*(jnp.where(ports.left_paddles, one, _UNPLUGGED) for one in left), right, right])
