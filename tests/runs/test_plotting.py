"""What the figures of results have on their axes."""

import numpy as np
import pytest
from PIL import Image

from purejaxrrl.runs import plotting


def rows(scores, **label):
    """Metrics of two seeds, one of which has the scores and the other twice them; lambda falls from 1 to 0."""
    phases = [("offline", 1, 0), *(("online", number, 1_000 * number) for number in range(1, len(scores)))]
    return [
        {"phase": phase, "iteration": iteration, "agent_steps": steps, "seed": seed, "score": score * seed}
        | {"lambda": float(phase == "offline")}
        | label
        for (phase, iteration, steps), score in zip(phases, scores, strict=True)
        for seed in (1, 2)
    ]


def test_a_picture_is_drawn_as_its_run_goes_on_but_not_all_the_time(tmp_path, monkeypatch):
    """Drawing takes 1 s, iterations 30 s, and then 60 s."""
    now, drawn = [0.0], []
    monkeypatch.setattr(plotting.time, "perf_counter", lambda: now[0])

    def draw(rows):
        now[0] += 1.0
        drawn.append(len(rows))
        return plotting.learning_curve(rows, "minatar/breakout")

    picture, every = plotting.Drawn(tmp_path / "curve.png", draw), rows((0.2, 0.3, 0.4, 0.5, 0.6))
    picture([])
    for iterations, seconds in ((1, 30.0), (2, 30.0), (3, 30.0), (4, 60.0), (5, 60.0)):
        now[0] += seconds
        picture(every[: 2 * iterations])
        with Image.open(tmp_path / "curve.png") as image:
            image.verify()
    assert drawn == [2, 6, 8, 10] and [path.name for path in tmp_path.iterdir()] == ["curve.png"]
    picture.draw(every)
    assert drawn[-1] == 10 and len(drawn) == 5


@pytest.mark.parametrize("scores", [(0.2, 0.3, 0.4), (-0.7, 0.1, 1.4), (0.5, 0.6, 3.0)])
def test_a_learning_curve_has_one_zero_and_one_unit_line_across_both_axes(scores):
    figure = plotting.learning_curve(rows(scores), "minatar/breakout")
    figure.draw_without_rendering()
    (axes,), (right,) = figure.axes, figure.axes[0].child_axes
    level = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert sorted(level) == [0, 1]
    np.testing.assert_allclose(right.get_ylim(), axes.get_ylim())
    low, high = axes.get_ylim()
    assert low < min(0, 2 * min(scores), min(scores)) and high > max(1, 2 * max(scores))
    assert "λ" in right.get_ylabel() and "weaning" in right.get_ylabel()


def test_other_students_have_a_curve_of_their_own():
    figure = plotting.learning_curve(rows((0.2, 0.9)), "minatar/breakout", others={"from nothing": rows((-0.9, 1.2))})
    axes, (low, high) = figure.axes[0], figure.axes[0].get_ylim()
    curve = next(line for line in axes.get_lines() if line.get_label().startswith("from nothing, IQM of 2 seeds"))
    np.testing.assert_allclose(curve.get_ydata(), [1.5 * -0.9, 1.5 * 1.2])
    assert low < 2 * -0.9 and high > 2 * 1.2


def test_a_run_of_an_offline_phase_alone_has_a_time_for_every_iteration():
    offline = [
        row | {"phase": "offline", "iteration": number, "agent_steps": 0}
        for number in (1, 2, 3)
        for row in rows((0.2,))
    ]
    times, _ = plotting._by_iteration(offline, "score")
    assert list(np.diff(times) > 0) == [True, True] and times[-1] == 0


def test_a_sweep_says_what_lambda_is():
    runs = [
        row for name in ("linear", "step") for row in rows((0.2, 0.9), schedule=name, coefficient=1.0, temperature=0.1)
    ]
    curves, weanings, *_ = plotting.sweep(runs, "minatar/breakout").axes
    assert weanings.get_ylabel() == "weaning coefficient λ"
    assert {text.get_text() for text in curves.get_legend().get_texts()} >= {
        "teacher",
        "random policy",
        "linear",
        "step",
    }


def test_a_sweep_of_schedules_alone_is_drawn():
    runs = [
        row for name in ("linear", "step") for row in rows((0.2, 0.9), schedule=name, coefficient=3.0, temperature=0.1)
    ]
    figure = plotting.sweep(runs, "atari/breakout")
    figure.draw_without_rendering()
    heat = figure.axes[2]
    assert [text.get_text() for text in heat.texts] == ["1.35", "1.35"]
    assert [text.get_text() for text in heat.get_xticklabels()] == ["3, T = 0.1"]
