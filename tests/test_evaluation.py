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


SCORES = np.random.default_rng(3).gamma(2.0, 0.6, size=(6, 5)) * np.linspace(0.5, 1.5, 5)
OTHERS = np.random.default_rng(4).gamma(2.0, 0.5, size=(4, 5))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (evaluation.interquartile_mean, rliable.metrics.aggregate_iqm),
        (evaluation.median, rliable.metrics.aggregate_median),
        (evaluation.mean, rliable.metrics.aggregate_mean),
        (evaluation.optimality_gap, rliable.metrics.aggregate_optimality_gap),
    ],
    ids=["iqm", "median", "mean", "optimality gap"],
)
def test_aggregates_and_their_intervals_are_rliables(ours, theirs):
    np.testing.assert_allclose(ours(SCORES), theirs(SCORES), rtol=1e-12)
    low, high = evaluation.stratified_bootstrap_interval(SCORES, ours, replications=4_000)
    np.random.seed(0)
    _, intervals = rliable.library.get_interval_estimates({"ours": SCORES}, theirs, reps=4_000)
    np.testing.assert_allclose([low, high], np.ravel(intervals["ours"]), atol=0.07 * (high - low))


def test_probability_of_improvement_and_its_interval_are_rliables():
    tied = OTHERS.copy()
    tied[:2] = SCORES[:2]
    for others in (OTHERS, tied):
        expected = rliable.metrics.probability_of_improvement(SCORES, others)
        np.testing.assert_allclose(evaluation.probability_of_improvement(SCORES, others), expected, rtol=1e-12)
    low, high = evaluation.stratified_bootstrap(
        evaluation.probability_of_improvement, SCORES, OTHERS, replications=3_000
    )
    np.random.seed(0)
    _, intervals = rliable.library.get_interval_estimates(
        {"pair": (SCORES, OTHERS)}, rliable.metrics.probability_of_improvement, reps=1_000
    )
    np.testing.assert_allclose([low, high], intervals["pair"].ravel(), atol=0.12 * (high - low))


def test_performance_profiles_and_their_bands_are_rliables():
    thresholds = np.linspace(0.0, 3.0, 13)
    profile = evaluation.performance_profile(SCORES, thresholds)
    np.random.seed(0)
    expected, bands = rliable.library.create_performance_profile({"ours": SCORES}, thresholds, reps=2_000)
    np.testing.assert_allclose(profile, expected["ours"], rtol=1e-12)
    ours = evaluation.stratified_bootstrap(
        lambda scores: evaluation.performance_profile(scores, thresholds), SCORES, replications=2_000
    )
    np.testing.assert_allclose(np.array(ours), bands["ours"], atol=0.04)


def test_the_share_of_tasks_above_counts_means_over_runs():
    # Means 1.5, 1.0 (not above) and 0.9: one of three.
    assert evaluation.share_of_tasks_above(np.array([[1.0, 2.0, 0.8], [2.0, 0.0, 1.0]])) == pytest.approx(1 / 3)
