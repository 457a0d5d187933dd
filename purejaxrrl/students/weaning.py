"""How a student is weaned off its teacher: schedules of lambda, the weight of what the teacher teaches.

| schedule | sees | remembers |
| --- | --- | --- |
| return_driven | the score of the last evaluation | that, and whether lambda was ever 0 |
| lower_bound | the scores of the last `weaning_evaluations` evaluations | those, and whether lambda was ever 0 |
| disagreement | what the teacher thinks of every action that the student would take where it plays | two means, of about `weaning_memory` agent steps |
| linear, cosine, exponential, step, constant, none | the agent steps so far | nothing |

Scores are teacher-normalised: 0 is the random policy, 1 the teacher. A lambda that was 0 stays 0, unless `weaning_reversible` or the rule
is `disagreement`.
"""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrrl.errors import UserError

MOST_EVALUATIONS = 16
"""How many evaluations a run remembers."""


@struct.dataclass
class Evidence:
    """What a run has seen of its student that may move lambda. Part of its state, and so of every checkpoint.

    scores: float32 `[MOST_EVALUATIONS]`, teacher-normalised, of the evaluations after online iterations, the last one first; 0, the
      random policy's, where there were none yet.
    regret: float32 scalar, the mean of what the student's greedy actions lose where it played, by the teacher's own values
      (`watched`); 0 before it has.
    spread: float32 scalar, the same of a random action.
    """

    scores: chex.Array
    regret: chex.Array
    spread: chex.Array

    @property
    def score(self) -> chex.Array:
        """Of the last evaluation, float32 scalar."""
        return self.scores[0]

    @property
    def disagreement(self) -> chex.Array:
        """regret / spread, float32 scalar: 0 where the student does as its teacher would, 1 where it might as well act at random."""
        return jnp.where(self.spread > 0, self.regret / jnp.where(self.spread > 0, self.spread, 1.0), 1.0)


def no_evidence() -> Evidence:
    """A run's before its online phase."""
    return Evidence(jnp.zeros(MOST_EVALUATIONS, jnp.float32), regret=jnp.float32(0.0), spread=jnp.float32(0.0))


def evaluated(evidence: Evidence, score: chex.Array) -> Evidence:
    """The evidence after an evaluation of that score (float32 scalar, teacher-normalised)."""
    return evidence.replace(scores=jnp.concatenate([jnp.asarray(score)[None], evidence.scores[:-1]]))


def watched(
    hyperparameters: Any, evidence: Evidence, preferences: chex.Array, actions: chex.Array, is_students: chex.Array
) -> Evidence:
    """The evidence after a step of N environments: exponentially weighted means that forget with `weaning_memory` agent steps.

    Args:
      preferences: float32 `[N, num_actions]`, the teacher's of each action: its Q-values, or probabilities.
      actions: int32 `[N]`, the student's greedy ones.
      is_students: bool `[N]`, whether the step was a transition and the student, not its guide, took it; others are not looked at.
    """
    best = preferences.max(-1)
    chosen = jnp.take_along_axis(preferences, actions[:, None], -1)[:, 0]
    number = is_students.sum().astype(jnp.float32)
    share = -jnp.expm1(-number / hyperparameters.weaning_memory)

    def follow(mean: chex.Array, values: chex.Array) -> chex.Array:
        seen = jnp.where(is_students, values, 0.0).sum() / jnp.maximum(number, 1)
        return mean + share * (seen - mean)

    return evidence.replace(
        regret=follow(evidence.regret, best - chosen), spread=follow(evidence.spread, best - preferences.mean(-1))
    )


Schedule = Callable[[Any, chex.Array, chex.Array], chex.Array]
"""(hyperparameters, progress, score) -> lambda in [0, 1], a float32 scalar.

progress: the student's agent steps / `weaning_steps`. score: teacher-normalised, of the last evaluation."""

Rule = Callable[[Any, chex.Array, Evidence], chex.Array]
"""(hyperparameters, progress, evidence) -> lambda: a schedule that sees all that a run remembers."""


def _return_driven(hyperparameters: Any, progress: chex.Array, evidence: Evidence) -> chex.Array:
    return _until_complete(progress, jnp.clip(1.0 - evidence.score, 0.0, 1.0))


def _lower_bound(hyperparameters: Any, progress: chex.Array, evidence: Evidence) -> chex.Array:
    number, confidence = hyperparameters.weaning_evaluations, hyperparameters.weaning_confidence
    bound = lower_confidence_bound(evidence.scores, number, confidence)
    return _until_complete(progress, jnp.clip(1.0 - bound, 0.0, 1.0))


def _disagreement(hyperparameters: Any, progress: chex.Array, evidence: Evidence) -> chex.Array:
    share = evidence.disagreement / hyperparameters.weaning_disagreement
    return _until_complete(progress, jnp.minimum(share, 1.0))


