"""The losses of policy-to-value reincarnation: each of one batch, per transition (`[B]`), documented with its paper.

None of them averages or weighs; that is the update's to do. All are float32.
"""

import chex
import jax
import jax.numpy as jnp
import optax


def q_learning(
    q_values: chex.Array,
    actions: chex.Array,
    target_q_values: chex.Array,
    n_step_return: chex.Array,
    discount: chex.Array,
) -> chex.Array:
    """Huber loss of the n-step temporal-difference error (Mnih et al., 2015; the loss is quadratic up to 1).

    Args:
      q_values: `[B, num_actions]`, the student's.
      actions: int32 `[B]`.
      target_q_values: `[B, num_actions]`, the target network's at the bootstrap.
      n_step_return: `[B]`.
      discount: `[B]`, what the bootstrap is multiplied by: 0 after a termination.
    """
    target = n_step_return + discount * target_q_values.max(-1)
    return optax.losses.huber_loss(chosen(q_values, actions), jax.lax.stop_gradient(target))


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


def weighted_mean(values: chex.Array, weights: chex.Array) -> chex.Array:
    """The mean of `values` (`[B]`) under `weights` (`[B]`, not all 0 in practice; 0 where they are)."""
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1.0)
