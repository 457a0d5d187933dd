"""Results read back: what belongs together, what does not, and figures and numbers from files alone."""

import csv
import json

import numpy as np
import pytest
import rliable.metrics
from PIL import Image

from purejaxrrl import benchmark_figures, benchmark_results, evaluation

SHARED = {"frames": 3000, "iterations": 3}
METHODS = ("tabula_rasa", "qdagger")


def write(
    folder,
    game,
    methods=METHODS,
    seeds=(0, 1, 2),
    shared=SHARED,
    teacher="t",
    data="d",
    version="1",
    iterations=3,
    **about,
):
    """A folder as the benchmark leaves it, with scores that say where they come from."""
    path = folder / game / f"{methods[0]}-{len(list((folder / game).glob('*')))}"
    path.mkdir(parents=True)
    described = {method: {"title": method.upper(), "settings": {"n_step": 3}} for method in methods}
    about = {
        "kind": benchmark_results.KIND, "game": game, "shared": shared, "methods": described, "seeds": list(seeds),
        "teacher_sha256": teacher, "data_sha256": data, "teacher_score": 9.0, "random_score": 1.0, "jax": "0", "version": version,
    } | about  # fmt: skip
    (path / "config.json").write_text(json.dumps(about))
    with (path / "metrics.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["phase", "iteration", "agent_steps", "method", "seed", "score", "coefficient"])
        for iteration in range(iterations + 1):
            for method in methods:
                for seed in seeds:
                    score = final_score(game, method, seed) * iteration / 3
                    phase = "offline" if iteration == 0 else "online"
                    writer.writerow([phase, max(iteration, 1), iteration * 1000, method, seed, score, 0.5])
    return path


def final_score(game, method, seed):
    return len(game) / 10 + 0.1 * seed + 0.6 * (method == "qdagger")


def expected(method, games=("asterix", "breakout"), seeds=3):
    return np.array([[final_score(game, method, seed) for game in games] for seed in range(seeds)])


@pytest.fixture
def folder(tmp_path):
    for game in ("asterix", "breakout"):
        write(tmp_path, game)
    return tmp_path


def test_scores_are_those_written(folder):
    results = benchmark_results.load(folder)
    assert results.games == ["asterix", "breakout"] and results.methods == list(METHODS)
    np.testing.assert_array_equal(results.agent_steps, [1000, 2000, 3000])
    for method in METHODS:
        np.testing.assert_allclose(results.scores(method)[..., -1], expected(method))
        np.testing.assert_allclose(results.scores(method)[..., 0], expected(method) / 3)


def test_the_reports_numbers_are_rliables(folder):
    text = benchmark_results.report(benchmark_results.load(folder))
    scores = expected("qdagger")
    row = next(line for line in text.split("all games")[1].splitlines() if line.startswith("| QDAGGER"))
    cells = [cell.strip() for cell in row.split("|")[2:]]
    aggregates = (
        rliable.metrics.aggregate_iqm, rliable.metrics.aggregate_median, rliable.metrics.aggregate_mean,
        rliable.metrics.aggregate_optimality_gap,
    )  # fmt: skip
    for cell, aggregate in zip(cells, aggregates, strict=False):
        assert cell.startswith(f"{aggregate(scores):.2f} (")
    assert cells[4].startswith("100% (")  # means 1.4 and 1.5
    row = next(line for line in text.split("all games")[1].splitlines() if line.startswith("| TABULA_RASA"))
    assert row.split("|")[-2].strip().startswith("1.00 (")  # every QDagger run is better
    assert "SHA-256 of the teacher t, of its data d" in text


def test_figures_are_drawn_from_the_files_alone(folder):
    drawn = benchmark_figures.draw(folder, benchmark_results.load(folder))
    assert {"aggregate_curves.png", "final_scores.png", "performance_profile.png", "probability_of_improvement.png", "games.png", "weaning.png"} == set(drawn)  # fmt: skip
    for name in drawn:
        with Image.open(folder / name) as image:
            assert image.size[0] > 600 and len(image.convert("RGB").getcolors(1 << 24)) > 10


def test_the_curve_that_is_drawn_is_the_iqm(folder):
    figure = benchmark_figures.aggregate_curves(benchmark_results.load(folder))
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    final = evaluation.interquartile_mean(expected("qdagger"))
    np.testing.assert_allclose(lines["QDAGGER"], np.array([1, 2, 3]) / 3 * final)
    assert list(lines["teacher"]) == [1.0, 1.0]


def test_methods_and_seeds_trained_later_are_added(folder):
    for game in ("asterix", "breakout"):
        write(folder, game, methods=("dagger",), data=None)
        write(folder, game, seeds=(3,))
    results = benchmark_results.load(folder)
    assert set(results.methods) == {*METHODS, "dagger"}
    np.testing.assert_allclose(results.game_scores("asterix", "qdagger")[:, -1], expected("qdagger", seeds=4)[:, 0])
    assert results.about["asterix"]["data_sha256"] == "d"


def test_a_game_with_fewer_seeds_is_shown_as_such_and_all_games_count_the_same(tmp_path):
    write(tmp_path, "asterix")
    write(tmp_path, "breakout", seeds=(0, 1))
    results = benchmark_results.load(tmp_path)
    assert results.scores("qdagger").shape == (2, 2, 3)
    text = benchmark_results.report(results)
    assert "breakout (2 of 3 seeds)" in text and "of 2 seeds each" in text
    titles = [axes.get_title() for axes in benchmark_figures.game_curves(results).axes]
    assert titles == ["asterix", "breakout (2 of 3 seeds)"]


def test_a_method_that_a_game_lacks_is_named_and_left_out(tmp_path):
    write(tmp_path, "asterix", methods=("tabula_rasa", "qdagger", "dqfd"))
    write(tmp_path, "breakout")
    results = benchmark_results.load(tmp_path)
    assert results.methods == list(METHODS)
    assert "dqfd" in benchmark_results.load(tmp_path, ["asterix"]).methods
    assert "Left out, as some game has no results of it: dqfd" in benchmark_results.report(results)


def test_what_is_not_finished_does_not_count(folder):
    write(folder, "freeway", iterations=2)
    assert benchmark_results.load(folder).games == ["asterix", "breakout"]
    done = benchmark_results.finished(folder, SHARED)
    assert done == {(game, method, seed) for game in ("asterix", "breakout") for method in METHODS for seed in range(3)}


@pytest.mark.parametrize(
    ("game", "change", "message"),
    [
        ("freeway", {"shared": {"frames": 6000, "iterations": 3}, "iterations": 6}, r"frames is 3000 in .* and 6000 in freeway"),
        ("freeway", {"version": "2"}, r"version is '1' in .* and '2' in freeway"),
        ("freeway", {"jax": "9"}, r"jax is '0' in .* and '9' in freeway"),
        ("asterix", {"teacher": "other", "seeds": (5,)}, r"teacher_sha256 is 't' in .* and 'other'"),
        ("asterix", {"data": "other", "seeds": (5,)}, r"data_sha256 is 'd' in .* and 'other'"),
        (
            "asterix",
            {"seeds": (5,), "methods": ("qdagger",), "changed": True},
            r"n_step is 3 in .* and 1 in",
        ),
    ],
)  # fmt: skip
def test_results_that_differ_are_never_put_together(folder, game, change, message):
    changed = change.pop("changed", False)
    path = write(folder, game, **change)
    change["changed"] = changed
    if changed:
        about = json.loads((path / "config.json").read_text())
        about["methods"]["qdagger"]["settings"]["n_step"] = 1
        (path / "config.json").write_text(json.dumps(about))
    with pytest.raises(benchmark_results.ResultsError, match=message):
        benchmark_results.load(folder)


def test_other_settings_are_not_added_to_what_is_there(folder):
    with pytest.raises(benchmark_results.ResultsError, match="frames is 3000 .* and 9000 in this run"):
        benchmark_results.finished(folder, SHARED | {"frames": 9000})


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(benchmark_results.ResultsError, match="holds no finished results"):
        benchmark_results.load(tmp_path)
