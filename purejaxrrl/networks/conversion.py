"""Parameters as a flax module of `nn.Conv` and `nn.Dense` has them, and back, bit for bit.

The layers of `nature_cnn` are called and shaped as flax calls and shapes those of the same network written with `nn.Conv`. So the
variables of Dopamine's `NatureDQNNetwork(num_actions)` are those of `describe("nature_cnn", num_actions, (84, 84, 4))`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrrl.errors import UserError
from purejaxrrl.networks.registry import Description


def to_flax(params: Any) -> dict[str, Any]:
    """The variables that `module.apply` of such a module takes."""
    return {"params": params}


def from_flax(network: Description, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `network`, float32, from the variables of such a module, also where they are numpy's.

    Raises:
      ValueError: a layer's kernel or bias is missing, has no place in the network or has another shape there; it is named.
    """
    given = _plain(variables.get("params", variables))
    expected = jax.eval_shape(network.init, jax.random.key(0))
    found, wanted = _shapes(given), _shapes(expected)
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            has, needs = (shapes.get(name, "missing") for shapes in (found, wanted))
            raise UserError(f"{name} is {has}; in network {network.name!r} with {dict(network.options)} it is {needs}")
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), given)


def _plain(variables: Any) -> Any:
    """Nested dictionaries, of whatever mappings they were."""
    if isinstance(variables, Mapping):
        return {name: _plain(value) for name, value in variables.items()}
    return variables


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(jnp.shape(leaf)) for path, leaf in leaves}
