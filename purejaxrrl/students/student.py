"""What a student is to the training step: an interface, and the students that a network makes.

The step looks at nothing but `Student`, so that plain, dueling, double, distributional, noisy or a user's own networks are
students alike.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from purejaxrrl import networks, replay
from purejaxrrl.environments.base import Environment
from purejaxrrl.errors import UserError
from purejaxrrl.networks import heads
from purejaxrrl.students import losses
from purejaxrrl.students.losses import Output

TDLoss = Callable[[Output, Output | None, Output, replay.Batch, Any], tuple[chex.Array, chex.Array]]
"""(online, online_next, target_next, batch, hyperparameters) -> (loss `[B]`, priority `[B]`), float32.

`online` is of the batch's observations, `online_next` and `target_next` of its bootstrap observations, by the online and the
target parameters; `online_next` is None unless the student asks for it. Only `online` has a gradient."""


def adam(hyperparameters: Any) -> optax.GradientTransformation:
    """Adam's direction without a rate, its epsilon traced (Kingma and Ba, 2015)."""
    return optax.scale_by_adam(eps=hyperparameters.adam_eps)


def rmsprop(hyperparameters: Any) -> optax.GradientTransformation:
    """RMSProp's direction without a rate, centred (Graves, 2013): g / sqrt(E[g^2] - E[g]^2 + epsilon).

    As the DQN of Mnih et al. (2015). TensorFlow's E[g^2] starts at 1, and so do the agents trained with it; optax's at 0.
    """
    return optax.scale_by_stddev(
        decay=hyperparameters.rmsprop_decay,
        eps=hyperparameters.rmsprop_eps,
        initial_scale=hyperparameters.rmsprop_start,
    )


OPTIMISERS = {"adam": adam, "rmsprop": rmsprop}


@dataclasses.dataclass(frozen=True)
class Student:
    """A value-based student.

    init: key -> parameters.
    apply: (parameters, observations `[B, ...]`, key or None) -> `Output`. The key is for a network's own noise; None, as in
      evaluations: without it.
    td_loss: see `TDLoss`.
    optimiser: hyperparameters -> an optax transformation without a rate: the step multiplies by the rate, which follows lambda.
    looks_ahead: whether `td_loss` wants the online network at the bootstrap (double Q-learning).
    network: its description, where it can be saved as a teacher.
    """

    init: Callable[[chex.PRNGKey], Any]
    apply: Callable[[Any, chex.Array, chex.PRNGKey | None], Output]
    td_loss: TDLoss
    optimiser: Callable[[Any], optax.GradientTransformation] = adam
    looks_ahead: bool = False
    network: networks.Description | None = None


@struct.dataclass
class Learner:
    """Parameters, the target network's, and the optimiser's state."""

    params: Any
    target_params: Any
    optimiser: Any


def init_learner(key: chex.PRNGKey, student: Student, hyperparameters: Any) -> Learner:
    """Fresh parameters, which the target network shares; consumes `key`."""
    params = student.init(key)
    return Learner(params, jax.tree.map(jnp.copy, params), student.optimiser(hyperparameters).init(params))


def descend(
    learner: Learner,
    student: Student,
    loss: Callable[[Any], tuple[chex.Array, Any]],
    learning_rate: chex.Array,
    hyperparameters: Any,
) -> tuple[Learner, Any]:
    """One step of the optimiser on `loss(params)` -> (loss, what to report). Returns the learner and the report."""
    gradients, report = jax.grad(loss, has_aux=True)(learner.params)
    direction, optimiser = student.optimiser(hyperparameters).update(gradients, learner.optimiser, learner.params)
    params = jax.tree.map(lambda param, step: param - learning_rate * step, learner.params, direction)
    return learner.replace(params=params, optimiser=optimiser), report


def reset_optimiser(learner: Learner, student: Student, hyperparameters: Any) -> Learner:
    """The same parameters with an optimiser that begins anew."""
    return learner.replace(optimiser=student.optimiser(hyperparameters).init(learner.params))


def synchronise_target(learner: Learner) -> Learner:
    """Copies the online parameters to the target network."""
    return learner.replace(target_params=learner.params)


