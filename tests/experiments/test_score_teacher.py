"""The program that scores a teacher anew. How it is scored is tested with the teachers."""

import dataclasses
import shutil
import sys

import fake_console
import jax
import pytest
import score_teacher

from purejaxrrl import networks, teachers


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


@pytest.mark.parametrize("write", [False, True])
def test_a_teacher_of_atari_has_fewer_episodes_and_may_need_fire(write, monkeypatch, tmp_path):
    """Which is kept where its scores are."""
    fake_console.install(monkeypatch)
    network = networks.describe("nature_cnn", 4, (84, 84, 4), width=1 / 32)
    errors = {"score_error": 0.5, "random_score_error": 0.5}
    card = teachers.Card("atari/breakout", "q_values", 4, (84, 84, 4), 2.0, 1.0, 2, 0, **errors)
    teachers.save(tmp_path / "teacher", teachers.from_network(network, network.init(jax.random.key(0)), card))
    asked = []

    def scored(key, teacher, environment, **how):
        asked.append(how | {"fires": teacher.card.fire_after_life_loss})
        return teacher

    monkeypatch.setattr(teachers, "scored_anew", scored)
    arguments = [f"--teacher={tmp_path / 'teacher'}", "--environment=atari/breakout", "--teacher-fires"]
    monkeypatch.setattr(sys, "argv", ["score_teacher.py", *arguments, *["--write"] * write])
    score_teacher.main()
    assert asked == [{"epsilon": 0.001, "episodes": 100, "limit": 10_000, "fires": True}]
    assert teachers.load(tmp_path / "teacher").card.fire_after_life_loss == write


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
