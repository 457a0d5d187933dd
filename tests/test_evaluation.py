import numpy as np
import pytest
import rliable.library
import rliable.metrics
import scipy.stats

from purejaxrrl import evaluation


@pytest.mark.parametrize("size", range(1, 14))
def test_interquartile_mean_is_scipys_trimmed_mean(size):
    scores = np.random.default_rng(size).normal(size=size)
    np.testing.assert_allclose(
        evaluation.interquartile_mean(scores), scipy.stats.trim_mean(scores, 0.25, axis=None), rtol=1e-12
    )


def test_interquartile_mean_is_rliables_over_runs_and_tasks_together():
    scores = np.random.default_rng(0).normal(size=(7, 5)) + 10 * np.arange(5)
    np.testing.assert_allclose(evaluation.interquartile_mean(scores), rliable.metrics.aggregate_iqm(scores), rtol=1e-12)


def test_interquartile_mean_by_hand():
    assert evaluation.interquartile_mean([100.0, 1.0, 3.0, -50.0]) == 2.0
    assert evaluation.interquartile_mean([100.0, 1.0, 3.0]) == 104.0 / 3.0  # too few to cut any


def test_the_interquartile_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no scores"):
        evaluation.interquartile_mean(np.zeros((0, 3)))


@pytest.mark.parametrize("shape", [(5, 1), (3, 5), (20, 4)])
def test_intervals_agree_with_rliables(shape):
    scores = np.random.default_rng(1).gamma(2.0, size=shape) + np.arange(shape[1])
    low, high = evaluation.stratified_bootstrap_interval(scores, replications=4_000)
    np.random.seed(0)
    _, intervals = rliable.library.get_interval_estimates({"ours": scores}, rliable.metrics.aggregate_iqm, reps=4_000)
    np.testing.assert_allclose([low, high], intervals["ours"].ravel(), atol=0.05 * (high - low))


def test_an_interval_takes_the_statistic_and_confidence_asked_for():
    # The mean of two resampled runs is 0, 1 or 2 with probability 1/4, 1/2, 1/4: the 20th percentile is 0, the 30th is 1.
    scores = np.array([[0.0], [2.0]])
    assert evaluation.stratified_bootstrap_interval(scores, np.mean, confidence=0.6, replications=4000) == (0.0, 2.0)
    assert evaluation.stratified_bootstrap_interval(scores, np.mean, confidence=0.4, replications=4000) == (1.0, 1.0)


def test_runs_are_resampled_within_their_task():
    # Runs of a task agree, tasks do not: only mixing tasks could make the interval wide.
    scores = np.tile([0.0, 10.0, 500.0], (6, 1))
    assert evaluation.stratified_bootstrap_interval(scores, np.mean, replications=50) == (170.0, 170.0)


def test_tasks_are_resampled_apart_from_each_other():
    # Two tasks whose runs mirror each other: resampled together, every replicate's mean would be 0.
    scores = np.array([[1.0, -1.0], [-1.0, 1.0]])
    low, high = evaluation.stratified_bootstrap_interval(scores, np.mean, replications=1000)
    assert (low, high) == (-1.0, 1.0)


def test_an_interval_is_the_same_again():
    scores = np.random.default_rng(2).normal(size=(4, 3))
    first, again, other = (
        evaluation.stratified_bootstrap_interval(scores, replications=100, seed=seed) for seed in (3, 3, 4)
    )
    assert first == again != other


@pytest.mark.parametrize("scores", [np.zeros(4), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((2, 2, 2))])
def test_scores_without_runs_and_tasks_are_refused(scores):
    with pytest.raises(ValueError, match="num_runs, num_tasks"):
        evaluation.stratified_bootstrap_interval(scores)
