"""The search over rates and coefficients: what it tries, in which order, and what it calls best. Nothing is trained."""

import math
from pathlib import Path

import methods
import numpy as np
import pytest
import searches
import tune_pvrl
from results import Results, Run

from purejaxrrl.students.hyperparameters import replace
from purejaxrrl.students.presets import Share

GAMES = ("breakout", "asterix")
BEST = {
    "learning_rate": 1.5e-3,
    "weaned_learning_rate": 5e-5,
    "teacher_temperature": 3.0,
    "roll_in_steps": 30,
    "weaning_evaluations": 2,
    "weaning_disagreement": 0.2,
}
RATES = tune_pvrl.rates_trial


@pytest.fixture
def asked(monkeypatch):
    """Best at `BEST`; the calls for it."""
    calls = []

    def score(trial):
        return -sum(abs(math.log(value / BEST[name])) for name, value in trial if name in BEST)

    def train(config, games, trials):
        calls.append((games, trials))
        return {
            method: {trial: np.full(len(games), score(trial)) for trial in tried} for method, tried in trials.items()
        }

    monkeypatch.setattr(tune_pvrl, "train", train)
    return calls


def config(**changes):
    given = {
        "games": GAMES,
        "second_games": ("freeway",),
        "rule_games": ("asterix",),
        "methods": ("qdagger", "tabula_rasa", "jsrl"),
    }
    return tune_pvrl.Config(**given | changes)


def test_one_setting_is_searched_after_the_other(asked):
    stages = tune_pvrl.search(config())
    assert [stage.what for stage in stages] == [tune_pvrl.WEANED, tune_pvrl.FIRST, tune_pvrl.OWN, tune_pvrl.RULE]
    (games, first), *rest = asked
    assert games == GAMES
    assert first["qdagger"] == [RATES(5e-4, weaned) for weaned in (1.5e-5, 5e-5, 1.5e-4, 5e-4)]
    assert first["tabula_rasa"] == first["jsrl"] == [RATES(rate, rate) for rate in (1.5e-5, 5e-5, 1.5e-4, 5e-4, 1.5e-3)]
    games, second = rest[0]
    assert games == ("freeway",)
    assert second == {"qdagger": [RATES(rate, 5e-5) for rate in (1.5e-4, 5e-4, 1.5e-3)]}
    # The best is at the grid's end, so that the next is tried; it is worse, and that is that.
    games, extended = rest[1]
    assert (games, extended) == (("freeway",), {"qdagger": [RATES(5e-3, 5e-5)]})
    # Coefficients beside the best rates: those of students with one rate are the same twice.
    games, own = rest[2]
    found = RATES(1.5e-3, 5e-5)
    temperatures = [
        (*found, ("teacher_temperature", value), ("student_temperature", value)) for value in (0.1, 0.3, 1.0)
    ]
    assert games == GAMES and own["qdagger"] == temperatures
    one = stages[0].settings["jsrl"]
    assert one[0][1] == one[1][1] and own["jsrl"] == [(*one, ("roll_in_steps", value)) for value in (30, 100, 300)]
    assert set(own) == {"qdagger", "jsrl"}
    _, extended = rest[3]
    assert extended["qdagger"] == [(*found, ("teacher_temperature", 3.0), ("student_temperature", 3.0))]
    assert extended["jsrl"] == [(*one, ("roll_in_steps", 10))]
    # The rules have all that QDagger was found to be best with.
    games, rules = rest[4]
    assert games == ("asterix",) and set(rules) == set(tune_pvrl.RULES)
    for trials in rules.values():
        for trial in trials:
            assert trial[:4] == extended["qdagger"][0] and len(trial) > 4
    assert len(rest) == 5
    settings = dict(stages[-1].settings["qdagger_bound"])
    assert settings["weaning_evaluations"] == 2 and settings["learning_rate"] == 1.5e-3


def test_the_rules_alone_are_searched_with_qdagger_as_it_is(asked):
    (stage,) = tune_pvrl.search(config(methods=(), rules=("qdagger_bound",)))
    assert stage.what == tune_pvrl.RULE and asked == [
        (("asterix",), {"qdagger_bound": list(tune_pvrl.RULE_OPTIONS["qdagger_bound"].first)})
    ]


def test_a_best_at_the_end_of_all_that_may_be_tried_is_marked(asked):
    given = {"methods": ("tabula_rasa",), "rates": (5e-6,), "weaned_rates": (1.5e-5,)}
    (end,), (within,) = (tune_pvrl.search(config(**given, extensions=number)) for number in (0, 9))
    assert "(best, at the grid's end)" in tune_pvrl.table(end) and "grid's end" not in tune_pvrl.table(within)


def test_a_score_is_of_the_searchs_seeds_and_the_named_games(monkeypatch):
    """Results list games in another order, and have seeds of other searches."""

    def runs(value):
        return {
            seed: Run(np.arange(1, 11), np.arange(10.0) + value + 10 * (seed - 100), np.zeros(10))
            for seed in (98, 99, 100, 101)
        }

    results = Results(
        {game: {"qdagger": runs(value)} for game, value in (("asterix", 1.0), ("breakout", 2.0))}, {}, {}, {}, 10
    )
    monkeypatch.setattr(tune_pvrl.benchmark_pvrl, "train_all", lambda config: None)
    monkeypatch.setattr(tune_pvrl.written, "load", lambda output, games: results)
    scores = tune_pvrl.train(config(), ("breakout", "asterix"), {"qdagger": [()]})
    assert scores["qdagger"][()].tolist() == [15.0, 14.0]  # 7, 8 and 9 are the last


