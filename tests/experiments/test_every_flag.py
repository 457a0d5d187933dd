"""Every flag of every program through a fixed list of values, up to where it would begin to compute.

Each value is refused in one line that ends the program with status 2, or it passes; what may pass stands in the table below, by
hand, and not in the declarations that the programs read.
"""

import functools
import math
import sys

import accelerator
import balloon
import benchmark_pvrl
import benchmark_terms
import checkpoint
import dqn
import dqn_throughput
import memory as memory_benchmark
import play_atari
import pqn
import public_trainers
import pytest
import reincarnate
import score_teacher
import share_teacher
import sweep_weaning
import tune_pvrl

import purejaxrrl
from purejaxrrl import teachers
from purejaxrrl.replay import space
from purejaxrrl.runs import command_line, devices, memory, training
from purejaxrrl.students.hyperparameters import names
from purejaxrrl.students.settings import DQN, QDagger
from purejaxrrl.teachers import archive, datasets

VALUES = [
    "nan", "inf", "-inf", "1e400", "1e39", "1e-50", "-1", "-0.5", "0", "0.5", "1", "1.5", "2", "7", "1e7", "2147483647", "3000000000",
    "1e12", "9" * 5000, "", "abc", "1,2", "0,0", "-1,2", "nan,1", "1,,2", "{x}", "None", "true", "é", "a" * 300, "../x", "runs/{x}",
]  # fmt: skip


class ReachedError(Exception):
    """The program would begin to compute."""


def between(low, high, whole=False):
    def holds(text):
        number = float(text)
        return math.isfinite(number) and low <= number <= high and (not whole or number == int(number))

    return holds


def each(holds):
    return lambda text: all(holds(part) for part in text.split(",") if part)


ANY = between(-3.4e38, 3.4e38)
PROBABILITY = lambda text: NOT_NEGATIVE(text) and float(text) <= 1  # noqa: E731
NOT_NEGATIVE = lambda text: float(text) == 0 or POSITIVE(text)  # noqa: E731
POSITIVE = between(1.2e-38, 3.4e38)
NATURAL = between(0, 2**31 - 1, whole=True)
COUNT = between(1, 2**31 - 1, whole=True)
SIDE_BY_SIDE = between(1, 100_000, whole=True)
RUNS = between(1, 10_000, whole=True)
UNITS = each(between(1, 1_000_000, whole=True))
TEXT = lambda text: True  # noqa: E731

MAY_PASS = {
    TEXT: "environment environment_options teacher data output resume term preset network weaning head dueling noisy double "
    "best_action_only elementwise_margin fresh_optimiser weaning_reversible student_rolls_in teacher_fires from_nothing tensorboard padding layer_norm decay_learning_rate initialiser sampler importance_weights td_error optimiser games second_games rule_games methods rules plan redraw results other method policy game pack unpack file folder "
    "evaluate suite wind_belief full schedules purejaxrl rejax purejaxql purejaxrl_python quick allow_cpu only also record carry python present take write",
    ANY: "v_min v_max",
    PROBABILITY: "exploring_episodes data_epsilon epsilon discount epsilon_start epsilon_end evaluation_epsilon weaning_floor rehearsal_fraction "
    "roll_in_decay guide_probability rmsprop_decay card_epsilon trace_decay epsilon_fraction",
    NOT_NEGATIVE: "learning_rate reward_clip td_coefficient distillation_coefficient margin_coefficient margin cql_coefficient "
    "online_cql_coefficient offline_learning_rate weaned_learning_rate rmsprop_start weaning_confidence",
    POSITIVE: "adam_eps rmsprop_eps teacher_temperature student_temperature cql_temperature first_rate max_gradient_norm",
    lambda text: POSITIVE(text) and float(text) <= 1: "weaning_disagreement",
    between(1, 16, whole=True): "weaning_evaluations",
    between(0, 9, whole=True): "extensions",
    between(2, 100_000, whole=True): "episodes",
    NATURAL: "seed longer_frames decay_frames more_iterations keep_replay epsilon_hold_steps epsilon_decay_steps evaluation_limit offline_iterations roll_in_steps data_transitions warm_up pictures "
    "offline_updates online_iterations",
    COUNT: "lanes frames iterations iteration_steps evaluation_steps steps_per_update target_period batch_size "
    "capacity max_n_step n_step weaning_steps weaning_drops weaning_memory roll_in_decay_steps guide_decay_steps last repetitions rollout_steps epochs minibatches",
    RUNS: "seeds runs",
    SIDE_BY_SIDE: "card_episodes scoring_episodes evaluation_environments num_environments num_atoms",
    UNITS: "widths",
    each(COUNT): "devices",
    each(NOT_NEGATIVE): "coefficients",
    each(POSITIVE): "temperatures rates weaned_rates",
    between(1, 20_000, whole=True): "steps",
    between(1, 8, whole=True): "scale",
    between(1 / 32, 64): "width",
    between(1_024, 1_000_000, whole=True): "training_steps",
    between(5e-324, 540): "limit",
    between(1, 1_000, whole=True): "largest",
}  # fmt: skip
HOLDS = {name: holds for holds, listed in MAY_PASS.items() for name in listed.split()}

