import errno
import io
import sys
import warnings

import jax.numpy as jnp
import pytest

from purejaxrrl.errors import UserError
from purejaxrrl.runs import command_line, run_folder
from purejaxrrl.students.hyperparameters import declaration, declare, hyperparameter, names, option
from purejaxrrl.students.settings import DQN, QDagger

SCHEDULES = {"linear": 1, "cosine": 2}


@declare
class Options:
    environment: str = option("minatar/breakout", "the environment's name")
    resume: bool = option(False, "continue")
    teacher: str = option("", "its folder")
    limit: int = option(0, "agent steps", minimum=0)

    def __post_init__(self):
        if "{" in self.teacher:
            raise UserError(f"teacher is {self.teacher!r}, not a/teacher/batch_size, and batch_size is the run's")


@declare
class Settings:
    batch_size: int = hyperparameter(32, "transitions in an update", static=True, minimum=1)
    learning_rate: float = hyperparameter(1e-4, "Adam's", minimum=0)
    prioritised: bool = hyperparameter(True, "sampling")
    widths: tuple[int, ...] = hyperparameter((128, 64), "the layers", static=True)
    temperatures: tuple[float, ...] = hyperparameter((0.1,), "of the sweep", static=True)
    weaning: str = hyperparameter("linear", "schedule of lambda", choices=SCHEDULES)
    rounds: int = hyperparameter(1, "at most batch_size, 100% of it", static=True, minimum=1)
    layers: int = hyperparameter(0, "as many as widths", static=True, derived=True)

    def __post_init__(self):
        if self.rounds > self.batch_size:
            raise ValueError(f"rounds is {self.rounds}; it must be at most batch_size, {self.batch_size}")


def parse_both(*arguments, leave_out=()):
    return command_line.parse((Options, Settings), "Trains.", arguments, leave_out)


def parse(*arguments):
    return parse_both(*arguments)[1]


def test_no_arguments_give_the_defaults():
    assert parse_both() == [Options(), Settings()]


def test_every_field_is_a_flag_of_its_type():
    found = parse_both(
        "--environment", "minatar/asterix", "--batch-size", "64", "--learning-rate", "3e-4", "--resume", "--no-prioritised",
        "--widths", "7,5", "--temperatures", "1,0.5", "--teacher", "there", "--limit", "9", "--weaning", "cosine",
    )  # fmt: skip
    assert found == [
        Options(environment="minatar/asterix", resume=True, teacher="there", limit=9),
        Settings(
            batch_size=64,
            learning_rate=3e-4,
            prioritised=False,
            widths=(7, 5),
            temperatures=(1.0, 0.5),
            weaning="cosine",
        ),
    ]
    assert [type(value) for value in found[1].temperatures] == [float, float]


@pytest.mark.parametrize(("text", "value"), [("200_000", 200_000), ("2e5", 200_000), ("1.5e1", 15), ("0007", 7)])
def test_integers_may_be_written_for_people(text, value):
    found = parse("--batch-size", text).batch_size
    assert found == value and type(found) is int


