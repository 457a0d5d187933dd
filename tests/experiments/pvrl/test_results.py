"""Results read back: what belongs together, what does not, and figures and numbers from files alone."""

import csv
import json
import shutil

import figures
import numpy as np
import pytest
import report
import results as written
import rliable.metrics
from PIL import Image

from purejaxrrl.environments import minatar
from purejaxrrl.evaluation import statistics

SHARED = {"frames": 3000, "iterations": 3}
CODE = {"commit": "abc", "versions": {"jax": "1"}}
METHODS = ("tabula_rasa", "qdagger")
DESCRIBED = {"settings": {"n_step": 3}, "terms": ["losses:distillation 0123"]}


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
    offline_score=0.0,
    coefficients=None,
    **about,
):
    """A folder as the benchmark leaves it, with scores that say where they come from; without an offline phase where that has no score."""
    path = folder / game / f"{methods[0]}-{len(list((folder / game).glob('*')))}"
    path.mkdir(parents=True)
    described = {method: DESCRIBED | {"title": method.upper()} for method in methods}
    about = {
        "kind": written.KIND, "game": game, "shared": shared, "methods": described, "seeds": list(seeds),
        "teacher_sha256": teacher, "data_sha256": data, "teacher_score": 9.0, "random_score": 1.0, "commit": "abc", "versions": {"jax": version},
    } | about  # fmt: skip
    (path / "config.json").write_text(json.dumps({"kind": "purejaxrrl run", "format": 2, "identity": about}))
    with (path / "metrics.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["phase", "iteration", "agent_steps", "method", "seed", "score", "lambda"])
        for iteration in range(0 if offline_score is not None else 1, iterations + 1):
            for method in methods:
                for place, seed in enumerate(seeds):
                    score = final_score(game, method, seed) * iteration / 3 if iteration else offline_score
                    coefficient = coefficients[method][place][iteration - 1] if coefficients and iteration else 0.5
                    phase = "offline" if iteration == 0 else "online"
                    writer.writerow([phase, max(iteration, 1), iteration * 1000, method, seed, score, coefficient])
    return path


def finished(folder, game, described=None, shared=SHARED, code=CODE, iterations=3):
    """What need not be trained again, for a run of that code."""
    described = {method: DESCRIBED for method in METHODS} if described is None else described
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(written, "with_code", lambda identity: identity | code)
        return written.finished(folder, game, shared, described, iterations)


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
    results = written.load(folder)
    assert results.games == ["asterix", "breakout"] and results.methods == list(METHODS)
    np.testing.assert_array_equal(results.agent_steps, [1000, 2000, 3000])
    for method in METHODS:
        np.testing.assert_allclose(results.scores(method)[..., -1], expected(method))
        np.testing.assert_allclose(results.scores(method)[..., 0], expected(method) / 3)


def test_what_was_begun_is_neither_finished_nor_only_announced(folder):
    write(folder, "asterix", ("dagger", "qdagger"), seeds=(3, 4), iterations=1)
    announced = write(folder, "asterix", ("jsrl",), iterations=0) / "metrics.csv"
    announced.write_text(announced.read_text().splitlines()[0] + "\n")
    assert written.begun(folder, "asterix", 3) == [(["dagger", "qdagger"], [3, 4])]
    assert written.begun(folder, "breakout", 3) == []


def test_a_program_some_of_whose_runs_another_finished_does_not_go_on(folder):
    """Not even where all are extended: its runs would then be there twice, with other lengths."""
    write(folder, "asterix", ("qdagger", "dagger"), seeds=(2, 3), iterations=1)
    assert written.begun(folder, "asterix", 3) == []
    assert written.begun(folder, "asterix", 5) == [(list(METHODS), [0, 1, 2])]


def test_one_game_is_no_average_of_games(folder):
    text = report.markdown(written.load(folder, ["asterix"]))
    assert "| QDAGGER minus | asterix | all, the last three |" in text and "all 1 games" not in text
    assert "| QDAGGER minus | asterix | breakout | all 2 games |" in report.markdown(written.load(folder))


def test_what_results_say_of_their_teacher_is_what_a_resumed_comparison_takes(folder):
    scores = {"sha256": "t", "score": 9.0, "random_score": 1.0, "evaluation_episodes": 7}
    assert written.scored_teacher(folder, "asterix", 7) == scores
    assert written.scored_teacher(folder, "freeway", 7) is None


def test_results_that_were_extended_are_shown_for_as_long_as_all_are(folder):
    write(folder, "breakout", ("dqfd",), iterations=5)
    write(folder, "asterix", ("dqfd",), iterations=4)
    assert finished(folder, "breakout", {"dqfd": DESCRIBED}, iterations=5) == {("dqfd", seed) for seed in range(3)}
    assert finished(folder, "asterix", {"dqfd": DESCRIBED, "qdagger": DESCRIBED}, iterations=5) == set()
    assert written.begun(folder, "asterix", 4) == [(list(METHODS), [0, 1, 2])]
    results = written.load(folder)
    np.testing.assert_array_equal(results.frames, [1000, 2000, 3000])
    np.testing.assert_allclose(results.scores("dqfd")[..., -1], expected("dqfd"))
    assert "Shown are the 3 iterations that all runs have; some have up to 5" in report.markdown(results)
    for path in folder.glob("*/tabula_rasa*"):
        shutil.rmtree(path)
    results = written.load(folder, ["asterix"])
    np.testing.assert_array_equal(results.frames, [1000, 2000, 3000, 4000])
    text = report.markdown(results)
    assert "after 4,000 frames" in text and "that all runs have" not in text


def test_the_reports_numbers_are_rliables(folder):
    text = report.markdown(written.load(folder))
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


def test_the_games_of_the_last_search_are_put_together_apart_from_the_others(folder):
    write(folder, "space_invaders")
    text = report.markdown(written.load(folder))
    titles = (
        "| IQM | all 3 games | the 2 of the last search of rates | space_invaders alone, which earlier searches saw |"
    )
    table = text.split(titles)[1].split("\n\n")[0]
    row = next(line for line in table.splitlines() if line.startswith("| QDAGGER"))
    games = ("asterix", "breakout"), ("space_invaders",)
    expected_cells = [rliable.metrics.aggregate_iqm(expected("qdagger", seen)) for seen in (sum(games, ()), *games)]
    assert [cell.split("(")[0].strip() for cell in row.split("|")[2:-1]] == [f"{cell:.2f}" for cell in expected_cells]


def test_differences_are_of_pairs(folder):
    """Every QDagger run is 0.6 above that of tabula rasa with its seed: no resampling of pairs says anything else."""
    text = report.markdown(written.load(folder))
    titles = "| QDAGGER minus | asterix | breakout | all 2 games | all, the last three | all, every evaluation |"
    cells = [cell.strip() for cell in text.split(titles)[1].splitlines()[2].split("|")[1:-1]]
    means = ["+0.40 (+0.40 to +0.40)"] * 2  # of a third, two thirds and all
    assert cells == ["TABULA_RASA", *["+0.60 (+0.60 to +0.60)"] * 3, *means]


def test_pairs_are_of_equal_seeds(tmp_path):
    write(tmp_path, "asterix", methods=("qdagger",), seeds=(0, 1, 2, 5))
    write(tmp_path, "asterix", methods=("tabula_rasa",), seeds=(1, 2, 3))
    write(tmp_path, "breakout", seeds=(0, 1, 2))
    results = written.load(tmp_path)
    ours, theirs = results.pairs("qdagger", "tabula_rasa", ["asterix", "breakout"])
    np.testing.assert_allclose(ours[:, 0], [final_score("asterix", "qdagger", seed) for seed in (1, 2)])
    np.testing.assert_allclose(theirs[:, 0], [final_score("asterix", "tabula_rasa", seed) for seed in (1, 2)])
    np.testing.assert_allclose(ours[:, 1], [final_score("breakout", "qdagger", seed) for seed in (0, 1)])
    write(tmp_path, "freeway", methods=("qdagger",), seeds=(0,))
    write(tmp_path, "freeway", methods=("tabula_rasa",), seeds=(1,))
    with pytest.raises(written.ResultsError, match="no seed in common"):
        report.markdown(written.load(tmp_path))


def test_the_offline_phase_is_no_evaluation_of_pairs(tmp_path):
    write(tmp_path, "asterix", offline_score=99.0)
    ours, theirs = written.load(tmp_path).pairs("qdagger", "tabula_rasa", ["asterix"], evaluations=4)
    np.testing.assert_allclose(ours - theirs, 0.6 * 2 / 3)
    assert ours.max() < 2


def test_the_primary_comparison_is_said_first_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(report.methods, "PRIMARY", METHODS)
    for game in minatar.GAMES[:-1]:
        write(tmp_path, game)
    assert "Primary comparison" not in report.markdown(written.load(tmp_path))  # it is of all games
    write(tmp_path, minatar.GAMES[-1])
    said = (
        "Primary comparison: TABULA_RASA minus QDAGGER, all 5 games: -0.60 (-0.60 to -0.60). The difference of means, which leaves no run "
        "out: -0.60 (-0.60 to -0.60); of 15 pairs 0 are above 0 and 15 below. In the mean of the last three evaluations: -0.40 (-0.40 to -0.40)."
    )
    text = report.markdown(written.load(tmp_path))
    assert said in text and "may rise again" not in text
    assert "| QDAGGER minus |" in text and "| TABULA_RASA minus |" in text
    monkeypatch.setattr(report.methods, "CONTROL", "qdagger")
    text = report.markdown(written.load(tmp_path))
    assert (
        f"{said} Minus QDAGGER, from which it differs in that lambda may rise again, and the rate with it: -0.60 (-0.60 to -0.60); in the mean of the last three: -0.40 (-0.40 to -0.40)."
        in text
    )


def test_scores_over_training_are_told_from_the_offline_phase_on(tmp_path):
    write(tmp_path, "asterix", offline_score=0.25)
    write(tmp_path, "breakout", methods=("qdagger",), offline_score=0.75)
    write(tmp_path, "breakout", methods=("tabula_rasa",), offline_score=None)
    rows = report.markdown(written.load(tmp_path)).split("| IQM, all games, after agent steps |")[1].splitlines()
    assert rows[0] == " 0, offline | 1,000 | 2,000 | 3,000 | mean of the last three |"
    cells = {row.split("|")[1].strip(): [cell.strip() for cell in row.split("|")[2:-1]] for row in rows[2:4]}
    courses = [rliable.metrics.aggregate_iqm(expected("qdagger") * share) for share in (1 / 3, 2 / 3, 1, 2 / 3)]
    assert [cell.split(" ")[0] for cell in cells["QDAGGER"]] == ["0.50", *(f"{course:.2f}" for course in courses)]
    assert cells["TABULA_RASA"][0] == ""


def test_where_lambda_came_to_0_is_told_and_whether_it_rose_again(tmp_path):
    courses = {"qdagger": [[0.5, 0.0, 0.0], [0.0, 0.3, 0.0], [0.2, 0.1, 0.0]], "tabula_rasa": [[0.0] * 3] * 3}
    write(tmp_path, "asterix", coefficients=courses)
    courses = {"qdagger": [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.2, 0.0, 0.0]], "tabula_rasa": [[0.0] * 3] * 3}
    write(tmp_path, "breakout", coefficients=courses)
    table = report.markdown(written.load(tmp_path)).split("| lambda first 0 after agent steps, median |")[1]
    assert table.splitlines()[2:4] == ["| QDAGGER | 2,000; rose again in 1 of 3 | in 1 of 3 runs |", ""]
    assert report._weaned(np.zeros((2, 3), bool), np.arange(3)) == "never"
    half = np.array([[True, False], [False, False]])
    assert report._weaned(half, np.arange(2)) == "in 1 of 2 runs; rose again in 1 of 2"


