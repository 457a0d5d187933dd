"""The search over learning rates: what it tries, in which order, and what it calls best. Nothing is trained."""

import math

import numpy as np
import pytest
import tune_pvrl

from purejaxrrl import methods

GAMES = ("breakout", "asterix")


@pytest.fixture
def asked(monkeypatch):
    """Best at 1.5e-3 with lambda 1 and 5e-5 without; the calls for it."""
    calls = []

    def score(rates):
        return -abs(math.log(rates[0] / 1.5e-3)) - 2 * abs(math.log(rates[1] / 5e-5))

    def train(config, games, settings):
        calls.append((games, settings))
        return {
            method: {rates: np.full(len(games), score(rates)) for rates in tried} for method, tried in settings.items()
        }

    monkeypatch.setattr(tune_pvrl, "train", train)
    return calls


def test_one_rate_is_searched_after_the_other(asked):
    config = tune_pvrl.Config(games=GAMES, second_games=("freeway",), methods=("qdagger", "tabula_rasa"))
    found, found_second = tune_pvrl.search(config)
    (first_games, first), (second_games, second) = asked
    assert (first_games, second_games) == (GAMES, ("freeway",))
    assert first["qdagger"] == [(5e-4, 1.5e-5), (5e-4, 5e-5), (5e-4, 1.5e-4), (5e-4, 5e-4)]
    assert first["tabula_rasa"] == [(rate, rate) for rate in (1.5e-5, 5e-5, 1.5e-4, 5e-4, 1.5e-3)]
    assert second == {"qdagger": [(1.5e-4, 5e-5), (5e-4, 5e-5), (1.5e-3, 5e-5)]}
    assert tune_pvrl.best(found["qdagger"]) == (5e-4, 5e-5)
    assert tune_pvrl.best(found_second["qdagger"]) == (1.5e-3, 5e-5)


def test_the_table_has_a_row_a_setting_and_marks_the_best_of_each_method(asked):
    config = tune_pvrl.Config(games=GAMES, second_games=("freeway",), methods=("qdagger", "tabula_rasa"))
    lines = tune_pvrl.report(config, *tune_pvrl.search(config)).splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| QDagger") or line.startswith("| tabula")]
    assert [len(row) for row in rows] == [6] * (4 + 5) + [5] * 3
    assert [row[:3] for row in rows if "(best)" in row[3]] == [
        [" QDagger ", " 0.0005 ", " 5e-05 "],
        [" tabula rasa DQN ", "  ", " 5e-05 "],
        [" QDagger ", " 0.0015 ", " 5e-05 "],
    ]


def test_a_variant_is_its_method_with_other_rates(monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    changed = methods.settings(tune_pvrl.variant("dqfd", (1e-3, 1e-5)), 1000)
    expected = methods.settings("dqfd", 1000) | {"learning_rate": 1e-3, "weaned_learning_rate": 1e-5}
    assert changed == expected
    assert tune_pvrl.variant("dqfd", (1e-3, 1e-5)) in methods.METHODS  # asked for twice, it is added once


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weaned_rates": ()}, "--weaned-rates is empty"),
        ({"rates": (0.0, 1e-4)}, "a learning rate of 0.0"),
        ({"last": 11}, "--last is 11; it must lie between 1 and 10"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(ValueError, match=message):
        tune_pvrl.Config(**options)
