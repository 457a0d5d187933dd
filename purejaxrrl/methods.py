"""The methods that the PVRL paper compares, by name, as settings: what each changes of one update (Agarwal et al., 2022).

A method's settings are named as those of `experiments/reincarnate.py`. Durations are shares of the student's budget of agent
steps, in the proportion of the paper's Atari case study, whose students play 2.5M agent steps.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from purejaxrrl.objective import Term

PAPERS_BUDGET = 2_500_000
"""Agent steps of the paper's students."""


@dataclasses.dataclass(frozen=True)
class Share:
    """A duration as the agent steps (or updates) that it takes in the paper, of `PAPERS_BUDGET` agent steps."""

    papers: int

    def of(self, agent_steps: int) -> int:
        """The same share of another budget, rounded, at least 1."""
        return max(1, round(self.papers / PAPERS_BUDGET * agent_steps))


@dataclasses.dataclass(frozen=True)
class Entry:
    """A method: what figures call it, its settings (numbers, or a `Share`) and its own loss, if it has one."""

    title: str
    settings: Mapping[str, Any]
    term: Term | None = None


# The offline phase (10 x 100,000 updates) is one iteration here: what is evaluated between them decides nothing.
# The paper's rates are 1e-4 and 1e-5 with lambda, 6.25e-5 for students without a teacher's data, and 1e-4 throughout for DQfD;
# these and the ones below are the best that experiments/tune_pvrl.py found on MinAtar, where it searched each method's alike.
SHARED = {
    "learning_rate": 5e-4,
    "weaned_learning_rate": 5e-5,
    "weaning_steps": Share(1_500_000),
    "offline_iterations": 1,
    "warm_up": Share(20_000),
    "roll_in_decay_steps": Share(125_000),
    "guide_decay_steps": Share(2_500_000),
}
_EXPLORES = {"epsilon_start": 1.0, "epsilon_decay_steps": Share(50_000)}
_NO_TEACHER = {"distillation_coefficient": 0.0, "weaning": "none"}
_FROM_NOTHING = _EXPLORES | _NO_TEACHER | {"offline_iterations": 0}
_JSRL = _FROM_NOTHING | {"n_step": 1, "weaned_learning_rate": 1.5e-4}
_ON_DATA = _NO_TEACHER | {"n_step": 1, "fresh_optimiser": True, "weaned_learning_rate": 1.5e-4}
_MARGIN = {"distillation_coefficient": 0.0, "margin_coefficient": 1.0, "weaned_learning_rate": 1.5e-5}

METHODS: dict[str, Entry] = {
    "tabula_rasa": Entry("tabula rasa DQN", _FROM_NOTHING | {"n_step": 1, "weaned_learning_rate": 5e-4}),
    "tabula_rasa_3_step": Entry("tabula rasa DQN, n = 3", _FROM_NOTHING | {"weaned_learning_rate": 1.5e-3}),
    "kickstarting": Entry("kickstarting", _EXPLORES | {"offline_iterations": 0}),
    "jsrl": Entry("JSRL, roll-in", _JSRL | {"roll_in_steps": 100}),
    "jsrl_random": Entry("JSRL, random", _JSRL | {"guide_probability": 1.0}),
    "rehearsal": Entry("rehearsal", _ON_DATA | {"rehearsal_fraction": 0.25}),
    "pretraining": Entry("offline pretraining", _ON_DATA | {"cql_coefficient": 1.0}),
    "dqfd": Entry("DQfD", _MARGIN | {"n_step": 1}),
    "qdagger": Entry("QDagger", {}),
    "dagger": Entry("DAgger", {"td_coefficient": 0.0, "weaning": "constant"}),
    "q_learning_dagger": Entry("Q-learning + DAgger", {"weaning": "constant"}),
}
COMPARED = tuple(METHODS)
"""The paper's seven methods (tabula rasa and JSRL in two variants each) and its two ablations."""

METHODS |= {
    "jsrl_1000": Entry("JSRL, roll-in, m = 1000", METHODS["jsrl"].settings | {"roll_in_steps": 1000}),
    **{
        f"rehearsal_{name}": Entry(
            f"rehearsal, {title}", METHODS["rehearsal"].settings | {"rehearsal_fraction": fraction}
        )
        for name, title, fraction in (("16th", "1/16", 1 / 16), ("8th", "1/8", 1 / 8), ("half", "1/2", 1 / 2))
    },
    "qdagger_1_step": Entry("QDagger, n = 1", {"n_step": 1}),
    "qdagger_no_offline": Entry("QDagger without the offline phase", {"offline_iterations": 0}),
    "qdagger_cold": Entry("QDagger, temperature 0.1", {"teacher_temperature": 0.1, "student_temperature": 0.1}),
    "qdagger_warm": Entry("QDagger, temperature 1", {"teacher_temperature": 1.0, "student_temperature": 1.0}),
    "qdagger_best_action": Entry("QDagger, best action only", {"best_action_only": True}),
    "dqfd_large_margin": Entry("DQfD, its own margin", METHODS["dqfd"].settings | {"elementwise_margin": False}),
}


def add(name: str, title: str, like: str = "qdagger", term: Term | None = None, **changes: Any) -> None:
    """Adds a method of one's own to those that a benchmark knows by name.

    Args:
      name: new.
      title: for the figures.
      like: the method that it is but for `changes`.
      term: a loss that is added to the others; it has a program of its own.
      changes: settings of `experiments/reincarnate.py`; durations may be a `Share`.

    Raises:
      ValueError: the name is taken, or `like` is unknown.
    """
    if name in METHODS:
        raise ValueError(f"there is a method {name!r} already; take another name")
    original = named(like)
    METHODS[name] = Entry(title, original.settings | changes, term or original.term)


def has_two_rates(name: str) -> bool:
    """Whether a method's learning rate falls, from that in the offline phase or with lambda 1 to that after weaning.

    Students that have neither a teacher's loss nor its data have one rate, and so have those that are never weaned.
    """
    values = SHARED | named(name).settings
    from_nothing = values.get("weaning") == "none" and not values["offline_iterations"]
    return not from_nothing and values.get("weaning") != "constant"


def named(name: str) -> Entry:
    """The method of that name. Raises ValueError, with the nearest names, where there is none."""
    if name not in METHODS:
        nearest = difflib.get_close_matches(name, METHODS, n=3, cutoff=0.3) or list(METHODS)
        raise ValueError(f"unknown method {name!r}; the nearest are {', '.join(nearest)}")
    return METHODS[name]


def settings(name: str, agent_steps: int) -> dict[str, Any]:
    """A method's settings for a student that plays `agent_steps`. Raises ValueError where the name is unknown."""
    values = SHARED | named(name).settings
    return {key: value.of(agent_steps) if isinstance(value, Share) else value for key, value in values.items()}


def groups(names: list[str]) -> list[list[str]]:
    """The methods that are trained by one program together.

    Methods that learn in an offline phase, that do not, and that rehearse the teacher's data online are different work, as
    are those with a term of their own; what else they differ in are values.
    """
    programs: dict[Any, list[str]] = {}
    for name in names:
        values = SHARED | named(name).settings
        key = values["offline_iterations"], values.get("rehearsal_fraction", 0.0) > 0, named(name).term
        programs.setdefault(key, []).append(name)
    return list(programs.values())