def test_figures_are_drawn_from_the_files_alone(folder):
    drawn = figures.draw(folder, written.load(folder))
    assert {"aggregate_curves.png", "final_scores.png", "performance_profile.png", "probability_of_improvement.png", "games.png", "weaning.png"} == set(drawn)  # fmt: skip
    for name in drawn:
        with Image.open(folder / name) as image:
            assert image.size[0] > 600 and len(image.convert("RGB").getcolors(1 << 24)) > 10


def test_the_curve_that_is_drawn_is_the_iqm(folder):
    figure = figures.aggregate_curves(written.load(folder))
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    final = statistics.interquartile_mean(expected("qdagger"))
    np.testing.assert_allclose(lines["QDAGGER"], np.array([1, 2, 3]) / 3 * final)
    assert list(lines["teacher"]) == [1.0, 1.0]


def test_methods_and_seeds_trained_later_are_added(folder):
    for game in ("asterix", "breakout"):
        write(folder, game, methods=("dagger",), data=None)
        write(folder, game, seeds=(3,))
    results = written.load(folder)
    assert set(results.methods) == {*METHODS, "dagger"}
    np.testing.assert_allclose(results.game_scores("asterix", "qdagger")[:, -1], expected("qdagger", seeds=4)[:, 0])
    assert results.about["asterix"]["data_sha256"] == "d"


