"""Presets against the numbers that they claim, and on the command line."""

import sys

import pytest
import reincarnate

from purejaxrrl.runs import experiment, run_folder
from purejaxrrl.students import presets
from purejaxrrl.students.hyperparameters import names
from purejaxrrl.students.settings import QDagger, ValueBased


def parsed(monkeypatch, *arguments):
    """Options and settings as the program reads them."""
    monkeypatch.setattr(sys, "argv", ["reincarnate.py", *arguments])
    found = {}

    def prepare(name, options, settings, **_):
        found.update(options=options, settings=settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "prepare", prepare)
    monkeypatch.setattr(reincarnate.devices, "use_cores", lambda: None)
    monkeypatch.setattr(reincarnate.devices, "cores", lambda: 2)
    with pytest.raises(SystemExit):
        reincarnate.main()
    return found["options"], found["settings"]


def test_without_a_preset_the_declared_defaults_hold(monkeypatch):
    options, settings = parsed(monkeypatch)
    assert settings == QDagger() and options == reincarnate.Options()


def test_quick_sees_pixels_on_atari_alone(monkeypatch):
    options, settings = parsed(monkeypatch, "--environment=atari/breakout", "--width=0.25")
    assert (settings.network, settings.reward_clip, settings.width) == ("nature_cnn", 1.0, 0.25)
    assert options.data_transitions == settings.capacity and options.seeds == 2
    _, settings = parsed(monkeypatch, "--environment=minatar/breakout")
    assert settings == QDagger()
    _, settings = parsed(monkeypatch, "--environment=atari/breakout", "--preset=paper")
    assert settings.capacity == 1_000_000


def test_a_flag_goes_before_the_preset(monkeypatch):
    options, settings = parsed(monkeypatch, "--preset=comparison", "--n-step=1", "--data-transitions=800")
    assert (settings.n_step, settings.network, settings.capacity) == (1, "mlp", 40_000)
    assert options.data_transitions == 800
    assert settings.weaning_steps == 60_000


def test_the_papers_preset_has_the_papers_numbers(monkeypatch):
    """Agent steps, updates and transitions of the Atari case study."""
    options, settings = parsed(monkeypatch, "--preset=paper")
    assert settings.online_iterations * settings.iteration_steps == presets.PAPERS_BUDGET == 2_500_000
    assert settings.offline_iterations * settings.offline_updates == presets.OFFLINE_UPDATES.papers == 1_000_000
    assert options.data_transitions == settings.capacity == presets.DATA.papers == 1_000_000
    expected = {
        "evaluation_steps": 125_000, "evaluation_epsilon": 0.001, "weaning": "return_driven", "weaning_steps": 1_500_000,
        "warm_up": 20_000, "steps_per_update": 4, "target_period": 2_000, "batch_size": 32, "n_step": 3, "discount": 0.99,
        "reward_clip": 1.0, "learning_rate": 1e-4, "weaned_learning_rate": 1e-5, "adam_eps": 1.5e-4, "td_error": "huber",
        "distillation_coefficient": 3.0, "teacher_temperature": 0.1, "student_temperature": 0.1, "epsilon_start": 0.01,
        "epsilon_end": 0.01, "network": "nature_cnn", "padding": "SAME", "fresh_optimiser": False, "weaning_reversible": False,
    }  # fmt: skip
    assert {name: getattr(settings, name) for name in expected} == expected
    compared = presets.resolved(presets.COMPARED, presets.PAPERS_BUDGET)
    for name in ("weaning_steps", "warm_up"):
        assert compared[name] == expected[name]


def test_shares_are_of_the_papers_budget():
    assert presets.Share(125_000).of(50_000) == 2_500
    assert presets.Share(1_000_000).of(640, multiple=8) == 256
    assert presets.Share(1).of(10) == 1 and presets.Share(1).of(10, multiple=8) == 8


def test_an_unknown_preset_is_answered_with_all(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["reincarnate.py", "--preset=papre"])
    with pytest.raises(SystemExit) as end:
        reincarnate.main()
    error = capsys.readouterr().err
    assert end.value.code == 2 and error == "error: there is no preset 'papre'; presets are quick, comparison, paper\n"


def test_a_preset_is_not_part_of_what_a_run_is():
    """Its values are: a run resumes whether they came from a preset or from flags."""
    assert not {"preset", "teacher"} & experiment.effective(reincarnate.Options(preset="paper"), QDagger()).keys()


def test_a_run_that_goes_on_for_longer_is_the_same_run():
    few, many = (experiment.effective(reincarnate.Options(), QDagger(online_iterations=number)) for number in (1, 20))
    assert few == many != experiment.effective(reincarnate.Options(), QDagger(offline_iterations=1))


def test_minatars_preset_is_refused_for_pixels():
    assert presets.named("quick", "atari/breakout") is presets.QUICK_ON_ATARI
    with pytest.raises(ValueError, match="'comparison' is for MinAtar's games; on Atari take quick or paper"):
        presets.named("comparison", "atari/breakout")


@pytest.mark.parametrize("name", ["quick", "paper"])
def test_the_same_student_from_nothing_has_all_but_the_teacher(name):
    settings = QDagger(
        **{key: value for key, value in presets.named(name, "atari/breakout").items() if key in names(QDagger)}
    )
    alone = presets.from_nothing(settings)
    differing = {key for key in names(ValueBased) if getattr(alone, key) != getattr(settings, key)}
    assert differing == {"epsilon_start", "epsilon_decay_steps"} and not alone.learns_from_teacher
    # The paper's: 50,000 steps of iterations of 250,000.
    assert alone.epsilon_decay_steps == settings.iteration_steps / 5 == (50_000 if name == "paper" else 2_000)


@pytest.mark.parametrize(("cores", "seeds"), [(1, 2), (2, 2), (3, 3), (16, 4)])
def test_as_many_students_as_there_are_cores_play_atari(cores, seeds, monkeypatch, tmp_path):
    monkeypatch.setattr(reincarnate.devices, "cores", lambda: cores)
    assert reincarnate.defaults("quick", "atari/breakout")["seeds"] == seeds
    assert reincarnate.defaults("quick", "minatar/breakout") == {}
    # A run that is resumed has those that it had.
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "runs" / "reincarnate" / "atari-breakout"
    about = {"program": "reincarnate", "settings": {"seeds": 3}}
    run_folder.RunFolder(place, about, resume=False).close()
    monkeypatch.setattr(sys, "argv", ["reincarnate.py", "--resume"])
    assert reincarnate.defaults("quick", "atari/breakout")["seeds"] == 3


def test_the_lambda_that_is_shown_is_its_players():
    rows = [
        {"phase": "online", "iteration": number, "seed": seed, "lambda": 10.0 * number + seed}
        for number in (1, 2)
        for seed in (4, 5)
    ]
    assert [reincarnate.last_lambda(rows, seed) for seed in (4, 5)] == [24.0, 25.0]
