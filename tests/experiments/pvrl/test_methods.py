import dataclasses
import re
from pathlib import Path

import methods
import pytest
import tune_pvrl

from purejaxrrl.students import presets
from purejaxrrl.students.hyperparameters import as_dict, hyperparameter, static_part
from purejaxrrl.students.losses import term


def test_durations_keep_the_papers_proportions():
    """At the paper's own budget they are the paper's numbers (agent steps; protocol of the Atari case study)."""
    papers = presets.PAPERS_BUDGET
    assert methods.changes("qdagger", papers)["weaning_steps"] == 1_500_000
    assert methods.changes("qdagger", papers)["warm_up"] == 20_000
    assert methods.changes("kickstarting", papers)["epsilon_decay_steps"] == 50_000
    assert methods.changes("jsrl", papers)["roll_in_decay_steps"] == 125_000
    assert methods.changes("jsrl_released", papers)["guide_decay_steps"] == 2_500_000
    assert methods.settings("qdagger", 50_000).weaning_steps == 30_000
    assert methods.settings("jsrl", 50_000).roll_in_steps == 100


PAPERS_TABLE = {
    # offline phase, TD, KL, margin, CQL, n, explores from the start, lambda, rehearses, fresh Adam
    "tabula_rasa": (0, 1, 0, 0, 0, 1, True, "none", 0, False),
    "tabula_rasa_3_step": (0, 1, 0, 0, 0, 3, True, "none", 0, False),
    "kickstarting": (0, 1, 3, 0, 0, 3, True, "return_driven", 0, False),
    "jsrl": (0, 1, 0, 0, 0, 1, True, "none", 0, False),
    "jsrl_released": (0, 1, 0, 0, 0, 1, True, "none", 0, False),
    "rehearsal": (1, 1, 0, 0, 0, 1, False, "none", 0.25, True),
    "pretraining": (1, 1, 0, 0, 1, 1, False, "none", 0, True),
    "dqfd": (1, 1, 0, 1, 0, 1, False, "return_driven", 0, False),
    "qdagger": (1, 1, 3, 0, 0, 3, False, "return_driven", 0, False),
    "dagger": (1, 0, 3, 0, 0, 3, False, "constant", 0, False),
    "q_learning_dagger": (1, 1, 3, 0, 0, 3, False, "constant", 0, False),
}
OUR_WEANING = {
    "qdagger_bound",
    "qdagger_reversible",
    "qdagger_bound_reversible",
    "qdagger_disagreement",
    "qdagger_to_the_end",
}


def test_all_methods_are_the_papers_or_qdagger_weaned_otherwise():
    assert set(methods.COMPARED) == PAPERS_TABLE.keys() | OUR_WEANING
    papers = as_dict(methods.settings("qdagger", 50_000))
    for name in OUR_WEANING:
        ours = as_dict(methods.settings(name, 50_000))
        changed = {setting for setting in papers if ours[setting] != papers[setting]}
        assert changed and all(setting.startswith("weaning") for setting in changed), name
    assert methods.PRIMARY[0] in OUR_WEANING and methods.PRIMARY[1] == "qdagger"
    primary, control = (as_dict(methods.settings(name, 50_000)) for name in (methods.PRIMARY[0], methods.CONTROL))
    assert {name for name in primary if primary[name] != control[name]} == {"weaning_reversible"}


@pytest.mark.parametrize("name", PAPERS_TABLE)
def test_methods_are_the_papers(name):
    config = methods.settings(name, 50_000, methods.SUITES["paper"])
    assert PAPERS_TABLE[name] == (
        bool(config.offline_iterations), config.td_coefficient, config.distillation_coefficient, config.margin_coefficient,
        config.cql_coefficient, config.n_step, config.epsilon_start == 1.0, config.weaning, config.rehearsal_fraction,
        config.fresh_optimiser,
    )  # fmt: skip
    assert config.online_cql_coefficient == 0.0
    if name == "dqfd":
        assert (
            config.elementwise_margin and config.margin == 1.0 and config.weaned_learning_rate == config.learning_rate
        )
    if name.startswith("jsrl"):
        assert config.roll_in_steps == 100


