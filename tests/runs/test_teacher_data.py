"""Which of a teacher's data a run takes, and how many: as many as it asks for, wherever they are."""

import dataclasses
import shutil

import pytest
from tiny import tiny

import purejaxrrl
from purejaxrrl.runs import experiment
from purejaxrrl.students.settings import QDagger
from purejaxrrl.teachers import datasets


@pytest.fixture
def beside(tmp_path, teacher_folder, dataset, teacher):
    """A teacher with its data, 400 transitions, beside it."""
    shutil.copytree(teacher_folder, tmp_path / "teacher")
    datasets.save(tmp_path / "teacher_data", dataset, teacher)
    return tmp_path


def load(beside, breakout, teacher, **given):
    options = experiment.Options(teacher=str(beside / "teacher"), **given)
    return experiment.load_data(options, tiny(QDagger), breakout, teacher)


def test_data_beside_the_teacher_are_as_many_as_asked_for(beside, breakout, teacher, dataset, capsys):
    assert load(beside, breakout, teacher).fingerprint() == dataset.fingerprint()
    assert "400 transitions from" in capsys.readouterr().out
    fewer = load(beside, breakout, teacher, data_transitions=160)
    assert fewer.memory.capacity == 160 and fewer.fingerprint() == datasets.last(dataset, 160).fingerprint()
    assert "160 transitions from" in (printed := capsys.readouterr().out) and "the last of 400 there" in printed
    assert load(beside, breakout, teacher, data_transitions=400).memory.capacity == 400


def test_data_of_another_environments_options_are_said_to_be_that(beside, breakout, teacher):
    """Also where the teacher was scored anew there."""
    card = dataclasses.replace(teacher.card, environment_options={"sticky_action_probability": 0.5})
    environment = purejaxrrl.make("minatar/breakout", sticky_action_probability=0.5)
    with pytest.raises(ValueError, match="holds data of minatar/breakout made with the options of the default"):
        load(beside, environment, dataclasses.replace(teacher, card=card))


def test_data_beside_a_teacher_are_found_from_within_it(beside, breakout, teacher, dataset, monkeypatch):
    monkeypatch.chdir(beside / "teacher")
    options = experiment.Options(teacher=".")
    assert experiment.load_data(options, tiny(QDagger), breakout, teacher).fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize("given", [{}, {"data": "elsewhere"}])
def test_fewer_than_asked_for_are_refused(given, beside, breakout, teacher):
    if given:
        (beside / "teacher_data").rename(beside / "elsewhere")
        given = {"data": str(beside / "elsewhere")}
    with pytest.raises(ValueError, match="holds 400 transitions, and --data-transitions asks for 408; ask for at most"):
        load(beside, breakout, teacher, data_transitions=408, **given)


@pytest.mark.parametrize("wanted", [3, 24, 2001])
def test_what_are_no_whole_rows_or_too_few_to_draw_from_is_refused_before_it_is_collected(
    wanted, breakout, teacher, monkeypatch, tmp_path
):
    monkeypatch.setattr(datasets, "collect", lambda *_, **__: pytest.fail("data were collected"))
    options = experiment.Options(data=str(tmp_path / "data"), data_transitions=wanted)
    message = "it must be a multiple of the 8 environments that play them, and at least 32"
    with pytest.raises(ValueError, match=f"--data-transitions is {wanted}; {message}"):
        experiment.load_data(options, tiny(QDagger), breakout, teacher)


def test_too_few_of_those_that_are_there_are_refused(beside, breakout, teacher):
    with pytest.raises(ValueError, match="--data-transitions is 3; it must be at least 32, or 0: all 400 in"):
        load(beside, breakout, teacher, data_transitions=3)
