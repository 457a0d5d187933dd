"""A teacher's data: a full ring of its transitions, collected by it or left from its training, with its output for each."""

import dataclasses
import functools
import json
import os
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl import replay, teachers
from purejaxrrl.environments.base import Environment, options_of
from purejaxrrl.errors import UserError
from purejaxrrl.files import checkpoints
from purejaxrrl.replay import acting
from purejaxrrl.teachers import Teacher, check_fits

KIND = "purejaxrrl teacher data"
_REMEDY = "give the folder of its data, or one that is not there: new data are collected in it"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """`ring` is full and in the order of time: `memory.rows` rows of `memory.num_environments`.

    environment_options: those that the environment they come from was made with.
    teacher_sha256: the fingerprint of the teacher whose output they have; None where that is a mere function's.
    """

    memory: replay.ReplayMemory
    ring: replay.Step
    environment_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    teacher_sha256: str | None = None

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over the transitions and the environment's options."""
        return checkpoints.fingerprint(self.ring, json.dumps(self.environment_options, sort_keys=True))


def collect(
    key: chex.PRNGKey,
    environment: Environment,
    teacher: Teacher,
    transitions: int,
    *,
    epsilon: float = 0.01,
    num_environments: int = 8,
    env_params: Any = None,
) -> Dataset:
    """Lets the teacher play epsilon-greedily for that many transitions; consumes `key`.

    Args:
      env_params: the environment's default ones unless given.

    Raises:
      ValueError: the teacher is not for the environment, `epsilon` is no probability, `transitions` no positive multiple of
        `num_environments`, or more than fit the memory.
    """
    check_fits(teacher, environment)
    if not 0.0 <= epsilon <= 1.0:
        raise UserError(f"epsilon is {epsilon}; it must lie in [0, 1]")
    if transitions < 1 or transitions % num_environments:
        raise UserError(
            f"transitions is {transitions}; it must be a positive multiple of the {num_environments} environments"
        )
    env_params = environment.default_params if env_params is None else env_params
    memory = replay.memory_for(
        environment, env_params, transitions, num_environments, max_n_step=1, teacher_outputs=environment.num_actions
    )

    replay.check_space(memory)
    ring = _play(key, environment, env_params, teacher, memory, epsilon)
    return Dataset(memory, ring, options_of(environment), teacher.fingerprint())


def _play(
    key: chex.PRNGKey,
    environment: Environment,
    env_params: Any,
    teacher: Teacher,
    memory: replay.ReplayMemory,
    epsilon: float,
) -> replay.Step:
    """A ring full of what the teacher did."""
    fire_action = teachers.fire_action(teacher, environment)

    @jax.jit
    def run(key: chex.PRNGKey, teacher_params: Any) -> replay.Step:
        reset_key, play_key = jax.random.split(key)
        actors = acting.reset(reset_key, environment, env_params, memory.num_environments)

        def play(carry, num_rows):
            actors, ring, fire = carry
            policy_key, step_key = jax.random.split(jax.random.fold_in(play_key, num_rows))
            teacher_output = teacher.apply(teacher_params, actors.observation)
            if fire is not None:
                teacher_output = acting.with_fire(teacher_output, fire, fire_action)
            actions = acting.epsilon_greedy(policy_key, teacher_output, epsilon)
            if fire is not None:
                actions = jnp.where(fire.due, fire_action, actions)
            actors, step, info = acting.act(step_key, environment, env_params, actors, actions, teacher_output)
            if fire is not None:
                fire = acting.fire_after(fire, info["lives"], actors.is_first)
            return (actors, memory.add(ring, step, num_rows), fire), None

        fire = None if fire_action is None else acting.fire_at_first(memory.num_environments)
        return jax.lax.scan(play, (actors, memory.init(), fire), jnp.arange(memory.rows))[0][1]

    return run(key, teacher.params)


