"""Scores of many runs as RLiable defines them: interquartile means with stratified bootstrap intervals.

Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021.
"""

from collections.abc import Callable

import numpy as np


def interquartile_mean(scores: np.ndarray) -> float:
    """The mean of the middle half of all scores: `scores` of any shape, a quarter cut off at each end.

    As scipy.stats.trim_mean(scores, 0.25, axis=None): floor(size / 4) scores are cut off at each end.
    """
    flat = np.sort(np.asarray(scores, dtype=np.float64), axis=None)
    if flat.size == 0:
        raise ValueError("the interquartile mean of no scores is not defined")
    cut = flat.size // 4
    return float(flat[cut : flat.size - cut].mean())


def stratified_bootstrap_interval(
    scores: np.ndarray,
    statistic: Callable[[np.ndarray], float] = interquartile_mean,
    *,
    confidence: float = 0.95,
    replications: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile bootstrap interval of a statistic, runs resampled with replacement for each task apart.

    Args:
      scores: `[num_runs, num_tasks]`.
      statistic: of such an array.

    Raises:
      ValueError: `scores` is not `[num_runs, num_tasks]` with at least one of each.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"scores must be [num_runs, num_tasks] with at least one of each, not {scores.shape}")
    generator = np.random.default_rng(seed)
    num_runs, num_tasks = scores.shape
    tasks = np.arange(num_tasks)
    replicates = [
        statistic(scores[generator.integers(num_runs, size=(num_runs, num_tasks)), tasks]) for _ in range(replications)
    ]
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(replicates, [tail, 100.0 - tail])
    return float(low), float(high)
