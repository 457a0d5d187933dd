"""Perciatelli44, the station-keeping controller of Bellemare et al. (Nature 588, 2020), as an ordinary teacher.

A quantile network (QR-DQN), 1099-600x7-153, of which the reference carries a frozen graph. Scores are this
environment's own, on the small suite (`docs/balloon.md`).
"""

import jax.numpy as jnp
import numpy as np

from purejaxrrl import networks
from purejaxrrl.teachers.importers import frozen_graph
from purejaxrrl.teachers.teacher import Card, Teacher, from_network

OBSERVATION, WIDTH, HIDDEN, ACTIONS, QUANTILES = 1099, 600, 7, 3, 51
SCORE, RANDOM_SCORE, EPISODES = 410.3, 123.5, 100
NETWORK = networks.describe("mlp", ACTIONS, (OBSERVATION,), widths=(WIDTH,) * HIDDEN, head=networks.quantile(QUANTILES))


def perciatelli44(graph: bytes) -> Teacher:
    """The teacher that the bytes of `perciatelli44.pb` hold.

    Raises:
      frozen_graph.GraphError: they hold no graph, or not this network's.
    """
    found = frozen_graph.constants(graph)
    sizes = [OBSERVATION, *[WIDTH] * HIDDEN, ACTIONS * QUANTILES]
    params = {}
    for layer, shape in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        scope = "Online/fully_connected" + (f"_{layer}" if layer else "")
        kernel, bias = (
            _of_shape(found, f"{scope}/{part}", wanted) for part, wanted in (("weights", shape), ("biases", shape[1:]))
        )
        params[f"Dense_{layer}"] = {"bias": bias, "kernel": kernel}
    return from_network(NETWORK, params, _card())


def _of_shape(found: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> jnp.ndarray:
    if name not in found:
        raise frozen_graph.GraphError(f"the graph has no constant {name!r}, which Perciatelli44 has")
    array = found[name]
    if array.shape != shape or not np.isfinite(array).all():
        raise frozen_graph.GraphError(f"{name!r} is {array.shape}, or not finite; Perciatelli44's is {shape}")
    return jnp.asarray(array)


def _card() -> Card:
    return Card(
        environment="balloon",
        output="q_values",
        num_actions=ACTIONS,
        observation_shape=(OBSERVATION,),
        score=SCORE,
        random_score=RANDOM_SCORE,
        evaluation_episodes=EPISODES,
        frames=0,
        algorithm="QR-DQN (Perciatelli44, Bellemare et al. 2020; frames not published)",
        version="balloon-learning-environment 1.0.1",
        command="python -m purejaxrrl.environments.balloon.fetch",
    )
