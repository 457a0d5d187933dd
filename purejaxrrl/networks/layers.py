"""Layers that stay fast under `vmap` over parameters, as which many runs train at once: all are matrix products."""

import math
from collections.abc import Callable

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from purejaxrrl.errors import UserError

NOISE = "noise"
"""The flax random stream of `NoisyDense`: `module.apply(variables, observations, rngs={NOISE: key})`."""

Initialiser = Callable[[chex.PRNGKey, tuple[int, ...], jnp.dtype], chex.Array]

INITIALISERS: dict[str, Initialiser] = {
    "lecun_normal": nn.initializers.lecun_normal(),
    "xavier_uniform": nn.initializers.xavier_uniform(),
    "he_normal": nn.initializers.he_normal(),
    "fan_in_uniform": nn.initializers.variance_scaling(1.0 / math.sqrt(3.0), "fan_in", "uniform"),
}
"""Fresh weights: flax's own; Dopamine's DQN's; PQN's; those of Dopamine's distributional agents."""

PADDINGS = "SAME", "VALID"


def check_initialiser(name: str) -> None:
    """Raises ValueError where there is no initialiser of that name."""
    if name not in INITIALISERS:
        raise UserError(f"initialiser is {name!r}; it must be one of {', '.join(INITIALISERS)}")


def output_initialiser(name: str) -> Initialiser:
    """Of the last layer, where the others' has that name: no ReLU follows, for which he-normal is meant, so there it is flax's own."""
    return INITIALISERS["lecun_normal" if name == "he_normal" else name]


