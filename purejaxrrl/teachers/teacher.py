"""Teachers: anything that maps observations to Q-values or logits, saved with orbax and described by a card.

A student sees a teacher as a function and its card, nothing else. On disk a teacher is a checkpoint (`checkpoints`) of its
parameters, the description of its network and the card, with its replay data beside them where there is some.
"""

import dataclasses
import json
import os
import typing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import BeforeValidator, Field

from purejaxrrl import functions, networks, streams
from purejaxrrl.environments.balloon import assets
from purejaxrrl.environments.base import Environment, for_evaluation, options_of
from purejaxrrl.errors import UserError
from purejaxrrl.evaluation import playing
from purejaxrrl.files import checkpoints, documents, validation
from purejaxrrl.replay import acting
from purejaxrrl.teachers import preprocessing

KIND = "purejaxrrl teacher"
Output = Literal["q_values", "logits"]
OUTPUTS = typing.get_args(Output)
SHIPPED = Path(__file__).parent / "shipped"
_REMEDY = "give a teacher's folder, as experiments/dqn.py or experiments/reincarnate.py writes it"


@validation.validated
class Card:
    """What a teacher is and where it came from. Scores are mean undiscounted returns of episodes.

    environment: its name, as `env.name`.
    output: what `apply` returns, "q_values" or "logits".
    score, random_score: the teacher's and the uniformly random policy's, what normalised scores are made of.
    evaluation_episodes: how many episodes each score is the mean of.
    evaluation_limit: agent steps after which these counted as they stood; 0: all were played to their ends.
    evaluation_epsilon: chance of a random action of the teacher in them; None where it is not known.
    score_error, random_score_error: the standard errors of these means; None where they are not known.
    frames: of the environment, seen in training.
    longer_run: {"frames": ..., "score": ...} of the same training continued, where it was.
    environment_options: those, other than defaults, that the environment was made with in which the scores were played.
    training: all that the environment was made with in which it was trained, defaults included (`preprocessing.described`), and
      how its learner clipped rewards; empty where that is not known.
    fire_after_life_loss: whether FIRE is to be pressed for it at an episode's start and after every lost life, for it has never
      learned to, as a teacher whose environment did that.

    Raises:
      validation.InvalidError: a field has another type, is not finite or out of its range. Scalars of numpy and JAX are
        numbers like others.
    """

    environment: Annotated[str, Field(min_length=1)]
    output: Output
    num_actions: validation.Positive
    observation_shape: validation.Shape
    score: validation.Number
    random_score: validation.Number
    evaluation_episodes: validation.Positive
    frames: validation.Count
    algorithm: str = ""
    seed: validation.Integer = 0
    version: str = ""
    command: str = ""
    longer_run: Annotated[dict[str, int | float] | None, BeforeValidator(documents.plain)] = None
    environment_options: validation.Options = dataclasses.field(default_factory=dict)
    training: validation.Options = dataclasses.field(default_factory=dict)
    fire_after_life_loss: bool = False
    score_error: validation.Number | None = None
    random_score_error: validation.Number | None = None
    evaluation_limit: validation.Count = 0
    evaluation_epsilon: validation.Number | None = None


class Score(NamedTuple):
    """The mean undiscounted return of episodes, and its standard error; None of a single episode."""

    mean: float
    error: float | None


