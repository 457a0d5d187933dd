"""Functions of one lane that run as functions of many, under everything that JAX may put around them."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from purejaxrrl.environments import base
from purejaxrrl.environments.atari.console import Console
from purejaxrrl.environments.batching import over_lanes


def _collatz(state: dict[str, jax.Array], least: jax.Array) -> dict[str, jax.Array]:
    """Steps of the Collatz sequence until every lane is at most `least`, lanes that are there waiting for the others."""

    def step(carry):
        number, steps = carry
        goes_on = number > least
        following = jnp.where(number % 2 == 0, number // 2, 3 * number + 1)
        return jnp.where(goes_on, following, number), steps + goes_on

    number, steps = jax.lax.while_loop(lambda c: jnp.any(c[0] > least), step, (state["number"], state["steps"]))
    return {"number": number, "steps": steps}


collatz = over_lanes(_collatz)


def start(numbers) -> dict[str, jax.Array]:
    numbers = jnp.asarray(numbers, jnp.int32)
    return {"number": numbers, "steps": jnp.zeros_like(numbers)}


def steps_of(number: int) -> int:
    """The steps to 1, one by one."""
    steps = 0
    while number > 1:
        number, steps = (number // 2 if number % 2 == 0 else 3 * number + 1), steps + 1
    return steps


NUMBERS = np.arange(1, 13)
EXPECTED = np.asarray([steps_of(int(number)) for number in NUMBERS])


def test_one_lane_in_and_out_of_jit():
    assert collatz(start(7), 1)["steps"] == 16
    assert jax.jit(collatz)(start(7), jnp.int32(1))["steps"] == 16


def test_nested_vmaps_over_any_axes_are_one_call():
    nested = jax.vmap(jax.vmap(collatz, (0, None)), ({"number": 1, "steps": 0}, None), 1)
    numbers = NUMBERS.reshape(3, 4)
    state = {"number": jnp.asarray(numbers, jnp.int32), "steps": jnp.zeros((4, 3), jnp.int32)}
    np.testing.assert_array_equal(nested(state, jnp.int32(1))["steps"], EXPECTED.reshape(3, 4))
    program = str(jax.make_jaxpr(nested)(state, jnp.int32(1)))
    assert program.count("over_lanes[") == 1


def test_a_batched_cond_in_which_either_branch_is_one():
    def act_or_reset(state):
        return jax.lax.cond(state["number"] > 6, lambda s: collatz(s, 1), lambda s: collatz(start(2), 1), state)

    found = jax.jit(jax.vmap(act_or_reset))(start(NUMBERS))
    np.testing.assert_array_equal(found["steps"], np.where(NUMBERS > 6, EXPECTED, 1))


def test_inside_loops():
    def body(state, _):
        return {**collatz(state, 1), "number": state["number"] + 1}, state["steps"]

    def rolled(state):
        return jax.lax.scan(body, state, None, length=4)[1]

    expected = [[sum(steps_of(n + k) for k in range(time)) for time in range(4)] for n in NUMBERS]
    np.testing.assert_array_equal(jax.vmap(rolled)(start(NUMBERS)), expected)

    def until(state):
        return jax.lax.while_loop(
            lambda s: s["steps"] < 10, lambda s: {**collatz(s, 1), "number": s["number"] + 1}, state
        )

    counted = []
    for number in NUMBERS:
        steps = 0
        while steps < 10:
            steps, number = steps + steps_of(int(number)), number + 1
        counted.append(steps)
    np.testing.assert_array_equal(jax.jit(jax.vmap(until))(start(NUMBERS))["steps"], counted)


@pytest.mark.parametrize("check_vma", [True, False])
def test_inside_shard_map(check_vma):
    mesh = Mesh(jax.devices()[:1], ("lanes",))
    lanes = PartitionSpec("lanes")
    sharded = jax.shard_map(
        jax.vmap(lambda state: collatz(state, 1)), mesh=mesh, in_specs=lanes, out_specs=lanes, check_vma=check_vma
    )
    np.testing.assert_array_equal(jax.jit(sharded)(start(NUMBERS))["steps"], EXPECTED)


def act_or_reset(console: Console):
    """What everybody writes."""
    return jax.vmap(lambda s: jax.lax.cond(s.game_over, console.reset, lambda s: console.act(s, 0), s))


@pytest.fixture(scope="module")
def breakout():
    """A console and four states of it, whose games are over in two."""
    console = Console("breakout", engine="kernel")
    states = jax.jit(jax.vmap(lambda _: console.reset()))(jnp.arange(4))
    over = jnp.arange(4) % 2 == 0
    return console, dataclasses.replace(states, rules=dataclasses.replace(states.rules, game_over=over))


def test_acting_or_resetting_a_batch_of_consoles(breakout):
    console, states = breakout
    found = jax.jit(act_or_reset(console))(states)
    reset, acted = jax.jit(jax.vmap(console.reset))(states), jax.jit(jax.vmap(console.act, (0, None)))(states, 0)
    over = np.asarray(states.game_over)
    jax.tree.map(np.testing.assert_array_equal, found, base.select(over, reset, acted))


def test_donated_and_kept_states_give_the_same(breakout):
    console, states = breakout
    act = jax.vmap(lambda state: console.act(state, 3))
    kept = jax.jit(lambda states: (act(states), act(act(states)), states.machine.memory))
    once, twice, memory = kept(states)
    np.testing.assert_array_equal(memory, states.machine.memory)
    donating = jax.jit(act, donate_argnums=0)
    own = donating(jax.tree.map(jnp.copy, states))
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(jnp.copy, own), once)
    jax.tree.map(np.testing.assert_array_equal, donating(own), twice)


def test_two_devices_at_once():
    script = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
from jax.sharding import Mesh, PartitionSpec
from purejaxrrl.environments.atari.console import Console
console = Console("breakout", engine="kernel")
states = jax.jit(jax.vmap(lambda _: console.reset()))(jnp.arange(4))
def roll(states):
    step = lambda s, a: (jax.vmap(lambda s: console.act(s, a))(s), None)
    return jax.lax.scan(step, states, jnp.arange(6) % 4)[0]
lanes = PartitionSpec("lanes")
sharded = jax.shard_map(roll, mesh=Mesh(jax.devices(), ("lanes",)), in_specs=lanes, out_specs=lanes)
jax.tree.map(np.testing.assert_array_equal, jax.jit(sharded)(states), jax.jit(roll)(states))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_acting_or_resetting_a_batch_of_consoles_portably(breakout):
    _, states = breakout
    console = Console("breakout", engine="portable")
    found = jax.jit(act_or_reset(console))(states)
    expected = jax.jit(act_or_reset(breakout[0]))(states)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
