import balloon
import numpy as np
import pytest
from PIL import Image
from recordings import NEEDS_DATA

import purejaxrrl
from purejaxrrl.environments.balloon import pictures, suites


def scores():
    return suites.Scores(
        seeds=np.arange(3),
        twr50=np.asarray([0.0, 0.5, 1.0]),
        returns=np.asarray([100.0, 400.0, 900.0]),
        steps=np.asarray([960, 960, 12]),
        status=np.asarray([0, 0, 2]),
    )


def test_the_table_has_means_intervals_and_lost_balloons():
    row = balloon.table("stay", "tiny", scores()).splitlines()[-1]
    assert row.startswith("| stay | tiny | 3 | 50.0 (") and row.endswith("| 1 |")
    assert "466.7 (" in row


@pytest.mark.parametrize("number", [0, 2])
def test_what_an_evaluation_leaves(tmp_path, monkeypatch, number):
    monkeypatch.setattr(pictures, "flight_of", lambda environment, seed, path: flight(seed))
    monkeypatch.setattr(pictures, "_FRAMES", 3)
    files = balloon.write(tmp_path / "out", "the table", scores(), None, None, number)
    assert sorted(files) == sorted(file.name for file in (tmp_path / "out").iterdir())
    assert len(files) == 2 + 2 * number
    lines = (tmp_path / "out" / "episodes.csv").read_text().splitlines()
    assert lines[0] == "seed,twr50,return,steps,status" and lines[3] == "2,1.000000,900.0000,12,2"
    assert "python" in (tmp_path / "out" / "summary.txt").read_text()


def flight(seed):
    steps = 40
    around = np.linspace(0, 3, steps + 1)
    return pictures.Flight(
        seed=seed, x=80 * np.cos(around), y=80 * np.sin(around), pressure=90 + 10 * np.sin(around),
        battery=np.linspace(1, 0.3, steps + 1), twr50=0.5, winds=np.ones((len(around[::8]), len(pictures._LEVELS), 2)),
    )  # fmt: skip


def test_a_gif_moves_and_a_png_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_FRAMES", 3)
    pictures.draw(tmp_path / "flight.png", flight(4))
    pictures.animate(tmp_path / "flight.gif", flight(4))
    assert np.asarray(Image.open(tmp_path / "flight.png").convert("L")).std() > 10
    gif = Image.open(tmp_path / "flight.gif")
    assert gif.n_frames == 3
    first = np.asarray(gif.convert("L")).astype(int)
    gif.seek(2)
    assert np.abs(np.asarray(gif.convert("L")) - first).max() > 50


def test_evaluations_of_students_of_the_same_name_are_apart_and_earlier_ones_are_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("qdagger", "from_nothing"):
        (tmp_path / name / "student").mkdir(parents=True)
    monkeypatch.setattr(balloon.purejaxrrl, "make", lambda *_, **__: None)
    monkeypatch.setattr(balloon, "agent_of", lambda *_: None)
    monkeypatch.setattr(balloon.suites, "fly", lambda *_, **__: (scores(), None))
    for agent in ("qdagger/student", "from_nothing/student", "qdagger/student", "stay"):
        balloon.evaluate(balloon.Options(evaluate=agent, pictures=0))
    folders = {path.parent.name for path in tmp_path.glob("runs/balloon/*/summary.txt")}
    assert folders == {"qdagger-student-small", "qdagger-student-small.1", "from_nothing-student-small", "stay-small"}
    assert capsys.readouterr().out.count("the earlier results in") == 1


def test_an_agent_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="agent 'seeker' is neither a folder nor one of perciatelli44, station_seeker"):
        balloon.agent_of("seeker", None)


@NEEDS_DATA
def test_a_teacher_of_another_environment_is_refused():
    folder = purejaxrrl.shipped_teacher("minatar/breakout")
    with pytest.raises(ValueError, match="was trained on 'minatar/breakout', not 'balloon'"):
        balloon.agent_of(str(folder), purejaxrrl.make("balloon"))