def from_transitions(
    teacher: Teacher | Callable[[chex.Array], chex.Array],
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    next_observations: np.ndarray,
    terminated: np.ndarray,
) -> Dataset:
    """Data that somebody has as numpy arrays, with the teacher's output for each observation.

    They may be whole episodes in the order of time, or transitions in any order: where a transition's next observation is not
    the observation of the one that follows, returns end and bootstrap there, as at a time limit. Observations are kept as they are,
    stacks of frames with all of their frames: a million of Atari's take 28 GB.

    Args:
      teacher: or a function of observations `[B, ...]` to its output, float `[B, num_actions]`.
      observations, next_observations: `[T, ...]`.
      actions: `[T, ...]`; integers become int32.
      rewards: `[T]`, unclipped.
      terminated: bool `[T]`; True cuts the bootstrap.

    Raises:
      ValueError: lengths or shapes differ, there are no transitions, a number is not finite, `terminated` holds other values than
        0 and 1, actions or observations are not those of the teacher, or the data do not fit the memory.
    """
    columns = _checked(observations, actions, rewards, next_observations, terminated)
    observations, actions, rewards, next_observations, terminated = columns
    length = len(observations)
    follows = np.zeros(length, bool)
    same = next_observations[:-1] == observations[1:]
    follows[:-1] = same.all(axis=tuple(range(1, same.ndim)))
    cut = ~terminated & ~follows
    # Behind a transition that is cut off stands a row with its next observation, which is no transition itself.
    place = np.arange(length) + np.concatenate([[0], np.cumsum(cut)[:-1]])
    rows = length + int(cut.sum()) + 1  # the last row is never drawn, for 1-step returns
    memory = replay.ReplayMemory(
        capacity=rows,
        num_environments=1,
        codec=replay.codec_for(observations.shape[1:], observations.dtype),
        max_n_step=1,
        action_shape=actions.shape[1:],
        action_dtype=actions.dtype,
    )
    try:
        replay.check_space(memory)
    except UserError as error:
        raise UserError(f"{length:,} transitions are too many: {error}") from None

    def spread(values: np.ndarray) -> np.ndarray:
        spread = np.zeros((rows, *values.shape[1:]), values.dtype)
        spread[place] = values
        return spread

    seen = spread(observations)
    seen[place[cut] + 1] = next_observations[cut]
    first = np.concatenate([[True], terminated[:-1] | cut[:-1]])
    outputs = _labelled(teacher, seen)
    _check_actions(actions, outputs.shape[-1])
    memory = dataclasses.replace(memory, teacher_outputs=outputs.shape[-1])
    ring = replay.Step(
        observation=memory.codec.encode(jnp.asarray(seen)[:, None]),
        action=jnp.asarray(spread(actions))[:, None],
        reward=jnp.asarray(spread(rewards))[:, None],
        terminated=jnp.asarray(spread(terminated))[:, None],
        truncated=jnp.asarray(spread(cut))[:, None],
        is_transition=jnp.asarray(spread(np.ones(length, bool)))[:, None],
        is_first=jnp.asarray(spread(first))[:, None],
        teacher_output=outputs,
    )
    return Dataset(memory, ring, teacher_sha256=None if callable(teacher) else teacher.fingerprint())


def _labelled(teacher: Teacher | Callable, observations: np.ndarray) -> chex.Array:
    """The teacher's output for each observation `[T, ...]`, float32 `[T, 1, num_actions]`."""
    if not callable(teacher) and observations.shape[1:] != tuple(teacher.card.observation_shape):
        raise UserError(
            f"observations are {observations.shape[1:]} and the teacher's {tuple(teacher.card.observation_shape)}"
        )
    label = teacher if callable(teacher) else functools.partial(teacher.apply, teacher.params)
    outputs = jax.lax.map(lambda row: label(row[None]), jnp.asarray(observations)).astype(jnp.float32)
    if not np.isfinite(np.asarray(outputs)).all():
        raise UserError("the teacher's output for some observation is not finite; look at the observations")
    return outputs


def _check_actions(actions: np.ndarray, num_actions: int) -> None:
    if actions.ndim > 1:
        return
    if not np.issubdtype(actions.dtype, np.integer):
        raise UserError(f"actions are {actions.dtype}; one of {num_actions} actions is an integer")
    if (bad := np.flatnonzero((actions < 0) | (actions >= num_actions))).size:
        raise UserError(f"action {bad[0]} is {actions[bad[0]]}; the teacher's actions are 0 to {num_actions - 1}")


def _checked(observations, actions, rewards, next_observations, terminated) -> tuple[np.ndarray, ...]:
    """The columns as arrays of the types that a ring keeps."""
    observations, next_observations, actions = (
        column.astype(jax.dtypes.canonicalize_dtype(column.dtype), copy=False)  # float64 is numpy's default, not JAX's
        for column in map(np.asarray, (observations, next_observations, actions))
    )
    rewards, terminated = np.asarray(rewards, np.float32), np.asarray(terminated)
    if not np.isin(terminated, (0, 1)).all():
        raise UserError(f"terminated holds {terminated[~np.isin(terminated, (0, 1))][0]}; it must be True or False")
    terminated = terminated.astype(bool)
    if np.issubdtype(actions.dtype, np.integer):
        actions = actions.astype(np.int32)
    lengths = [len(column) for column in (observations, actions, rewards, next_observations, terminated)]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise UserError(
            f"observations, actions, rewards, next_observations and terminated have {lengths} entries; give one of each "
            f"for every transition, and at least one transition"
        )
    if observations.shape != next_observations.shape or rewards.ndim != 1 or terminated.ndim != 1:
        raise UserError(
            f"observations {observations.shape} and next_observations {next_observations.shape} must be shaped alike, "
            f"rewards {rewards.shape} and terminated {terminated.shape} one number a transition"
        )
    for name, values in (("observations", observations), ("next_observations", next_observations)):
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise UserError(f"{name} are not all finite")
    if not np.isfinite(rewards).all():
        raise UserError(f"reward {np.flatnonzero(~np.isfinite(rewards))[0]} is not finite")
    return observations, actions, rewards, next_observations, terminated


