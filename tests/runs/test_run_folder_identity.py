"""Which run it is, and how two of them differ."""

import shutil
import subprocess
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from purejaxrrl import networks, teachers
from purejaxrrl.runs import identity

OF_METHODS = {
    "methods": {
        "qdagger": {"learning_rate": 1e-4, "student_temperature": 1.0, "terms": ["td", "distillation"]},
        "rehearsal": {"learning_rate": 3e-4, "student_temperature": 0.1, "terms": ["td"]},
    },
    "commit": "a",
}


def changed(path, value):
    before = identity.documents.plain(OF_METHODS)
    now = before
    *parents, last = path.split(".")
    for name in parents:
        now = now[name]
    if value is None:
        del now[last]
    else:
        now[last] = value
    return before


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("methods.qdagger.learning_rate", 2e-4, "methods.qdagger.learning_rate 0.0001 there, 0.0002 now"),
        ("methods.rehearsal.student_temperature", 1, "methods.rehearsal.student_temperature 0.1 there, 1 now"),
        ("methods.rehearsal.terms", ["td", "cql"], "methods.rehearsal.terms ['td'] there, ['td', 'cql'] now"),
        ("methods.qdagger.terms", None, "methods.qdagger.terms ['td', 'distillation'] there, nothing now"),
        ("commit", None, "commit 'a' there, nothing now"),
        ("commit", True, "commit 'a' there, True now"),
    ],
)
def test_what_differs_is_named_with_both_values(path, value, line):
    found = identity.differences(OF_METHODS, changed(path, value))
    assert [str(each) for each in found] == [line]
    assert [each.name for each in identity.differences(changed(path, value), OF_METHODS)] == [path]


def test_what_is_the_same_does_not_differ():
    assert identity.differences(OF_METHODS, identity.documents.plain(OF_METHODS)) == []
    assert identity.differences({"rate": 1, "options": {}}, {"rate": 1.0}) == []
    assert identity.differences({"flag": True}, {"flag": 1})
    assert identity.differences({"flag": None}, {})


def test_a_name_with_a_newline_is_told_in_one_line():
    assert identity.listed(identity.differences({"wi\nde": 1}, {})) == "wi\\nde 1 there, nothing now"


def test_a_method_more_is_named_by_its_settings():
    found = identity.differences({"methods": {}}, OF_METHODS)
    assert len(found) == 7 and found[1].name == "methods.qdagger.learning_rate"
    assert identity.listed(found).endswith(", and 2 more")


@pytest.fixture(scope="module")
def teacher():
    network = networks.describe("mlp", 3, (2,), widths=(4,))
    card = teachers.Card("toy/corridor", "q_values", 3, (2,), 12.5, 2.5, 7, 1000)
    return teachers.from_network(network, network.init(jax.random.key(0)), card)


def test_a_runs_identity_has_the_teachers_scores(teacher):
    settings = {"widths": (4, 4), "rate": np.float32(0.5)}
    found = identity.of_run("reincarnate", "toy/corridor", settings, teacher, "0" * 64)
    assert found == {
        "program": "reincarnate",
        "environment": "toy/corridor",
        "settings": {"widths": [4, 4], "rate": 0.5},
        "teacher": {
            "sha256": teacher.fingerprint(), "score": 12.5, "random_score": 2.5, "evaluation_episodes": 7,
        },
        "data_sha256": "0" * 64,
    }  # fmt: skip
    assert identity.of_run("dqn", "toy/corridor", {})["teacher"] is None


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout that the library seems to be in."""
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (tmp_path / "README.md").write_text("")
    monkeypatch.setattr(identity, "purejaxrrl", SimpleNamespace(__file__=str(package / "__init__.py")))
    monkeypatch.delenv("GIT_DIR", raising=False)

    def git(*arguments):
        named = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
        done = subprocess.run(["git", "-C", tmp_path, *named, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init")
    return package / "__init__.py", git


def test_the_commit_is_the_last_that_changed_code(checkout):
    code, git = checkout
    assert identity.commit() is None  # in a checkout that does not have it
    git("add", "-A")
    assert identity.commit() is None
    git("commit", "-m", "code")
    first = git("rev-parse", "HEAD")
    assert identity.commit() == first
    (code.parents[1] / "README.md").write_text("documentation")
    assert identity.commit() == first
    git("commit", "-am", "documentation")
    assert identity.commit() == first
    code.write_text("1")
    uncommitted = identity.commit()
    assert uncommitted.startswith(f"{first}+")
    code.write_text("2")
    assert identity.commit() not in (first, uncommitted)
    git("commit", "-am", "more code")
    last = git("rev-parse", "HEAD")
    assert identity.commit() == last
    (code.parents[1] / "script.py").write_text("1")
    assert identity.commit() == last  # it is no module of the library
    found = {last}
    for text in ("1", "2"):
        code.with_name("new.py").write_text(text)
        found.add(identity.commit())
    assert len(found) == 3


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert identity.commit() is None


def test_of_another_programs_run_nothing_else_is_said():
    before, now = {"program": "dqn", "environment": "minatar/breakout"}, {"program": "pqn", "shared": {"frames": 2}}
    assert identity.listed(identity.differences(before, now)) == "program 'dqn' there, 'pqn' now"


def test_of_another_environments_run_nothing_else_is_said():
    before = {
        "environment": "minatar/breakout",
        "settings": {"environment": "minatar/breakout"},
        "teacher": {"score": 7.6},
    }
    now = {"environment": "minatar/asterix", "settings": {"environment": "minatar/asterix"}, "teacher": {"score": 1.8}}
    assert (
        identity.listed(identity.differences(before, now))
        == "environment 'minatar/breakout' there, 'minatar/asterix' now"
    )
