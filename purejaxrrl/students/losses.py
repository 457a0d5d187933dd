"""The loss of policy-to-value reincarnation: the formulas, each of one batch, per transition (`[B]`), documented with its paper,
and the named terms that they make up. Every method of the paper is this sum with other coefficients:

    L = td_weight * L_TD + sum over terms of weight * L_term

A term is a function `(context, hyperparameters) -> [B]`. One of one's own may own hyperparameters, which are swept like any:

    @term(entropy_coefficient=hyperparameter(0.01, "weight of the entropy term", minimum=0))
    def entropy(context, hyperparameters):
        log_policy = jax.nn.log_softmax(context.online.q_values)
        return hyperparameters.entropy_coefficient * (jnp.exp(log_policy) * log_policy).sum(-1)

    settings = with_term(QDagger, entropy)(entropy_coefficient=0.1)

No formula averages or weighs; that is `total`'s to do. All are float32.
"""

import dataclasses
import functools
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from pydantic.fields import FieldInfo

from purejaxrrl import functions, replay
from purejaxrrl.errors import UserError
from purejaxrrl.students.hyperparameters import extended


def q_learning(
    q_values: chex.Array,
    actions: chex.Array,
    bootstrap_value: chex.Array,
    n_step_return: chex.Array,
    discount: chex.Array,
    squared: bool = False,
) -> chex.Array:
    """Huber loss of the n-step temporal-difference error (Mnih et al., 2015; the loss is quadratic up to 1), or its square.

    Args:
      q_values: `[B, num_actions]`, the student's.
      actions: int32 `[B]`.
      bootstrap_value: `[B]`, the target network's value of the bootstrap observation.
      n_step_return: `[B]`.
      discount: `[B]`, what the bootstrap is multiplied by: 0 after a termination.
      squared: the error's square, without the half that Huber's loss has up to 1: what Dopamine's JAX DQN takes.
    """
    target = jax.lax.stop_gradient(n_step_return + discount * bootstrap_value)
    if squared:
        return jnp.square(chosen(q_values, actions) - target)
    return optax.losses.huber_loss(chosen(q_values, actions), target)


def project(
    support: chex.Array, probabilities: chex.Array, n_step_return: chex.Array, discount: chex.Array
) -> chex.Array:
    """The distribution of return + discount * Z on the atoms of Z (Bellemare et al., 2017, algorithm 1), `[B, num_atoms]`.

    What falls between two atoms is shared by them in proportion to its nearness, what falls beyond the ends is the ends'.

    Args:
      support: `[num_atoms]`, evenly spaced, rising.
      probabilities: `[B, num_atoms]`, the target network's at the bootstrap.
      n_step_return, discount: `[B]`.
    """
    spacing = support[1] - support[0]
    moved = jnp.clip(n_step_return[:, None] + discount[:, None] * support, support[0], support[-1])
    # [B, to, from]: each moved atom's nearness to each atom, 1 on it and 0 from the next one on.
    nearness = jnp.clip(1.0 - jnp.abs(moved[:, None, :] - support[:, None]) / spacing, 0.0, 1.0)
    return (nearness * probabilities[:, None, :]).sum(-1)


def categorical(logits: chex.Array, target: chex.Array) -> chex.Array:
    """C51's cross-entropy of a distribution on atoms (Bellemare et al., 2017): `[B, num_atoms]` each, to `[B]`."""
    return -(target * jax.nn.log_softmax(logits)).sum(-1)


def quantile_huber(quantiles: chex.Array, target: chex.Array) -> chex.Array:
    """QR-DQN's quantile regression with Huber's loss up to 1 (Dabney et al., 2018, equation 10).

    Summed over the quantiles `[B, num_quantiles]`, which lie at (i + 1/2) / num_quantiles, and averaged over the samples of the
    target, `[B, num_target_quantiles]`.
    """
    number = quantiles.shape[-1]
    at = (jnp.arange(number, dtype=jnp.float32) + 0.5) / number
    error = target[:, None, :] - quantiles[:, :, None]
    weight = jnp.abs(at[:, None] - (error < 0))
    return (weight * optax.losses.huber_loss(error)).mean(-1).sum(-1)


def distillation(teacher_log_policy: chex.Array, q_values: chex.Array, temperature: chex.Array) -> chex.Array:
    """KL(teacher || softmax(Q / temperature)), QDagger's imitation loss (Agarwal et al., 2022, equation 2).

    The paper's cross-entropy differs from it by the teacher's entropy, which has no gradient.

    Args:
      teacher_log_policy: `[B, num_actions]`, log-probabilities (`teachers.log_policy`).
      q_values: `[B, num_actions]`, the student's.
      temperature: the student's, a scalar.
    """
    student_log_policy = jax.nn.log_softmax(q_values / temperature)
    teacher_policy = jnp.exp(teacher_log_policy)
    # Where the teacher's probability underflows to 0 its term is 0, also where the log is -inf.
    return jnp.where(teacher_policy > 0, teacher_policy * (teacher_log_policy - student_log_policy), 0.0).sum(-1)


