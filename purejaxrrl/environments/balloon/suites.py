"""The reference's evaluation suites: episodes of the seeds 0, 1, ... that every agent is scored on, the same for all.

TWR50 is the share of steps after which the balloon is within 50 km of its station. Two agents are to be compared seed by seed: from
one seed to another scores differ far more than from one agent to another.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.balloon import environment
from purejaxrrl.environments.balloon.agents import Agent, greedy
from purejaxrrl.environments.balloon.constants import BATTERY_CAPACITY, FLYING, STEPS_OF_EPISODE
from purejaxrrl.environments.balloon.environment import Balloon
from purejaxrrl.errors import UserError, nearest
from purejaxrrl.evaluation import statistics

SUITES = {"micro": 1, "tiny": 10, "small": 100, "medium": 1000, "big": 10_000}
"""How many seeds each has, from 0 on."""
_LANES = 50


class Path(NamedTuple):
    """After each of 960 steps, `[episodes, 960]`; where an episode had ended it stays as it was at the end.

    x, y: m. pressure, superpressure: Pa. battery: share. reward. action: int32. flying: bool, the episode was going on before the step.
    """

    x: np.ndarray
    y: np.ndarray
    pressure: np.ndarray
    superpressure: np.ndarray
    battery: np.ndarray
    reward: np.ndarray
    action: np.ndarray
    flying: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scores:
    """Of episodes, all `[episodes]`.

    seeds. twr50: share of steps within 50 km. returns: sums of rewards. steps: agent steps flown. status: how each ended, as in `constants`;
    FLYING where time was up.
    """

    seeds: np.ndarray
    twr50: np.ndarray
    returns: np.ndarray
    steps: np.ndarray
    status: np.ndarray

    def mean_with_interval(self, which: str) -> tuple[float, float, float]:
        """The mean of "twr50" or "returns" with its 95% bootstrap interval over episodes."""
        values = getattr(self, which)
        low, high = statistics.stratified_bootstrap_interval(values[:, None], statistics.mean)
        return float(values.mean()), low, high


def seeds_of(suite: str) -> np.ndarray:
    """The suite's seeds. Raises ValueError, with the nearest names, where there is none of that name."""
    if suite not in SUITES:
        raise UserError(f"unknown suite {suite!r}; the nearest are {nearest(suite, SUITES)}")
    return np.arange(SUITES[suite])


def fly(
    balloon: Balloon,
    agent: Agent,
    seeds: Sequence[int],
    *,
    key: jax.Array | None = None,
    lanes: int = _LANES,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[Scores, Path]:
    """Flies an agent through the episodes of those seeds, 960 steps each or until the balloon is lost.

    Args:
      key: of the agent's random numbers; `jax.random.key(0)` unless given.
      lanes: episodes side by side.
      report: is told how many episodes are done.

    Raises:
      ValueError: there are no seeds.
    """
    seeds = np.asarray(seeds)
    if seeds.size == 0:
        raise UserError("no seeds were given")
    key = jax.random.key(0) if key is None else key
    lanes = min(lanes, len(seeds))
    run = jax.jit(jax.vmap(lambda seed: _episode(balloon, agent, key, seed)))
    paths, statuses = [], []
    for begin in range(0, len(seeds), lanes):
        some = seeds[begin : begin + lanes]
        padded = np.concatenate([some, np.full(lanes - len(some), some[0])])  # one shape, one program
        path, status = jax.device_get(run(jnp.asarray(padded, jnp.uint32)))
        paths.append(jax.tree.map(lambda leaf, size=len(some): leaf[:size], path))
        statuses.append(status[: len(some)])
        report(begin + len(some))
    path = jax.tree.map(lambda *parts: np.concatenate(parts), *paths)
    return _scores(seeds, path, np.concatenate(statuses)), path


def evaluation(balloon: Balloon, seeds: Sequence[int]) -> Callable[..., dict[str, jax.Array]]:
    """A student's score on those seeds' episodes, flown greedily within its training (`qdagger.Evaluation`).

    Returns a function of a key, which it does not use, a Q-function of observations `[B, 1099]` and hyperparameters, to `mean_return`,
    `twr50` (their means, float32), `episodes` (int32), and `seed_returns`, `seed_twr50` (float32 `[seeds]`).
    """
    seeds = np.asarray(seeds, np.uint32)
    lanes = min(_LANES, len(seeds))

    def evaluate(
        key: jax.Array, q_values: Callable[[jax.Array], jax.Array], hyperparameters: Any
    ) -> dict[str, jax.Array]:
        del hyperparameters
        agent = greedy(q_values)
        path, _ = jax.lax.map(lambda seed: _episode(balloon, agent, key, seed), seeds, batch_size=lanes)
        within = _is_within(path)
        twr50, returns = within.sum(1) / path.flying.sum(1), path.reward.sum(1)
        return {
            "mean_return": returns.mean(),
            "twr50": twr50.mean(),
            "episodes": jnp.int32(len(seeds)),
            "seed_returns": returns,
            "seed_twr50": twr50,
        }

    return evaluate


def _episode(balloon: Balloon, agent: Agent, key: jax.Array, seed: jax.Array) -> tuple[Path, jax.Array]:
    """One episode's path and last status."""
    begin_key, act_key = jax.random.split(jax.random.fold_in(key, seed))
    observation, state = balloon.reset(environment.key(seed))

    def step(carry, number):
        observation, flight, memory, going_on = carry
        action, memory = agent.act(jax.random.fold_in(act_key, number), memory, observation)
        seen, flown, reward, terminated, _, info = balloon.fly(flight, action)
        vehicle = flown.vehicle  # of a flight that has ended nothing moves on
        row = Path(
            x=vehicle.x,
            y=vehicle.y,
            pressure=vehicle.pressure,
            superpressure=vehicle.superpressure,
            battery=vehicle.battery / BATTERY_CAPACITY,
            reward=jnp.where(going_on, reward, 0.0),
            action=action,
            flying=going_on,
        )
        return (seen, flown, memory, going_on & ~terminated), row

    start = (observation, state.flight, agent.begin(begin_key), jnp.bool_(True))
    carry, path = jax.lax.scan(step, start, jnp.arange(STEPS_OF_EPISODE))
    return path, carry[1].vehicle.status


def _scores(seeds: np.ndarray, path: Path, status: np.ndarray) -> Scores:
    steps = path.flying.sum(1)
    return Scores(
        seeds, np.asarray(_is_within(path)).sum(1) / steps, path.reward.sum(1, dtype=np.float64), steps, status
    )


def _is_within(path: Path) -> jax.Array:
    """Whether the balloon flew and was within 50 km, bool `[episodes, 960]`."""
    return (jnp.hypot(path.x, path.y) <= environment.STATION_RADIUS) & path.flying


def lost(scores: Scores) -> int:
    """How many balloons were lost."""
    return int((scores.status != FLYING).sum())
