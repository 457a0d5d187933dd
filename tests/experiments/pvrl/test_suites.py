"""The comparison on Atari: which games and settings, and one of them trained."""

import csv
import sys

import benchmark_pvrl
import methods
import pytest
import results as written
import suites

from purejaxrrl.students import presets
from purejaxrrl.students.hyperparameters import as_dict, names
from purejaxrrl.students.settings import QDagger

BREAKOUT = ("atari/breakout",)


def config(preset="quick", games=BREAKOUT, **changes):
    """As the command line makes it."""
    return benchmark_pvrl.Config(games=games, preset=preset, **suites.SUITES[preset].flags | changes)


def student(method, **options):
    made = config(**options)
    return made.student(made.environment(made.games[0]), method)


def test_games_of_both_kinds_and_the_papers_ten():
    assert suites.expanded(["breakout", "minatar/asterix", "breakout"]) == ("breakout", "asterix")
    ten = suites.expanded(["atari10"])
    assert len(ten) == 10 and ten[0] == "atari/asterix" and suites.expanded(["atari/asterix", "atari10"]) == ten
    assert [suites.environment_name(game) for game in ("breakout", "atari/pong")] == ["minatar/breakout", "atari/pong"]
    assert (
        suites.preset_for(BREAKOUT) == "quick"
        and suites.preset_for(["breakout"]) == suites.preset_for([]) == "comparison"
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"preset": "quik"}, "preset is 'quik'; it must be one of comparison, quick, paper"),
        (
            {"games": ("atari/breakout", "asterix")},
            "games has 'atari/breakout' and 'asterix'; compare games of one kind",
        ),
        ({"games": ("atari/breakout",), "preset": "comparison"}, "'comparison', which is for MinAtar's games"),
        ({"games": ("breakout",), "preset": "paper"}, "'paper', which is for Atari's games, as atari/breakout"),
    ],
)
def test_games_that_do_not_belong_together_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        benchmark_pvrl.Config(**options)


def test_a_game_without_a_teacher_is_refused_before_another_is_begun(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="atari/tennis.*experiments/pqn.py"):
        config(games=("atari/breakout", "atari/tennis"))
    with pytest.raises(ValueError, match="atari/tennis.*; atari/skiing, atari/surround have none either$"):
        config(games=("atari/tennis", "atari/breakout", "atari/skiing", "atari/surround"))
    own = f"{tmp_path}/{{game}}/teacher"
    with pytest.raises(
        ValueError,
        match=f"there is no {tmp_path}/breakout/teacher; train one with .*--output {tmp_path}/breakout,.*"
        " asterix have none either; the library's own may be copied there: .*/shipped/minatar/breakout, .*/shipped/minatar/asterix$",
    ):
        benchmark_pvrl.Config(games=("breakout", "asterix"), teacher=own)
    # Another game's is found before earlier results are moved aside.
    other = str(benchmark_pvrl.teachers.shipped("minatar/asterix"))
    arguments = ["--games=breakout", f"--teacher={other}", f"--output={tmp_path / 'out'}"]
    monkeypatch.setattr(sys, "argv", ["benchmark_pvrl.py", *arguments])
    with pytest.raises(SystemExit):
        benchmark_pvrl.main()
    assert not list(tmp_path.iterdir())


def test_quick_qdagger_is_reincarnates_on_atari():
    preset = {name: value for name, value in presets.QUICK_ON_ATARI.items() if name in names(QDagger)}
    ours, theirs = as_dict(student("qdagger")), as_dict(QDagger(**preset))
    # Those are of another network.
    assert {name for name in ours if ours[name] != theirs[name]} <= {"widths"}


def test_the_papers_settings():
    made = student("qdagger", preset="paper")
    expected = presets.PRESETS["paper"]
    assert {name: getattr(made, name) for name in expected if name in names(QDagger)} == {
        name: value for name, value in expected.items() if name in names(QDagger)
    }
    assert student("jsrl", preset="paper").roll_in_decay_steps == 125_000
    assert student("jsrl_released", preset="paper").guide_decay_steps == 2_500_000


@pytest.mark.parametrize(
    "method, rates",
    [("qdagger", (1e-4, 1e-5)), ("kickstarting", (1e-4, 1e-5)), ("pretraining", (1e-4, 1e-5)), ("dqfd", (1e-4, 1e-4))],
)
def test_rates_are_the_papers_on_atari(method, rates):
    made = student(method)
    assert (made.learning_rate, made.weaned_learning_rate) == rates
    assert student("tabula_rasa").weaned_learning_rate == student("jsrl").weaned_learning_rate == 6.25e-5
    assert methods.settings("dqfd", 1000).weaned_learning_rate == 1.5e-6, "what was found on MinAtar"


METHODS = ("cloning", *suites.SEVEN)


@pytest.mark.slow
def test_a_comparison_on_atari(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    small = {"width": 1 / 16, "evaluation_limit": 100, "offline_iterations": 2, "warm_up": 40}
    suite = suites.SUITES["quick"]
    changed = suites.Suite(suite.games, {**suite.settings, **small, "capacity": 400}, False, suite.flags)
    monkeypatch.setitem(suites.SUITES, "quick", changed)
    options = {
        "games": "atari/breakout", "methods": ",".join(METHODS), "seeds": 2, "frames": 640, "iterations": 2,
        "output": "out", "evaluation_steps": 160, "target_period": 10, "data_transitions": 400, "offline_updates": 40,
    }  # fmt: skip
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    monkeypatch.setattr(sys, "argv", ["benchmark_pvrl.py", *arguments])
    benchmark_pvrl.main()
    results = written.load("out")
    assert results.games == ["atari/breakout"] and set(results.methods) == set(METHODS)
    assert list(results.frames) == [320, 640] and list(results.agent_steps) == [80, 160]
    (folder,) = (tmp_path / "out" / "atari-breakout").glob("cloning-*")
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    offline = [float(row["distillation_loss"]) for row in rows if row["phase"] == "offline"]
    online = [row["distillation_loss"] for row in rows if row["phase"] == "online"]
    assert min(offline) > 0 and len(offline) == 4 and online == [""] * 4, "a clone learns from the data alone"
    for picture in tmp_path.glob("out/*.png"):
        picture.unlink()
    monkeypatch.setattr(sys, "argv", ["benchmark_pvrl.py", "--redraw", "--output=out"])
    benchmark_pvrl.main()
    assert (tmp_path / "out" / "aggregate_curves.png").exists() and "640 frames" in (
        tmp_path / "out/report.md"
    ).read_text()