def best_action_only(log_policy: chex.Array) -> chex.Array:
    """The log-policy `[B, num_actions]` that takes the best action of `log_policy` for certain: 0 there and -inf elsewhere.

    `distillation` of it is the cross-entropy of the teacher's greedy action, logsumexp(Q / T) - Q(best) / T.
    """
    is_best = jax.nn.one_hot(log_policy.argmax(-1), log_policy.shape[-1], dtype=jnp.bool_)
    return jnp.where(is_best, 0.0, -jnp.inf)


def large_margin(q_values: chex.Array, actions: chex.Array, margin: chex.Array) -> chex.Array:
    """DQfD's margin loss, max_a [Q(a) + l(a)] - Q(teacher's), l = `margin` but 0 at the teacher's (Hester et al., 2018).

    Args:
      q_values: `[B, num_actions]`, the student's.
      actions: int32 `[B]`, the teacher's.
      margin: scalar, at least 0.
    """
    return _violations(q_values, actions, margin).max(-1)


def elementwise_margin(q_values: chex.Array, actions: chex.Array, margin: chex.Array) -> chex.Array:
    """The mean over actions of max(Q(a) + l(a) - Q(teacher's), 0): what PVRL's DQfD takes (Agarwal et al., 2022).

    Every action that comes within the margin is pushed down, not only the worst. Arguments as for `large_margin`.
    """
    return jnp.maximum(_violations(q_values, actions, margin), 0.0).mean(-1)


def _violations(q_values: chex.Array, actions: chex.Array, margin: chex.Array) -> chex.Array:
    """Q(a) + l(a) - Q(teacher's), `[B, num_actions]`."""
    is_teachers = jax.nn.one_hot(actions, q_values.shape[-1], dtype=jnp.bool_)
    return q_values + jnp.where(is_teachers, 0.0, margin) - chosen(q_values, actions)[:, None]


def conservative(q_values: chex.Array, actions: chex.Array, temperature: chex.Array) -> chex.Array:
    """CQL's regulariser, logsumexp(Q / temperature) - Q(action) / temperature (Kumar et al., 2020, CQL(H)).

    Args:
      q_values: `[B, num_actions]`, the student's.
      actions: int32 `[B]`, those in the data.
      temperature: scalar.
    """
    scaled = q_values / temperature
    return jax.nn.logsumexp(scaled, axis=-1) - chosen(scaled, actions)


def chosen(q_values: chex.Array, actions: chex.Array) -> chex.Array:
    """The values `[B]` of the actions (int32 `[B]`) among `q_values` (`[B, num_actions]`)."""
    # A masked sum: XLA's gather, and the scatter that is its gradient, are slow for a handful of actions.
    return jnp.where(jax.nn.one_hot(actions, q_values.shape[-1], dtype=jnp.bool_), q_values, 0.0).sum(-1)


def chosen_row(values: chex.Array, actions: chex.Array) -> chex.Array:
    """The rows `[B, K]` of the actions (int32 `[B]`) among `values` (`[B, num_actions, K]`)."""
    mask = jax.nn.one_hot(actions, values.shape[1], dtype=jnp.bool_)
    return jnp.where(mask[:, :, None], values, 0.0).sum(1)


def batch_mean(loss: chex.Array, batch: replay.Batch) -> chex.Array:
    """The mean of `loss` (`[B]`) over the batch's transitions, each multiplied by its importance; 0 where none is valid."""
    return (loss * batch.importance * batch.valid).sum() / jnp.maximum(batch.valid.sum(), 1.0)


class Output(NamedTuple):
    """What a network says of a batch: `q_values`, float32 `[B, num_actions]`, and what else its own loss looks at."""

    q_values: chex.Array
    extras: Any = None


class Context(NamedTuple):
    """What a loss can look at.

    online, online_next, target_next: the student's outputs (`student.TDLoss`).
    batch: the transitions.
    teacher_log_policy: float32 `[B, num_actions]`; None without a teacher.
    weaning_coefficient: lambda, float32 scalar.
    is_online: whether the student plays, or learns from the teacher's data (static).
    """

    online: Output
    online_next: Output | None
    target_next: Output
    batch: replay.Batch
    teacher_log_policy: chex.Array | None
    weaning_coefficient: chex.Array
    is_online: bool


Loss = Callable[[Context, Any], chex.Array]
"""(context, hyperparameters) -> float32 `[B]`, neither averaged nor weighed."""


def _whole(context: Context, hyperparameters: Any) -> float:
    return 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Term:
    """A named part of the loss.

    name: its column of the metrics is `<name>_loss`, the mean over the batch, not multiplied by its weight.
    loss: see `Loss`.
    weight: (context, hyperparameters) -> scalar, at least 0. Where it is 0 the term is not used: it is masked, so that it
      cannot bring in a NaN, and reported as 0.
    hyperparameters: those of its own, by name.
    """

    name: str
    loss: Loss
    weight: Callable[[Context, Any], Any] = _whole
    hyperparameters: Mapping[str, FieldInfo] = dataclasses.field(default_factory=dict)

    def identity(self) -> str:
        """Which function it is and, as far as Python can read it and its weight, what they say: changed code is another term."""
        return functions.identity(self.loss, *[self.weight] * (self.weight is not _whole))


