"""What is said while runs go on, by a clock of the test's."""

import io
import time

import jax
import pytest
from rich.console import Console

from purejaxrrl.runs.progress import ProgressBar

COMPILE = "/jax/core/compile/backend_compile_duration"


class Clock:
    """Stands still until it is moved: by work, or by compilation, of which JAX tells."""

    def __init__(self):
        self.now = 1_000.0

    def works(self, seconds):
        self.now += seconds

    def compiles(self, seconds):
        jax.monitoring.record_scalar(COMPILE, self.now)
        self.now += seconds
        jax.monitoring.record_event_duration_secs(COMPILE, seconds)


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: found.now)
    return found


def shown(bar):
    """The bar as a terminal has it, and the share of it that is filled."""
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    console.print(bar)
    text = console.file.getvalue().strip()
    filled = text.partition(" ")[0]
    return text.lstrip("━╸╺ "), filled.count("━") / 40


def test_compilation_is_no_part_of_the_pace(clock, capsys):
    """Four offline iterations of 10 s and five online ones of 30 s, the first of each after a minute or two of compilation."""
    with ProgressBar({"offline": 400, "online": 1_000}) as bar:
        bar.begin("offline", 100, "offline iteration 1 of 4")
        clock.compiles(120)
        clock.works(10)
        assert bar.advance("first") == 130
        assert capsys.readouterr().out == "first  after 2:00 of compilation, 10 updates/s, 2:10 left\n"
        for number in (2, 3, 4):
            bar.begin("offline", 100, f"offline iteration {number} of 4")
            clock.works(10)
            bar.advance("more")
        assert capsys.readouterr().out.splitlines()[-1] == "more  10 updates/s, 1:40 left"
        bar.begin("online", 200, "online iteration 1 of 5")
        clock.compiles(60)
        clock.works(30)
        bar.advance("online", frames=600)
        assert capsys.readouterr().out == "online  after 1:00 of compilation, 7 updates/s, 20 frames/s, 2:00 left\n"


def test_a_pace_that_was_measured_before_holds_until_an_iteration_of_the_phase_has_ended(clock, capsys):
    with ProgressBar({"offline": 20_000, "online": 16_000}) as bar:
        clock.compiles(60)
        bar.expect({"offline": 0.5, "online": 1.0})
        said = "measured: 7:13:20 left, or more where evaluations wait for episodes to end\n"
        assert capsys.readouterr().out == said
        bar.begin("offline", 10_000, "offline iteration 1 of 2")
        clock.works(2_500)
        assert shown(bar) == ("offline iteration 1 of 2, 6:31:40 left", pytest.approx(5_000 / 36_000, abs=0.03))
        clock.works(7_500)
        bar.advance("first")
        assert capsys.readouterr().out == "first  1 updates/s, 7:13:20 left\n"


def test_the_bar_says_what_is_compiled_and_moves_within_an_iteration(clock):
    with ProgressBar({"online": 400}) as bar:
        bar.begin("online", 100, "online iteration 1 of 4")
        jax.monitoring.record_scalar(COMPILE, 0.0)
        assert shown(bar) == ("compiling: online iteration 1 of 4", 0)
        jax.monitoring.record_event_duration_secs(COMPILE, 0.0)
        assert shown(bar)[0] == "online iteration 1 of 4"
        clock.works(10)
        bar.advance("")
        bar.begin("online", 100, "online iteration 2 of 4")
        assert shown(bar) == ("online iteration 2 of 4, 0:30 left", 10 / 40)
        clock.works(5)
        assert shown(bar) == ("online iteration 2 of 4, 0:25 left", 15 / 40)
        clock.works(500)
        assert shown(bar) == ("online iteration 2 of 4, 0:20 left", 20 / 40)


def test_a_resumed_run_has_only_the_rest_to_do(clock, capsys):
    with ProgressBar({"offline": 100, "online": 300}, {"offline": 100, "online": 100}) as bar:
        bar.begin("online", 100, "online iteration 2 of 3")
        clock.works(7)
        bar.advance("line")
    assert capsys.readouterr().out == "line  14 updates/s, 0:07 left\n"


def test_what_makes_no_update_has_no_pace_of_updates(clock, capsys):
    with ProgressBar({"online": 100}) as bar:
        for updates in (0, 100):
            bar.begin("online", updates, "online iteration")
            clock.works(10)
            bar.advance("line", frames=400)
    assert capsys.readouterr().out == "line  40 frames/s\nline  10 updates/s, 40 frames/s, 0:00 left\n"
    with ProgressBar({"online": 0}) as bar:
        assert shown(bar) == ("", 0)


def test_a_phase_without_updates_is_counted_in_frames(clock, capsys):
    """Whose time is not known before some were played."""
    with ProgressBar({"offline": 100, "online": 800}, units={"online": "frames"}) as bar:
        bar.begin("offline", 100, "offline iteration 1 of 1")
        clock.works(50)
        bar.advance("offline")
        for number in (1, 2):
            bar.begin("online", 400, f"online iteration {number} of 2")
            clock.works(10)
            bar.advance("online", frames=400)
    said = ["offline  2 updates/s", "online  40 frames/s, 0:10 left", "online  40 frames/s, 0:00 left"]
    assert capsys.readouterr().out.splitlines() == said


def test_iterations_count_by_their_updates(clock, capsys):
    """10 updates in 10 s, most of which filled the replay, then 90: 0.2 s each."""
    with ProgressBar({"online": 200}) as bar:
        for updates in (10, 90):
            bar.begin("online", updates, "online iteration")
            clock.works(10)
            bar.advance("line")
    assert capsys.readouterr().out.splitlines()[-1] == "line  9 updates/s, 0:20 left"


def test_an_iteration_that_hardly_learns_is_no_measure_of_those_that_do(clock, capsys):
    """The first, in which the replay fills: two of ten updates, and an evaluation like the others'."""
    with ProgressBar({"online": 102}) as bar:
        bar.begin("online", 2, "online iteration 1 of 11", most=10)
        clock.works(10)
        bar.advance("line")
        bar.begin("online", 10, "online iteration 2 of 11", most=10)
        clock.works(10)
        bar.advance("line")
    first, second = capsys.readouterr().out.splitlines()
    assert "left" not in first and second.endswith("1:30 left")
