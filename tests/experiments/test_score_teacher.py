"""The program that scores a teacher anew. How it is scored is tested with the teachers."""

import dataclasses
import shutil
import sys

import pytest
import score_teacher

from purejaxrrl import teachers


@pytest.mark.parametrize("write", [False, True])
def test_a_teachers_scores_are_said_and_written_where_that_is_wanted(
    write, monkeypatch, capsys, teacher_folder, tmp_path
):
    def scored(key, teacher, environment, *, epsilon, episodes, limit):
        changes = {"score": 2.5, "score_error": 0.125, "random_score": 0.75, "random_score_error": 0.0625}
        changes["environment_options"] = {"sticky_action_probability": 0.5}  # in which it stays the same teacher
        card = dataclasses.replace(teacher.card, evaluation_episodes=episodes, evaluation_limit=limit, **changes)
        return dataclasses.replace(teacher, card=card)

    monkeypatch.setattr(teachers, "scored_anew", scored)
    folder = shutil.copytree(teacher_folder, tmp_path / "teacher")
    arguments = [f"--teacher={folder}", "--episodes=3", "--evaluation-limit=7", *["--write"] * write]
    monkeypatch.setattr(sys, "argv", ["score_teacher.py", *arguments])
    score_teacher.main()
    printed = capsys.readouterr().out
    assert "teacher           2.500 +- 0.125 (its card had 2.000 of 1)" in printed
    assert "random policy     0.750 +- 0.062 (its card had 0.500 of 1)" in printed
    assert "scoring the teacher and the random policy: 3 episodes of at most 7 agent steps\n" in printed
    found, before = teachers.load(folder), teachers.load(teacher_folder)
    card = found.card
    expected = (3, 7, 0.125) if write else (1, 0, None)
    assert (card.evaluation_episodes, card.evaluation_limit, card.score_error) == expected
    assert found.fingerprint() == before.fingerprint() and ("card written" in printed) == write


def test_another_games_teacher_is_refused(monkeypatch, capsys, teacher_folder):
    monkeypatch.setattr(
        sys, "argv", ["score_teacher.py", f"--teacher={teacher_folder}", "--environment=minatar/asterix"]
    )
    with pytest.raises(SystemExit) as end:
        score_teacher.main()
    assert end.value.code == 2 and "trained on 'minatar/breakout'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["minatar/brekout", "minatar"])
def test_a_name_that_is_none_gets_those_that_are(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["score_teacher.py", f"--environment={name}"])
    with pytest.raises(SystemExit) as end:
        score_teacher.main()
    error = capsys.readouterr().err
    assert end.value.code == 2 and f"'{name}'" in error and "the nearest are minatar/" in error


def test_a_card_takes_no_scores_of_another_epsilon_than_cards_have(monkeypatch, capsys, teacher_folder):
    arguments = [f"--teacher={teacher_folder}", "--epsilon=0.5", "--write"]
    monkeypatch.setattr(sys, "argv", ["score_teacher.py", *arguments])
    with pytest.raises(SystemExit) as end:
        score_teacher.main()
    assert end.value.code == 2 and "epsilon is 0.5; scores on a card are of 0.001" in capsys.readouterr().err
