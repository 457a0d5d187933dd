"""A teacher's data: a full ring of its transitions, collected by it or left from its training, with its output for each."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp

from purejaxrrl import checkpoints, replay, rollouts
from purejaxrrl.environments.base import Environment
from purejaxrrl.teachers import Teacher

KIND = "purejaxrrl teacher data"
_REMEDY = "remove it, and it is collected afresh"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """`ring` is full and in the order of time: `memory.rows` rows of `memory.num_environments`."""

    memory: replay.ReplayMemory
    ring: replay.Step

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over the transitions."""
        return checkpoints.fingerprint(self.ring)


def collect(
    key: chex.PRNGKey,
    environment: Environment,
    params: Any,
    teacher: Teacher,
    memory: replay.ReplayMemory,
    epsilon: float,
) -> Dataset:
    """Lets the teacher play epsilon-greedily until `memory` is full; consumes `key`."""

    @jax.jit
    def run(key: chex.PRNGKey, teacher_params: Any) -> replay.Step:
        reset_key, play_key = jax.random.split(key)
        actors = rollouts.reset(reset_key, environment, params, memory.num_environments)

        def play(carry, num_rows):
            actors, ring = carry
            policy_key, step_key = jax.random.split(jax.random.fold_in(play_key, num_rows))
            preferences = teacher.apply(teacher_params, actors.observation)
            actions = rollouts.epsilon_greedy(policy_key, preferences, epsilon)
            actors, step, _ = rollouts.act(step_key, environment, params, actors, actions, preferences)
            return (actors, memory.add(ring, step, num_rows)), None

        return jax.lax.scan(play, (actors, memory.init()), jnp.arange(memory.rows))[0][1]

    return Dataset(memory, run(key, teacher.params))


def from_replay(memory: replay.ReplayMemory, ring: replay.Step, num_rows: int, last: int, teacher: Teacher) -> Dataset:
    """The last `last` transitions of a training's ring, with the final teacher's output for each.

    Args:
      memory, ring, num_rows: the ring and how many rows were ever written to it.
      last: transitions to keep, rounded down to rows; at most what was written.
    """
    rows = min(last // memory.num_environments, memory.rows, num_rows)
    order = jnp.arange(num_rows - rows, num_rows) % memory.rows
    kept = dataclasses.replace(memory, capacity=rows * memory.num_environments)
    return Dataset(kept, _relabel(kept, jax.tree.map(lambda leaf: leaf[order], ring), teacher))


def _relabel(memory: replay.ReplayMemory, ring: replay.Step, teacher: Teacher) -> replay.Step:
    """`ring` with the teacher's output for every row: what a ring recorded in training are its past selves'."""
    label = functools.partial(teacher.apply, teacher.params)
    preferences = jax.lax.map(lambda observation: label(memory.observations(observation)), ring.observation)
    return ring.replace(preferences=preferences.astype(jnp.float32))


def save(path: str | os.PathLike, dataset: Dataset, teacher: Teacher) -> None:
    """Writes the data as a folder, atomically."""
    memory = dataclasses.asdict(dataset.memory) | {
        "observation_dtype": str(jnp.dtype(dataset.memory.observation_dtype))
    }
    about = {"kind": KIND, "format": 1, "teacher": teacher.fingerprint(), "memory": memory}
    checkpoints.save(path, dataset.ring, about)


def load(path: str | os.PathLike, teacher: Teacher) -> Dataset:
    """Reads data that `save` wrote for this teacher.

    Raises:
      checkpoints.CheckpointError: there is none, it is damaged, or it is another teacher's.
    """
    about = checkpoints.read_about(path, KIND, _REMEDY)
    if about.get("teacher") != teacher.fingerprint():
        raise checkpoints.CheckpointError(f"{path} holds the data of another teacher; {_REMEDY}")
    try:
        fields = about["memory"]
        shape, dtype = tuple(fields["observation_shape"]), jnp.dtype(fields["observation_dtype"])
        memory = replay.ReplayMemory(**fields | {"observation_shape": shape, "observation_dtype": dtype})
    except (KeyError, TypeError, ValueError) as error:
        raise checkpoints.CheckpointError(f"{path}: the memory is not one of ours ({error}); {_REMEDY}") from error
    ring = checkpoints.load_arrays(path, jax.eval_shape(memory.init), _REMEDY)
    return Dataset(memory, jax.tree.map(jnp.asarray, ring))


def load_or_collect(settings: Any, environment: Environment, params: Any, teacher: Teacher) -> Dataset:
    """The teacher's data: from `settings.data`, beside the teacher, or collected now and kept for the next run.

    Args:
      settings: its attributes teacher, data, data_transitions, data_epsilon, num_environments and max_n_step are read.
    """
    folder = _folder(settings, environment, teacher)
    if folder.exists():
        dataset = load(folder, teacher)
        if dataset.memory.max_n_step < settings.max_n_step:
            memory = dataclasses.replace(dataset.memory, max_n_step=settings.max_n_step)
            dataset = dataclasses.replace(dataset, memory=memory)
        print(f"teacher data: {dataset.memory.capacity:,} transitions from {folder}")
        return dataset
    print(f"teacher data: collecting {settings.data_transitions:,} transitions, kept in {folder}")
    memory = replay.memory_for(
        environment, params, settings.data_transitions, settings.num_environments, settings.max_n_step
    )
    dataset = collect(jax.random.key(0), environment, params, teacher, memory, settings.data_epsilon)
    save(folder, dataset, teacher)
    return dataset


def _folder(settings: Any, environment: Environment, teacher: Teacher) -> Path:
    if settings.data:
        return Path(settings.data)
    beside = Path(settings.teacher).with_name("teacher_data") if settings.teacher else None
    if beside and beside.exists():
        return beside
    numbers = f"{settings.data_transitions}-{settings.num_environments}-{settings.data_epsilon}"
    return Path("runs/data") / environment.name / f"{teacher.fingerprint()[:12]}-{numbers}"