def term(*, weight: Callable[[Context, Any], Any] = _whole, **hyperparameters: FieldInfo) -> Callable[[Loss], Term]:
    """Makes a `Term` of a function of that name; each keyword is a hyperparameter of its own.

    Raises ValueError where the function has no name that a column could have.
    """

    def decorator(loss: Loss) -> Term:
        if not loss.__name__.isidentifier():
            raise UserError(f"the term {loss.__name__!r} needs a name that a column can have; define it with def")
        return Term(loss.__name__, loss, weight, hyperparameters)

    return decorator


@functools.cache
def with_term(settings: type, added: Term) -> type:
    """The class of settings whose loss has one more term, and that term's hyperparameters.

    Raises ValueError where the name of the term or of one of its hyperparameters is taken.
    """
    if not isinstance(added, Term):
        raise UserError(f"{added!r} is no Term; decorate the function with purejaxrrl.term")
    if any(each.name == added.name for each in settings.terms) or added.name == "td":
        raise UserError(f"{settings.__name__} has a term {added.name!r} already; take another name")
    name = f"{settings.__name__}With{added.name.title().replace('_', '')}"
    return extended(settings, name, added.hyperparameters, terms=(*settings.terms, added))


def load_term(place: str) -> Term:
    """The term at "module:name", imported, also from the working folder.

    Raises ValueError where there is no such module or name, or it is not a `Term`.
    """
    module, _, name = place.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise UserError(f"the term is {place!r}; give it as module:name")
    if "" not in sys.path and os.getcwd() not in sys.path:  # as of a program in another folder
        sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"the term {place!r} cannot be imported ({error}); modules are looked for in the working folder, too"
        ) from None
    if not isinstance(found, Term):
        raise UserError(f"{place} is a {type(found).__name__}; decorate a function with purejaxrrl.term")
    return found


def total(
    context: Context, td_loss: chex.Array, td_weight: chex.Array, terms: tuple[Term, ...], hyperparameters: Any
) -> tuple[chex.Array, dict[str, chex.Array]]:
    """The loss of a batch, float32 scalar, and its report: each term's mean by name, and the mean greatest Q-value.

    Args:
      td_loss: `[B]`, already masked (`masked`) by `td_weight`.
    """
    report = {"td_loss": _mean(td_loss, context, td_weight)}
    loss = td_weight * report["td_loss"]
    for each in terms:
        weight = each.weight(context, hyperparameters)
        values = each.loss(masked(context, weight), hyperparameters)
        if jnp.shape(values) != td_loss.shape:
            raise UserError(
                f"the term {each.name!r} returns {jnp.shape(values)}; it must be {td_loss.shape}, one a transition"
            )
        report[f"{each.name}_loss"] = _mean(values, context, weight)
        loss += weight * report[f"{each.name}_loss"]
    return loss, report | {"q_value": context.online.q_values.max(-1).mean()}


def masked(context: Context, weight: chex.Array) -> Context:
    """The context with outputs and log-policy set to 0 where the weight is 0.

    Both ends are masked, here and in `total`: a NaN that is multiplied by 0 in the backward pass stays a NaN.
    """

    def mask(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.where(weight > 0, leaf, jnp.zeros((), leaf.dtype)), tree)

    return context._replace(
        online=mask(context.online),
        online_next=mask(context.online_next),
        target_next=mask(context.target_next),
        teacher_log_policy=mask(context.teacher_log_policy),
    )


def _mean(values: chex.Array, context: Context, weight: chex.Array) -> chex.Array:
    return jnp.where(weight > 0, batch_mean(values, context.batch), 0.0)


def _distillation(context: Context, hyperparameters: Any) -> chex.Array:
    best = best_action_only(context.teacher_log_policy)
    log_policy = jnp.where(hyperparameters.best_action_only, best, context.teacher_log_policy)
    return distillation(log_policy, context.online.q_values, hyperparameters.student_temperature)


def _margin(context: Context, hyperparameters: Any) -> chex.Array:
    teachers_action = context.teacher_log_policy.argmax(-1)
    arguments = context.online.q_values, teachers_action, hyperparameters.margin
    return jnp.where(hyperparameters.elementwise_margin, elementwise_margin(*arguments), large_margin(*arguments))


def _cql(context: Context, hyperparameters: Any) -> chex.Array:
    return conservative(context.online.q_values, context.batch.action, hyperparameters.cql_temperature)


def _cql_weight(context: Context, hyperparameters: Any) -> chex.Array:
    return hyperparameters.online_cql_coefficient if context.is_online else hyperparameters.cql_coefficient


REINCARNATION: tuple[Term, ...] = (
    Term("distillation", _distillation, lambda c, h: c.weaning_coefficient * h.distillation_coefficient),
    Term("margin", _margin, lambda c, h: c.weaning_coefficient * h.margin_coefficient),
    Term("cql", _cql, _cql_weight),
)
"""QDagger's KL, DQfD's margin, CQL's regulariser (`losses`), weighed by lambda or by phase."""
