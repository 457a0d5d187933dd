"""Named settings of QDagger: what a run has where a command line names nothing else.

| preset | |
| --- | --- |
| quick | the defaults of `QDagger` and of the program: a convolutional student on MinAtar in two minutes on two CPU cores; on Atari `QUICK_ON_ATARI`, a quarter of an hour |
| comparison | QDagger as experiments/pvrl compares it with its rivals on MinAtar, 100,000 agent steps |
| paper | the numbers of the paper's Atari case study, 2.5M agent steps (Agarwal et al., 2022) |

Durations of the comparison are shares of the student's budget, in the paper's proportion.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from purejaxrrl.errors import UserError
from purejaxrrl.students.hyperparameters import names
from purejaxrrl.students.settings import DQN, QDagger, ValueBased

PAPERS_BUDGET = 2_500_000
"""Agent steps of the paper's students."""
PAPERS_GAMES = (
    "asterix", "beam_rider", "bowling", "breakout", "enduro", "ms_pacman", "qbert", "riverraid", "seaquest", "space_invaders",
)  # fmt: skip
"""Atari's games of its case study."""


@dataclasses.dataclass(frozen=True)
class Share:
    """A duration as the agent steps (or updates, or transitions) that it takes in the paper, of `PAPERS_BUDGET` agent steps."""

    papers: int

    def of(self, agent_steps: int, multiple: int = 1) -> int:
        """The same share of another budget: the multiple of `multiple` nearest to it, at least one."""
        return max(1, round(self.papers / PAPERS_BUDGET * agent_steps / multiple)) * multiple


# The offline phase (10 x 100,000 updates) is one iteration here: what is evaluated between them decides nothing.
# The paper's rates are 1e-4 and 1e-5 with lambda; these are the best that experiments/pvrl/tune_pvrl.py found on MinAtar, and so is the
# temperature that QDagger has by default.
COMPARED: Mapping[str, Any] = {
    "learning_rate": 5e-4,
    "weaned_learning_rate": 1.5e-4,
    "weaning_steps": Share(1_500_000),
    "offline_iterations": 1,
    "warm_up": Share(20_000),
    "roll_in_decay_steps": Share(125_000),
    "guide_decay_steps": Share(2_500_000),
}
"""What QDagger has in the comparison, and a rival where it has nothing of its own (experiments/pvrl/methods.py)."""
COMPARED_SHAPES: Mapping[str, Any] = {"network": "mlp", "widths": (128, 128), "target_period": 250}
"""What all methods of the comparison have; its command line may say otherwise."""
COMPARED_STEPS = 100_000
"""Agent steps of the comparison's students."""
DATA = Share(1_000_000)
"""Transitions of the teacher's data, and of the student's replay."""
OFFLINE_UPDATES = Share(1_000_000)


def resolved(values: Mapping[str, Any], agent_steps: int) -> dict[str, Any]:
    """The settings of a student that plays `agent_steps`, shares as numbers."""
    return {name: value.of(agent_steps) if isinstance(value, Share) else value for name, value in values.items()}


