"""Where an iteration of DQN, or of QDagger, on Atari spends its time: emulation, observation, acting, ring, update, evaluation.

    python experiments/benchmarks/pixel_parts.py
    python experiments/benchmarks/pixel_parts.py --num-environments 32 --padding VALID --width 0.5
    python experiments/benchmarks/pixel_parts.py --qdagger --padding VALID --width 0.5

Each part is timed alone, inside a compiled loop, and counted as often as an iteration has it. What a part costs beside another
is not what it costs alone, so that the sum is near the whole and not equal to it. An update is timed with the batch that it draws,
whose time is then taken off: of a batch that stays the same the compiler moves most of the work out of the loop. What the loops read
is handed to them: of an empty ring that is a constant to the compiler, it would know every frame.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import purejaxrrl
from purejaxrrl import qdagger
from purejaxrrl.environments.atari.observation import Viewer
from purejaxrrl.replay import acting
from purejaxrrl.runs import command_line
from purejaxrrl.students.hyperparameters import as_arrays, as_dict, declare, option, with_defaults
from purejaxrrl.students.settings import DQN, QDagger


@declare
class Options:
    environment: str = option("atari/breakout", "name of the Atari environment to time")
    qdagger: bool = option(
        False, "time QDagger's iteration, from the teacher that comes with the library, with DQN's settings"
    )
    repetitions: int = option(50, "number of times that a part is repeated in its compiled loop", minimum=1)


@declare
@with_defaults(
    network="nature_cnn", capacity=20_000, warm_up=200, iteration_steps=1_600, target_period=100, evaluation_steps=400,
    evaluation_environments=4, evaluation_limit=100,
)  # fmt: skip
class Settings(DQN):
    """A short iteration; per agent step it does what a long one does."""


def seconds_of(
    step: Callable[[Any, jax.Array, qdagger.State], Any], carry: Any, state: qdagger.State, repetitions: int
) -> float:
    """Of one step in a compiled loop: the best of three runs after the first."""

    @functools.partial(jax.jit, donate_argnums=0)
    def loop(carry: Any, state: qdagger.State) -> Any:
        return jax.lax.fori_loop(0, repetitions, lambda index, carry: step(carry, index, state), carry)

    carry = jax.block_until_ready(loop(jax.tree.map(jnp.copy, carry), state))
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        carry = jax.block_until_ready(loop(carry, state))
        best = min(best, time.perf_counter() - started)
    return best / repetitions


def parts(program: qdagger.Program, state: qdagger.State, repetitions: int) -> dict[str, tuple[float, int]]:
    """Seconds of each part, and how many of it an iteration has."""
    settings, schedule = as_arrays(program.settings), program.settings.schedule
    environment, params, key = program.environment, program.env_params, jax.random.key(0)
    number, rows = program.settings.num_environments, schedule.rows_per_iteration
    noop = jnp.zeros(number, jnp.int32)
    viewer = Viewer.of(environment.games, environment.console.engine)

    def step(states: Any, index: jax.Array, state: qdagger.State) -> Any:
        keys = jax.random.split(jax.random.fold_in(key, index), number)
        return jax.vmap(environment.step, in_axes=(0, 0, 0, None))(keys, states, noop, params)[1]

    def observe(stacks: jax.Array, index: jax.Array, state: qdagger.State) -> jax.Array:
        return jax.vmap(viewer.observe)(state.actors.state.console, stacks)

    def act(actions: jax.Array, index: jax.Array, state: qdagger.State) -> jax.Array:
        observation = state.actors.observation
        seen = observation + actions[:, None, None, None].astype(observation.dtype)  # another one each time
        q_values = program.student.apply(state.learner.params, seen, None).q_values
        if program.teacher:  # whose outputs are kept, so that the compiler may not leave them out
            q_values = q_values + 1e-6 * program.teacher.apply(program.teacher.params, seen)
        return acting.epsilon_greedy(jax.random.fold_in(key, index), q_values, 0.01)

    def batch_of(state: qdagger.State, index: jax.Array) -> Any:
        return qdagger.sample(program, settings, state, jax.random.fold_in(key, index), jnp.int32(200), None)

    outputs = program.teacher.apply(program.teacher.params, state.actors.observation) if program.teacher else None
    row = jax.jit(lambda actors: acting.act(key, environment, params, actors, noop, outputs)[1])(state.actors)

    def write(ring: Any, index: jax.Array, state: qdagger.State) -> Any:
        return program.memory.add(ring, row, index)

    def draw(total: jax.Array, index: jax.Array, state: qdagger.State) -> jax.Array:
        batch = batch_of(state, index)
        return total + batch.observation.sum(dtype=jnp.int32) + batch.bootstrap_observation.sum(dtype=jnp.int32)

    def update(learner: Any, index: jax.Array, state: qdagger.State) -> Any:
        one, batch = jax.random.fold_in(key, index), batch_of(state, index)
        return qdagger.update(program, settings, learner, batch, one, state.weaning_coefficient, is_online=True)[0]

    def evaluate(total: jax.Array, index: jax.Array, state: qdagger.State) -> jax.Array:
        return total + qdagger.evaluate(program, settings, state, jax.random.fold_in(key, index), {}, True)["score"]

    def seconds(step: Callable[..., Any], carry: Any, times: int = repetitions) -> float:
        return seconds_of(step, carry, state, times)

    observation_seconds = seconds(observe, state.actors.observation)
    batch_seconds = seconds(draw, jnp.int32(0))
    return {
        "emulation": (seconds(step, state.actors.state) - observation_seconds, rows),
        "observation": (observation_seconds, rows),
        "acting": (seconds(act, noop), rows),
        "ring: a row": (seconds(write, state.ring), rows),
        "ring: a batch": (batch_seconds, schedule.updates_per_iteration),
        "update": (seconds(update, state.learner) - batch_seconds, schedule.updates_per_iteration),
        "evaluation": (seconds(evaluate, jnp.float32(0.0), times=1), 1),
    }


def main() -> None:
    with command_line.user_errors():
        options, settings = command_line.parse((Options, Settings), __doc__, leave_out=("online_iterations",))
        environment, teacher = purejaxrrl.make(options.environment), None
        if options.qdagger:
            teacher = purejaxrrl.load_teacher(purejaxrrl.shipped_teacher(options.environment))
            settings = QDagger(offline_iterations=0, **as_dict(settings))
        program = qdagger.program(settings, environment, teacher)
        state = jax.jit(functools.partial(qdagger.init, program))(jax.random.key(0), settings)
        found = parts(program, state, options.repetitions)
        online = jax.jit(functools.partial(qdagger.online, program), donate_argnums=0)
        key = jax.random.key(1)
        state, _ = jax.block_until_ready(online(state, key, settings, None, jnp.int32(0)))
        started = time.perf_counter()
        jax.block_until_ready(online(state, key, settings, None, jnp.int32(1)))
        whole = time.perf_counter() - started
        print(f"{settings.iteration_steps:,} agent steps of {options.environment}; {jax.devices()[0].device_kind}\n")
        print(f"{'part':16} {'ms once':>9} {'times':>7} {'s':>8} {'share':>7}")
        for name, (seconds, times) in found.items():
            print(f"{name:16} {1e3 * seconds:9.3f} {times:7,} {seconds * times:8.2f} {seconds * times / whole:7.1%}")
        print(f"{'the whole':16} {'':9} {'':7} {whole:8.2f}")


if __name__ == "__main__":
    main()
