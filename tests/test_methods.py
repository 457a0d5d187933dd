import pytest

from purejaxrrl import methods


def test_durations_keep_the_papers_proportions():
    """At the paper's own budget they are the paper's numbers (agent steps; protocol of the Atari case study)."""
    papers = methods.PAPERS_BUDGET
    assert methods.settings("qdagger", papers)["weaning_steps"] == 1_500_000
    assert methods.settings("qdagger", papers)["warm_up"] == 20_000
    assert methods.settings("kickstarting", papers)["epsilon_decay_steps"] == 50_000
    assert methods.settings("jsrl", papers)["roll_in_decay_steps"] == 125_000
    assert methods.settings("jsrl_random", papers)["guide_decay_steps"] == 2_500_000
    assert methods.settings("qdagger", 50_000)["weaning_steps"] == 30_000
    assert methods.settings("jsrl", 50_000)["roll_in_steps"] == 100


PAPERS_TABLE = {
    # offline phase, TD, KL, margin, CQL, n, explores from the start, lambda, rehearses, fresh Adam
    "tabula_rasa": (0, 1, 0, 0, 0, 1, True, "none", 0, False),
    "tabula_rasa_3_step": (0, 1, 0, 0, 0, 3, True, "none", 0, False),
    "kickstarting": (0, 1, 3, 0, 0, 3, True, "return_driven", 0, False),
    "jsrl": (0, 1, 0, 0, 0, 1, True, "none", 0, False),
    "jsrl_random": (0, 1, 0, 0, 0, 1, True, "none", 0, False),
    "rehearsal": (1, 1, 0, 0, 0, 1, False, "none", 0.25, True),
    "pretraining": (1, 1, 0, 0, 1, 1, False, "none", 0, True),
    "dqfd": (1, 1, 0, 1, 0, 1, False, "return_driven", 0, False),
    "qdagger": (1, 1, 3, 0, 0, 3, False, "return_driven", 0, False),
    "dagger": (1, 0, 3, 0, 0, 3, False, "constant", 0, False),
    "q_learning_dagger": (1, 1, 3, 0, 0, 3, False, "constant", 0, False),
}


@pytest.mark.parametrize("name", methods.COMPARED)
def test_methods_are_the_papers(name):
    import reincarnate

    config = reincarnate.Config(**methods.settings(name, 50_000))
    assert PAPERS_TABLE[name] == (
        config.offline_iterations, config.td_coefficient, config.distillation_coefficient, config.margin_coefficient,
        config.cql_coefficient, config.n_step, config.epsilon_start == 1.0, config.weaning, config.rehearsal_fraction,
        config.fresh_optimiser,
    )  # fmt: skip
    assert config.online_cql_coefficient == 0.0
    if name == "dqfd":  # but for its rate, which the paper keeps and the search of all methods' rates did not
        assert config.elementwise_margin and config.margin == 1.0


def test_methods_of_different_work_have_programs_of_their_own():
    groups = methods.groups(["qdagger", "tabula_rasa", "rehearsal", "dqfd", "jsrl", "rehearsal_half", "dagger"])
    assert groups == [["qdagger", "dqfd", "dagger"], ["tabula_rasa", "jsrl"], ["rehearsal", "rehearsal_half"]]


def test_a_method_of_ones_own(monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    methods.add("slow", "slowly weaned", like="qdagger", weaning="linear", weaning_steps=methods.Share(2_500_000))
    assert methods.settings("slow", 1000)["weaning_steps"] == 1000
    with pytest.raises(ValueError, match="'slow' already"):
        methods.add("slow", "again")
    methods.add("term", "with a term", term=lambda q_values, batch, method, coefficient: 0.0 * q_values[:, 0])
    assert methods.groups(["qdagger", "term", "slow"]) == [["qdagger", "slow"], ["term"]]


def test_a_search_over_rates_knows_which_a_method_has():
    two = ["kickstarting", "rehearsal", "pretraining", "dqfd", "qdagger"]
    assert [name for name in methods.COMPARED if methods.has_two_rates(name)] == two


def test_unknown_methods_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown method 'qdager'; the nearest are qdagger"):
        methods.settings("qdager", 1000)