@dataclasses.dataclass(frozen=True)
class Teacher:
    """`apply(params, observations [B, ...])` returns Q-values or logits, float32 `[B, num_actions]`; `card` says which.

    `network` describes `apply` where it is one of `networks`; only such a teacher can be saved.
    """

    apply: Callable[[Any, chex.Array], chex.Array]
    params: Any
    card: Card
    network: networks.Description | None = None

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over what decides the teacher's output: its network or function, its parameters and what it observes.

        Of a function it is what Python can read: its name and code, not what it calls or holds. Where its scores were played does not, so that it stays the same teacher where it is scored anew.
        """
        about = repr((self.card.environment, self.card.output, self.network))
        if seen := preprocessing.decisive(
            self.card.environment_options
        ):  # no others in format 1: they keep their fingerprint
            about += json.dumps(seen, sort_keys=True)
        if self.network is None:
            about += functions.identity(self.apply)
        return checkpoints.fingerprint(self.params, about)


def from_network(network: networks.Description, params: Any, card: Card) -> Teacher:
    """The teacher that a network with those parameters is; of a distribution it gives the expectations."""
    return Teacher(network.apply_q_values, params, card, network)


def score(
    key: chex.PRNGKey,
    apply: Callable,
    weights: Any,
    environment: Environment,
    params: Any,
    epsilon: float,
    episodes: int,
    fire_action: int | None = None,
    limit: int = 0,
) -> Score:
    """Of playing epsilon-greedily in `apply(weights, observations)`, `episodes` side by side, one each.

    Consumes `key`. fire_action, limit: see `playing.play`.

    Raises:
      ValueError: there is no limit, and episodes may never end (`playing.check_ends`).
    """
    playing.check_ends(environment, params, limit)

    @jax.jit
    def play(key: chex.PRNGKey, weights: Any) -> tuple[chex.Array, chex.Array]:
        policy = acting.epsilon_greedy_policy(lambda observations: apply(weights, observations), epsilon)
        played = playing.play(key, environment, params, policy, episodes, limit=limit, fire_action=fire_action)
        return played.mean_return, played.returns

    mean, returns = play(key, weights)
    error = np.std(np.asarray(returns, np.float64), ddof=1) / np.sqrt(episodes) if episodes > 1 else None
    return Score(float(mean), None if error is None else float(error))


def graduate(
    key: chex.PRNGKey,
    network: networks.Description,
    weights: Any,
    environment: Environment,
    params: Any,
    *,
    epsilon: float,
    episodes: int,
    limit: int = 0,
    **about: Any,
) -> Teacher:
    """The teacher that a trained Q-network is, with a card that has its score and the random policy's; consumes `key`.

    Args:
      epsilon: exploration while it is scored.
      episodes: how many each score is the mean of.
      limit: agent steps after which they count as they stand; 0: all are played to their ends.
      **about: the rest of the card: frames, algorithm, seed, version, command, training.

    Scores are played without what is for training only (`environments.for_evaluation`).
    """
    environment = for_evaluation(environment)
    score_key, random_key = jax.random.split(streams.of_teacher(key, checkpoints.fingerprint(weights)))
    own = score(score_key, network.apply_q_values, weights, environment, params, epsilon, episodes, limit=limit)
    random = random_score(random_key, environment, params, episodes, limit)
    card = Card(
        environment=environment.name,
        output="q_values",
        num_actions=network.num_actions,
        observation_shape=network.observation_shape,
        score=own.mean,
        random_score=random.mean,
        evaluation_episodes=episodes,
        score_error=own.error,
        random_score_error=random.error,
        evaluation_limit=limit,
        evaluation_epsilon=epsilon,
        environment_options=options_of(environment),
        **about,
    )
    return from_network(network, weights, card)


def random_score(key: chex.PRNGKey, environment: Environment, params: Any, episodes: int, limit: int = 0) -> Score:
    """The uniformly random policy's; arguments as for `score`. Consumes `key`."""

    def indifferent(weights: Any, observations: chex.Array) -> chex.Array:
        return jnp.zeros((observations.shape[0], environment.num_actions))

    return score(key, indifferent, None, environment, params, 1.0, episodes, limit=limit)


def scored_anew(
    key: chex.PRNGKey, teacher: Teacher, environment: Environment, *, epsilon: float, episodes: int, limit: int = 0
) -> Teacher:
    """The teacher with the scores, its own and the random policy's, that it has in this environment; its card's may be another.

    Consumes `key`. Arguments as for `graduate`.
    """
    environment = for_evaluation(environment)
    params = environment.default_params
    score_key, random_key = jax.random.split(streams.of_teacher(key, checkpoints.fingerprint(teacher.params)))
    fire = fire_action(teacher, environment)
    own = score(score_key, teacher.apply, teacher.params, environment, params, epsilon, episodes, fire, limit)
    random = random_score(random_key, environment, params, episodes, limit)
    card = dataclasses.replace(
        teacher.card,
        score=own.mean,
        random_score=random.mean,
        evaluation_episodes=episodes,
        score_error=own.error,
        random_score_error=random.error,
        evaluation_limit=limit,
        evaluation_epsilon=epsilon,
        environment_options=options_of(environment),
    )
    return dataclasses.replace(teacher, card=card)