PROGRAMS = {
    "reincarnate": (reincarnate, (reincarnate.Options, QDagger)),
    "dqn": (dqn, (dqn.Options, DQN)),
    "pqn": (pqn, (pqn.Options, pqn.PQN)),
    "sweep_weaning": (sweep_weaning, (sweep_weaning.Options, sweep_weaning.Settings)),
    "benchmark_pvrl": (benchmark_pvrl, (benchmark_pvrl.Config,)),
    "tune_pvrl": (tune_pvrl, (tune_pvrl.Config,)),
    "benchmark_terms": (benchmark_terms, (benchmark_terms.Config,)),
    "memory": (memory_benchmark, (memory_benchmark.Options, QDagger)),
    "checkpoint": (checkpoint, (checkpoint.Options, QDagger)),
    "share_teacher": (share_teacher, (share_teacher.Config,)),
    "score_teacher": (score_teacher, (score_teacher.Config,)),
    "play_atari": (play_atari, (play_atari.Config,)),
    "balloon": (balloon, (balloon.Options,)),
    "public_trainers": (public_trainers, (public_trainers.Config,)),
}
SET_BY_THE_PROGRAM = {
    "dqn": {"online_iterations"},
    "sweep_weaning": {"weaning", "distillation_coefficient", "teacher_temperature", "student_temperature"},
}
NEEDED = {
    "share_teacher": ["--pack=there"],
    "public_trainers": ["--purejaxrl=."],
    "pqn": ["--environment=minatar/breakout", "--network=minatar_cnn"],
    "benchmark_pvrl": ["--games=breakout", "--methods=qdagger,jsrl"],
    "tune_pvrl": ["--games=breakout", "--second-games=breakout", "--rule-games=breakout", "--methods=qdagger,jsrl"],
}
TAKES_MEMORY = [
    "capacity",
    "num_environments",
    "evaluation_environments",
    "max_n_step",
    "network",
    "widths",
    "head",
    "num_atoms",
    "dueling",
    "noisy",
]


def flags_of(program):
    _, classes = PROGRAMS[program]
    found = dict.fromkeys(name for cls in classes for name in names(cls))
    return [name for name in found if name not in SET_BY_THE_PROGRAM.get(program, ())]


@pytest.fixture(scope="module")
def stubbed():
    """Everything that would compute or write says that it was reached; what is slow is remembered."""

    def reached(*_, **__):
        raise ReachedError

    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (datasets, "_play"), (training, "run"), (archive, "pack"), (archive, "unpack"),
            (pqn, "train"), (memory_benchmark, "measure"), (checkpoint, "measure"), (benchmark_terms, "programs"), (teachers, "scored_anew"),
        ):  # fmt: skip
            patch.setattr(module, name, reached)
        patch.setattr(devices, "use_cores", lambda: None)
        patch.setattr(space, "available_bytes", lambda devices=1: 64 * 2**30)
        patch.setattr(teachers, "load", functools.cache(teachers.load))
        patch.setattr(memory, "of_run", remembered(memory.of_run))
        make = functools.cache(purejaxrrl.make)
        patch.setattr(purejaxrrl, "make", lambda name, **options: game(make, name, options))
        yield