def test_a_game_with_fewer_seeds_is_shown_as_such_and_all_games_count_the_same(tmp_path):
    write(tmp_path, "asterix")
    write(tmp_path, "breakout", seeds=(0, 1))
    results = written.load(tmp_path)
    assert results.scores("qdagger").shape == (2, 2, 3)
    text = report.markdown(results)
    assert "breakout (2 of 3 seeds)" in text and "of 2 seeds each" in text
    titles = [axes.get_title() for axes in figures.game_curves(results).axes]
    assert titles == ["asterix", "breakout (2 of 3 seeds)"]


def test_a_method_that_a_game_lacks_is_named_and_left_out(tmp_path):
    write(tmp_path, "asterix", methods=("tabula_rasa", "qdagger", "dqfd"))
    write(tmp_path, "breakout")
    results = written.load(tmp_path)
    assert results.methods == list(METHODS)
    assert "dqfd" in written.load(tmp_path, ["asterix"]).methods
    assert "Left out, as some game has no results of it: dqfd" in report.markdown(results)


def test_what_is_not_finished_does_not_count(folder):
    write(folder, "freeway", iterations=2)
    assert written.load(folder).games == ["asterix", "breakout"]
    expected = {(method, seed) for method in METHODS for seed in range(3)}
    for game in ("asterix", "breakout"):
        assert finished(folder, game) == expected
    assert finished(folder, "freeway") == set()
    assert finished(folder, "asterix", {"qdagger": DESCRIBED, "dqfd": DESCRIBED}) == {
        ("qdagger", seed) for seed in range(3)
    }