def fire_action(teacher: Teacher, environment: Environment) -> int | None:
    """The action that is pressed for a teacher after a lost life; None for one that does not need that.

    Raises ValueError where the environment has no such action.
    """
    return preprocessing.fire_action(environment) if teacher.card.fire_after_life_loss else None


def log_policy(teacher_output: chex.Array, output: str, temperature: chex.Array) -> chex.Array:
    """The teacher's log-probabilities `[..., num_actions]`: log softmax(Q / temperature), or log softmax(logits).

    Args:
      teacher_output: `[..., num_actions]`.
      output: what it is, as the card says.
      temperature: scalar; logits have theirs already and do not look at it.
    """
    return jax.nn.log_softmax(teacher_output / temperature if output == "q_values" else teacher_output)


def normalised_score(score: Any, card: Card) -> Any:
    """(score - random) / (teacher - random): 0 is the random policy, 1 the teacher."""
    return (score - card.random_score) / (card.score - card.random_score)


def not_above_random(card: Card) -> str:
    """Why students cannot have this teacher where its score is not above the random policy's; empty where it is."""
    if card.score > card.random_score:
        return ""
    return (
        f"score of {card.score} is not above the random policy's {card.random_score}, so scores cannot be normalised "
        f"by it; train it for longer"
    )


def check_trained_on(teacher: Teacher, environment_name: str) -> None:
    """Raises ValueError where the teacher is another environment's; asked before one is made, which may take long."""
    if teacher.card.environment != environment_name:
        raise UserError(
            f"the teacher was trained on {teacher.card.environment!r}, not {environment_name!r}; pass a teacher for it"
        )


def check_fits(teacher: Teacher, environment: Environment, *, normalises: bool = True) -> None:
    """Raises ValueError where the teacher is not one for this environment, or its scores cannot normalise anything.

    What it sees and what its actions do must be the same: the game, the observation, the actions, the frame skip, both where it was
    trained and where its scores were played. Where the environment differs otherwise (sticky actions, no-ops, ...) a warning says
    what it was trained with, and whether its scores were played in another (`scored_anew`).

    normalises: whether its card's scores are to be used, and not only itself.
    """
    card = teacher.card
    shape = tuple(environment.observation_space(environment.default_params).shape)
    check_trained_on(teacher, environment.name)
    differences = preprocessing.differences(card.environment_options, environment)
    trained = preprocessing.trained_otherwise(card.training, environment)
    if found := preprocessing.decisive(trained | differences):
        raise UserError(
            f"the teacher's {card.environment} was made with other options ({preprocessing.listed(found)}), so that it sees or does "
            f"something else; give the same --environment-options, or train a teacher"
        )
    if card.num_actions != environment.num_actions:
        raise UserError(f"the teacher has {card.num_actions} actions and {environment.name} {environment.num_actions}")
    if tuple(card.observation_shape) != shape:
        raise UserError(
            f"the teacher sees observations {tuple(card.observation_shape)} and {environment.name} makes {shape}"
        )
    if normalises and (fault := not_above_random(card)):
        raise UserError(f"the teacher's {fault}")
    fire_action(teacher, environment)
    if trained or differences:
        # Of this line, so that it is shown once, whoever asks.
        warnings.warn(_told(card.environment, trained, differences), stacklevel=1)


def _told(name: str, trained: dict[str, tuple[Any, Any]], differences: dict[str, tuple[Any, Any]]) -> str:
    """In a line, what a teacher was trained with that is otherwise here, and where the scores on its card were played."""
    facts = ", ".join(f"{option} {theirs} ({ours} here)" for option, (theirs, ours) in trained.items())
    was = [f"the teacher was trained with {facts}"] if trained else []
    if not differences:
        return f"{was[0]}; the scores on its card were played in this environment"
    listed = preprocessing.listed(differences)
    played = f"the teacher's {name} was made with other options ({listed}): the scores on its card were played there"
    return "; ".join([*was, played])


