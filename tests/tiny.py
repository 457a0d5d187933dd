"""What the tests of whole programs share: settings that compile and run in seconds, and a teacher that knows nothing."""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxrrl import networks, teachers
from purejaxrrl.environments.base import Environment
from purejaxrrl.environments.minatar import EnvParams
from purejaxrrl.students.hyperparameters import as_arrays, names
from purejaxrrl.teachers import datasets

# Shapes and cadences that compile and run in seconds; an episode of 50 steps ends an evaluation soon.
TINY = {
    "seeds": 2,
    "offline_iterations": 1,
    "offline_updates": 20,
    "online_iterations": 2,
    "iteration_steps": 160,
    "evaluation_steps": 20,
    "evaluation_environments": 2,
    "card_episodes": 2,
    "target_period": 10,
    "batch_size": 8,
    "capacity": 400,
    "warm_up": 48,
    "data_transitions": 400,
    "max_n_step": 3,
}
SHORT_EPISODES = EnvParams(max_steps_in_episode=50)


def untrained_teacher(environment: Environment, seed: int = 5) -> teachers.Teacher:
    """A small MLP with random weights, whose card claims scores that normalise."""
    shape = tuple(environment.observation_space(environment.default_params).shape)
    network = networks.describe("mlp", environment.num_actions, shape, widths=(8,))
    card = teachers.Card(
        environment=environment.name,
        output="q_values",
        num_actions=environment.num_actions,
        observation_shape=shape,
        score=2.0,
        random_score=0.5,
        evaluation_episodes=1,
        frames=1,
    )
    return teachers.from_network(network, network.init(jax.random.key(seed)), card)


def data(environment: Environment, teacher: teachers.Teacher, env_params: Any) -> datasets.Dataset:
    return datasets.collect(
        jax.random.key(3), environment, teacher, TINY["data_transitions"], epsilon=0.1, env_params=env_params
    )


def flags(**options) -> list[str]:
    """A command line of the tiny settings, with changes."""
    merged = TINY | {name: value for name, value in options.items()}
    return [f"--{name.replace('_', '-')}={value}" for name, value in merged.items()]


def tiny(cls: type, **changes):
    """Settings or options of that class, tiny but for the changes."""
    return cls(**{name: value for name, value in (TINY | changes).items() if name in names(cls)})


def changed(settings: Any, **values: Any) -> Any:
    """The settings as arrays with other values of what is traced: those of the same program, whatever follows from them."""

    def value(path, leaf):
        return jnp.asarray(values.get(path[0].name, leaf), leaf.dtype)

    return jax.tree.map_with_path(value, as_arrays(settings))