@pytest.mark.parametrize(
    ("game", "change", "message"),
    [
        ("freeway", {"shared": {"frames": 6000, "iterations": 3}}, r"frames is 3000 in .* and 6000 in freeway"),
        ("freeway", {"version": "2"}, r"versions is {'jax': '1'} in .* and {'jax': '2'} in freeway"),
        ("freeway", {"commit": "def"}, r"commit is 'abc' in .* and 'def' in freeway"),
        ("asterix", {"teacher": "other", "seeds": (5,)}, r"teacher_sha256 is 't' in .* and 'other'"),
        ("asterix", {"data": "other", "seeds": (5,)}, r"data_sha256 is 'd' in .* and 'other'"),
        (
            "asterix",
            {"seeds": (5,), "methods": ("qdagger",), "changed": {"settings": {"n_step": 1}}},
            r"qdagger's n_step is 3 in .* and 1 in",
        ),
        (
            "asterix",
            {"seeds": (5,), "methods": ("qdagger",), "changed": {"terms": ["losses:distillation 4567"]}},
            r"qdagger's terms is .*0123.* in .* and .*4567.* in",
        ),
    ],
)  # fmt: skip
def test_results_that_differ_are_never_put_together(folder, game, change, message):
    changed = change.get("changed", {})
    path = write(folder, game, **{name: value for name, value in change.items() if name != "changed"})
    config = json.loads((path / "config.json").read_text())
    config["identity"]["methods"]["qdagger"] |= changed
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(written.ResultsError, match=message):
        written.load(folder)


