"""What a method of policy-to-value reincarnation is: its coefficients and how it is weaned, all of them values.

A `Method` is a pytree of scalars, so `jax.vmap` over stacked methods trains a whole sweep in one program (`stack`).
"""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Weaning:
    """A weaning schedule as data.

    kind: int32, the schedule's position in `SCHEDULES`.
    steps: float32, the agent steps after which weaning is complete (t_0); "constant" and "none" do not look at it.
    floor: float32, what "exponential" and "step" have fallen to just before `steps`, as a fraction of the start.
    drops: float32, in how many equal drops of the logarithm "step" falls there.
    """

    kind: chex.Array
    steps: chex.Array
    floor: chex.Array
    drops: chex.Array


def weaning(kind: str, steps: float, floor: float = 0.01, drops: float = 4.0) -> Weaning:
    """A schedule by name: one of `SCHEDULES`.

    Raises:
      ValueError: the name is unknown, or `steps`, `floor` or `drops` is out of range.
    """
    if kind not in SCHEDULES:
        nearest = difflib.get_close_matches(kind, SCHEDULES, n=2, cutoff=0.3) or list(SCHEDULES)
        raise ValueError(f"unknown weaning schedule {kind!r}; the nearest are {', '.join(nearest)}")
    if not steps > 0:
        raise ValueError(
            f"weaning is over after {steps} agent steps; that must be more than 0 (schedule 'none' never starts)"
        )
    if not 0.0 < floor <= 1.0:
        raise ValueError(f"the weaning floor is {floor}; it must lie in (0, 1]")
    if not drops >= 1:
        raise ValueError(f"weaning in {drops} drops; take at least 1")
    return Weaning(jnp.int32(list(SCHEDULES).index(kind)), jnp.float32(steps), jnp.float32(floor), jnp.float32(drops))


def _return_driven(weaning: Weaning, progress: chex.Array, score: chex.Array) -> chex.Array:
    return _until_complete(progress, jnp.clip(1.0 - score, 0.0, 1.0))


def _linear(weaning: Weaning, progress: chex.Array, score: chex.Array) -> chex.Array:
    return jnp.maximum(1.0 - progress, 0.0)


def _cosine(weaning: Weaning, progress: chex.Array, score: chex.Array) -> chex.Array:
    return 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(progress, 1.0)))


def _exponential(weaning: Weaning, progress: chex.Array, score: chex.Array) -> chex.Array:
    return _until_complete(progress, weaning.floor**progress)


def _step(weaning: Weaning, progress: chex.Array, score: chex.Array) -> chex.Array:
    drops_so_far = jnp.floor(progress * (weaning.drops + 1.0))
    return _until_complete(progress, weaning.floor ** (drops_so_far / weaning.drops))


def _constant(weaning: Weaning, progress: chex.Array, score: chex.Array) -> chex.Array:
    return jnp.ones_like(progress)


def _none(weaning: Weaning, progress: chex.Array, score: chex.Array) -> chex.Array:
    return jnp.zeros_like(progress)


def _until_complete(progress: chex.Array, coefficient: chex.Array) -> chex.Array:
    return jnp.where(progress < 1.0, coefficient, 0.0)


Schedule = Callable[[Weaning, chex.Array, chex.Array], chex.Array]
"""(weaning, progress = agent steps / weaning.steps, the last evaluation's teacher-normalised score) -> lambda in [0, 1]."""

SCHEDULES: dict[str, Schedule] = {
    "return_driven": _return_driven,
    "linear": _linear,
    "cosine": _cosine,
    "exponential": _exponential,
    "step": _step,
    "constant": _constant,
    "none": _none,
}


def weaning_coefficient(
    weaning: Weaning, agent_steps: chex.Array, score: chex.Array, previous: chex.Array
) -> chex.Array:
    """lambda, float32 scalar in [0, 1].

    "return_driven" is the paper's rule, 1[t < t_0] max(1 - score, 0) (Agarwal et al., 2022, section 4.1); a student below
    the random policy, whose score is negative, counts as one that scores 0.

    Args:
      agent_steps: the student's own, so far.
      score: teacher-normalised, of the last evaluation after an online iteration; 0 before there is one.
      previous: the coefficient before this; once it is 0 it stays 0.
    """
    progress = agent_steps / weaning.steps
    coefficient = jax.lax.switch(weaning.kind, list(SCHEDULES.values()), weaning, progress, score)
    return jnp.where(previous > 0, coefficient, 0.0).astype(jnp.float32)


@struct.dataclass
class Method:
    """A method and its hyperparameters. Every field is a scalar that may differ from run to run of one program.

    The loss is TD + lambda * distillation_coefficient * KL(teacher || student); the learning rate follows lambda, from
    `learning_rate` at 1 to `weaned_learning_rate` at 0. Steps are agent steps.
    """

    weaning: Weaning
    distillation_coefficient: chex.Array
    teacher_temperature: chex.Array
    student_temperature: chex.Array
    n_step: chex.Array
    discount: chex.Array
    learning_rate: chex.Array
    weaned_learning_rate: chex.Array
    adam_eps: chex.Array
    epsilon_start: chex.Array
    epsilon_end: chex.Array
    epsilon_decay_steps: chex.Array
    evaluation_epsilon: chex.Array

    def current_learning_rate(self, coefficient: chex.Array) -> chex.Array:
        """The learning rate while lambda is `coefficient`."""
        return coefficient * self.learning_rate + (1.0 - coefficient) * self.weaned_learning_rate


def stack(trees: Sequence[Any]) -> Any:
    """Stacks pytrees of equal structure along a new leading axis, for `jax.vmap`."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
