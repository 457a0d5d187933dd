"""The methods that the PVRL paper compares, by name, as settings: what each changes of one update (Agarwal et al., 2022).

A method's settings are named as `QDagger`'s. Durations are shares of the student's budget of agent
steps, in the proportion of the paper's Atari case study, whose students play 2.5M agent steps.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from suites import SUITES, Suite

from purejaxrrl.errors import UserError, nearest
from purejaxrrl.students import presets
from purejaxrrl.students.hyperparameters import declaration
from purejaxrrl.students.losses import Term, with_term
from purejaxrrl.students.presets import Share, resolved
from purejaxrrl.students.settings import QDagger

MINATAR = SUITES["comparison"]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A method: what figures call it, its settings (numbers, or a `Share`) and its own loss, if it has one.

    searched, papers: what overrides `settings` on MinAtar (`FOUND`), and on Atari, where it is the paper's rates.
    """

    title: str
    settings: Mapping[str, Any]
    term: Term | None = None
    searched: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    papers: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def values(self, suite: Suite = MINATAR) -> dict[str, Any]:
        """What it changes of QDagger's defaults in that suite."""
        return {**suite.settings, **self.settings, **(self.searched if suite.searched else self.papers)}

    def like(self, title: str, term: Term | None = None, **changes: Any) -> "Entry":
        """The same but for `changes`, which hold in every suite."""
        kept = {
            whose: {name: value for name, value in getattr(self, whose).items() if name not in changes}
            for whose in ("searched", "papers")
        }
        return Entry(title, {**self.settings, **changes}, term or self.term, **kept)


_EXPLORES = {"epsilon_start": 1.0, "epsilon_decay_steps": Share(50_000)}
_NO_TEACHER = {"distillation_coefficient": 0.0, "weaning": "none"}
_FROM_NOTHING = _EXPLORES | _NO_TEACHER | {"offline_iterations": 0}
_JSRL = _FROM_NOTHING | {"n_step": 1, "roll_in_steps": 100}
_STUDENT_ROLLS_IN = {"student_rolls_in": True, "guide_probability": 1.0}
_ON_DATA = _NO_TEACHER | {"n_step": 1, "fresh_optimiser": True}
_MARGIN = {"distillation_coefficient": 0.0, "margin_coefficient": 1.0}


_DQN = {"weaned_learning_rate": 6.25e-5}

# fmt: off
FOUND: Mapping[str, Mapping[str, float]] = {
    "tabula_rasa": {"weaned_learning_rate": 5e-4},
    "tabula_rasa_3_step": {"weaned_learning_rate": 1.5e-3},
    "kickstarting": {"learning_rate": 1.5e-3, "weaned_learning_rate": 5e-5, "teacher_temperature": 0.3, "student_temperature": 0.3},
    "jsrl": {"weaned_learning_rate": 1.5e-4, "roll_in_steps": 100},
    "jsrl_released": {"weaned_learning_rate": 1.5e-4, "roll_in_steps": 100},
    "rehearsal": {"learning_rate": 1.5e-5, "weaned_learning_rate": 1.5e-4, "rehearsal_fraction": 0.25},
    "pretraining": {"learning_rate": 5e-4, "weaned_learning_rate": 1.5e-4, "cql_coefficient": 0.1},
    "dqfd": {"learning_rate": 5e-4, "weaned_learning_rate": 1.5e-6, "margin": 1.0},
}
# fmt: on
"""What tune_pvrl.py found on MinAtar for each rival (docs/tuning.md): its rates, or its only one, and a coefficient of its own. What
was found for QDagger is `presets.COMPARED`."""
TO_THE_END = Share(presets.PAPERS_BUDGET)
"""The end of weaning, at that of the run."""
# Our rules as tune_pvrl.py found them to be best: a confidence of 0 makes the bound the mean.
_MEAN_OF_THREE = {"weaning": "lower_bound", "weaning_evaluations": 3, "weaning_confidence": 0.0}
_REVERSIBLE = {"weaning_reversible": True, "weaning_steps": TO_THE_END}