def sizes(agent_steps: int, iterations: int, target_period: int) -> dict[str, int]:
    """How many iterations, updates and transitions the comparison's students of `agent_steps` have."""
    return {
        "online_iterations": iterations,
        "iteration_steps": agent_steps // iterations,
        "offline_updates": OFFLINE_UPDATES.of(agent_steps, target_period),
        "capacity": DATA.of(agent_steps, 8),
    }


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "comparison": {
        **resolved(COMPARED, COMPARED_STEPS),
        **COMPARED_SHAPES,
        **sizes(COMPARED_STEPS, 10, COMPARED_SHAPES["target_period"]),
        "data_transitions": DATA.of(COMPARED_STEPS, 8),
    },
    "paper": {
        "online_iterations": 10,
        "iteration_steps": 250_000,
        "offline_iterations": 10,
        "offline_updates": 100_000,
        "evaluation_steps": 125_000,
        "data_transitions": 1_000_000,
        "capacity": 1_000_000,
        "warm_up": 20_000,
        "weaning_steps": 1_500_000,
        "target_period": 2_000,
        "network": "nature_cnn",
        "reward_clip": 1.0,
        "learning_rate": 1e-4,
        "weaned_learning_rate": 1e-5,
        "teacher_temperature": 0.1,
        "student_temperature": 0.1,
    },
}
"""Values of `QDagger`'s fields, and of a program's options, that differ from their defaults."""
PAPERS_DIFFERENCES = (
    "the paper's teacher is DQN with Adam after 400M frames; this one is {teacher}",
    "the paper's data are the last million transitions of the teacher's training; these are {data}",
    "one environment plays there, here {num_environments} side by side feed one replay memory",
    "here evaluations end the episodes that they began",
    "lambda is at most 1 here, also for a student that is worse than the random policy",
    "return-driven weaning ends at agent step {weaning_steps:,} here, in the released code with the iteration in which that is passed",
)
"""What the preset `paper` does not have as the paper has it, beside what a command line changes; braces stand for a run's own."""
PAPERS_SEEDS = "the paper has 3 seeds a game; here there are {seeds}"
QUICK_ON_ATARI: Mapping[str, Any] = {
    "seeds": 2,
    "network": "nature_cnn",
    "padding": "VALID",
    "width": 0.5,
    "reward_clip": 1.0,
    "weaning_steps": 1_500_000,
    "learning_rate": 1e-4,
    "weaned_learning_rate": 1e-5,
    "teacher_temperature": 0.1,
    "student_temperature": 0.1,
    "data_transitions": 50_000,
    "capacity": 50_000,
    "evaluation_environments": 16,
    "evaluation_steps": 8_000,
    "evaluation_limit": 4_500,
    "card_episodes": 16,
}
"""Students of 100,000 agent steps (400,000 frames), two or more, one a core, with half of the Nature CNN. Rates, temperature and the end of
weaning, which lies beyond the run, are the paper's: lambda follows the score alone. Evaluations end after five minutes of the console, as
Mnih et al.'s (2015) do, which a game of Pong needs. Nothing was searched."""

DQN_ON_ATARI: Mapping[str, Any] = {
    "frames": 10_000_000,
    "card_episodes": 100,
    "network": "nature_cnn",
    "iteration_steps": 50_000,
    "target_period": 2_000,
    "capacity": 500_000,
    "warm_up": 20_000,
    "epsilon_hold_steps": 20_000,
    "epsilon_decay_steps": 250_000,
    "td_error": "squared",
    "learning_rate": 6.25e-5,
    "reward_clip": 1.0,
    "evaluation_environments": 16,
    "evaluation_steps": 16_000,
    "evaluation_limit": 10_000,
}
"""Dopamine's DQN with Adam, what `DQN` has as Dopamine has it left out, but for these: a twentieth of its 200 million frames, 8 environments
side by side, half of its replay memory, 3.5 GB, iterations and evaluations that are shorter, and a limit after which an
evaluation's running episodes count as they stand."""


def of_dqn(environment: str, head: str = "q_values") -> Mapping[str, Any]:
    """What experiments/dqn.py has where nothing else is given, for an environment and a head of those names, beside the declared defaults.

    Heads that estimate a distribution have a loss of their own.
    """
    if not environment.startswith("atari/"):
        return {}
    return {name: value for name, value in DQN_ON_ATARI.items() if name != "td_error" or head == "q_values"}


def named(name: str, environment: str = "") -> Mapping[str, Any]:
    """The preset of that name, for an environment of that name. Raises ValueError, with all names, if there is none."""
    if name not in PRESETS:
        raise UserError(f"there is no preset {name!r}; presets are {', '.join(PRESETS)}")
    on_atari = environment.startswith("atari/")
    if on_atari and name == "comparison":
        raise UserError("preset 'comparison' is for MinAtar's games; on Atari take quick or paper")
    return QUICK_ON_ATARI if name == "quick" and on_atari else PRESETS[name]


def from_nothing(settings: QDagger) -> DQN:
    """The same student without a teacher: DQN with the values that both have, at the rate that lambda = 1 has.

    Exploration falls from 1 over a fifth of an iteration, as in the paper.
    """
    values = {name: getattr(settings, name) for name in names(ValueBased)}
    return DQN(**values | {"epsilon_start": 1.0, "epsilon_decay_steps": max(settings.iteration_steps // 5, 1)})
