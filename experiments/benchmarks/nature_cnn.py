"""QDagger's update of the Nature CNN, in the forms that its convolutions can have, inside one compiled loop.

    python experiments/benchmarks/nature_cnn.py
    python experiments/benchmarks/nature_cnn.py --padding VALID --seeds 1,4 --updates 100 --forms ours,nn.Conv,dopamine

ours: `networks.NatureCNN`, the teacher's output taken from the ring. nn.Conv: the same with flax's convolution. dopamine: `nn.Conv` on
one example under `vmap`, and the teacher asked for every batch, as the released code of the paper does. Several seeds are vmapped.
A form's time is the least of `--repetitions`, which take turns, so that what else the machine does strikes all alike. Every update
has another batch than the last: of a batch that stays the same the compiler moves all that the weights do not decide out of the loop.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl import networks
from purejaxrrl.errors import UserError
from purejaxrrl.runs import command_line
from purejaxrrl.students import losses
from purejaxrrl.students import student as students
from purejaxrrl.students.hyperparameters import as_arrays, declare, option
from purejaxrrl.students.settings import QDagger

ACTIONS = 18
BATCHES = 4
FORMS = "ours", "nn.Conv", "dopamine"


@declare
class Options:
    padding: str = option("SAME", "padding of the network's convolutions", choices=networks.PADDINGS)
    batch_size: int = option(32, "transitions in the batch of an update", minimum=1)
    seeds: tuple[int, ...] = option((1, 4), "numbers of vmapped seeds to time, one after the other")
    updates: int = option(100, "number of updates in a compiled loop", minimum=1)
    repetitions: int = option(3, "number of times that each form is timed; the least counts", minimum=1)
    forms: tuple[str, ...] = option(FORMS, f"forms to time, separated by commas, of {', '.join(FORMS)}")


class WithConv(nn.Module):
    """The Nature CNN (Mnih et al., 2015) of flax's layers, `[B, 84, 84, 4]` to `[B, ACTIONS]`."""

    padding: str

    @nn.compact
    def __call__(self, observations: jax.Array) -> jax.Array:
        hidden = observations.astype(jnp.float32) / 255.0
        for features, size, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            hidden = nn.relu(nn.Conv(features, (size, size), (stride, stride), self.padding)(hidden))
        hidden = nn.relu(nn.Dense(512)(hidden.reshape(hidden.shape[0], -1)))
        return nn.Dense(ACTIONS)(hidden)


def q_values_of(form: str, padding: str) -> Callable[[Any, jax.Array], jax.Array]:
    """(parameters, observations `[B, ...]`) -> Q-values; all forms take the same parameters."""
    if form == "ours":
        return networks.describe("nature_cnn", ACTIONS, (84, 84, 4), padding=padding).apply
    module = WithConv(padding)

    def whole_batch(params: Any, observations: jax.Array) -> jax.Array:
        return module.apply({"params": params}, observations)

    if form == "nn.Conv":
        return whole_batch
    return jax.vmap(lambda params, one: whole_batch(params, one[None])[0], in_axes=(None, 0))


def random_batches(rng: np.random.Generator, seeds: int, size: int) -> dict[str, np.ndarray]:
    """Transitions `[seeds, BATCHES, size, ...]`, with the teacher's output for each."""
    lead = (seeds, BATCHES, size)
    return {
        "observation": rng.integers(0, 256, (*lead, 84, 84, 4), np.uint8),
        "next_observation": rng.integers(0, 256, (*lead, 84, 84, 4), np.uint8),
        "action": rng.integers(0, ACTIONS, lead).astype(np.int32),
        "reward": rng.standard_normal(lead, np.float32),
        "teacher_output": rng.standard_normal((*lead, ACTIONS), np.float32),
    }


def make_run(form: str, padding: str, updates: int, teacher: Any) -> Callable:
    """run(params, batches) -> the last loss, after so many updates of one seed: TD and distillation, Adam."""
    q_values, settings = q_values_of(form, padding), as_arrays(QDagger())
    student = students.value_student(networks.describe("nature_cnn", ACTIONS, (84, 84, 4), padding=padding))

    def loss(batch: dict[str, jax.Array], target: Any, params: Any) -> tuple[jax.Array, jax.Array]:
        online = q_values(params, batch["observation"])
        bootstrap = q_values(target, batch["next_observation"]).max(-1)
        output = q_values(teacher, batch["observation"]) if form == "dopamine" else batch["teacher_output"]
        td = losses.q_learning(
            online, batch["action"], bootstrap, batch["reward"], jnp.full(bootstrap.shape, settings.discount)
        )
        log_policy = jax.nn.log_softmax(output / settings.teacher_temperature)
        total = (td + 3.0 * losses.distillation(log_policy, online, settings.student_temperature)).mean()
        return total, total

    def run(params: Any, batches: dict[str, jax.Array]) -> jax.Array:
        learner = students.Learner(params, params, student.optimiser(settings).init(params))

        def update(learner: students.Learner, number: jax.Array) -> tuple[students.Learner, jax.Array]:
            batch = jax.tree.map(lambda leaf: leaf[number % BATCHES], batches)
            of_params = functools.partial(loss, batch, learner.target_params)
            return students.descend(learner, student, of_params, settings.learning_rate, settings)

        return jax.lax.scan(update, learner, jnp.arange(updates))[1][-1]

    return run


def measure(options: Options, seeds: int) -> dict[str, tuple[float, float]]:
    """For each form: seconds of the clock and of the CPUs for an update of all seeds."""
    network = networks.describe("nature_cnn", ACTIONS, (84, 84, 4), padding=options.padding)
    params = jax.vmap(network.init)(jax.random.split(jax.random.key(0), seeds + 1))
    teacher, params = jax.tree.map(lambda leaf: leaf[-1], params), jax.tree.map(lambda leaf: leaf[:-1], params)
    batches = jax.device_put(random_batches(np.random.default_rng(0), seeds, options.batch_size))
    if seeds == 1:  # as a run alone is compiled: without a leading axis
        params, batches = (jax.tree.map(lambda leaf: leaf[0], tree) for tree in (params, batches))
    compiled = {}
    for form in options.forms:
        run = make_run(form, options.padding, options.updates, teacher)
        compiled[form] = jax.jit(run if seeds == 1 else jax.vmap(run)).lower(params, batches).compile()
    best = dict.fromkeys(options.forms, (float("inf"), float("inf")))
    for _ in range(options.repetitions):
        for form, run in compiled.items():
            wall, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(run(params, batches))
            took = (time.perf_counter() - wall, time.process_time() - cpu)
            best[form] = tuple(min(a, b / options.updates) for a, b in zip(best[form], took, strict=True))
    return best


def main() -> None:
    with command_line.user_errors():
        (options,) = command_line.parse((Options,), __doc__)
        if unknown := set(options.forms) - set(FORMS):
            raise UserError(f"unknown form {min(unknown)!r}; there are {', '.join(FORMS)}")
        print(f"{options.padding}, batches of {options.batch_size}; {jax.devices()[0].device_kind}\n")
        print(f"{'seeds':>5} {'form':10} {'ms an update':>13} {'CPU ms':>8} {'updates/s':>10}")
        for seeds in options.seeds:
            for form, (wall, cpu) in measure(options, seeds).items():
                print(f"{seeds:5} {form:10} {1e3 * wall:13.2f} {1e3 * cpu:8.2f} {seeds / wall:10.1f}", flush=True)


if __name__ == "__main__":
    main()
