"""One update of a network of the Nature CNN's size (Mnih et al., 2015), its convolutions in two forms, in three types.

`nn.Conv` under `vmap` over seeds becomes a grouped convolution; the library's form, matrix products, become batched ones. Which
is faster on a GPU, and from how many seeds on? An update is the gradient of a Huber loss with a target network, and Adam, on
another batch than the last.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from accelerator_parts import timing
from purejaxrrl.networks import layers

LAYERS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
"""Features, kernel size and stride of each convolution."""
ACTIONS, WIDTH, BATCHES = 18, 512, 4
TYPES = {"float32": ("float32", "highest"), "tf32": ("float32", "tensorfloat32"), "bfloat16": ("bfloat16", "default")}
"""What is computed in, and the precision of float32's matrix products. Parameters, targets and losses are always float32."""


class Products(nn.Module):
    """The convolution `nn.Conv(features, kernel, stride, "VALID")` in the library's form, in any type."""

    features: int
    kernel: int
    stride: int
    dtype: Any

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        shape = (self.kernel, self.kernel, inputs.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return layers.convolve(inputs, kernel.astype(self.dtype), self.stride, "VALID") + bias.astype(self.dtype)


class NatureCNN(nn.Module):
    """Q-values, float32 `[B, ACTIONS]`, of uint8 `[B, 84, 84, 4]`. form: "nn.Conv" or "products"."""

    form: str
    dtype: Any

    @nn.compact
    def __call__(self, observations: jax.Array) -> jax.Array:
        hidden = observations.astype(self.dtype) / 255
        for features, kernel, stride in LAYERS:
            if self.form == "products":
                layer = Products(features, kernel, stride, self.dtype)
            else:
                layer = nn.Conv(features, (kernel, kernel), stride, "VALID", dtype=self.dtype)
            hidden = nn.relu(layer(hidden))
        hidden = nn.relu(nn.Dense(WIDTH, dtype=self.dtype)(hidden.reshape(hidden.shape[0], -1)))
        return nn.Dense(ACTIONS, dtype=self.dtype)(hidden).astype(jnp.float32)


def random_batches(rng: np.random.Generator, seeds: int, size: int) -> dict[str, np.ndarray]:
    """Transitions `[seeds, BATCHES, size, ...]`: what updates of each seed look at."""
    lead = (seeds, BATCHES, size)
    return {
        "observation": rng.integers(0, 256, (*lead, 84, 84, 4), np.uint8),
        "next_observation": rng.integers(0, 256, (*lead, 84, 84, 4), np.uint8),
        "action": rng.integers(0, ACTIONS, lead),
        "reward": rng.standard_normal(lead, np.float32),
    }


def random_params(rng: np.random.Generator, network: NatureCNN, seeds: int) -> Any:
    """Parameters `[seeds, ...]` of the usual size; drawn here, for a compiled initialiser takes longer than an update."""
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 84, 84, 4), jnp.uint8))

    def draw(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        fan_in = math.prod(leaf.shape[:-1])
        return rng.standard_normal((seeds, *leaf.shape), np.float32) / np.float32(math.sqrt(fan_in))

    return jax.tree.map(draw, shapes)


def make_run(network: NatureCNN, number: int) -> Any:
    """run(state, batches) -> (state, losses `[number]`), `number` updates of one seed; the state is params, the target's, Adam's."""
    optimiser = optax.adam(1e-4)

    def loss(params: Any, target: Any, batch: dict[str, jax.Array]) -> jax.Array:
        q_values = network.apply(params, batch["observation"])
        chosen = jnp.where(jax.nn.one_hot(batch["action"], ACTIONS, dtype=bool), q_values, 0.0).sum(-1)
        bootstrap = network.apply(target, batch["next_observation"]).max(-1)
        return optax.huber_loss(chosen, jax.lax.stop_gradient(batch["reward"] + 0.99 * bootstrap)).mean()

    def update(batches: dict[str, jax.Array], state: tuple, number: jax.Array) -> tuple[tuple, jax.Array]:
        batch = jax.tree.map(lambda leaf: leaf[number % BATCHES], batches)
        params, target, moments = state
        value, gradients = jax.value_and_grad(loss)(params, target, batch)
        steps, moments = optimiser.update(gradients, moments)
        return (optax.apply_updates(params, steps), target, moments), value

    def run(params: Any, batches: dict[str, jax.Array]) -> tuple[Any, jax.Array]:
        state = (params, params, optimiser.init(params))
        (params, _, _), losses = jax.lax.scan(functools.partial(update, batches), state, jnp.arange(number))
        return params, losses

    return run


def time_updates(form: str, type: str, batch: int, seeds: int, number: int) -> dict[str, Any]:
    """Microseconds of an update of all seeds, and updates per second of all together."""
    dtype, precision = TYPES[type]
    rng = np.random.default_rng(0)
    network = NatureCNN(form, jnp.dtype(dtype))
    arguments = jax.device_put((random_params(rng, network, seeds), random_batches(rng, seeds, batch)))
    with jax.default_matmul_precision(precision):
        compiled, compile_seconds = timing.compile(jax.jit(jax.vmap(make_run(network, number))), *arguments)
    timing.call(compiled, *arguments)
    (_, losses), seconds = timing.call(compiled, *arguments)
    return {
        "us / update": 1e6 * seconds / number,
        "updates / s": seeds * number / seconds,
        "samples / s": batch * seeds * number / seconds,
        "MiB": timing.device_bytes(compiled) / 2**20,
        "compile s": compile_seconds,
        "last loss": float(jnp.mean(losses[:, -1])),
    }


def cases(quick: bool) -> Iterator[dict[str, Any]]:
    """Most telling first: one learner, a sweep, a large batch; then what lies between."""
    # On a CPU float32 is what it is, and TF32 too.
    types = ("tf32", "bfloat16") if quick else ("tf32", "bfloat16", "float32")
    sizes = [(2, 2)] if quick else [(32, 1), (32, 32), (1024, 1), (32, 8), (256, 8), (256, 1), (256, 32), (1024, 8)]
    for batch, seeds in sizes:
        for form, type in itertools.product(("nn.Conv", "products"), types):
            yield {"batch": batch, "seeds": seeds, "form": form, "type": type}


def measure(quick: bool, **_: Any) -> Iterator[dict[str, Any]]:
    """A row for each form, type, batch size and number of vmapped seeds."""
    yield from timing.each(lambda **case: time_updates(**case, number=1 if quick else 50), cases(quick))