METHODS: dict[str, Entry] = {
    "tabula_rasa": Entry("tabula rasa DQN", _FROM_NOTHING | {"n_step": 1}, papers=_DQN),
    "tabula_rasa_3_step": Entry("tabula rasa DQN, n = 3", _FROM_NOTHING, papers=_DQN),
    "kickstarting": Entry("kickstarting", _EXPLORES | {"offline_iterations": 0}),
    "jsrl": Entry("JSRL, roll-in", _JSRL, papers=_DQN),
    "jsrl_released": Entry("JSRL, as released", _JSRL | _STUDENT_ROLLS_IN, papers=_DQN),
    "rehearsal": Entry("rehearsal", _ON_DATA | {"rehearsal_fraction": 0.25}),
    "pretraining": Entry("offline pretraining", _ON_DATA | {"cql_coefficient": 1.0}),
    "dqfd": Entry("DQfD", _MARGIN | {"n_step": 1}, papers={"weaned_learning_rate": 1e-4}),
    "qdagger": Entry("QDagger", {}),
    "dagger": Entry("DAgger", {"td_coefficient": 0.0, "weaning": "constant"}),
    "q_learning_dagger": Entry("Q-learning + DAgger", {"weaning": "constant"}),
    "qdagger_bound": Entry("QDagger, weaned on a mean", _MEAN_OF_THREE),
    "qdagger_reversible": Entry("QDagger, reversible", _REVERSIBLE),
    "qdagger_bound_reversible": Entry("QDagger, on a mean, reversible", _MEAN_OF_THREE | _REVERSIBLE),
    "qdagger_disagreement": Entry("QDagger, by disagreement", {"weaning": "disagreement", "weaning_disagreement": 0.1}),
    # The paper's rule to where some of ours go, which tells what they owe to that.
    "qdagger_to_the_end": Entry("QDagger, t₀ at the end", {"weaning_steps": TO_THE_END}),
}
METHODS |= {name: dataclasses.replace(METHODS[name], searched=found) for name, found in FOUND.items()}
COMPARED = tuple(METHODS)
"""The paper's seven methods (tabula rasa and JSRL in two variants each), its two ablations, QDagger with our rules of weaning, and with t_0 at the end."""
PRIMARY = "qdagger_reversible", "qdagger"
"""The comparison of weaning rules that decides, ours and the paper's: chosen before its seeds are run. They differ in t_0, too."""
CONTROL = "qdagger_to_the_end"
"""From which ours differs in that lambda may rise again, and the rate, which follows it, too: not in t_0."""

METHODS |= {
    "jsrl_1000": METHODS["jsrl"].like("JSRL, roll-in, m = 1000", roll_in_steps=1000),
    **{
        f"rehearsal_{name}": METHODS["rehearsal"].like(f"rehearsal, {title}", rehearsal_fraction=fraction)
        for name, title, fraction in (("16th", "1/16", 1 / 16), ("8th", "1/8", 1 / 8), ("half", "1/2", 1 / 2))
    },
    "qdagger_1_step": Entry("QDagger, n = 1", {"n_step": 1}),
    "qdagger_cold": Entry("QDagger, temperature 0.1", {"teacher_temperature": 0.1, "student_temperature": 0.1}),
    "qdagger_warm": Entry("QDagger, temperature 1", {"teacher_temperature": 1.0, "student_temperature": 1.0}),
    "qdagger_best_action": Entry("QDagger, best action only", {"best_action_only": True}),
    "dqfd_large_margin": METHODS["dqfd"].like("DQfD, its own margin", elementwise_margin=False),
    # After the offline phase it plays as the others do, but its warm-up never ends, however long the run is.
    "cloning": Entry("behaviour cloning", {"td_coefficient": 0.0, "weaning": "constant", "warm_up": 1_000_000_000}),
}


def add(name: str, title: str, like: str = "qdagger", term: Term | None = None, **changes: Any) -> None:
    """Adds a method of one's own to those that a benchmark knows by name.

    Args:
      name: new.
      title: for the figures.
      like: the method that it is but for `changes`.
      term: a term that its loss has beside the others.
      changes: hyperparameters of `QDagger`, or of the term; durations may be a `Share`.

    Raises:
      ValueError: the name is taken, or `like` is unknown.
    """
    if name in METHODS:
        raise UserError(f"there is a method {name!r} already; take another name")
    METHODS[name] = named(like).like(title, term, **changes)


def has_two_rates(name: str) -> bool:
    """Whether a method's learning rate falls, from that in the offline phase or with lambda 1 to that after weaning.

    Students that have neither a teacher's loss nor its data have one rate, and so have those that are never weaned.
    """
    values = named(name).values()
    from_nothing = values.get("weaning") == "none" and not values["offline_iterations"]
    return not from_nothing and values.get("weaning") != "constant"


def named(name: str) -> Entry:
    """The method of that name. Raises ValueError, with the nearest names, where there is none."""
    if name not in METHODS:
        raise UserError(f"unknown method {name!r}; the nearest are {nearest(name, METHODS)}")
    return METHODS[name]


def setting(method: str, name: str) -> Any:
    """What a method has of a setting on MinAtar: a number, a name, or a `Share`."""
    own = named(method).values()
    return own[name] if name in own else declaration(QDagger, name).default


def changes(name: str, agent_steps: int, suite: Suite = MINATAR) -> dict[str, Any]:
    """What a method changes of QDagger's settings for a student that plays `agent_steps`.

    Raises ValueError where the name is unknown.
    """
    return resolved(named(name).values(suite), agent_steps)


def settings(name: str, agent_steps: int, suite: Suite = MINATAR, **shared: Any) -> QDagger:
    """A method's settings; `shared` are those that the methods of a comparison have in common, where it has none of its own.

    Raises ValueError where the name is unknown or a setting is out of range.
    """
    term = named(name).term
    cls = with_term(QDagger, term) if term else QDagger
    return cls(**shared | changes(name, agent_steps, suite))