def test_other_settings_are_not_added_to_what_is_there(folder):
    with pytest.raises(written.ResultsError, match="frames is 3000 .* and 9000 in this run"):
        finished(folder, "asterix", shared=SHARED | {"frames": 9000})
    changed = DESCRIBED | {"settings": {"n_step": 1}}
    with pytest.raises(written.ResultsError, match="qdagger's n_step is 3 .* and 1 in this run"):
        finished(folder, "asterix", {"tabula_rasa": DESCRIBED, "qdagger": changed})
    assert finished(folder, "asterix", {"tabula_rasa": DESCRIBED}) == {("tabula_rasa", seed) for seed in range(3)}
    more = DESCRIBED | {"terms": [*DESCRIBED["terms"], "losses:entropy 89ab"]}
    with pytest.raises(written.ResultsError, match="qdagger's terms is .* and .*entropy 89ab.* in this run"):
        finished(folder, "asterix", {"qdagger": more})


def test_results_of_other_code_are_not_added_to(folder):
    for code, message in (
        ({"commit": "def", "versions": {"jax": "1"}}, "commit is 'abc' in .* and 'def' in this run"),
        ({"commit": "abc", "versions": {"jax": "2"}}, "versions is {'jax': '1'} in .* and {'jax': '2'} in this run"),
    ):
        with pytest.raises(written.ResultsError, match=message):
            finished(folder, "asterix", code=code)


def test_results_of_another_teacher_or_other_data_are_not_added_to(folder):
    sources = {"teacher_sha256": "t", "data_sha256": "d", "teacher_score": 9.0, "random_score": 1.0}
    written.check_sources(folder, "asterix", sources)
    written.check_sources(folder, "freeway", sources | {"teacher_sha256": "another game's"})
    written.check_sources(
        folder, "asterix", sources | {"data_sha256": None}
    )  # methods that need none say nothing of it
    for name, value in (("teacher_sha256", "u"), ("data_sha256", "e"), ("teacher_score", 8.0), ("random_score", 2.0)):
        with pytest.raises(written.ResultsError, match=f"{name} is .* and {value!r} in this run"):
            written.check_sources(folder, "asterix", sources | {name: value})


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(written.ResultsError, match="holds no finished results"):
        written.load(tmp_path)


def test_results_of_the_first_release_are_refused_with_what_to_do(folder):
    path = write(folder, "freeway")
    about = json.loads((path / "config.json").read_text())["identity"]
    first = {name: value for name, value in about.items() if name not in ("commit", "versions")}
    for described in first["methods"].values():
        del described["terms"]
    (path / "config.json").write_text(json.dumps(first | {"version": "0.1.0", "jax": "0.10"}))
    for look in (written.load, lambda folder: finished(folder, "freeway")):
        with pytest.raises(
            written.ResultsError, match="written by release 0.1.0, .* draw them with that release, or move"
        ):
            look(folder)