@pytest.mark.parametrize("text", ["2.5", "1e-3", "many", "", "nan", "inf", "1e999"])
def test_what_is_no_integer_is_refused(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse("--batch-size", text)
    assert f"error: --batch-size is {text!r}; it must be an integer; --help" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "text", "wanted"),
    [
        ("--learning-rate", "fast", "a number"),
        ("--widths", "7,2.5", "integers, separated by commas"),
        ("--widths", "7,x", "integers, separated by commas"),
        ("--temperatures", "1,abc", "numbers, separated by commas"),
    ],
)
def test_what_is_no_number_is_refused(flag, text, wanted, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse(flag, text)
    assert f"error: {flag} is {text!r}; it must be {wanted}; --help" in capsys.readouterr().err


def test_an_empty_list_is_empty():
    assert parse("--widths", "").widths == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch-size", "0"), "--batch-size is 0; it must be greater than or equal to 1"),
        (("--learning-rate", "nan"), "--learning-rate is nan; it must be a finite number"),
        (("--temperatures", "1,nan"), "--temperatures.1 is nan; it must be a finite number"),
        (("--temperatures", "inf"), "--temperatures.0 is inf; it must be a finite number"),
        (("--learning-rate", "-1"), "--learning-rate is -1.0; it must be greater than or equal to 0"),
        (("--limit", "-1"), "--limit is -1; it must be greater than or equal to 0"),
        (("--rounds", "33"), "--rounds is 33; it must be at most --batch-size, 32"),
        (
            ("--teacher", "a {teacher}/batch_size"),
            "--teacher is 'a {teacher}/batch_size', not a/teacher/batch_size, and --batch-size is",
        ),
        (("--weaning", "cosin"), "unknown weaning 'cosin'; the nearest are cosine"),
    ],
)
def test_a_value_that_is_refused_ends_as_one_line_that_names_flags(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse(*arguments)
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.count("\n") == 1


def test_an_unknown_flag_is_answered_with_the_nearest(capsys):
    with pytest.raises(SystemExit, match="2"):
        parse("--bach-size=2")
    assert "unrecognized arguments: --bach-size=2 (the nearest are --batch-size" in capsys.readouterr().err


def test_what_the_program_sets_itself_is_no_flag():
    with pytest.raises(SystemExit, match="2"):
        parse_both("--rounds=2", leave_out=("rounds",))
    assert parse_both("--batch-size=2", leave_out=("rounds",))[1] == Settings(batch_size=2)


def test_what_is_derived_is_no_flag():
    with pytest.raises(SystemExit, match="2"):
        parse("--layers=2")


@pytest.mark.parametrize("cls", [DQN, QDagger])
def test_flags_of_every_setting_give_it_back(cls):
    """As it would be written on a command line."""
    arguments = []
    for name in names(cls):
        value, flag = getattr(cls(), name), name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            arguments.append(f"--{flag}={','.join(map(str, value))}")
        else:
            arguments.append(f"--{flag}={value}")
    assert command_line.parse((cls,), "Trains.", arguments) == [cls()]


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (UserError("the teacher is another game's"), 2, "error: the teacher is another game's"),
        (run_folder.RunError("a folder of somebody else"), 2, "error: a folder of somebody else"),
        (run_folder.DivergenceError("td_loss is nan"), 1, "diverged: td_loss is nan"),
        (OSError(errno.ENOSPC, "", "/there"), 2, "error: /there: No space left on device; free space there\n"),
        (KeyboardInterrupt(), 130, "stopped before the first checkpoint; the same command starts again\n"),
    ],
)
def test_what_ends_a_program_is_said_in_one_line(raised, status, message, capsys):
    with pytest.raises(SystemExit) as exit, command_line.user_errors():
        raise raised
    assert exit.value.code == status
    error = capsys.readouterr().err
    assert error.startswith(message) and error.count("\n") == 1


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, KeyError, TypeError, FileNotFoundError, RecursionError])
def test_a_fault_of_the_program_is_not_hidden(kind):
    with pytest.raises(kind, match="ours"), command_line.user_errors():
        raise kind("ours")


def test_a_shape_that_is_wrong_in_the_library_is_not_presented_as_the_users():
    with pytest.raises(ValueError, match="[Ii]ncompatible"), command_line.user_errors():
        jnp.broadcast_to(jnp.zeros(3), (4,))


def test_what_is_true_of_a_program_that_was_stopped_is_said_instead(capsys):
    with pytest.raises(SystemExit, match="130"), command_line.user_errors("the same command goes on"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "stopped; the same command goes on\n"


@pytest.mark.parametrize("arguments", [("--batch", "64"), ("--unknown", "1"), ("stray",)])
def test_flags_are_neither_guessed_nor_ignored(arguments):
    with pytest.raises(SystemExit, match="2"):
        parse(*arguments)


def test_help_names_every_flag_with_its_text_and_default(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "Trains." in text
    for cls in (Options, Settings):
        for name in names(cls):
            assert "--" + name.replace("_", "-") in text
            assert declaration(cls, name).description.replace("batch_size", "--batch-size") in text
    assert "schedule of lambda; one of linear, cosine (default: linear)" in text
    assert "(default: minatar/breakout)" in text and "(default: 0.0001)" in text
    assert "continue (default: no)" in text and "sampling (default: yes)" in text and "(default: 128, 64)" in text
    assert "at most --batch-size, 100% of it (default: 1)" in text
    assert "its folder --limit" in text  # an empty default says nothing


def test_a_description_is_wrapped_but_for_its_examples():
    description = "Trains a student that learns from its teacher.\n\n    python train.py --batch-size 64 --resume --limit 9\n\nThen it\nstops.\n"
    flags = command_line.parser((Options,), description)
    text = command_line.Help("train.py", width=32)._fill_text(flags.description, 30, "")
    assert text == (
        "Trains a student that learns\nfrom its teacher.\n\n    python train.py --batch-size 64 --resume --limit 9\n\n"
        "Then it stops."
    )


def test_what_a_terminal_cannot_show_ends_no_program(monkeypatch):
    shown = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", shown)
    with command_line.user_errors():
        print("QDagger, t₀ at the end")
    shown.flush()
    assert shown.buffer.getvalue() == b"QDagger, t? at the end\n"


def test_what_the_library_warns_of_is_a_line_and_others_warnings_are_what_they_were():
    told, before = UserWarning("the teacher was trained with noop_max 30 (0 here)"), warnings.formatwarning
    places = (command_line.__file__, 7), (__file__, 7)
    theirs = before(told, UserWarning, *places[1])
    with command_line.user_errors():
        ours, others = (warnings.formatwarning(told, UserWarning, *place) for place in places)
    assert ours == f"note: {told}\n" and others == theirs != ours
    assert warnings.formatwarning is before
