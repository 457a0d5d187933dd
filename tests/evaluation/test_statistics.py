import numpy as np
import pytest
import rliable.library
import rliable.metrics
import scipy.stats

from purejaxrrl.evaluation import statistics


@pytest.mark.parametrize("size", range(1, 14))
def test_interquartile_mean_is_scipys_trimmed_mean(size):
    scores = np.random.default_rng(size).normal(size=size)
    np.testing.assert_allclose(
        statistics.interquartile_mean(scores), scipy.stats.trim_mean(scores, 0.25, axis=None), rtol=1e-12
    )


def test_interquartile_mean_is_rliables_over_runs_and_tasks_together():
    scores = np.random.default_rng(0).normal(size=(7, 5)) + 10 * np.arange(5)
    np.testing.assert_allclose(statistics.interquartile_mean(scores), rliable.metrics.aggregate_iqm(scores), rtol=1e-12)


def test_interquartile_mean_by_hand():
    assert statistics.interquartile_mean([100.0, 1.0, 3.0, -50.0]) == 2.0
    assert statistics.interquartile_mean([100.0, 1.0, 3.0]) == 104.0 / 3.0  # too few to cut any


def test_the_interquartile_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no scores"):
        statistics.interquartile_mean(np.zeros((0, 3)))


@pytest.mark.parametrize("shape", [(5, 1), (3, 5), (20, 4)])
def test_intervals_agree_with_rliables(shape):
    scores = np.random.default_rng(1).gamma(2.0, size=shape) + np.arange(shape[1])
    low, high = statistics.stratified_bootstrap_interval(scores, replications=4_000)
    np.random.seed(0)
    _, intervals = rliable.library.get_interval_estimates({"ours": scores}, rliable.metrics.aggregate_iqm, reps=4_000)
    np.testing.assert_allclose([low, high], intervals["ours"].ravel(), atol=0.05 * (high - low))


def test_an_interval_takes_the_statistic_and_confidence_asked_for():
    # The mean of two resampled runs is 0, 1 or 2 with probability 1/4, 1/2, 1/4: the 20th percentile is 0, the 30th is 1.
    scores = np.array([[0.0], [2.0]])
    assert statistics.stratified_bootstrap_interval(scores, np.mean, confidence=0.6, replications=4000) == (0.0, 2.0)
    assert statistics.stratified_bootstrap_interval(scores, np.mean, confidence=0.4, replications=4000) == (1.0, 1.0)


def test_runs_are_resampled_within_their_task():
    # Runs of a task agree, tasks do not: only mixing tasks could make the interval wide.
    scores = np.tile([0.0, 10.0, 500.0], (6, 1))
    assert statistics.stratified_bootstrap_interval(scores, np.mean, replications=50) == (170.0, 170.0)


def test_tasks_are_resampled_apart_from_each_other():
    # Two tasks whose runs mirror each other: resampled together, every replicate's mean would be 0.
    scores = np.array([[1.0, -1.0], [-1.0, 1.0]])
    low, high = statistics.stratified_bootstrap_interval(scores, np.mean, replications=1000)
    assert (low, high) == (-1.0, 1.0)


def test_an_interval_is_the_same_again():
    scores = np.random.default_rng(2).normal(size=(4, 3))
    first, again, other = (
        statistics.stratified_bootstrap_interval(scores, replications=100, seed=seed) for seed in (3, 3, 4)
    )
    assert first == again != other


@pytest.mark.parametrize("scores", [np.zeros(4), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((2, 2, 2))])
def test_scores_without_runs_and_tasks_are_refused(scores):
    with pytest.raises(ValueError, match="num_runs, num_tasks"):
        statistics.stratified_bootstrap_interval(scores)


SCORES = np.random.default_rng(3).gamma(2.0, 0.6, size=(6, 5)) * np.linspace(0.5, 1.5, 5)
OTHERS = np.random.default_rng(4).gamma(2.0, 0.5, size=(4, 5))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (statistics.interquartile_mean, rliable.metrics.aggregate_iqm),
        (statistics.median, rliable.metrics.aggregate_median),
        (statistics.mean, rliable.metrics.aggregate_mean),
        (statistics.optimality_gap, rliable.metrics.aggregate_optimality_gap),
    ],
    ids=["iqm", "median", "mean", "optimality gap"],
)
def test_aggregates_and_their_intervals_are_rliables(ours, theirs):
    np.testing.assert_allclose(ours(SCORES), theirs(SCORES), rtol=1e-12)
    low, high = statistics.stratified_bootstrap_interval(SCORES, ours, replications=4_000)
    np.random.seed(0)
    _, intervals = rliable.library.get_interval_estimates({"ours": SCORES}, theirs, reps=4_000)
    np.testing.assert_allclose([low, high], np.ravel(intervals["ours"]), atol=0.07 * (high - low))


