"""Scores of many runs as RLiable defines them: interquartile means with stratified bootstrap intervals.

Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021.
"""

from collections.abc import Callable
from typing import Any

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


def median(scores: np.ndarray) -> float:
    """The median over tasks of their means over runs; `scores` is `[num_runs, num_tasks]`, here and below."""
    return float(np.median(np.mean(scores, axis=0)))


def mean(scores: np.ndarray) -> float:
    """The mean over tasks of their means over runs."""
    return float(np.mean(scores))


def optimality_gap(scores: np.ndarray, threshold: float = 1.0) -> float:
    """By how much runs fall short of `threshold` in the mean, those above it counting as at it."""
    return float(threshold - np.mean(np.minimum(scores, threshold)))


def share_of_tasks_above(scores: np.ndarray, threshold: float = 1.0) -> float:
    """The share of tasks whose mean over runs is above `threshold`."""
    return float(np.mean(np.mean(scores, axis=0) > threshold))


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> float:
    """The probability that a run of a task scores higher than another method's run, ties half, in the mean over tasks.

    The Mann-Whitney statistic of each task. `others` may have another number of runs.
    """
    difference = np.asarray(scores, np.float64)[:, None] - np.asarray(others, np.float64)[None]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def performance_profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The share of runs (of all tasks) above each of `thresholds`."""
    return np.mean(np.asarray(scores)[..., None] > thresholds, axis=(0, 1))


def stratified_bootstrap(
    statistic: Callable[..., Any],
    *scores: np.ndarray,
    confidence: float = 0.95,
    replications: int = 2000,
    seed: int = 0,
    paired: bool = False,
) -> tuple[Any, Any]:
    """The percentile bootstrap interval of a statistic, runs resampled with replacement for each task apart.

    Args:
      statistic: of arrays as `scores`; a number or an array.
      scores: each `[num_runs, num_tasks]`, resampled independently of the others.
      paired: run i of a task is run i of the others (the same seed), and the same runs are drawn of all.

    Raises:
      ValueError: `scores` are not `[num_runs, num_tasks]` with at least one of each, or paired and not shaped alike.
    """
    arrays = [np.asarray(array, dtype=np.float64) for array in scores]
    for array in arrays:
        if array.ndim != 2 or array.size == 0:
            raise ValueError(f"scores must be [num_runs, num_tasks] with at least one of each, not {array.shape}")
    if paired and len({array.shape for array in arrays}) > 1:
        raise ValueError(f"paired scores must be shaped alike, not {', '.join(str(array.shape) for array in arrays)}")
    generator = np.random.default_rng(seed)

    def draw(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return generator.integers(array.shape[0], size=array.shape), np.arange(array.shape[1])

    def resampled() -> list[np.ndarray]:
        if paired:
            same = draw(arrays[0])
            return [array[same] for array in arrays]
        return [array[draw(array)] for array in arrays]

    replicates = [statistic(*resampled()) for _ in range(replications)]
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(replicates, [tail, 100.0 - tail], axis=0)
    return low, high


def stratified_bootstrap_interval(
    scores: np.ndarray,
    statistic: Callable[[np.ndarray], float] = interquartile_mean,
    **options: Any,
) -> tuple[float, float]:
    """`stratified_bootstrap` of a number, by default the IQM, of one array of scores."""
    low, high = stratified_bootstrap(statistic, scores, **options)
    return float(low), float(high)


def crossed_difference(
    scores: np.ndarray,
    others: np.ndarray,
    *,
    confidence: float = 0.95,
    replications: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """By how much `scores` are above `others` in the mean, with its percentile bootstrap interval, on the same tasks.

    Tasks are resampled for both together, so that what makes a task hard for both does not widen the interval; the runs of each are resampled
    apart (crossed, as every run was scored on every task). Of one run, such as a fixed agent's, that leaves the tasks; of three it still makes
    intervals somewhat too narrow.

    Args:
      scores, others: `[num_runs, num_tasks]`, the runs of each as many as they are.

    Raises:
      ValueError: they are not of the same tasks, or of none.
    """
    pair = [np.asarray(array, np.float64) for array in (scores, others)]
    if any(array.ndim != 2 or array.size == 0 for array in pair) or pair[0].shape[1] != pair[1].shape[1]:
        raise ValueError(
            f"scores {pair[0].shape} and {pair[1].shape} are not runs of the same tasks; give [num_runs, num_tasks]"
        )
    generator = np.random.default_rng(seed)

    def replicate() -> float:
        tasks = generator.integers(pair[0].shape[1], size=pair[0].shape[1])
        runs = [generator.integers(len(array), size=len(array)) for array in pair]
        mine, theirs = (array[chosen].mean(0)[tasks].mean() for array, chosen in zip(pair, runs, strict=True))
        return mine - theirs

    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile([replicate() for _ in range(replications)], [tail, 100.0 - tail])
    return float(pair[0].mean() - pair[1].mean()), float(low), float(high)


def difference_of_interquartile_means(scores: np.ndarray, others: np.ndarray) -> float:
    """IQM(scores) - IQM(others)."""
    return interquartile_mean(scores) - interquartile_mean(others)


def mean_difference(scores: np.ndarray, others: np.ndarray) -> float:
    """mean(scores) - mean(others)."""
    return mean(scores) - mean(others)


def paired_difference(scores: np.ndarray, others: np.ndarray, **options: Any) -> tuple[float, float, float]:
    """The difference of the IQMs of two methods whose runs are pairs (of one seed each), `[num_pairs, num_tasks]`, and its interval.

    Pairs are resampled together, for each task apart: what two runs share by their seed is not taken for a difference.

    Returns difference, low and high end (`stratified_bootstrap`, whose `options` these are).
    """
    low, high = stratified_bootstrap(difference_of_interquartile_means, scores, others, paired=True, **options)
    return difference_of_interquartile_means(scores, others), float(low), float(high)