def lower_confidence_bound(scores: chex.Array, number: chex.Array, confidence: chex.Array) -> chex.Array:
    """mean - confidence * standard error, float32 scalar, of the first `number` (int32 scalar) of `scores` `[K]`.

    The standard error is the sample's standard deviation (over number - 1) over the root of `number`; that of one score is taken as 0.
    """
    used = jnp.arange(scores.shape[0]) < number
    mean = jnp.where(used, scores, 0.0).sum() / number
    variance = jnp.where(used, jnp.square(scores - mean), 0.0).sum() / jnp.maximum(number - 1, 1)
    return mean - confidence * jnp.sqrt(variance / number)


def _linear(hyperparameters: Any, progress: chex.Array, evidence: Evidence) -> chex.Array:
    return jnp.maximum(1.0 - progress, 0.0)


def _cosine(hyperparameters: Any, progress: chex.Array, evidence: Evidence) -> chex.Array:
    return 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(progress, 1.0)))


def _exponential(hyperparameters: Any, progress: chex.Array, evidence: Evidence) -> chex.Array:
    return _until_complete(progress, hyperparameters.weaning_floor**progress)


def _step(hyperparameters: Any, progress: chex.Array, evidence: Evidence) -> chex.Array:
    drops = hyperparameters.weaning_drops.astype(jnp.float32)
    drops_so_far = jnp.floor(progress * (drops + 1.0))
    return _until_complete(progress, hyperparameters.weaning_floor ** (drops_so_far / drops))


def _constant(hyperparameters: Any, progress: chex.Array, evidence: Evidence) -> chex.Array:
    return jnp.ones_like(progress)


def _none(hyperparameters: Any, progress: chex.Array, evidence: Evidence) -> chex.Array:
    return jnp.zeros_like(progress)


def _until_complete(progress: chex.Array, coefficient: chex.Array) -> chex.Array:
    return jnp.where(progress < 1.0, coefficient, 0.0)


SCHEDULES: dict[str, Rule] = {
    "return_driven": _return_driven,
    "linear": _linear,
    "cosine": _cosine,
    "exponential": _exponential,
    "step": _step,
    "constant": _constant,
    "none": _none,
    "lower_bound": _lower_bound,
    "disagreement": _disagreement,
}
_RISING = ("disagreement",)
"""Those of which a lambda of 0 is no end: they look at every step, in the first of which a student may well do as its teacher would."""


def register(name: str, schedule: Schedule) -> None:
    """Adds a schedule of one's own, before settings that name it are made. Raises ValueError where the name is taken."""

    @functools.wraps(schedule)
    def rule(hyperparameters: Any, progress: chex.Array, evidence: Evidence) -> chex.Array:
        return schedule(hyperparameters, progress, evidence.score)

    register_rule(name, rule)


def register_rule(name: str, rule: Rule) -> None:
    """Adds one that sees more than the last score, likewise."""
    if name in SCHEDULES:
        raise UserError(f"there is a weaning schedule {name!r} already; take another name")
    SCHEDULES[name] = rule


def weaning_coefficient(
    hyperparameters: Any, agent_steps: chex.Array, evidence: Evidence, previous: chex.Array
) -> chex.Array:
    """lambda, float32 scalar in [0, 1], to which a rule of one's own is clipped.

    With t agent steps so far, of `weaning_steps` t_0, all of the following times 1[t < t_0]:

    - "return_driven", the paper's rule (Agarwal et al., 2022, section 4.1): max(1 - G, 0) of the last evaluation's score G. A student
      below the random policy, whose score is negative, counts as one that scores 0.
    - "lower_bound": max(1 - B, 0), clipped likewise, of a lower confidence bound B = m - z s / sqrt(k), m and s being mean and standard
      deviation of the last k = `weaning_evaluations` scores and z = `weaning_confidence`; z = 0 is their mean. Evaluations that have
      not been count as scores of 0, so that one good evaluation alone ends no weaning; k = 1 is the paper's rule.
    - "disagreement": min(D / d, 1), d = `weaning_disagreement`, of the disagreement D where the student plays: by the teacher's own
      values, what the student's greedy actions lose of the best, over what random ones would. A student that does as its teacher
      would, or what its teacher thinks as good, is let go; one that strays is held again.

    Args:
      hyperparameters: `weaning` (int32 scalar, the schedule's place in `SCHEDULES`), and what has its name in front.
      agent_steps: the student's own, so far.
      previous: the coefficient before this; once it is 0 it stays 0, unless `weaning_reversible` or by "disagreement".
    """
    progress = agent_steps / hyperparameters.weaning_steps
    schedules = list(SCHEDULES.values())
    coefficient = jnp.clip(
        jax.lax.switch(hyperparameters.weaning, schedules, hyperparameters, progress, evidence), 0.0, 1.0
    )
    rising = jnp.isin(hyperparameters.weaning, jnp.array([list(SCHEDULES).index(name) for name in _RISING]))
    may_be = (previous > 0) | hyperparameters.weaning_reversible | rising
    return jnp.where(may_be, coefficient, 0.0).astype(jnp.float32)