def save(path: str | os.PathLike, teacher: Teacher) -> None:
    """Writes the teacher as a folder, atomically, in place of what was there.

    Raises:
      ValueError: its network is not one of `networks`, so that nobody could load it.
      checkpoints.CheckpointError: `path` holds something else than a teacher.
    """
    if teacher.network is None:
        raise UserError(
            "a teacher whose apply is a function of its own cannot be saved; describe it with networks.describe"
        )
    checkpoints.save(path, teacher.params, _about(teacher))


def save_card(path: str | os.PathLike, teacher: Teacher) -> None:
    """Writes the card alone beside the parameters that are there, which have to be the teacher's.

    Raises:
      checkpoints.CheckpointError: there is no teacher, or another one.
    """
    if load(path).fingerprint() != teacher.fingerprint():
        raise checkpoints.CheckpointError(f"{path} holds another teacher than the card is of; {_REMEDY}")
    checkpoints.describe(path, _about(teacher), _REMEDY)


def _about(teacher: Teacher) -> dict[str, Any]:
    return {"kind": KIND, "card": dataclasses.asdict(teacher.card), "network": teacher.network.to_json()}


def load(path: str | os.PathLike) -> Teacher:
    """Reads a teacher that `save` wrote, in this release or an earlier one.

    Raises:
      checkpoints.CheckpointError: there is none, it is half-written or damaged (all that is, is named), or it is something else.
    """
    within = [name for name in ("student", "teacher") if (Path(path) / name / "about.json").exists()]
    remedy = f"give {Path(path) / within[0]}, the teacher in it" if within else _REMEDY
    about = checkpoints.read_about(path, KIND, remedy)
    try:
        card = validation.parse(Card, about["card"])
        network = networks.Description.from_json(about["network"])
        expected = jax.eval_shape(network.init, jax.random.key(0))
    except networks.MissingNetworkError as error:
        raise checkpoints.CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # flax and JAX raise many types for what is no network
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise checkpoints.CheckpointError(
            f"{path}: the card or network is not one of ours ({reason}); {_REMEDY}"
        ) from error
    if (network.num_actions, network.observation_shape) != (card.num_actions, card.observation_shape):
        raise checkpoints.CheckpointError(f"{path}: its network has not the card's actions and observations; {_REMEDY}")
    params = checkpoints.load_arrays(path, expected, _REMEDY)
    if strange := [name for name, leaf in checkpoints.by_name(params).items() if not np.isfinite(leaf).all()]:
        raise checkpoints.CheckpointError(f"{path}: {', '.join(strange)} are not all finite numbers; {_REMEDY}")
    return from_network(network, jax.tree.map(jnp.asarray, params), card)


def shipped(environment_name: str) -> Path:
    """The folder of the teacher that comes with the library, or for "balloon" of the one that is fetched with the balloon's data.

    Raises:
      checkpoints.CheckpointError: none does for that environment; the message lists those that have one.
      assets.MissingAssetsError: the balloon's data were not fetched; the message has the command that does.
    """
    if environment_name == "balloon":
        return assets.teacher_folder()
    path = SHIPPED / environment_name
    if not (path / "about.json").is_file():
        known = sorted(str(about.parent.relative_to(SHIPPED)) for about in SHIPPED.glob("*/*/about.json"))
        raise checkpoints.CheckpointError(
            f"no teacher is shipped for {environment_name!r}, only for {', '.join(known)}; train one with {how_to_train(environment_name)}"
        )
    return path


def how_to_train(environment_name: str, output: str = "") -> str:
    """How a teacher is trained that an environment lacks, as part of a line; docs/teachers.md has what the shipped ones were.

    output: the folder to train in, named after the game unless given; the teacher is in it.
    """
    output = output or f"runs/{environment_name.rpartition('/')[-1]}"
    if environment_name.startswith("atari/"):
        flags = "--frames 50e6 --width 0.5 --environment-options terminal_on_life_loss=true"
        command, time = (
            f"python experiments/pqn.py --environment {environment_name} {flags}",
            ", some 3 hours on 2 cores,",
        )
    else:
        command, time = f"python experiments/dqn.py --environment {environment_name}", ","
    return f"{command} --output {output}{time} then give --teacher {output}/teacher (docs/teachers.md)"