@pytest.mark.parametrize("name", PAPERS_TABLE)
def test_on_minatar_a_rival_differs_by_what_was_found_alone(name):
    found, papers = (
        as_dict(methods.settings(name, presets.PAPERS_BUDGET, dataclasses.replace(methods.MINATAR, searched=searched)))
        for searched in (True, False)
    )
    differing = {setting: value for setting, value in found.items() if value != papers[setting]}
    assert differing.items() <= methods.FOUND.get(name, {}).items()
    assert {setting: found[setting] for setting in methods.FOUND.get(name, {})} == methods.FOUND.get(name, {})


def test_what_the_documents_say_was_found_is_what_methods_have():
    """The table as tune_pvrl.py writes it: method, setting, what it had in the search, what was found."""
    text = (Path(__file__).parents[3] / "docs" / "tuning.md").read_text()
    table = text.split("| method | setting | has | found |\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (\w+) \| (\w+) \| [^|]+ \| ([^|]+?)(?: \(other\))? \|$", table, re.M)
    found = {(method, setting): value for method, setting, value in rows}
    expected = {(method, setting) for method, settings in methods.FOUND.items() for setting in settings}
    assert expected <= found.keys()
    for (method, setting), value in found.items():
        assert value == tune_pvrl.plain(methods.setting(method, setting)), (method, setting)
    assert {method for method, _ in found} == {*methods.FOUND, "qdagger", *tune_pvrl.RULES}


def test_a_method_of_ones_own(monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    methods.add("slow", "slowly weaned", like="qdagger", weaning="linear", weaning_steps=presets.Share(2_500_000))
    assert methods.settings("slow", 1000).weaning_steps == 1000
    with pytest.raises(ValueError, match="'slow' already"):
        methods.add("slow", "again")
    with pytest.raises(ValueError, match="unknown method 'slo'"):
        methods.add("slower", "slower", like="slo")


def test_a_method_with_a_loss_of_ones_own_has_its_hyperparameters(monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))

    @term(decay_coefficient=hyperparameter(0.5, "of the squares", minimum=0))
    def decay(context, hyperparameters):
        return hyperparameters.decay_coefficient * (context.online.q_values**2).sum(-1)

    methods.add("decayed", "with a term", term=decay, decay_coefficient=0.25)
    methods.add("more_decayed", "with more of it", like="decayed", decay_coefficient=1.0)
    made, more = methods.settings("decayed", 1000), methods.settings("more_decayed", 1000)
    assert (made.decay_coefficient, more.decay_coefficient) == (0.25, 1.0) and made.terms[-1] is decay
    assert static_part(made) == static_part(more) != static_part(methods.settings("qdagger", 1000))
    # Checked and derived as QDagger's own.
    methods.add("rehearsing", "and rehearsal", like="decayed", rehearsal_fraction=0.5)
    assert methods.settings("rehearsing", 1000).rehearses
    methods.add("too_long", "too long returns", like="decayed", n_step=9)
    with pytest.raises(ValueError, match="n_step is 9; it must lie between 1 and max_n_step, 5"):
        methods.settings("too_long", 1000)
    methods.add("wrong", "negative", like="decayed", decay_coefficient=-1.0)
    with pytest.raises(ValueError, match="decay_coefficient is -1.0"):
        methods.settings("wrong", 1000)


def test_a_methods_own_settings_go_before_those_of_the_comparison():
    assert methods.settings("dqfd", 1000, n_step=4, batch_size=16).n_step == 1
    assert methods.settings("dqfd", 1000, n_step=4, batch_size=16).batch_size == 16
    with pytest.raises(ValueError, match="QDagger has no setting 'batchsize'; the nearest are batch_size"):
        methods.settings("dqfd", 1000, batchsize=16)


def test_a_search_over_rates_knows_which_a_method_has():
    two = {"kickstarting", "rehearsal", "pretraining", "dqfd", "qdagger"}
    assert {name for name in PAPERS_TABLE if methods.has_two_rates(name)} == two


def test_unknown_methods_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown method 'qdager'; the nearest are qdagger"):
        methods.settings("qdager", 1000)
