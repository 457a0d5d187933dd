"""What the tests of the experiments share: settings that compile and run in seconds, and a teacher that knows nothing."""

import dataclasses

import jax

from purejaxrrl import networks, replay, teachers
from purejaxrrl.environments.base import Environment
from purejaxrrl.environments.minatar import EnvParams

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
    params = environment.default_params
    memory = replay.memory_for(environment, params, 80, 8, 3)
    network = networks.describe("mlp", environment.num_actions, memory.observation_shape, widths=(8,))
    card = teachers.Card(
        environment=environment.name,
        output="q_values",
        num_actions=environment.num_actions,
        observation_shape=memory.observation_shape,
        score=2.0,
        random_score=0.5,
        evaluation_episodes=1,
        frames=1,
    )
    return teachers.from_network(network, network.init(jax.random.key(seed)), card)


def flags(**options) -> list[str]:
    """A command line of the tiny settings, with changes."""
    merged = TINY | {name: value for name, value in options.items()}
    return [f"--{name.replace('_', '-')}={value}" for name, value in merged.items()]


def tiny(config_class, **changes):
    names = {field.name for field in dataclasses.fields(config_class)}
    return config_class(**{name: value for name, value in (TINY | changes).items() if name in names})
