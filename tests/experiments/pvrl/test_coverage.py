"""The simulation of what intervals cover, against what can be worked out by hand."""

import sys

import coverage
import numpy as np
import pytest
import scipy.stats

from purejaxrrl.evaluation import statistics


def test_the_truth_is_the_trimmed_mean_of_the_distribution():
    generator = np.random.default_rng(0)
    population = coverage.Population(
        *map(np.array, ([0.0, 5.0, 2.0], [1.0, 0.1, 3.0], [1.0] * 3, [0.0] * 3, [0.0] * 3))
    )
    draws = population.draw(generator, 400_000)
    expected = [scipy.stats.trim_mean(each, 0.25, axis=None) for each in draws]
    np.testing.assert_allclose(population.truth(), expected, atol=0.01)
    assert population.of([1]).truth() == pytest.approx((5.0, 1.0), abs=1e-6)


def test_pairs_are_correlated_as_they_should_be():
    population = coverage.Population(*map(np.array, ([1.0, 2.0], [0.5, 2.0], [3.0, 4.0], [1.0, 1.0], [0.9, -0.5])))
    ours, theirs = population.draw(np.random.default_rng(1), 200_000)
    np.testing.assert_allclose(ours.std(0), [0.5, 2.0], rtol=0.01)
    np.testing.assert_allclose(theirs.mean(0), [3.0, 4.0], atol=0.01)
    for game, expected in enumerate([0.9, -0.5]):
        assert np.corrcoef(ours[:, game], theirs[:, game])[0, 1] == pytest.approx(expected, abs=0.01)


def test_its_interquartile_means_are_those_of_the_reports():
    scores = np.random.default_rng(2).normal(size=(20, 5, 3))
    expected = [statistics.interquartile_mean(each) for each in scores]
    np.testing.assert_allclose(coverage._interquartile_means(scores), expected, rtol=1e-12)


def test_of_two_seeds_the_interval_is_their_range_which_covers_half():
    """Resampled, two scores are both the lesser with probability 1/4: the ends. The truth lies between them half the time."""
    own, difference = coverage.covered(coverage.standard(1), 2, 2_000, 200)
    assert own == pytest.approx(0.5, abs=0.05) and difference == pytest.approx(0.5, abs=0.05)


def test_more_seeds_cover_more_and_many_cover_what_they_say(monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["coverage.py", "--seeds=3,40", "--games=1", "--simulations=500", "--replications=300"]
    )
    coverage.main()
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| one game"))
    few, few_pairs, many, many_pairs = (float(cell.strip(" %")) for cell in row.split("|")[2:-1])
    assert max(few, few_pairs) < 85 < 90 < min(many, many_pairs) < 98