def test_probability_of_improvement_and_its_interval_are_rliables():
    tied = OTHERS.copy()
    tied[:2] = SCORES[:2]
    for others in (OTHERS, tied):
        expected = rliable.metrics.probability_of_improvement(SCORES, others)
        np.testing.assert_allclose(statistics.probability_of_improvement(SCORES, others), expected, rtol=1e-12)
    low, high = statistics.stratified_bootstrap(
        statistics.probability_of_improvement, SCORES, OTHERS, replications=3_000
    )
    np.random.seed(0)
    _, intervals = rliable.library.get_interval_estimates(
        {"pair": (SCORES, OTHERS)}, rliable.metrics.probability_of_improvement, reps=1_000
    )
    np.testing.assert_allclose([low, high], intervals["pair"].ravel(), atol=0.12 * (high - low))


def test_performance_profiles_and_their_bands_are_rliables():
    thresholds = np.linspace(0.0, 3.0, 13)
    profile = statistics.performance_profile(SCORES, thresholds)
    np.random.seed(0)
    expected, bands = rliable.library.create_performance_profile({"ours": SCORES}, thresholds, reps=2_000)
    np.testing.assert_allclose(profile, expected["ours"], rtol=1e-12)
    ours = statistics.stratified_bootstrap(
        lambda scores: statistics.performance_profile(scores, thresholds), SCORES, replications=2_000
    )
    np.testing.assert_allclose(np.array(ours), bands["ours"], atol=0.04)


def test_the_share_of_tasks_above_counts_means_over_runs():
    # Means 1.5, 1.0 (not above) and 0.9: one of three.
    assert statistics.share_of_tasks_above(np.array([[1.0, 2.0, 0.8], [2.0, 0.0, 1.0]])) == pytest.approx(1 / 3)


def test_pairing_leaves_out_what_makes_a_task_hard_for_both():
    """Runs that are 3 above the others on every task, whatever the tasks are."""
    tasks = np.random.default_rng(0).normal(0, 100, size=40)
    found = statistics.crossed_difference(np.tile(tasks + 3, (3, 1)), np.tile(tasks, (1, 1)))
    np.testing.assert_allclose(found, (3.0, 3.0, 3.0), atol=1e-9)


def test_a_paired_interval_of_single_runs_is_that_of_the_differences_mean():
    generator = np.random.default_rng(0)
    tasks, own = generator.normal(0, 50, size=200), generator.normal(1, 2, size=200)
    found, low, high = statistics.crossed_difference((tasks + own)[None], tasks[None])
    half = scipy.stats.t.ppf(0.975, 199) * own.std(ddof=1) / np.sqrt(200)
    np.testing.assert_allclose([found, low, high], [own.mean(), own.mean() - half, own.mean() + half], atol=0.05)


def test_runs_that_differ_widen_a_paired_interval_though_tasks_do_not():
    """Two runs of 0 and 2: their resampled mean is 0, 1 or 2 with probability 1/4, 1/2, 1/4."""
    found = statistics.crossed_difference(np.array([[0.0] * 5, [2.0] * 5]), np.zeros((1, 5)), confidence=0.8)
    assert found == (1.0, 0.0, 2.0)


def test_runs_of_other_tasks_are_not_paired():
    with pytest.raises(ValueError, match="not runs of the same tasks"):
        statistics.crossed_difference(np.zeros((3, 5)), np.zeros((3, 4)))


def test_pairs_are_resampled_together_by_hand():
    """Three pairs of one task: the mean of 3 draws of differences 0, 0 and 3 is 0, 1, 2, 3 with 8, 12, 6, 1 of 27."""
    others = np.array([[5.0], [-20.0], [100.0]])
    scores = others + np.array([[0.0], [0.0], [3.0]])
    # Of three runs nothing is cut off: the IQM is the mean.
    for confidence, expected in [(1 - 2 * 0.2, (0.0, 2.0)), (1 - 2 * 0.35, (1.0, 1.0)), (1 - 2 * 0.02, (0.0, 3.0))]:
        found = statistics.paired_difference(scores, others, confidence=confidence, replications=4000)
        np.testing.assert_allclose(found, (1.0, *expected), atol=1e-12)


def test_a_paired_difference_is_rliables_statistic_and_scipys_interval():
    generator = np.random.default_rng(5)
    others = generator.normal(size=(10, 1))
    scores = others + generator.normal(0.3, 0.2, size=(10, 1))
    found = statistics.paired_difference(scores, others, replications=4_000)
    iqm = rliable.metrics.aggregate_iqm
    assert found[0] == pytest.approx(iqm(scores) - iqm(others))
    interval = scipy.stats.bootstrap(
        (scores[:, 0], others[:, 0]), lambda ours, theirs: iqm(ours) - iqm(theirs),
        paired=True, vectorized=False, n_resamples=4_000, method="percentile", random_state=0,
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(found[1:], interval, atol=0.05 * (found[2] - found[1]))
    # Resampled apart from each other, what the pairs share would be taken for a difference.
    low, high = statistics.stratified_bootstrap(statistics.difference_of_interquartile_means, scores, others)
    assert high - low > 2 * (found[2] - found[1])


def test_pairs_of_tasks_are_resampled_apart_and_have_to_be_pairs():
    low, high = statistics.paired_difference(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros((2, 2)))[1:]
    assert (low, high) == (-1.0, 1.0)
    with pytest.raises(ValueError, match=r"shaped alike, not \(3, 2\), \(2, 2\)"):
        statistics.paired_difference(np.zeros((3, 2)), np.zeros((2, 2)))
