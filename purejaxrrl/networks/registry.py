"""Networks by name, and as data: a name and a few values (`Description`), so that a file can say what it holds.

Any flax module with a field `num_actions` can be registered, and is then described, trained and saved as ours are:

    @networks.register("linear")
    class Linear(nn.Module):
        num_actions: int

        @nn.compact
        def __call__(self, observations):  # [B, ...]
            return nn.Dense(self.num_actions)(observations.reshape(observations.shape[0], -1))

    networks.describe("linear", num_actions=3, observation_shape=(10, 10, 4))
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from purejaxrrl.errors import UserError, nearest
from purejaxrrl.networks.heads import Head
from purejaxrrl.networks.layers import NOISE
from purejaxrrl.networks.torsos import MLP, MinAtarCNN, NatureCNN

_OURS = {"mlp": MLP, "minatar_cnn": MinAtarCNN, "nature_cnn": NatureCNN}
_NETWORKS: dict[str, type[nn.Module]] = dict(_OURS)


def names() -> tuple[str, ...]:
    """The names `describe` knows: ours, then those that were registered, in that order."""
    return tuple(_NETWORKS)


def module(name: str) -> type[nn.Module]:
    """The class of that name, one of `names`."""
    return _NETWORKS[name]


def register(name: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """A decorator that makes a flax module a network of that name.

    The module's fields are `num_actions` and the options that `describe` takes, all with defaults; where one of them is
    called `head`, a `Head`, it says what the module's output is, which else is Q-values. `__call__` takes observations
    `[B, ...]` and returns `[B, *head.output_shape(num_actions)]`. It may have a static method `check_observation_shape(shape)`
    that raises ValueError. Under `vmap` over parameters, `nn.Conv` is slow; `PatchConvolution` is not.

    A class that is defined anew under its old name, as a notebook's cell does, takes its place.

    Raises:
      ValueError: another class has the name, or the class is no flax module with a field `num_actions`.
    """

    def decorator(module: type[nn.Module]) -> type[nn.Module]:
        if not (isinstance(module, type) and issubclass(module, nn.Module) and "num_actions" in _fields(module)):
            raise UserError(f"network {name!r} must be a flax module with a field num_actions, not {module!r}")
        known = _NETWORKS.get(name)
        if known and (known.__module__, known.__qualname__) != (module.__module__, module.__qualname__):
            raise UserError(
                f"network {name!r} is {known.__module__}.{known.__qualname__}; register {module.__qualname__} by another name"
            )
        _NETWORKS[name] = module
        return module

    return decorator


def unregister(name: str) -> None:
    """Forgets a network that was registered. Raises ValueError where there is none, or it is one of ours."""
    if name in _OURS or name not in _NETWORKS:
        registered = [known for known in _NETWORKS if known not in _OURS]
        raise UserError(f"no network {name!r} was registered, only: {', '.join(registered) or 'none'}")
    del _NETWORKS[name]


class MissingNetworkError(UserError):
    """A described network is registered by a Python module that was not imported."""


@dataclasses.dataclass(frozen=True)
class Description:
    """A network as data: one of `names()`, the fields of its module and the observation that it takes.

    Hashable, and equal where the values are. Make one with `describe`.
    """

    name: str
    num_actions: int
    observation_shape: tuple[int, ...]
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self):
        if self.name not in _NETWORKS:
            raise UserError(f"unknown network {self.name!r}; the nearest are {nearest(self.name, names())}")
        module = _NETWORKS[self.name]
        known = _fields(module) - {"num_actions"}
        unknown = sorted(set(dict(self.options)) - known)
        if unknown:
            raise UserError(f"network {self.name!r} has no option {unknown[0]!r}; it has {', '.join(sorted(known))}")
        if hasattr(module, "check_observation_shape"):
            module.check_observation_shape(self.observation_shape)
        if self.name in _OURS:
            self.module()  # checks the options' values

    @property
    def head(self) -> Head:
        """What the output is; a module without a field `head` returns Q-values."""
        head = getattr(self.module(), "head", None)
        return head if isinstance(head, Head) else Head()

    def module(self) -> nn.Module:
        return _NETWORKS[self.name](num_actions=self.num_actions, **dict(self.options))

    def init(self, key: chex.PRNGKey) -> Any:
        """Fresh parameters; consumes `key`."""
        return self.module().init(key, jnp.zeros((1, *self.observation_shape)))["params"]

    def apply(self, params: Any, observations: chex.Array, key: chex.PRNGKey | None = None) -> chex.Array:
        """The head's output, float32 `[B, *head.output_shape(num_actions)]`, of observations `[B, ...]`.

        Args:
          key: of noisy layers' noise, of which one sample serves the batch; consumed. Without one their weights are the means.
        """
        rngs = None if key is None else {NOISE: key}
        return self.module().apply({"params": params}, observations, rngs=rngs)

    def q_values(self, output: chex.Array) -> chex.Array:
        """Q-values `[..., num_actions]` of what `apply` returned: expectations where that is distributions."""
        return self.head.q_values(output)

    def apply_q_values(self, params: Any, observations: chex.Array, key: chex.PRNGKey | None = None) -> chex.Array:
        """Q-values `[B, num_actions]` of observations `[B, ...]`, whatever the head; `key` as in `apply`."""
        return self.q_values(self.apply(params, observations, key))

    def num_parameters(self) -> int:
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(self.init, jax.random.key(0))))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes, with the name of the Python module that registers the network.

        Raises:
          ValueError: an option's value is nothing that JSON can hold.
        """
        options = {name: _to_json(value, f"{self.name}'s {name}") for name, value in self.options}
        return {
            "name": self.name,
            "module": _NETWORKS[self.name].__module__,
            "num_actions": self.num_actions,
            "observation_shape": list(self.observation_shape),
            "options": options,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Description":
        """Imports and runs nothing: what `data` names must be registered already.

        Raises:
          MissingNetworkError: the network is not; the message says which it is and which Python module registers it.
        """
        if data["name"] not in _NETWORKS and not data.get("module", "purejaxrrl.").startswith("purejaxrrl."):
            raise MissingNetworkError(
                f"network {data['name']!r} is missing: the Python module {data['module']!r} registers it; import that first"
            )
        options = {name: Head(**value) if isinstance(value, dict) else value for name, value in data["options"].items()}
        return describe(data["name"], data["num_actions"], tuple(data["observation_shape"]), **options)


def describe(name: str, num_actions: int, observation_shape: tuple[int, ...], **options: Any) -> Description:
    """`describe("mlp", 3, (10, 10, 4), widths=(120, 84), head=heads.c51())`.

    Raises:
      ValueError: the name or an option is unknown, or the network cannot take such observations; a registered one has
        state besides its parameters, or its output is not shaped as its head says.
    """
    hashable = {option: _tuples(value) for option, value in options.items()}
    description = Description(name, num_actions, tuple(observation_shape), tuple(sorted(hashable.items())))
    if name not in _OURS:
        _check_module(description)
    return description


def _check_module(description: Description) -> None:
    """Traces the module, so that what is wrong with it is said before a training step is compiled."""
    batch = 2
    observations = jax.ShapeDtypeStruct((batch, *description.observation_shape), jnp.float32)
    variables = jax.eval_shape(description.module().init, jax.random.key(0), observations)
    if extra := sorted(set(variables) - {"params"}):
        raise UserError(f"network {description.name!r} has {', '.join(extra)}; it may only have parameters")
    found = jax.eval_shape(description.apply, variables["params"], observations)
    expected = (batch, *description.head.output_shape(description.num_actions))
    if getattr(found, "shape", None) != expected:
        raise UserError(
            f"network {description.name!r} makes {getattr(found, 'shape', type(found).__name__)} of {batch} observations; "
            f"its head's {description.head.outputs} are {expected}"
        )


def _fields(module: type[nn.Module]) -> set[str]:
    return {field.name for field in dataclasses.fields(module)} - {"parent", "name"}


def _to_json(value: Any, what: str) -> Any:
    if isinstance(value, Head):
        return dataclasses.asdict(value)
    if isinstance(value, tuple):
        return [_to_json(item, what) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise UserError(f"network {what} is {value!r}, which a file cannot hold; give numbers, strings, or tuples of them")


def _tuples(value: Any) -> Any:
    """Lists, as JSON has them, as tuples, which can be hashed."""
    return tuple(_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value