def synchronise_target_if(is_due: chex.Array, learner: Learner) -> Learner:
    """`synchronise_target` where `is_due` (bool scalar, shared by all runs).

    A loop of one pass or none: unlike `lax.cond`, it leaves the target network's arrays where they are when there is none.
    """
    copy = jax.lax.fori_loop(0, is_due.astype(jnp.int32), lambda _, target: learner.params, learner.target_params)
    return learner.replace(target_params=copy)


def q_learning(
    online: Output,
    online_next: Output | None,
    target_next: Output,
    batch: replay.Batch,
    hyperparameters: Any,
    squared: bool = False,
) -> tuple[chex.Array, chex.Array]:
    """`TDLoss` of Q-values (`losses.q_learning`); double (van Hasselt et al., 2016) where `online_next` is given."""
    if online_next is None:
        bootstrap_value = target_next.q_values.max(-1)
    else:
        bootstrap_value = losses.chosen(target_next.q_values, _best_action(online_next, target_next))
    loss = losses.q_learning(
        online.q_values, batch.action, bootstrap_value, batch.n_step_return, batch.bootstrap_discount, squared
    )
    return loss, _priority(loss)


def categorical(
    support: chex.Array,
    online: Output,
    online_next: Output | None,
    target_next: Output,
    batch: replay.Batch,
    hyperparameters: Any,
) -> tuple[chex.Array, chex.Array]:
    """`TDLoss` of C51 (`losses.categorical`); `extras` are logits `[B, num_actions, num_atoms]`."""
    best = _best_action(online_next, target_next)
    target = losses.project(
        support,
        jax.nn.softmax(losses.chosen_row(target_next.extras, best)),
        batch.n_step_return,
        batch.bootstrap_discount,
    )
    loss = losses.categorical(losses.chosen_row(online.extras, batch.action), jax.lax.stop_gradient(target))
    return loss, _priority(loss)


def quantile_regression(
    online: Output, online_next: Output | None, target_next: Output, batch: replay.Batch, hyperparameters: Any
) -> tuple[chex.Array, chex.Array]:
    """`TDLoss` of QR-DQN (`losses.quantile_huber`); `extras` are quantiles `[B, num_actions, num_quantiles]`."""
    bootstrap = losses.chosen_row(target_next.extras, _best_action(online_next, target_next))
    target = batch.n_step_return[:, None] + batch.bootstrap_discount[:, None] * bootstrap
    quantiles = losses.chosen_row(online.extras, batch.action)
    loss = losses.quantile_huber(quantiles, jax.lax.stop_gradient(target))
    return loss, _priority(loss)


def _best_action(online_next: Output | None, target_next: Output) -> chex.Array:
    """int32 `[B]`: whose bootstrap is taken; the online network chooses it in double Q-learning."""
    chooser = target_next if online_next is None else online_next
    return chooser.q_values.argmax(-1)


def _priority(loss: chex.Array) -> chex.Array:
    """Prioritised replay's priority as Dopamine's agents have it: the root of the loss, and never 0."""
    return jnp.sqrt(jax.lax.stop_gradient(loss) + 1e-10)


def described(settings: Any, environment: Environment, env_params: Any) -> Student:
    """The student that settings describe (`settings.ValueBased`), for an environment's observations and actions.

    Raises ValueError where the network is unknown, does not take such observations, or was not made for them.
    """
    kinds = {
        "q_values": heads.plain,
        "c51": functools.partial(heads.c51, settings.num_atoms, settings.v_min, settings.v_max),
        "quantile": functools.partial(heads.quantile, settings.num_atoms),
    }
    head = kinds[settings.head](dueling=settings.dueling, noisy=settings.noisy)
    space = environment.observation_space(env_params)
    check_not_pixels(settings.network, space)
    shape = tuple(space.shape)
    options = network_options(settings) | ({"head": head} if head != heads.plain() else {})
    network = networks.describe(settings.network, environment.num_actions, shape, **options)
    return value_student(
        network,
        double=settings.double,
        squared=settings.td_error == "squared",
        optimiser=OPTIMISERS[settings.optimiser],
    )