def _cell(column, value):
    """Changes a cell of the metrics' second row."""

    def change(path):
        lines = (path / "metrics.csv").read_text().splitlines()
        columns = lines[0].split(",")
        cells = lines[2].split(",")
        cells[columns.index(column)] = value
        (path / "metrics.csv").write_text("\n".join([*lines[:2], ",".join(cells), *lines[3:]]) + "\n")

    return change


def _file(name, content):
    return lambda path: (path / name).write_bytes(content)


def _about(**changes):
    def change(path):
        config = json.loads((path / "config.json").read_text())
        config["identity"] |= changes
        (path / "config.json").write_text(json.dumps(config))

    return change


def _lines(edit):
    def change(path):
        lines = (path / "metrics.csv").read_text().splitlines(keepends=True)
        (path / "metrics.csv").write_text("".join(edit(lines)))

    return change


MALFORMED = {
    "a score that is none": (_cell("score", "nan"), "score in row 2 of metrics.csv is nan"),
    "an infinite score": (_cell("score", "inf"), "score in row 2 of metrics.csv is inf"),
    "an empty score": (_cell("score", ""), "score in row 2 of metrics.csv is ''; it must be a number"),
    "a word": (_cell("lambda", "half"), "lambda in row 2 of metrics.csv is 'half'"),
    "half a seed": (_cell("seed", "0.5"), "seed in row 2"),
    "a step before the first": (_cell("agent_steps", "-1"), "agent_steps in row 2"),
    "another step": (_cell("agent_steps", "7"), "not each iteration's once"),
    "a method that nobody described": (_cell("method", "theirs"), "is of the method 'theirs'"),
    "a row twice": (_lines(lambda lines: [*lines[:2], lines[1], *lines[2:]]), "not each iteration's once"),
    "a row less": (_lines(lambda lines: [lines[0], *lines[2:]]), "not each iteration's once"),
    "rows in another order": (_lines(lambda lines: [lines[0], *lines[:0:-1]]), "not each iteration's once"),
    "a column less": (_lines(lambda lines: [line.rpartition(",")[0] + "\n" for line in lines]), "lambda in row 1 of metrics.csv is None"),
    "bytes for a table": (_file("metrics.csv", b"\xff\xfe\0"), "metrics.csv is no table"),
    "a table with a zero": (_file("metrics.csv", b"method\0,seed\n1,2\n"), "metrics.csv"),
    "bytes for a config": (_file("config.json", b"\xff"), "config.json cannot be read"),
    "a list for a config": (_file("config.json", b"[]"), "it is no JSON object"),
    "a deep config": (_file("config.json", b"[" * 100_000), "cannot be read"),
    "a game that is a number": (_about(game=3), "game is 3"),
    "methods that are a list": (_about(methods=[]), "methods is"),
    "a method without settings": (_about(methods={"qdagger": {"title": "x"}}), "missing"),
    "a score in words": (_about(teacher_score="9"), "teacher_score is '9'"),
    "no frames": (_about(shared={}), "shared.frames is None"),
    "frames in words": (_about(shared={"frames": "many", "iterations": 3}), "shared.frames is 'many'"),
    "no versions": (_about(versions=None), "versions is None"),
    "a commit that is a number": (_about(commit=3), "commit is 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_results_are_refused_by_name_in_one_line(case, tmp_path):
    change, message = MALFORMED[case]
    path = write(tmp_path, "breakout")
    change(path)
    with pytest.raises(written.ResultsError) as error:
        written.load(tmp_path)
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_two_results_of_one_run_are_not_chosen_from(tmp_path):
    path = write(tmp_path, "breakout")
    shutil.copytree(path, path.with_name("copy"))
    assert written.load(tmp_path).games == ["breakout"]  # they say the same
    lines = (path / "metrics.csv").read_text().splitlines()
    (path / "metrics.csv").write_text("\n".join([*lines[:-1], lines[-1].replace("0.5", "0.25")]) + "\n")
    with pytest.raises(written.ResultsError, match="has two results of breakout, qdagger, seed 2; move one away"):
        written.load(tmp_path)
