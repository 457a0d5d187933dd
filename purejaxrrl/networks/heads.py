"""Heads: what a network makes of its last hidden layer, for each action one value, the logits of atoms, or quantiles."""

import dataclasses

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from purejaxrrl.errors import UserError
from purejaxrrl.networks.layers import INITIALISERS, Initialiser, NoisyDense

LECUN_NORMAL = INITIALISERS["lecun_normal"]
OUTPUTS = ("q_values", "atom_logits", "quantiles")


@dataclasses.dataclass(frozen=True)
class Head:
    """What a network's output is, and how it is computed. Make one with `plain`, `c51` or `quantile`.

    outputs: "q_values" `[B, num_actions]`; "atom_logits" or "quantiles" `[B, num_actions, num_atoms]`.
    num_atoms: for each action: of the distribution, or quantiles; 1 for Q-values.
    v_min, v_max: the returns of the first and the last atom; those between are evenly spaced. Of "atom_logits" only.
    dueling: V + A - mean of A over actions, atom by atom, each from a layer of its own (Wang et al. 2016).
    noisy: every fully connected layer of the network is a `NoisyDense`.

    Raises:
      ValueError: a field's value is none that it can have.
    """

    outputs: str = "q_values"
    num_atoms: int = 1
    v_min: float = -10.0
    v_max: float = 10.0
    dueling: bool = False
    noisy: bool = False

    def __post_init__(self):
        if self.outputs not in OUTPUTS:
            raise UserError(f"a head's outputs are {self.outputs!r}; they must be one of {', '.join(OUTPUTS)}")
        least, most = {"q_values": (1, 1), "atom_logits": (2, None), "quantiles": (1, None)}[self.outputs]
        if self.num_atoms < least or (most and self.num_atoms > most):
            bound = "1" if most else f"at least {least}"
            raise UserError(f"num_atoms is {self.num_atoms}; for {self.outputs} it must be {bound}")
        if not self.v_min < self.v_max:
            raise UserError(f"v_min is {self.v_min} and v_max {self.v_max}; v_min must be below v_max")

    @property
    def support(self) -> chex.Array:
        """The atoms' returns, float32 `[num_atoms]`."""
        return jnp.linspace(self.v_min, self.v_max, self.num_atoms, dtype=jnp.float32)

    def output_shape(self, num_actions: int) -> tuple[int, ...]:
        """Of one observation's output."""
        return (num_actions,) if self.outputs == "q_values" else (num_actions, self.num_atoms)

    def q_values(self, output: chex.Array) -> chex.Array:
        """Expected returns `[..., num_actions]` of an output `[..., *output_shape]`."""
        if self.outputs == "atom_logits":
            return jax.nn.softmax(output) @ self.support
        return output.mean(-1) if self.outputs == "quantiles" else output

    def dense(self, features: int, name: str | None = None, kernel_init: Initialiser = LECUN_NORMAL) -> nn.Module:
        """A fully connected layer, noisy where the head is; to be called in a module's compact `__call__`.

        kernel_init: of the fresh weights, but for noisy layers', which have their own.
        """
        if self.noisy:
            return NoisyDense(features, name=name)
        return nn.Dense(features, name=name, kernel_init=kernel_init)

    def __call__(self, hidden: chex.Array, num_actions: int, kernel_init: Initialiser = LECUN_NORMAL) -> chex.Array:
        """The output `[B, *output_shape]` of a hidden layer `[B, features]`.

        Its layers are those of the module whose compact `__call__` this is called in: a plain head's is that module's next
        `Dense`, as if it stood there. `kernel_init` as for `dense`.
        """
        shape = (hidden.shape[0], *self.output_shape(num_actions))
        if not self.dueling:
            return self.dense(num_actions * self.num_atoms, None, kernel_init)(hidden).reshape(shape)
        advantage = self.dense(num_actions * self.num_atoms, "advantage", kernel_init)(hidden).reshape(shape)
        value = self.dense(self.num_atoms, "value", kernel_init)(hidden).reshape(shape[0], 1, *shape[2:])
        return value + advantage - advantage.mean(1, keepdims=True)


def plain(*, dueling: bool = False, noisy: bool = False) -> Head:
    """Q-values (Mnih et al. 2015)."""
    return Head(dueling=dueling, noisy=noisy)


def c51(
    num_atoms: int = 51, v_min: float = -10.0, v_max: float = 10.0, *, dueling: bool = False, noisy: bool = False
) -> Head:
    """A categorical distribution over evenly spaced returns (Bellemare et al. 2017); v_min and v_max are discounted returns."""
    return Head("atom_logits", num_atoms, v_min, v_max, dueling, noisy)


def quantile(num_atoms: int = 200, *, dueling: bool = False, noisy: bool = False) -> Head:
    """The returns' quantiles at (i + 1/2) / num_atoms (Dabney et al. 2018)."""
    return Head("quantiles", num_atoms, dueling=dueling, noisy=noisy)
