"""The hyperparameters of the students: what any value-based student has, DQN's, and QDagger's with those of its rivals.

Durations are agent steps (one action of the agent; four frames on Atari, one on MinAtar) or updates.
"""

from typing import Any, ClassVar

import chex
import jax.numpy as jnp

from purejaxrrl import functions, networks, replay
from purejaxrrl.errors import UserError
from purejaxrrl.students.hyperparameters import LARGEST, declare, derive, hyperparameter, with_defaults
from purejaxrrl.students.losses import REINCARNATION, Term
from purejaxrrl.students.update_schedule import UpdateSchedule, update_schedule
from purejaxrrl.students.weaning import MOST_EVALUATIONS, SCHEDULES

MOST_UNITS = 1_000_000
SIDE_BY_SIDE = 100_000
"""Environments that anybody steps as one batch, at most."""
HEADS = "q_values", "c51", "quantile"
TD_ERRORS = "huber", "squared"
OPTIMISERS = "adam", "rmsprop"


def check_widths(widths: tuple[int, ...]) -> None:
    """Of the hidden layers of an mlp."""
    if not all(1 <= width <= MOST_UNITS for width in widths):
        raise UserError(f"widths is {widths}; a layer has at least 1 unit and at most {MOST_UNITS}")


@declare
class ValueBased:
    """What the training step reads of every student."""

    online_iterations: int = hyperparameter(
        10,
        "number of online iterations: the student plays and learns, then it is evaluated; 0: it learns from the teacher's data alone",
        static=True,
        minimum=0,
    )
    iteration_steps: int = hyperparameter(
        10_000, "agent steps that the student plays in each online iteration", static=True, minimum=1
    )
    evaluation_steps: int = hyperparameter(
        20_000,
        "agent steps of the evaluation after each iteration; the last episodes are played to their ends, or to --evaluation-limit",
        static=True,
        minimum=1,
    )
    evaluation_environments: int = hyperparameter(
        8, "number of environments that an evaluation plays side by side", static=True, minimum=1, maximum=SIDE_BY_SIDE
    )
    evaluation_limit: int = hyperparameter(
        0, "agent steps in an evaluation's environment after which a running episode counts as it stands; 0: no limit",
        static=True, minimum=0,
    )  # fmt: skip
    network: str = hyperparameter(
        "mlp", "name of the student's network: mlp, minatar_cnn, nature_cnn, or one that was registered", static=True
    )
    widths: tuple[int, ...] = hyperparameter((120, 84), "units of each hidden layer of network 'mlp'", static=True)
    padding: str = hyperparameter(
        "SAME", "padding of the convolutions of network 'nature_cnn' (Dopamine has SAME, CleanRL and PQN VALID)",
        static=True, choices=networks.PADDINGS,
    )  # fmt: skip
    width: float = hyperparameter(
        1.0, "factor on the channels and units of network 'nature_cnn'", static=True, minimum=1 / 32, maximum=64
    )
    layer_norm: bool = hyperparameter(
        False, "normalise before every ReLU of networks 'nature_cnn' and 'minatar_cnn'", static=True
    )
    initialiser: str = hyperparameter(
        "default", "distribution of the network's initial weights; 'default' is each network's own",
        static=True, choices=("default", *networks.INITIALISERS),
    )  # fmt: skip
    head: str = hyperparameter(
        "q_values",
        "what the network estimates of each action's return: its mean (q_values), or its distribution by atoms or by quantiles",
        static=True,
        choices=HEADS,
    )
    num_atoms: int = hyperparameter(
        51, "number of atoms of head c51, or of quantiles of head quantile", static=True, minimum=2, maximum=MOST_UNITS
    )
    v_min: float = hyperparameter(-10.0, "discounted return at the first atom of head c51", static=True)
    v_max: float = hyperparameter(10.0, "discounted return at the last atom of head c51", static=True)
    dueling: bool = hyperparameter(
        False, "dueling network: estimate the state's value and each action's advantage apart", static=True
    )
    noisy: bool = hyperparameter(
        False, "noisy network: add learned noise to the fully connected layers, which explores", static=True
    )
    double: bool = hyperparameter(
        False,
        "double Q-learning: the online network chooses the next action, the target network values it",
        static=True,
    )
    num_environments: int = hyperparameter(
        8, "number of environments that a run steps together", static=True, minimum=1, maximum=SIDE_BY_SIDE
    )
    steps_per_update: int = hyperparameter(
        4, "agent steps of a run from one update to the next", static=True, minimum=1
    )
    target_period: int = hyperparameter(
        250, "updates from one copy of the online to the target network to the next", static=True, minimum=1
    )
    batch_size: int = hyperparameter(32, "transitions in the batch of an update", static=True, minimum=1)
    capacity: int = hyperparameter(
        100_000, "transitions that the student's replay memory holds", static=True, minimum=1
    )
    sampler: str = hyperparameter(
        "uniform", "how online batches are drawn from the student's replay memory", static=True, choices=replay.SAMPLERS
    )
    importance_weights: bool = hyperparameter(
        True,
        "multiply losses by 1 / sqrt(probability), over the batch's largest, where sampler is prioritised",
        static=True,
    )
    warm_up: int = hyperparameter(2_000, "agent steps before the first online update", static=True, minimum=0)
    max_n_step: int = hyperparameter(
        5, "greatest n_step that the program is compiled for, in agent steps", static=True, minimum=1
    )
    n_step: int = hyperparameter(1, "agent steps of the n-step returns before they bootstrap", minimum=1)
    discount: float = hyperparameter(
        0.99, "discount factor (gamma) of rewards, for each agent step", minimum=0, maximum=1
    )
    reward_clip: float = hyperparameter(
        0.0, "absolute value to which rewards are clipped for learning, never for scores; 0: not at all", minimum=0
    )
    td_error: str = hyperparameter(
        "huber", "loss of head q_values for a temporal-difference error; squared is without a factor of one half",
        static=True, choices=TD_ERRORS,
    )  # fmt: skip
    learning_rate: float = hyperparameter(
        2.5e-4, "learning rate of the optimiser; of a student with a teacher, while lambda is 1", minimum=0
    )
    optimiser: str = hyperparameter(
        "adam", "optimiser of the network's weights; RMSProp is centred", static=True, choices=OPTIMISERS
    )
    adam_eps: float = hyperparameter(1.5e-4, "epsilon that Adam adds to its denominator", above=0)
    rmsprop_decay: float = hyperparameter(
        0.95, "decay of RMSProp's moving averages, for each update", minimum=0, maximum=1
    )
    rmsprop_eps: float = hyperparameter(1e-5, "epsilon that RMSProp adds inside its square root", above=0)
    rmsprop_start: float = hyperparameter(
        0.0,
        "value of RMSProp's mean square before the first update; TensorFlow and Dopamine's older agents have 1",
        minimum=0,
    )
    epsilon_start: float = hyperparameter(
        1.0, "chance of a random action at the first online step", minimum=0, maximum=1, phase="online"
    )
    epsilon_end: float = hyperparameter(
        0.01, "chance of a random action from the end of its decay on", minimum=0, maximum=1, phase="online"
    )
    epsilon_hold_steps: int = hyperparameter(
        0, "agent steps before the chance of a random action begins to fall", minimum=0, phase="online"
    )
    epsilon_decay_steps: int = hyperparameter(
        100_000, "agent steps over which the chance of a random action falls, linearly", minimum=0, phase="online"
    )
    evaluation_epsilon: float = hyperparameter(0.001, "chance of a random action in evaluations", minimum=0, maximum=1)

    terms: ClassVar[tuple[Term, ...]] = ()
    """What the loss has beside the temporal-difference loss."""
    learns_from_teacher: ClassVar[bool] = False
    offline_iterations: ClassVar[int] = 0
    rehearses: ClassVar[bool] = False

    @property
    def code(self) -> list[str]:
        """What results say of the code that settings name: the loss's terms, and a network or rule of weaning that is not the library's."""
        return [term.identity() for term in self.terms] + functions.of_ones_own(*self._named())

    def _named(self) -> list[Any]:
        """Functions and classes that settings have by name."""
        return [networks.module(self.network)] if self.network in networks.names() else []

    def __post_init__(self):
        if not 1 <= self.n_step <= self.max_n_step:
            raise UserError(f"n_step is {self.n_step}; it must lie between 1 and max_n_step, {self.max_n_step}")
        check_widths(self.widths)
        if self.online_iterations * self.iteration_steps > LARGEST:
            raise UserError(
                f"online_iterations is {self.online_iterations} and iteration_steps {self.iteration_steps}; a run has at most "
                f"{LARGEST} agent steps"
            )
        if self.td_error != "huber" and self.head != "q_values":
            raise UserError(
                f"td_error is {self.td_error!r}, but head {self.head!r} has a loss of its own; leave it out"
            )
        share = -(-self.evaluation_steps // self.evaluation_environments)
        if 0 < self.evaluation_limit < share:
            raise UserError(
                f"evaluation_limit is {self.evaluation_limit}, but each of the {self.evaluation_environments} environments is to play "
                f"{share} of the evaluation_steps {self.evaluation_steps}; take at least {share}, or 0"
            )
        replay.check_batch(self.capacity, self.batch_size)
        replay.check_capacity(self.capacity, self.num_environments, self.max_n_step)
        _ = self.schedule

    @property
    def schedule(self) -> UpdateSchedule:
        return update_schedule(self.num_environments, self.steps_per_update, self.target_period, self.iteration_steps)

    @property
    def drawn_by(self) -> replay.Sampler:
        """What draws online batches."""
        return replay.Prioritised(self.importance_weights) if self.sampler == "prioritised" else replay.Uniform()

    @property
    def td_weight(self) -> float | chex.Array:
        """The coefficient of the temporal-difference loss."""
        return 1.0

    def learning_rate_at(self, weaning_coefficient: chex.Array, is_online: bool) -> chex.Array:
        """The rate while lambda is `weaning_coefficient`."""
        return self.learning_rate


@declare
@with_defaults(
    iteration_steps=100_000,
    max_n_step=1,
    warm_up=5_000,
    widths=(128, 128),
    evaluation_environments=64,
    evaluation_steps=64,
)
class DQN(ValueBased):
    """DQN (Mnih et al., 2015), as the tabula rasa student and as the maker of teachers."""


@declare
@with_defaults(
    network="minatar_cnn", n_step=3, learning_rate=5e-4, epsilon_start=0.01, epsilon_end=0.01, epsilon_decay_steps=0
)
class QDagger(ValueBased):
    """QDagger and the methods that it is compared with (Agarwal et al., 2022): one loss, one way of acting, other coefficients.

    The loss is td_coefficient * TD + lambda * (distillation_coefficient * KL(teacher || student) + margin_coefficient * margin)
    + CQL's coefficient * CQL (`losses`); the learning rate follows lambda.
    """

    offline_iterations: int = hyperparameter(
        5,
        "number of offline iterations, in which the student learns from the teacher's data before it plays; 0: none",
        static=True,
        minimum=0,
    )
    offline_updates: int = hyperparameter(2_000, "updates in each offline iteration", static=True, minimum=1)
    weaning: str = hyperparameter(
        "return_driven",
        "schedule by which lambda, the weight of what the teacher teaches, falls from 1",
        choices=SCHEDULES,
        phase="online",
    )
    weaning_steps: int = hyperparameter(
        60_000, "agent steps of the student after which it is weaned", minimum=1, phase="online"
    )
    weaning_floor: float = hyperparameter(
        0.01,
        "value to which lambda falls by the schedules 'exponential' and 'step' before it is 0",
        above=0,
        maximum=1,
        phase="online",
    )
    weaning_drops: int = hyperparameter(
        4, "number of drops by which schedule 'step' brings lambda down to its floor", minimum=1, phase="online"
    )
    weaning_evaluations: int = hyperparameter(
        3,
        "number of evaluations, the last ones, that schedule 'lower_bound' sees",
        minimum=1,
        maximum=MOST_EVALUATIONS,
        phase="online",
    )
    weaning_confidence: float = hyperparameter(
        1.0,
        "number of standard errors by which the bound of 'lower_bound' lies below the mean of these evaluations",
        minimum=0,
        phase="online",
    )
    weaning_disagreement: float = hyperparameter(
        0.2,
        "disagreement from which on lambda is 1 by schedule 'disagreement'; 0 is the teacher's, 1 that of random actions",
        above=0,
        maximum=1,
        phase="online",
    )
    weaning_memory: int = hyperparameter(
        5_000, "agent steps over which schedule 'disagreement' averages", minimum=1, phase="online"
    )
    weaning_reversible: bool = hyperparameter(False, "let lambda rise again once it was 0", phase="online")
    td_coefficient: float = hyperparameter(1.0, "weight of the temporal-difference loss", minimum=0)
    distillation_coefficient: float = hyperparameter(
        3.0, "weight of the distillation loss, which lambda multiplies", minimum=0
    )
    best_action_only: bool = hyperparameter(False, "distil the teacher's greedy action instead of its policy")
    teacher_temperature: float = hyperparameter(
        0.3, "temperature of the softmax that makes a policy of the teacher's Q-values", above=0
    )
    student_temperature: float = hyperparameter(
        0.3, "temperature of the softmax that makes a policy of the student's Q-values", above=0
    )
    margin_coefficient: float = hyperparameter(
        0.0, "weight of the margin loss against the teacher's greedy action, which lambda multiplies", minimum=0
    )
    margin: float = hyperparameter(
        1.0, "Q-value by which the margin loss wants the teacher's action ahead of the others", minimum=0
    )
    elementwise_margin: bool = hyperparameter(
        True, "average the margin loss over all actions; otherwise the worst action alone counts, as in DQfD"
    )
    cql_coefficient: float = hyperparameter(
        0.0,
        "weight of the regulariser of conservative Q-learning (CQL) in the offline phase",
        minimum=0,
        phase="offline",
    )
    online_cql_coefficient: float = hyperparameter(
        0.0, "weight of the regulariser of conservative Q-learning (CQL) in the online phase", minimum=0, phase="online"
    )
    cql_temperature: float = hyperparameter(
        0.1, "temperature of the softmax in the regulariser of conservative Q-learning (CQL)", above=0
    )
    rehearsal_fraction: float = hyperparameter(
        0.0,
        "expected fraction of an online batch that is drawn from the teacher's data",
        minimum=0,
        maximum=1,
        phase="online",
    )
    roll_in_steps: int = hyperparameter(
        0,
        "JSRL: the teacher plays the first k agent steps of an episode, k uniform from 1 to this number; 0: never",
        minimum=0,
        phase="online",
    )
    roll_in_decay: float = hyperparameter(
        0.8,
        "JSRL: factor on roll_in_steps at each of its reductions; the result is rounded down",
        minimum=0,
        maximum=1,
        phase="online",
    )
    roll_in_decay_steps: int = hyperparameter(
        5_000, "JSRL: agent steps from one reduction of roll_in_steps to the next", minimum=1, phase="online"
    )
    student_rolls_in: bool = hyperparameter(
        False,
        "JSRL: let the student play these first k steps, and the teacher act after them alone, by guide_probability",
        phase="online",
    )
    guide_probability: float = hyperparameter(
        0.0, "JSRL: chance that the teacher acts at any step, at the beginning", minimum=0, maximum=1, phase="online"
    )
    guide_decay_steps: int = hyperparameter(
        100_000, "JSRL: agent steps over which guide_probability falls to 0, linearly", minimum=1, phase="online"
    )
    offline_learning_rate: float = hyperparameter(
        0.0, "learning rate in the offline phase; 0: the same as learning_rate", minimum=0, phase="offline"
    )
    weaned_learning_rate: float = hyperparameter(
        1e-4,
        "learning rate once lambda is 0; before, the mean of this and learning_rate, weighed by lambda",
        minimum=0,
        phase="online",
    )
    fresh_optimiser: bool = hyperparameter(False, "start the optimiser anew as the online phase begins", phase="online")
    rehearses: bool = hyperparameter(False, "whether online batches hold the teacher's data", static=True, derived=True)

    terms: ClassVar[tuple[Term, ...]] = REINCARNATION
    learns_from_teacher: ClassVar[bool] = True

    def __post_init__(self):
        ValueBased.__post_init__(self)
        if not self.offline_iterations and not self.online_iterations:
            raise UserError("online_iterations is 0 and offline_iterations is 0; the student would not learn at all")
        if self.offline_iterations and self.offline_updates % self.target_period:
            nearest = max(round(self.offline_updates / self.target_period), 1) * self.target_period
            raise UserError(
                f"offline_updates is {self.offline_updates}, not a multiple of target_period, {self.target_period}; take {nearest}"
            )
        if self.offline_iterations * self.offline_updates > LARGEST:
            raise UserError(
                f"offline_iterations is {self.offline_iterations} and offline_updates {self.offline_updates}; a run has at most "
                f"{LARGEST} updates"
            )
        derive(self, rehearses=self.rehearsal_fraction > 0)

    def _named(self) -> list[Any]:
        return [*ValueBased._named(self), SCHEDULES[self.weaning]]

    @property
    def needs_data(self) -> bool:
        """Whether a run learns from the teacher's data at all."""
        return bool(self.offline_iterations) or self.rehearses

    @property
    def td_weight(self) -> chex.Array:
        return self.td_coefficient

    def learning_rate_at(self, weaning_coefficient: chex.Array, is_online: bool) -> chex.Array:
        if not is_online:
            return jnp.where(self.offline_learning_rate > 0, self.offline_learning_rate, self.learning_rate)
        return weaning_coefficient * self.learning_rate + (1.0 - weaning_coefficient) * self.weaned_learning_rate
