"""Networks from observations `[B, ...]` of any type to a head's output, one class for each torso.

A torso's layers and its head's are named in one scope, in the order in which data meets them, so that a network's parameters
are called the same whichever head it has been given, except the head's own.
"""

import math

import chex
import flax.linen as nn
import jax.numpy as jnp

from purejaxrrl.errors import UserError
from purejaxrrl.networks.heads import Head
from purejaxrrl.networks.layers import (
    INITIALISERS,
    PADDINGS,
    Convolution,
    PatchConvolution,
    check_initialiser,
    output_initialiser,
)


class MLP(nn.Module):
    """Flattened observations through fully connected layers of those widths, with ReLU.

    initialiser: one of `layers.INITIALISERS`.
    """

    num_actions: int
    widths: tuple[int, ...] = (120, 84)
    initialiser: str = "lecun_normal"
    head: Head = Head()

    def __post_init__(self):
        check_initialiser(self.initialiser)
        super().__post_init__()

    @nn.compact
    def __call__(self, observations: chex.Array) -> chex.Array:
        hidden = observations.reshape(observations.shape[0], -1).astype(jnp.float32)
        for width in self.widths:
            hidden = nn.relu(self.head.dense(width, kernel_init=INITIALISERS[self.initialiser])(hidden))
        return self.head(hidden, self.num_actions, output_initialiser(self.initialiser))


class MinAtarCNN(nn.Module):
    """One 3x3 convolution and one fully connected layer (Young and Tian, 2019: 16 channels, 128 units).

    layer_norm: before every ReLU, over the channels of a pixel and over the units (PQN: Gallici et al., 2024).
    initialiser: one of `layers.INITIALISERS`.
    """

    num_actions: int
    channels: int = 16
    width: int = 128
    layer_norm: bool = False
    initialiser: str = "lecun_normal"
    head: Head = Head()

    def __post_init__(self):
        check_initialiser(self.initialiser)
        super().__post_init__()

    @staticmethod
    def check_observation_shape(shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or min(shape[:2]) < 3:
            raise UserError(f"network 'minatar_cnn' takes images [height, width, channels], not {shape}; take 'mlp'")

    @nn.compact
    def __call__(self, observations: chex.Array) -> chex.Array:
        init = INITIALISERS[self.initialiser]
        hidden = _activated(PatchConvolution(self.channels, 3, kernel_init=init)(observations), self.layer_norm)
        hidden = self.head.dense(self.width, kernel_init=init)(hidden.reshape(hidden.shape[0], -1))
        return self.head(_activated(hidden, self.layer_norm), self.num_actions, output_initialiser(self.initialiser))


class NatureCNN(nn.Module):
    """Three convolutions and one fully connected layer (Mnih et al., 2015: 32, 64 and 64 channels, 512 units) on pixels / 255.

    Its parameters are called and shaped as those of the same network made of `nn.Conv` (`networks.from_flax`).

    padding: "SAME" as Dopamine's: 84, 21, 11, 11 pixels; 7,744 inputs to the 512 units; 4.05M parameters with 18 actions. "VALID" as
      CleanRL's, PQN's and DQN Zoo's: 84, 20, 9, 7; 3,136 inputs; 1.69M parameters.
    width: what channels and units are multiplied by, and rounded.
    layer_norm: before every ReLU, over the channels of a pixel and over the units (PQN: Gallici et al., 2024).
    initialiser: one of `layers.INITIALISERS`.
    """

    num_actions: int
    padding: str = "SAME"
    width: float = 1.0
    layer_norm: bool = False
    initialiser: str = "xavier_uniform"
    head: Head = Head()

    def __post_init__(self):
        check_initialiser(self.initialiser)
        if self.padding not in PADDINGS:
            raise UserError(f"padding is {self.padding!r}; it must be one of {', '.join(PADDINGS)}")
        if not 1 <= self.width * 32 < math.inf:
            raise UserError(f"width is {self.width}; it must be finite and at least 1/32, so that a channel is left")
        super().__post_init__()

    @staticmethod
    def check_observation_shape(shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or min(shape[:2]) < 36:
            raise UserError(
                f"network 'nature_cnn' takes images [height, width, channels] of at least 36 x 36 pixels, not {shape}; "
                "minatar_cnn and mlp take smaller ones"
            )

    @nn.compact
    def __call__(self, observations: chex.Array) -> chex.Array:
        init = INITIALISERS[self.initialiser]
        hidden = observations.astype(jnp.float32) / 255.0
        for number, (channels, size, stride) in enumerate(((32, 8, 4), (64, 4, 2), (64, 3, 1))):
            convolution = Convolution(
                round(channels * self.width), size, stride, self.padding, init, name=f"Conv_{number}"
            )
            hidden = _activated(convolution(hidden), self.layer_norm)
        hidden = self.head.dense(round(512 * self.width), kernel_init=init)(hidden.reshape(hidden.shape[0], -1))
        return self.head(_activated(hidden, self.layer_norm), self.num_actions, output_initialiser(self.initialiser))


def _activated(hidden: chex.Array, layer_norm: bool) -> chex.Array:
    return nn.relu(nn.LayerNorm()(hidden) if layer_norm else hidden)