def from_replay(
    memory: replay.ReplayMemory,
    ring: replay.Step,
    num_rows: int,
    last: int,
    teacher: Teacher,
    environment: Environment,
    run: int | None = None,
) -> Dataset:
    """The last `last` transitions of a training's ring, with the final teacher's output for each.

    Args:
      memory, ring, num_rows: the ring and how many rows were ever written to it.
      run: which of the rings that are stacked; None: it is one alone.
      environment: what they were played in.
      last: transitions to keep, rounded down to rows; at most what was written.

    The first rows whose stacks of frames begin before them hold frames for those that follow, and are no transitions.
    """
    rows = min(last // memory.num_environments, memory.rows, num_rows)
    order = jnp.arange(num_rows - rows, num_rows) % memory.rows
    outputs = teacher.card.num_actions
    kept = dataclasses.replace(memory, capacity=rows * memory.num_environments, teacher_outputs=outputs)
    ordered = _begun(kept, jax.tree.map(lambda leaf: _rows(leaf, order, run), ring))
    return Dataset(
        kept,
        _relabel(kept, ordered, teacher),
        options_of(environment),
        teacher.fingerprint(),
    )


def _rows(leaf: chex.Array, order: chex.Array, run: int | None) -> chex.Array:
    """Rows of one ring, in that order; of stacked rings from the device that has the run: asked for those of an array on many devices,
    XLA gives each of them a copy."""
    if run is None:
        return leaf[order]
    for shard in leaf.addressable_shards:
        first = shard.index[0].start or 0
        if first <= run < first + len(shard.data):
            return shard.data[run - first, order]  # at once, for a ring may be too large to have twice
    raise ValueError(f"run {run} is on no device of this process")


def last(dataset: Dataset, transitions: int) -> Dataset:
    """The end of the data: that many transitions, rounded down to rows, or all where there are no more.

    Raises ValueError where they are too few to draw from.
    """
    memory = dataset.memory
    rows = transitions // memory.num_environments
    if rows >= memory.rows:
        return dataset
    kept = dataclasses.replace(memory, capacity=rows * memory.num_environments)
    ring = jax.tree.map(lambda leaf: leaf[-rows:], dataset.ring)
    return dataclasses.replace(dataset, memory=kept, ring=_begun(kept, ring))


def _begun(memory: replay.ReplayMemory, ring: replay.Step) -> replay.Step:
    """A ring that was cut off from what came before it: rows whose stacks of frames begin there are no transitions."""
    rows = jnp.arange(memory.rows)[:, None]
    is_whole = (rows >= memory.codec.history) | (jnp.cumsum(ring.is_first, axis=0) > 0)
    return ring.replace(is_transition=ring.is_transition & is_whole)


def _relabel(memory: replay.ReplayMemory, ring: replay.Step, teacher: Teacher) -> replay.Step:
    """`ring` with the teacher's output for every row: what a ring recorded in training are its past selves', or nothing."""
    label = functools.partial(teacher.apply, teacher.params)
    environments = jnp.arange(memory.num_environments)

    def row(number: chex.Array) -> chex.Array:
        rows = jnp.full_like(environments, number)
        return label(memory.codec.gather(ring.observation, ring.is_first, rows, environments))

    return ring.replace(teacher_output=jax.lax.map(row, jnp.arange(memory.rows)).astype(jnp.float32))


def save(path: str | os.PathLike, dataset: Dataset, teacher: Teacher) -> None:
    """Writes the data as a folder, atomically. Raises ValueError where they have the output of another teacher."""
    if dataset.teacher_sha256 not in (None, teacher.fingerprint()):
        raise UserError("the data have the output of another teacher; save them with that one")
    about = {
        "kind": KIND,
        "teacher": teacher.fingerprint(),
        "memory": dataset.memory.to_json(),
        "environment_options": dataset.environment_options,
    }
    checkpoints.save(path, dataset.ring, about)


def load(path: str | os.PathLike, teacher: Teacher) -> Dataset:
    """Reads data that `save` wrote for this teacher.

    Raises:
      checkpoints.CheckpointError: there is none, it is damaged, of the first release, or another teacher's.
    """
    about = checkpoints.read_about(path, KIND, _REMEDY)
    if about.get("format") == 1:
        raise checkpoints.CheckpointError(f"{path} is of the first release, whose rings had other columns; {_REMEDY}")
    if about.get("teacher") != teacher.fingerprint():
        raise checkpoints.CheckpointError(f"{path} holds the data of another teacher; {_REMEDY}")
    try:
        memory, options = replay.ReplayMemory.from_json(about["memory"]), dict(about["environment_options"])
        expected = jax.eval_shape(memory.init)
    except Exception as error:  # JAX raises many types for shapes and types that are none
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise checkpoints.CheckpointError(f"{path}: the memory is not one of ours ({reason}); {_REMEDY}") from error
    ring = checkpoints.load_arrays(path, expected, _REMEDY)
    for name in ("reward", "teacher_output"):
        if (values := getattr(ring, name)) is not None and not np.isfinite(values).all():
            raise checkpoints.CheckpointError(f"{path}: {name} holds what is no finite number; {_REMEDY}")
    return Dataset(memory, jax.tree.map(jnp.asarray, ring), options, teacher.fingerprint())
