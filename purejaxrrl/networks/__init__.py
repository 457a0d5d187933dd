"""Networks: torsos, heads, and the registry that knows them by name."""

from purejaxrrl.networks.conversion import from_flax, to_flax
from purejaxrrl.networks.heads import Head, c51, plain, quantile
from purejaxrrl.networks.layers import INITIALISERS, PADDINGS, Convolution, NoisyDense, PatchConvolution
from purejaxrrl.networks.registry import Description, MissingNetworkError, describe, module, names, register, unregister
from purejaxrrl.networks.torsos import MLP, MinAtarCNN, NatureCNN

__all__ = [
    "INITIALISERS",
    "MLP",
    "PADDINGS",
    "Convolution",
    "Description",
    "Head",
    "MinAtarCNN",
    "MissingNetworkError",
    "NatureCNN",
    "NoisyDense",
    "PatchConvolution",
    "c51",
    "describe",
    "from_flax",
    "module",
    "names",
    "plain",
    "quantile",
    "register",
    "to_flax",
    "unregister",
]