def remembered(of_run):
    """`memory.of_run`, worked out once for all settings that are alike in what takes memory."""
    found = {}

    def looked_up(settings, environment, student):
        key = environment.name, tuple((name, getattr(settings, name)) for name in TAKES_MEMORY)
        if key not in found:
            found[key] = of_run(settings, environment, student)
        return found[key]

    return looked_up


def game(make, name, options):
    if isinstance(name, str) and name.startswith("atari/"):
        raise ReachedError
    return make(name, **options)


def outcome(program, main, capsys):
    """ "passes", or the line with which the program ends."""
    capsys.readouterr()
    try:
        with command_line.user_errors():
            main()
    except ReachedError:
        return "passes"
    except SystemExit as end:
        error = capsys.readouterr().err
        assert end.code == 2 and error.startswith("error: ") and error.count("\n") == 1, error
        return error
    return "passes"


def may_pass(name, value):
    try:
        return HOLDS[name](value)
    except (ValueError, OverflowError):
        return False


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_flag_refuses_what_is_none_of_its_values(program, capsys):
    """What the command line says, for every value."""
    _, classes = PROGRAMS[program]
    left_out, needed = SET_BY_THE_PROGRAM.get(program, ()), NEEDED.get(program, [])
    for name in flags_of(program):
        assert name in HOLDS, f"{name} is a new flag: say in the table above which values may pass"
        for value in VALUES:
            arguments = [*needed, f"--{name.replace('_', '-')}={value}"]
            found = outcome(program, lambda: command_line.parse(classes, "", arguments, left_out), capsys)  # noqa: B023
            assert found != "passes" or may_pass(name, value), f"--{name}={value[:20]} passes"
            named = name.replace("_", "-") in found
            assert named or may_pass(name, value), (
                found
            )  # what it does not go together with may be another flag's fault
            assert len(found) < 1300


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name not in ("public_trainers", "balloon")])
# These need an older gymnax, and data that may not be there.
def test_what_a_flag_lets_pass_ends_in_one_line_or_where_a_program_begins_to_compute(
    program, stubbed, capsys, monkeypatch, tmp_path
):
    """The program itself, for every text and for the least and the greatest number that the command line takes."""
    module, classes = PROGRAMS[program]
    monkeypatch.chdir(tmp_path)
    own = flags_of(program) if program in ("reincarnate", "dqn") else names(classes[0])

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [f"{program}.py", *NEEDED.get(program, ()), *arguments])
        return outcome(program, module.main, capsys)

    assert run() == "passes"
    for name in own:
        values = [value for value in VALUES if may_pass(name, value)]
        if HOLDS[name] is not TEXT:
            values = sorted((value for value in values if "," not in value), key=lambda value: float(value or 0))
            values = values[:1] + values[-1:]
        for value in values:
            run(f"--{name.replace('_', '-')}={value}")


@pytest.mark.parametrize("value", VALUES)
def test_the_accelerators_limit_is_a_time(value, capsys):
    try:
        options = accelerator.parser().parse_args([f"--limit={value}"])
        accelerator.chosen(options)
    except SystemExit as end:
        assert end.code == 2 and not may_pass("limit", value)
    except accelerator.UserError as error:
        assert "--limit is" in str(error) and not may_pass("limit", value)
    else:
        assert may_pass("limit", value)


@pytest.mark.parametrize("flag", ["--seeds", "--steps", "--warm-up", "--repetitions"])
def test_the_throughputs_numbers_are_counts(flag, monkeypatch, capsys):
    def reached(*_):
        raise ReachedError

    monkeypatch.setattr(dqn_throughput, "measure", reached)
    for value in VALUES:
        monkeypatch.setattr(sys, "argv", ["dqn_throughput.py", f"{flag}={value}"])
        try:
            dqn_throughput.main()
        except SystemExit as end:
            assert end.code == 2 and "error: " in capsys.readouterr().err
        except ReachedError:
            assert flag in ("--seeds", "--repetitions") and RUNS(value), value
