"""Students of station keeping: the Balloon Learning Environment's quantile agent (QR-DQN) as settings, and smaller ones.

settings = purejaxrrl.DQN(**balloon.REFERENCE)
program = qdagger.program(settings, environment, exploration=balloon.marco_polo())
"""

from typing import Any

from purejaxrrl.environments.balloon import agents
from purejaxrrl.students.exploration import MarcoPolo
from purejaxrrl.students.hyperparameters import declare, with_defaults
from purejaxrrl.students.settings import QDagger

RETURNS: dict[str, Any] = {"discount": 0.993, "max_n_step": 5, "n_step": 5}
"""What the student estimates."""

CADENCE: dict[str, Any] = {"batch_size": 32, "steps_per_update": 4, "target_period": 25, "warm_up": 500}
"""An update every 4 agent steps, a copy to the target network every 100."""

GREEDY: dict[str, Any] = {
    "epsilon_start": 0.0, "epsilon_end": 0.0, "epsilon_decay_steps": 0, "evaluation_epsilon": 0.0,
}  # fmt: skip
"""The student itself does not explore: `marco_polo` does."""

REPLAY: dict[str, Any] = {"sampler": "prioritised", "importance_weights": False}

SIZES: dict[str, Any] = {"widths": (600,) * 7, "capacity": 2_000_000}
"""The reference's: 7 hidden layers, and 8.8 GB of observations a run."""

OPTIMISER: dict[str, Any] = {"optimiser": "adam", "learning_rate": 2e-6, "adam_eps": 2e-5}

_NETWORK: dict[str, Any] = {"network": "mlp", "head": "quantile", "num_atoms": 51, "initialiser": "fan_in_uniform"}

DISTILLATION: dict[str, Any] = {
    "distillation_coefficient": 1.0, "teacher_temperature": 0.1, "student_temperature": 0.1,
}  # fmt: skip
"""As the paper distils a distributional student on Atari (Rainbow): by its mean values, with a coefficient of 1. What it takes here is not published."""

REFERENCE: dict[str, Any] = RETURNS | CADENCE | GREEDY | REPLAY | SIZES | OPTIMISER | _NETWORK
"""`agents/configs/quantile.gin` of the Balloon Learning Environment 1.0.1, for `DQN` or `QDagger`. It plays one environment; how many
are stepped together is not in here."""

_SMALL = (
    REFERENCE
    | {
        "widths": (384, 384),
        "capacity": 100_000,
        "learning_rate": 1e-4,
        "weaned_learning_rate": 1e-4,
        "num_environments": 20,
        "offline_iterations": 2,
        "offline_updates": 10_000,
        "iteration_steps": 30_000,
        "weaning_steps": 300_000,
    }
    | DISTILLATION
)


@declare
@with_defaults(**_SMALL)
class StationKeeper(QDagger):
    """QDagger of the reference's student, but for what an hour on two cores does not allow.

    A smaller network, a replay of 100,000 transitions (440 MB of float32 observations a run; the reference's 2,000,000 take 8.8 GB), and a learning
    rate fifty times the reference's, whose students learn for months of flight.
    """


@declare
@with_defaults(**SIZES)
class LargeStationKeeper(StationKeeper):
    """The same of the reference's sizes."""


def marco_polo(episodes: float = 0.8) -> MarcoPolo:
    """The reference's exploration: in that share of episodes 4 hours of the student, 2 of a random walk in altitude, and so on."""
    return MarcoPolo(agents.random_walk(), episodes)
