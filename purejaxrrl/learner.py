"""The part of a value-based agent that learns: online and target parameters, and Adam."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from purejaxrrl.networks import Description


@struct.dataclass
class Learner:
    """Parameters, the target network's, and Adam's moments."""

    params: Any
    target_params: Any
    optimiser: optax.OptState


def init(key: chex.PRNGKey, network: Description) -> Learner:
    """Fresh parameters, which the target network shares; consumes `key`."""
    params = network.init(key)
    return Learner(params, jax.tree.map(jnp.copy, params), optax.scale_by_adam().init(params))


def update(
    learner: Learner,
    loss: Callable[[Any, Any], tuple[chex.Array, Any]],
    learning_rate: chex.Array,
    adam_eps: chex.Array,
) -> tuple[Learner, Any]:
    """One step of Adam on `loss(params, target_params)` -> (loss, what to report). Returns the learner and the report."""
    gradients, report = jax.grad(loss, has_aux=True)(learner.params, learner.target_params)
    # Adam as a scale, not an optimiser of a fixed learning rate, so that both its scalars may be traced.
    updates, optimiser = optax.scale_by_adam(eps=adam_eps).update(gradients, learner.optimiser)
    params = jax.tree.map(lambda param, step: param - learning_rate * step, learner.params, updates)
    return learner.replace(params=params, optimiser=optimiser), report


def reset_optimiser(learner: Learner) -> Learner:
    """Adam with no moments yet."""
    return learner.replace(optimiser=jax.tree.map(jnp.zeros_like, learner.optimiser))


def synchronise_target(learner: Learner) -> Learner:
    """Copies the online parameters to the target network."""
    return learner.replace(target_params=learner.params)
