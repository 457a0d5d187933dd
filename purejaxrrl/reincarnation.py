"""What a method of policy-to-value reincarnation is: its coefficients and how it is weaned, all of them values.

A `Method` is a pytree of scalars, so `jax.vmap` over stacked methods trains a whole sweep in one program (`stack`).
"""

import dataclasses
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

    The loss is td * TD + lambda * (distillation * KL(teacher || student) + margin * L_margin) + cql * L_CQL
    (`objective.objective`); the learning rate follows lambda. Steps are agent steps; a name that ends in `_coefficient` is
    a weight of the loss.

    best_action_only: bool; the teacher is distilled as its greedy action.
    elementwise_margin: bool; `losses.elementwise_margin` instead of `losses.large_margin`.
    cql_coefficient, online_cql_coefficient: in the offline and in the online phase.
    rehearsal_fraction: of an online batch, in expectation, the teacher's data.
    roll_in_steps, roll_in_decay, roll_in_decay_steps, guide_probability, guide_decay_steps: see `guides`.
    offline_learning_rate, learning_rate, weaned_learning_rate: in the offline phase, online at lambda 1, and at lambda 0.
    fresh_optimiser: bool; Adam's moments start anew with the online phase.
    """

    weaning: Weaning
    td_coefficient: chex.Array
    distillation_coefficient: chex.Array
    best_action_only: chex.Array
    teacher_temperature: chex.Array
    student_temperature: chex.Array
    margin_coefficient: chex.Array
    margin: chex.Array
    elementwise_margin: chex.Array
    cql_coefficient: chex.Array
    online_cql_coefficient: chex.Array
    cql_temperature: chex.Array
    rehearsal_fraction: chex.Array
    roll_in_steps: chex.Array
    roll_in_decay: chex.Array
    roll_in_decay_steps: chex.Array
    guide_probability: chex.Array
    guide_decay_steps: chex.Array
    n_step: chex.Array
    discount: chex.Array
    offline_learning_rate: chex.Array
    learning_rate: chex.Array
    weaned_learning_rate: chex.Array
    adam_eps: chex.Array
    fresh_optimiser: chex.Array
    epsilon_start: chex.Array
    epsilon_end: chex.Array
    epsilon_decay_steps: chex.Array
    evaluation_epsilon: chex.Array

    def current_learning_rate(self, coefficient: chex.Array) -> chex.Array:
        """The online learning rate while lambda is `coefficient`."""
        return coefficient * self.learning_rate + (1.0 - coefficient) * self.weaned_learning_rate


_TYPES = {
    "n_step": jnp.int32,
    "best_action_only": jnp.bool_,
    "elementwise_margin": jnp.bool_,
    "fresh_optimiser": jnp.bool_,
}


def method(schedule: Weaning, settings: Any, **changes: Any) -> Method:
    """The method whose hyperparameters are the attributes of `settings` that are named as its fields, or in `changes`."""
    names = [field.name for field in dataclasses.fields(Method) if field.name != "weaning"]
    values = {name: changes.get(name, getattr(settings, name)) for name in names}
    return Method(weaning=schedule, **{name: _TYPES.get(name, jnp.float32)(value) for name, value in values.items()})


_ONLINE_ONLY = (
    "online_cql_coefficient", "rehearsal_fraction", "roll_in_steps", "roll_in_decay", "roll_in_decay_steps",
    "guide_probability", "guide_decay_steps", "learning_rate", "weaned_learning_rate", "fresh_optimiser",
    "epsilon_start", "epsilon_end", "epsilon_decay_steps",
)  # fmt: skip


def offline_settings(method: Method) -> tuple[float, ...]:
    """What the offline phase sees of a method: lambda there, and the hyperparameters that it uses."""
    coefficient = weaning_coefficient(method.weaning, jnp.float32(0.0), jnp.float32(0.0), jnp.float32(1.0))
    names = [field.name for field in dataclasses.fields(method) if field.name not in ("weaning", *_ONLINE_ONLY)]
    return float(coefficient), *(float(getattr(method, name)) for name in names)


_POSITIVE = (
    "teacher_temperature",
    "student_temperature",
    "cql_temperature",
    "roll_in_decay_steps",
    "guide_decay_steps",
)
_NOT_NEGATIVE = (
    "td_coefficient", "distillation_coefficient", "margin_coefficient", "margin", "cql_coefficient",
    "online_cql_coefficient", "roll_in_steps", "offline_learning_rate",
)  # fmt: skip
_FRACTIONS = ("rehearsal_fraction", "roll_in_decay", "guide_probability")


def check(settings: Any) -> None:
    """Raises ValueError where a hyperparameter among the attributes of `settings` is out of range."""
    for names, holds, right in (
        (_POSITIVE, lambda value: value > 0, "more than 0"),
        (_NOT_NEGATIVE, lambda value: value >= 0, "at least 0"),
        (_FRACTIONS, lambda value: 0 <= value <= 1, "between 0 and 1"),
    ):
        for name in names:
            if not holds(getattr(settings, name)):
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(settings, name)}; it must be {right}")


def stack(trees: Sequence[Any]) -> Any:
    """Stacks pytrees of equal structure along a new leading axis, for `jax.vmap`."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
