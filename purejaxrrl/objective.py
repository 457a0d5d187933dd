"""The loss of policy-to-value reincarnation: every method of the paper is this one with other coefficients."""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax.numpy as jnp

from purejaxrrl import losses, replay
from purejaxrrl.reincarnation import Method

Term = Callable[[chex.Array, replay.Batch, Method, chex.Array], chex.Array]
"""A loss of one's own: (student's Q-values `[B, num_actions]`, batch, method, lambda) -> what is added, `[B]`."""


class Report(NamedTuple):
    """Means over the batch, float32 scalars, not multiplied by their coefficients; 0 where a term is not used."""

    td_loss: chex.Array
    distillation_loss: chex.Array
    margin_loss: chex.Array
    cql_loss: chex.Array
    q_value: chex.Array


def objective(
    q_values: chex.Array,
    target_q_values: chex.Array,
    teacher_log_policy: chex.Array,
    batch: replay.Batch,
    method: Method,
    coefficient: chex.Array,
    cql_coefficient: chex.Array,
    term: Term | None = None,
) -> tuple[chex.Array, Report]:
    """The loss of a batch, a float32 scalar, and what it is made of.

    Args:
      q_values: `[B, num_actions]`, the student's.
      target_q_values: `[B, num_actions]`, the target network's at the bootstrap.
      teacher_log_policy: `[B, num_actions]` (`teachers.log_policy`).
      coefficient: lambda.
      cql_coefficient: the phase's alpha.
      term: a loss of one's own, added with its own weight.
    """

    def mean(used: chex.Array, loss: Callable[[chex.Array], chex.Array]) -> chex.Array:
        # Both ends are masked: a NaN that is multiplied by 0 in the backward pass stays a NaN.
        values = loss(jnp.where(used, q_values, 0.0))
        return jnp.where(used, losses.weighted_mean(values, batch.weight), 0.0)

    learns = method.td_coefficient > 0
    distils = coefficient * method.distillation_coefficient > 0
    separates = coefficient * method.margin_coefficient > 0

    def td(q_values: chex.Array) -> chex.Array:
        target = jnp.where(learns, target_q_values, 0.0)
        return losses.q_learning(q_values, batch.action, target, batch.n_step_return, batch.bootstrap_discount)

    def distillation(q_values: chex.Array) -> chex.Array:
        best = losses.best_action_only(teacher_log_policy)
        policy = jnp.where(method.best_action_only, best, teacher_log_policy)
        return losses.distillation(jnp.where(distils, policy, 0.0), q_values, method.student_temperature)

    def margin(q_values: chex.Array) -> chex.Array:
        teachers_action = teacher_log_policy.argmax(-1)
        return jnp.where(
            method.elementwise_margin,
            losses.elementwise_margin(q_values, teachers_action, method.margin),
            losses.large_margin(q_values, teachers_action, method.margin),
        )

    def conservative(q_values: chex.Array) -> chex.Array:
        return losses.conservative(q_values, batch.action, method.cql_temperature)

    report = Report(
        td_loss=mean(learns, td),
        distillation_loss=mean(distils, distillation),
        margin_loss=mean(separates, margin),
        cql_loss=mean(cql_coefficient > 0, conservative),
        q_value=q_values.max(-1).mean(),
    )
    total = (
        method.td_coefficient * report.td_loss
        + coefficient * method.distillation_coefficient * report.distillation_loss
        + coefficient * method.margin_coefficient * report.margin_loss
        + cql_coefficient * report.cql_loss
    )
    if term is not None:
        total += losses.weighted_mean(term(q_values, batch, method, coefficient), batch.weight)
    return total, report
