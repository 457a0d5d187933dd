"""`--help` of every program: what a machine can see of whether it speaks to somebody who has never run one."""

import argparse
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from purejaxrrl.environments.balloon import fetch
from purejaxrrl.runs import devices

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
PROGRAMS = sorted(
    path
    for path in [*EXPERIMENTS.rglob("*.py"), Path(fetch.__file__)]
    if re.search(r"command_line\.parse\(|argparse\.ArgumentParser\(", path.read_text())
)
FRAGMENTS = re.compile(r"(of|by|in|with|to|from|at|for|over|within|beside|as|which|that|these|those|they|it|its) ")
"""How a text begins that needs another before it, as a title, to be understood."""


def test_every_program_is_found():
    names = {path.stem for path in PROGRAMS}
    assert {"reincarnate", "dqn", "pqn", "sweep_weaning", "balloon", "accelerator", "tune_pvrl", "atari"} <= names


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda path: path.stem)
def program(request):
    """The program's module and its parser, as its main asks for help."""
    path = request.param
    asked = []

    def recorded(parser, file=None):
        asked.append(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "print_help", recorded)
        patch.setattr(devices, "use_cores", lambda: None)
        patch.setattr(sys, "argv", [path.name, "--help"])
        spec = importlib.util.spec_from_file_location(f"{path.stem}_that_is_asked_for_help", path)
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        with pytest.raises(SystemExit) as end:
            module.main()
    assert not end.value.code and len(asked) == 1
    return module, asked[0]


def options(parser):
    return [action for action in parser._actions if action.dest != "help"]


def test_every_option_is_told_in_a_phrase_of_its_own(program):
    _, parser = program
    for action in options(parser):
        flag, text = action.option_strings[0], action.help
        assert text, f"{flag} has no help"
        phrase = text.partition(" (default")[0]
        assert len(phrase.split()) >= 3, f"{flag}: {text}"
        assert not FRAGMENTS.match(phrase), f"{flag}: {text}"


def test_no_default_is_empty_or_pythons_way_of_writing(program):
    _, parser = program
    text = " ".join(parser.format_help().split())
    for default in re.findall(r"\(default: ?(.*?)\)(?= -|$)", text):
        assert default and default not in ("None", "True", "False", "[]") and not default.startswith(("(", "[", "'"))
    assert "(default: )" not in text


def test_examples_keep_their_lines(program, monkeypatch):
    """However narrow the terminal."""
    module, parser = program
    monkeypatch.setenv("COLUMNS", "60")
    shown = parser.format_help().splitlines()
    examples = [line for line in module.__doc__.splitlines() if line.lstrip().startswith("python ")]
    assert examples and all(line.startswith("    ") and line in shown for line in examples)


def test_a_quantity_has_its_unit(program):
    """A number of something that can be counted says of what, so that steps are not taken for frames."""
    _, parser = program
    for action in options(parser):
        name = action.dest
        if match := re.search(r"(?:^|_)(steps|frames|updates|transitions|episodes)$", name):
            assert match[1] in action.help, f"{name}: {action.help}"
