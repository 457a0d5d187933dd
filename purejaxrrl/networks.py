"""Q-networks. Each takes one batch of observations `[B, ...]` of any type and returns Q-values, float32 `[B, num_actions]`.

A network is described by a name and a few numbers (`Description`), so that a checkpoint can say what it holds.
"""

import dataclasses
import difflib
import math
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp


class PatchConvolution(nn.Module):
    """A convolution without padding, as patches times a matrix: `[B, height, width, channels]` to `[B, ., ., features]`.

    Under `vmap` over parameters, `nn.Conv` becomes a grouped convolution, which runs several times slower on CPU than the
    batched matrix product that this becomes.
    """

    features: int
    kernel_size: int
    stride: int = 1

    @nn.compact
    def __call__(self, inputs: chex.Array) -> chex.Array:
        height, width = ((size - self.kernel_size) // self.stride + 1 for size in inputs.shape[1:3])
        shifted = [
            inputs[:, i : i + height * self.stride : self.stride, j : j + width * self.stride : self.stride]
            for i in range(self.kernel_size)
            for j in range(self.kernel_size)
        ]
        patches = jnp.concatenate(shifted, axis=-1).astype(jnp.float32)
        return nn.Dense(self.features)(patches.reshape(inputs.shape[0], height * width, -1)).reshape(
            inputs.shape[0], height, width, self.features
        )


class MLP(nn.Module):
    """Flattened observations through fully connected layers of those widths, with ReLU."""

    num_actions: int
    widths: tuple[int, ...] = (120, 84)

    @nn.compact
    def __call__(self, observations: chex.Array) -> chex.Array:
        hidden = observations.reshape(observations.shape[0], -1).astype(jnp.float32)
        for width in self.widths:
            hidden = nn.relu(nn.Dense(width)(hidden))
        return nn.Dense(self.num_actions)(hidden)


class MinAtarCNN(nn.Module):
    """One 3x3 convolution and one fully connected layer (Young and Tian, 2019: 16 channels, 128 units)."""

    num_actions: int
    channels: int = 16
    width: int = 128

    @nn.compact
    def __call__(self, observations: chex.Array) -> chex.Array:
        hidden = nn.relu(PatchConvolution(self.channels, 3)(observations))
        hidden = nn.relu(nn.Dense(self.width)(hidden.reshape(hidden.shape[0], -1)))
        return nn.Dense(self.num_actions)(hidden)


_NETWORKS = {"mlp": MLP, "minatar_cnn": MinAtarCNN}
NAMES = tuple(_NETWORKS)


@dataclasses.dataclass(frozen=True)
class Description:
    """A network as data: one of `NAMES`, the fields of its module and the observation that it takes."""

    name: str
    num_actions: int
    observation_shape: tuple[int, ...]
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self):
        if self.name not in _NETWORKS:
            nearest = difflib.get_close_matches(self.name, NAMES, n=2, cutoff=0.3) or NAMES
            raise ValueError(f"unknown network {self.name!r}; the nearest are {', '.join(nearest)}")
        known = {field.name for field in dataclasses.fields(_NETWORKS[self.name])} - {"num_actions", "parent", "name"}
        unknown = sorted(set(dict(self.options)) - known)
        if unknown:
            raise ValueError(f"network {self.name!r} has no option {unknown[0]!r}; it has {', '.join(sorted(known))}")
        if self.name == "minatar_cnn" and (len(self.observation_shape) != 3 or min(self.observation_shape[:2]) < 3):
            raise ValueError(
                f"network 'minatar_cnn' takes images [height, width, channels], not {self.observation_shape}; take 'mlp'"
            )

    def module(self) -> nn.Module:
        return _NETWORKS[self.name](num_actions=self.num_actions, **dict(self.options))

    def init(self, key: chex.PRNGKey) -> Any:
        """Fresh parameters; consumes `key`."""
        return self.module().init(key, jnp.zeros((1, *self.observation_shape)))["params"]

    def apply(self, params: Any, observations: chex.Array) -> chex.Array:
        """Q-values `[B, num_actions]` of observations `[B, ...]`."""
        return self.module().apply({"params": params}, observations)

    def num_parameters(self) -> int:
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(self.init, jax.random.key(0))))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"options": dict(self.options)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Description":
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in data["options"].items()}
        return describe(data["name"], data["num_actions"], tuple(data["observation_shape"]), **options)


def describe(name: str, num_actions: int, observation_shape: tuple[int, ...], **options: Any) -> Description:
    """`describe("mlp", 3, (10, 10, 4), widths=(120, 84))`. Raises ValueError for an unknown name or option."""
    return Description(name, num_actions, tuple(observation_shape), tuple(sorted(options.items())))