@pytest.mark.parametrize(("extensions", "highest"), [(0, 1.5e-5), (1, 5e-5), (2, 1.5e-4), (9, 1.5e-4)])
def test_a_grid_is_extended_as_often_as_it_may_be(asked, extensions, highest):
    """Best at the geometric mean of 1.5e-3 and 5e-5: the ladder's 1.5e-4 and 5e-4 are its nearest, equally far."""
    given = {"methods": ("tabula_rasa",), "rates": (5e-6,), "weaned_rates": (1.5e-5,), "extensions": extensions}
    (stage,) = tune_pvrl.search(config(**given))
    tried = [trial[0][1] for trial in stage.scores["tabula_rasa"]]
    assert tried == sorted(tried) and tried[:2] == [5e-6, 1.5e-5]
    assert max(tried) == highest if extensions < 2 else max(tried) >= highest


def test_the_tables_have_a_row_a_trial_and_mark_the_best_of_each_method(asked):
    stages = tune_pvrl.search(config(rules=()))
    rows = [line.split("|")[1:-1] for line in tune_pvrl.table(stages[0]).splitlines()[2:]]
    assert [len(row) for row in rows] == [5] * (4 + 5 + 5)
    assert [row[1].strip() for row in rows if "(best)" in row[2]][
        0
    ] == "learning_rate 0.0005, weaned_learning_rate 5e-05"
    text = tune_pvrl.report(config(rules=()), stages)
    assert "| qdagger | learning_rate | 0.0005 | 0.0015 (other) |" in text
    assert "| qdagger | weaned_learning_rate | 0.00015 | 5e-05 (other) |" in text
    assert "| jsrl | roll_in_steps | 100 | 30 (other) |" in text and "| jsrl | learning_rate" not in text


def test_a_variant_is_its_method_with_other_settings(monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    trial = (("learning_rate", 1e-3), ("weaned_learning_rate", 1e-5), ("weaning_steps", Share(2_500_000)))
    changed = methods.settings(tune_pvrl.variant("dqfd", trial), 1000)
    expected = replace(
        methods.settings("dqfd", 1000), learning_rate=1e-3, weaned_learning_rate=1e-5, weaning_steps=1000
    )
    assert changed == expected
    assert tune_pvrl.variant("dqfd", trial) == tune_pvrl.variant(
        "dqfd", trial[::-1]
    )  # asked for twice, it is added once
    assert tune_pvrl.variant("dqfd", (*trial, ("margin", 1.0))) == tune_pvrl.variant("dqfd", trial)  # which it has
    assert tune_pvrl.variant("qdagger", RATES(5e-4, 1.5e-4)) == "qdagger"
    assert "weaning_steps 100% of the steps" in methods.named(tune_pvrl.variant("dqfd", trial)).title


def test_every_method_has_one_search_of_a_coefficient_that_it_has():
    for method, grid in {**tune_pvrl.COEFFICIENTS, **tune_pvrl.RULE_OPTIONS}.items():
        assert set(grid.first) <= set(grid.trials)
        for trial in grid.trials:
            methods.settings(tune_pvrl.variant(method, trial), 100_000)
    for method, grid in tune_pvrl.COEFFICIENTS.items():
        ((name, _), *_) = grid.first[0]
        assert methods.setting(method, name) in [trial[0][1] for trial in grid.trials], "what was found"
    without = set(tune_pvrl.SEARCHED) - set(tune_pvrl.COEFFICIENTS)
    assert without == {"tabula_rasa", "tabula_rasa_3_step"}


def test_which_search_saw_which_game_is_in_the_documents():
    text = (Path(__file__).parents[3] / "docs" / "tuning.md").read_text()
    assert searches.table(searches.EARLIER) in text
    rows = searches.table([*searches.EARLIER, *tune_pvrl.planned(tune_pvrl.Config())]).splitlines()
    assert [row.count("saw it") for row in rows[-4:]] == [4, 2, 4, 5]


def test_the_plan_counts_the_students():
    # QDagger: 4 rates on 2 games, 3 on 1, 3 temperatures on 2, and of its rules 4 + 2 + 3 + 3 on 1; tabula rasa 5 on 2; two seeds.
    assert tune_pvrl.runs_of(config(methods=("qdagger", "tabula_rasa"))) == 2 * (8 + 3 + 6 + 12 + 10)
    assert (
        tune_pvrl.runs_of(config(methods=())) == 2 * 12
        and tune_pvrl.runs_of(config(methods=("jsrl",), rules=tune_pvrl.RULES)) == 2 * 16
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weaned_rates": ()}, "weaned_rates is empty"),
        ({"rates": (0.0, 1e-4)}, "rates is .*a learning rate must be more than 0"),
        ({"methods": (), "rules": ()}, "methods and rules are empty"),
        ({"last": 11}, "last is 11; it must lie between 1 and 10"),
        ({"methods": ("qdager",)}, "unknown method 'qdager'; the nearest are qdagger"),
        ({"rule_games": ("atari/breakout",)}, "atari/breakout is an Atari game; settings are searched on MinAtar only"),
        ({"rules": ("qdagger",)}, "rules is .*'qdagger' is none of qdagger_bound"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(ValueError, match=message):
        tune_pvrl.Config(**options)
