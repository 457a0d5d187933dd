"""Teachers: anything that maps observations to action preferences, saved with orbax and described by a card.

A student sees a teacher as a function and its card, nothing else. On disk a teacher is a checkpoint (`checkpoints`) of its
parameters, the description of its network and the card, with its replay data beside them where there is some.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp

from purejaxrrl import checkpoints, networks, rollouts
from purejaxrrl.environments.base import Environment

KIND = "purejaxrrl teacher"
OUTPUTS = ("q_values", "logits")
ASSETS = Path(__file__).parent / "assets" / "teachers"
_REMEDY = "give a teacher's folder, as experiments/dqn.py or experiments/reincarnate.py writes it"


@dataclasses.dataclass(frozen=True)
class Card:
    """What a teacher is and where it came from. Scores are mean undiscounted returns of whole episodes.

    environment: its name, as `env.name`.
    output: what `apply` returns, "q_values" or "logits".
    score, random_score: the teacher's and the uniformly random policy's, what normalised scores are made of.
    evaluation_episodes: how many episodes each score is the mean of.
    frames: of the environment, seen in training.
    longer_run: {"frames": ..., "score": ...} of the same training continued, where it was.
    """

    environment: str
    output: str
    num_actions: int
    observation_shape: tuple[int, ...]
    score: float
    random_score: float
    evaluation_episodes: int
    frames: int
    algorithm: str = ""
    seed: int = 0
    version: str = ""
    command: str = ""
    longer_run: dict[str, float] | None = None

    def __post_init__(self):
        if self.output not in OUTPUTS:
            raise ValueError(f"a teacher's output is {self.output!r}; it must be one of {', '.join(OUTPUTS)}")


@dataclasses.dataclass(frozen=True)
class Teacher:
    """`apply(params, observations [B, ...])` returns preferences, float32 `[B, num_actions]`; `card` says what they are.

    `network` describes `apply` where it is one of `networks`; only such a teacher can be saved.
    """

    apply: Callable[[Any, chex.Array], chex.Array]
    params: Any
    card: Card
    network: networks.Description | None = None

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over what decides the teacher's output: its network and its parameters."""
        return checkpoints.fingerprint(self.params, repr((self.card.environment, self.card.output, self.network)))


def from_network(network: networks.Description, params: Any, card: Card) -> Teacher:
    """The teacher that a network with those parameters is."""
    return Teacher(network.apply, params, card, network)


def score(
    key: chex.PRNGKey,
    apply: Callable,
    weights: Any,
    environment: Environment,
    params: Any,
    epsilon: float,
    episodes: int,
) -> float:
    """The mean return of playing epsilon-greedily in `apply(weights, observations)`; consumes `key`."""

    @jax.jit
    def play(key: chex.PRNGKey, weights: Any) -> chex.Array:
        policy = rollouts.epsilon_greedy_policy(lambda observations: apply(weights, observations), epsilon)
        return rollouts.play_episodes(key, environment, params, policy, episodes).returns.mean()

    return float(play(key, weights))


def graduate(
    key: chex.PRNGKey,
    network: networks.Description,
    weights: Any,
    environment: Environment,
    params: Any,
    *,
    epsilon: float,
    episodes: int,
    **about: Any,
) -> Teacher:
    """The teacher that a trained Q-network is, with a card that has its score and the random policy's; consumes `key`.

    Args:
      epsilon: exploration while it is scored.
      episodes: how many each score is the mean of.
      **about: the rest of the card: frames, algorithm, seed, version, command.
    """
    score_key, random_key = jax.random.split(key)

    def indifferent(weights: Any, observations: chex.Array) -> chex.Array:
        return jnp.zeros((observations.shape[0], environment.num_actions))

    card = Card(
        environment=environment.name,
        output="q_values",
        num_actions=network.num_actions,
        observation_shape=network.observation_shape,
        score=score(score_key, network.apply, weights, environment, params, epsilon, episodes),
        random_score=score(random_key, indifferent, None, environment, params, 1.0, episodes),
        evaluation_episodes=episodes,
        **about,
    )
    return from_network(network, weights, card)


def log_policy(preferences: chex.Array, output: str, temperature: chex.Array) -> chex.Array:
    """The teacher's log-probabilities `[..., num_actions]`: log softmax(Q / temperature), or log softmax(logits).

    Args:
      preferences: `[..., num_actions]`, the teacher's output.
      output: the card's.
      temperature: scalar; logits have theirs already and do not look at it.
    """
    return jax.nn.log_softmax(preferences / temperature if output == "q_values" else preferences)


def normalised_score(score: Any, card: Card) -> Any:
    """(score - random) / (teacher - random): 0 is the random policy, 1 the teacher."""
    return (score - card.random_score) / (card.score - card.random_score)


def check_fits(teacher: Teacher, environment: Environment) -> None:
    """Raises ValueError where the teacher is not one for this environment, or its scores cannot normalise anything."""
    card = teacher.card
    shape = tuple(environment.observation_space(environment.default_params).shape)
    if card.environment != environment.name:
        raise ValueError(
            f"the teacher was trained on {card.environment!r}, not {environment.name!r}; pass a teacher for it"
        )
    if card.num_actions != environment.num_actions:
        raise ValueError(f"the teacher has {card.num_actions} actions and {environment.name} {environment.num_actions}")
    if tuple(card.observation_shape) != shape:
        raise ValueError(
            f"the teacher sees observations {tuple(card.observation_shape)} and {environment.name} makes {shape}"
        )
    if not card.score > card.random_score:
        raise ValueError(
            f"the teacher's score of {card.score} is not above the random policy's {card.random_score}, so scores cannot be "
            f"normalised by it; train it for longer"
        )


def save(path: str | os.PathLike, teacher: Teacher) -> None:
    """Writes the teacher as a folder, atomically, in place of what was there.

    Raises:
      ValueError: its network is not one of `networks`, so that nobody could load it.
    """
    if teacher.network is None:
        raise ValueError(
            "a teacher whose apply is a function of its own cannot be saved; describe it with networks.describe"
        )
    about = {"kind": KIND, "format": 1, "card": dataclasses.asdict(teacher.card), "network": teacher.network.to_json()}
    checkpoints.save(path, teacher.params, about)


def load(path: str | os.PathLike) -> Teacher:
    """Reads a teacher that `save` wrote.

    Raises:
      checkpoints.CheckpointError: there is none, it is half-written or damaged, or it is something else.
    """
    about = checkpoints.read_about(path, KIND, _REMEDY)
    try:
        card = Card(**about["card"] | {"observation_shape": tuple(about["card"]["observation_shape"])})
        network = networks.Description.from_json(about["network"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise checkpoints.CheckpointError(
            f"{path}: the card or network is not one of ours ({error}); {_REMEDY}"
        ) from error
    params = checkpoints.load_arrays(path, jax.eval_shape(network.init, jax.random.key(0)), _REMEDY)
    return from_network(network, jax.tree.map(jnp.asarray, params), card)


def shipped(environment_name: str) -> Path:
    """The folder of the teacher that comes with the library.

    Raises:
      checkpoints.CheckpointError: none does for that environment; the message lists those that have one.
    """
    path = ASSETS / environment_name
    if not path.is_dir():
        known = sorted(str(about.parent.relative_to(ASSETS)) for about in ASSETS.glob("*/*/about.json"))
        raise checkpoints.CheckpointError(
            f"no teacher is shipped for {environment_name!r}, only for {', '.join(known)}; train one with experiments/dqn.py"
        )
    return path
