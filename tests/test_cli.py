import dataclasses

import pytest

from purejaxrrl import cli
from purejaxrrl.cli import option


@dataclasses.dataclass(frozen=True)
class Config:
    environment: str = option("minatar/breakout", "the environment's name")
    batch_size: int = option(32, "transitions in an update")
    learning_rate: float = option(1e-4, "Adam's")
    resume: bool = option(False, "continue")
    prioritised: bool = option(True, "sampling")
    widths: tuple[int, ...] = option((128, 64), "the layers")
    temperatures: tuple[float, ...] = option((0.1,), "of the sweep")
    teacher: str | None = option(None, "its folder")
    limit: int | None = option(None, "agent steps")

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"--batch-size is {self.batch_size}; take at least 1")


def parse(*arguments):
    return cli.parse(Config, "Trains.", arguments)


def test_no_arguments_give_the_defaults():
    assert parse() == Config()


def test_every_field_is_a_flag_of_its_type():
    found = parse(
        "--environment", "minatar/asterix", "--batch-size", "64", "--learning-rate", "3e-4", "--resume", "--no-prioritised",
        "--widths", "7,5", "--temperatures", "1,0.5", "--teacher", "there", "--limit", "9",
    )  # fmt: skip
    expected = Config("minatar/asterix", 64, 3e-4, True, False, (7, 5), (1.0, 0.5), "there", 9)
    assert found == expected
    assert [type(value) for value in found.temperatures] == [float, float]


@pytest.mark.parametrize(("text", "value"), [("200_000", 200_000), ("2e5", 200_000), ("1.5e1", 15), ("0007", 7)])
def test_integers_may_be_written_for_people(text, value):
    found = parse("--batch-size", text).batch_size
    assert found == value and type(found) is int


@pytest.mark.parametrize("text", ["2.5", "1e-3", "many", "", "nan", "inf", "1e999"])
def test_what_is_no_integer_is_refused(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse("--batch-size", text)
    assert "--batch-size" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["7,x", "7,2.5"])
def test_lists_of_what_is_no_integer_are_refused(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse("--widths", text)
    assert "list of int" in capsys.readouterr().err


def test_an_empty_list_is_empty():
    assert parse("--widths", "").widths == ()


def test_a_value_that_the_config_refuses_ends_as_a_usage_message(capsys):
    with pytest.raises(SystemExit, match="2"):
        parse("--batch-size", "0")
    assert "--batch-size is 0; take at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("--batch", "64"), ("--unknown", "1"), ("stray",)])
def test_flags_are_neither_guessed_nor_ignored(arguments):
    with pytest.raises(SystemExit, match="2"):
        parse(*arguments)


def test_help_names_every_flag_with_its_text_and_default(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "Trains." in text
    for field in dataclasses.fields(Config):
        assert "--" + field.name.replace("_", "-") in text and field.metadata["help"] in text
    assert "(default: minatar/breakout)" in text and "(default: 0.0001)" in text