_NOT_FOR_PIXELS = {"minatar_cnn": "planes of 0 and 1", "mlp": "vectors and small planes"}


def check_not_pixels(network: str, observations: Any) -> None:
    """Raises ValueError where MinAtar's network or an mlp would see the Nature CNN's pixels, which they neither scale nor shrink.

    observations: the environment's space. Teachers that were trained so by an earlier release load as ever.
    """
    shape, high = tuple(observations.shape), getattr(observations, "high", 1)
    if network in _NOT_FOR_PIXELS and len(shape) == 3 and min(shape[:2]) >= 36 and np.max(high) == 255:
        raise UserError(
            f"network {network!r} is for {_NOT_FOR_PIXELS[network]}, not for pixels {shape}; take 'nature_cnn'"
        )


def network_options(settings: Any) -> dict[str, Any]:
    """Those of `networks.describe` that the settings have of their network, but for the head; defaults are left out."""
    of_network = {
        "mlp": ("widths", "initialiser"),
        "minatar_cnn": ("layer_norm", "initialiser"),
        "nature_cnn": ("padding", "width", "layer_norm", "initialiser"),
    }
    without = {"layer_norm": False, "initialiser": "default"}
    values = {name: getattr(settings, name) for name in of_network.get(settings.network, ())}
    return {name: value for name, value in values.items() if name not in without or value != without[name]}


_TD_LOSSES = {"q_values": q_learning, "atom_logits": categorical, "quantiles": quantile_regression}


def value_student(
    network: networks.Description,
    *,
    double: bool = False,
    squared: bool = False,
    optimiser: Callable[[Any], optax.GradientTransformation] = adam,
) -> Student:
    """The student that a described network is: DQN, C51 or QR-DQN, as its head has it (`networks.heads`).

    squared: DQN's loss is the squared error (`losses.q_learning`). optimiser: see `Student`.
    """

    def apply(params: Any, observations: chex.Array, key: chex.PRNGKey | None = None) -> Output:
        output = network.apply(params, observations, key)
        return Output(network.q_values(output), extras=output)

    td_loss = _TD_LOSSES[network.head.outputs]
    if network.head.outputs == "atom_logits":
        td_loss = functools.partial(td_loss, network.head.support)
    if squared and network.head.outputs == "q_values":
        td_loss = functools.partial(td_loss, squared=True)
    return Student(network.init, apply, td_loss, optimiser, looks_ahead=double, network=network)


def module_student(
    module: nn.Module,
    observation_shape: tuple[int, ...],
    *,
    double: bool = False,
    squared: bool = False,
    optimiser: Callable[[Any], optax.GradientTransformation] = adam,
) -> Student:
    """The student that a flax module of one's own is: called with observations `[B, ...]` it returns `[B, num_actions]`.

    It trains like any other; double, squared, optimiser: as `value_student`'s, whatever settings say of these. To save it as a teacher, register the module (`networks.register`) and describe it.
    """

    def init(key: chex.PRNGKey) -> Any:
        return module.init(key, jnp.zeros((1, *observation_shape)))["params"]

    def apply(params: Any, observations: chex.Array, key: chex.PRNGKey | None = None) -> Output:
        return Output(module.apply({"params": params}, observations))

    td_loss = functools.partial(q_learning, squared=True) if squared else q_learning
    return Student(init, apply, td_loss, optimiser, looks_ahead=double)


def check_follows(student: Student, settings: Any) -> None:
    """Raises ValueError where settings ask for what a student that was given does not do."""
    is_described = student.network is not None
    asked = {
        "head": settings.head != "q_values" and not is_described,
        "dueling": settings.dueling and not is_described,
        "noisy": settings.noisy and not is_described,
        "double": settings.double and not student.looks_ahead,
        "optimiser": settings.optimiser != "adam" and student.optimiser is adam,
        "td_error": settings.td_error != "huber" and student.td_loss is q_learning,
    }
    for name, ignored in asked.items():
        if ignored:
            raise UserError(
                f"{name} is {getattr(settings, name)!r}, but the student that was given has its own; say it where that is made"
            )