def convolve(inputs: chex.Array, kernel: chex.Array, stride: int, padding: str) -> chex.Array:
    """A convolution as a matrix product, float32 `[B, ., ., features]`.

    Inside a compiled loop on CPU, XLA's own convolution takes an update of the Nature CNN many times as long, and under `vmap` over
    kernels it becomes a grouped convolution, which is slow everywhere (`experiments/benchmarks/nature_cnn.py`). Blocks of stride x
    stride pixels become channels first, so that a kernel has few places: four for Nature's first layer, not 64.

    Args:
      inputs: float32 `[B, height, width, channels]`.
      kernel: float32 `[size, size, channels, features]`.
      padding: "VALID", or "SAME": zeros around, more of them behind where they are odd, so that ceil(height / stride) rows come out.
    """
    size, _, channels, features = kernel.shape
    blocks = -(-size // stride)  # of a kernel, along each axis
    # A kernel that does not end with a block is filled up with zeros.
    kernel = jnp.pad(kernel, [(0, blocks * stride - size)] * 2 + [(0, 0)] * 2)
    kernel = kernel.reshape(blocks, stride, blocks, stride, channels, features)
    (height, rows), (width, columns) = (_extent(extent, size, stride, padding) for extent in inputs.shape[1:3])
    heights, widths = rows + blocks - 1, columns + blocks - 1
    padded = jax.lax.pad(
        inputs,
        jnp.zeros((), inputs.dtype),
        [(0, 0, 0), (height, heights * stride - inputs.shape[1] - height, 0)]
        + [(width, widths * stride - inputs.shape[2] - width, 0), (0, 0, 0)],
    )
    padded = padded.reshape(-1, heights, stride, widths, stride, channels).transpose(0, 1, 3, 2, 4, 5)
    places = [(i, j) for i in range(blocks) for j in range(blocks)]
    if stride == 1:  # nine places, of few channels: patches take less than their products
        padded = padded.reshape(-1, heights, widths, channels)
        patches = jnp.concatenate([padded[:, i : i + rows, j : j + columns] for i, j in places], -1)
        outputs = patches.reshape(-1, len(places) * channels) @ kernel.transpose(0, 2, 1, 3, 4, 5).reshape(-1, features)
        return outputs.reshape(-1, rows, columns, features)
    # Every block times every place of the kernel, and then the sum of what belongs to one output: no patch is ever made. Factors are
    # matrices, for XLA transposes stacks of them in memory before it takes a gradient.
    kernel = kernel.transpose(1, 3, 4, 0, 2, 5).reshape(stride * stride * channels, -1)
    products = padded.reshape(-1, stride * stride * channels) @ kernel
    parts = jnp.split(products.reshape(-1, heights, widths, products.shape[-1]), len(places), axis=-1)
    return sum(part[:, i : i + rows, j : j + columns] for part, (i, j) in zip(parts, places, strict=True))


def _extent(extent: int, size: int, stride: int, padding: str) -> tuple[int, int]:
    """Zeros before the first pixel, and how many places the kernel has, along an axis."""
    if padding == "VALID":
        return 0, (extent - size) // stride + 1
    places = -(-extent // stride)
    return max((places - 1) * stride + size - extent, 0) // 2, places


class Convolution(nn.Module):
    """A convolution with the parameters, their names in it and the results of `nn.Conv`, computed by `convolve`."""

    features: int
    kernel_size: int
    stride: int = 1
    padding: str = "VALID"
    kernel_init: Initialiser = INITIALISERS["lecun_normal"]

    @nn.compact
    def __call__(self, inputs: chex.Array) -> chex.Array:
        shape = (self.kernel_size, self.kernel_size, inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return convolve(inputs, kernel, self.stride, self.padding) + bias


class PatchConvolution(nn.Module):
    """A convolution without padding, as patches times a matrix: `[B, height, width, channels]` to `[B, ., ., features]`.

    Under `vmap` over parameters, `nn.Conv` becomes a grouped convolution, which runs several times slower on CPU than the
    batched matrix product that this becomes. `kernel_init` is asked for a kernel `[size, size, channels, features]`, of which the matrix is
    made: as with `nn.Conv`, its fan-in is size^2 x channels and its fan-out size^2 x features.
    """

    features: int
    kernel_size: int
    stride: int = 1
    kernel_init: Initialiser = INITIALISERS["lecun_normal"]

    @nn.compact
    def __call__(self, inputs: chex.Array) -> chex.Array:
        height, width = ((size - self.kernel_size) // self.stride + 1 for size in inputs.shape[1:3])
        shifted = [
            inputs[:, i : i + height * self.stride : self.stride, j : j + width * self.stride : self.stride]
            for i in range(self.kernel_size)
            for j in range(self.kernel_size)
        ]
        patches = jnp.concatenate(shifted, axis=-1).astype(jnp.float32)

        def as_matrix(key: chex.PRNGKey, shape: tuple[int, ...], dtype: jnp.dtype) -> chex.Array:
            kernel = (self.kernel_size, self.kernel_size, inputs.shape[-1], self.features)
            return self.kernel_init(key, kernel, dtype).reshape(shape)

        dense = nn.Dense(self.features, kernel_init=as_matrix)
        return dense(patches.reshape(inputs.shape[0], height * width, -1)).reshape(
            inputs.shape[0], height, width, self.features
        )


class NoisyDense(nn.Module):
    """A fully connected layer with learned factorised Gaussian noise on its weights: `[B, inputs]` to `[B, features]`.

    Fortunato et al. (2018), equations 10 and 11, with Dopamine's initial values: means uniform in +-1/sqrt(inputs), standard
    deviations `sigma`/sqrt(inputs). One sample of the noise serves the whole batch. Where the module is applied without
    the `NOISE` stream, the weights are their means.
    """

    features: int
    sigma: float = 0.1

    @nn.compact
    def __call__(self, inputs: chex.Array) -> chex.Array:
        num_inputs = inputs.shape[-1]
        bound = 1.0 / math.sqrt(num_inputs)

        def mean(key: chex.PRNGKey, shape: tuple[int, ...], dtype: jnp.dtype) -> chex.Array:
            return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)

        deviation = nn.initializers.constant(self.sigma * bound)
        kernel = self.param("kernel", mean, (num_inputs, self.features), jnp.float32)
        bias = self.param("bias", mean, (self.features,), jnp.float32)
        kernel_sigma = self.param("kernel_sigma", deviation, (num_inputs, self.features), jnp.float32)
        bias_sigma = self.param("bias_sigma", deviation, (self.features,), jnp.float32)
        if self.has_rng(NOISE):
            noise = jax.random.normal(self.make_rng(NOISE), (num_inputs + self.features,), jnp.float32)
            noise = jnp.sign(noise) * jnp.sqrt(jnp.abs(noise))
            of_inputs, of_features = noise[:num_inputs], noise[num_inputs:]
            kernel += kernel_sigma * of_inputs[:, None] * of_features
            bias += bias_sigma * of_features
        return inputs @ kernel + bias
