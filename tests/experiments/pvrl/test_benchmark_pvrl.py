"""The paper's comparison as its user meets it: two games, methods of all kinds and one's own, killed, extended, redrawn."""

import csv
import json
import logging
import re
import shutil
import sys
from types import SimpleNamespace

import benchmark_pvrl
import jax
import jax.numpy as jnp
import methods
import pytest
import results as written

from purejaxrrl import environments, teachers
from purejaxrrl.replay import space
from purejaxrrl.runs import experiment
from purejaxrrl.students import presets, qdagger
from purejaxrrl.students.hyperparameters import hyperparameter
from purejaxrrl.students.losses import term
from purejaxrrl.students.settings import QDagger

SMALL = {
    "frames": 640, "iterations": 2, "seeds": 2, "evaluation_steps": 20, "target_period": 10, "widths": "8",
    "data_transitions": 400, "offline_updates": 20,
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # teacher data are kept in ./runs/data
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))


def run_main(monkeypatch, **options) -> None:
    arguments = [
        f"--{name.replace('_', '-')}={value}" for name, value in (SMALL | options).items() if value is not True
    ]
    flags = [f"--{name}" for name, value in options.items() if value is True]
    monkeypatch.setattr(sys, "argv", ["benchmark_pvrl.py", *arguments, *flags])
    benchmark_pvrl.main()


def compilations(caplog, name):
    return sum(f"Finished XLA compilation of jit({name})" in record.getMessage() for record in caplog.records)


def identity(folder):
    return json.loads((folder / "config.json").read_text())["identity"]


def rows_of(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def metrics(folder):
    """All that is measured, timings excepted, of every run."""
    rows = []
    for path in folder.glob("*/*/metrics.csv"):
        with path.open() as file:
            rows += [
                (path.parts[-3], *(value for name, value in row.items() if name != "seconds"))
                for row in csv.DictReader(file)
            ]
    return sorted(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "minatar_cn"}, "unknown network 'minatar_cn'"),
        ({"data_transitions": 401}, "--data-transitions is 401; it must be a multiple of the 8"),
        ({"seeds": 10_000}, "are available; train at most"),
    ],
)
def test_what_is_wrong_is_found_before_earlier_results_are_moved(options, message, monkeypatch, capsys, tmp_path):
    with experiment.results_folder("out", {"program": "benchmark_pvrl", "shared": {}}):
        pass
    monkeypatch.setattr(space, "available_bytes", lambda devices=1: 3 * 10**7)
    monkeypatch.setattr(benchmark_pvrl, "train_all", None)  # it must not come to that
    with pytest.raises(SystemExit) as end:
        run_main(monkeypatch, games="breakout", methods="qdagger", output="out", **options)
    assert end.value.code == 2 and message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_comparison_with_a_method_of_ones_own(monkeypatch, caplog, capsys, tmp_path):
    # The README's example: a loss of one's own, and a method that has it.
    @term(
        weight=lambda context, hyperparameters: context.weaning_coefficient * hyperparameters.entropy_coefficient,
        entropy_coefficient=hyperparameter(0.01, "of the negative entropy, times lambda", minimum=0),
    )
    def entropy(context, hyperparameters):
        log_policy = jax.nn.log_softmax(context.online.q_values)
        return (jnp.exp(log_policy) * log_policy).sum(-1)

    methods.add(
        "soft_qdagger", "QDagger with entropy", like="qdagger", term=entropy, weaning="linear", entropy_coefficient=0.02
    )
    chosen = "tabula_rasa,pretraining,qdagger,soft_qdagger"
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        run_main(monkeypatch, games="breakout", methods=chosen, output="out")
    # Programs: without an offline phase, with one, with the term. Not one a method or a seed.
    assert compilations(caplog, "online") == 3 and compilations(caplog, "offline") == 2
    results = written.load("out")
    assert set(results.methods) == set(chosen.split(",")) and results.seeds("breakout") == 2
    # Linear weaning is over after 60% of the frames: 320 of 384 there, then 0.
    course = results.runs["breakout"]["soft_qdagger"][0].coefficients
    assert list(course) == pytest.approx([1.0, 1 - 320 / 384, 0.0], abs=1e-6)
    assert "QDagger with entropy" in (tmp_path / "out" / "report.md").read_text()
    (folder,) = tmp_path.glob("out/breakout/pretraining*")
    about = identity(folder)
    assert about["teacher_sha256"] == teachers.load(teachers.shipped("minatar/breakout")).fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", about["data_sha256"])

    (folder,) = tmp_path.glob("out/breakout/soft_qdagger*")
    soft = identity(folder)["methods"]["soft_qdagger"]
    assert soft["settings"]["entropy_coefficient"] == 0.02 and len(soft["terms"]) == 4
    assert "entropy_loss" in (folder / "metrics.csv").read_text().splitlines()[0].split(",")

    # Redrawn from the files alone.
    for picture in tmp_path.glob("out/*.png"):
        picture.unlink()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        caplog.clear()
        run_main(monkeypatch, output="out", redraw=True)
    assert compilations(caplog, "online") == 0
    assert (tmp_path / "out" / "aggregate_curves.png").exists()

    # A changed digit is not believed, and --resume writes what the checkpoint has.
    before, table = metrics(tmp_path / "out"), folder / "metrics.csv"
    written_rows = table.read_text()
    table.write_text(re.sub(r"[1-8](?=\d{3},)", "9", written_rows, count=1))
    assert table.read_text() != written_rows
    with pytest.raises(SystemExit):
        run_main(monkeypatch, output="out", redraw=True)
    assert "metrics.csv is not what its checksum says); use --resume" in capsys.readouterr().err
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        caplog.clear()
        run_main(monkeypatch, games="breakout", methods=chosen, output="out", resume=True)
    assert metrics(tmp_path / "out") == before and compilations(caplog, "online") == 0
    # With other settings it is refused.
    with pytest.raises(SystemExit):
        run_main(monkeypatch, games="breakout", methods="qdagger", frames=1280, output="out", resume=True)
    assert "shared.frames 640 there, 1280 now" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_benchmark_keeps_what_is_finished_and_ends_the_same(monkeypatch, tmp_path):
    options = {"games": "breakout", "methods": "tabula_rasa,kickstarting,rehearsal"}
    run_main(monkeypatch, output="whole", **options)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    shutil.copytree(whole, parts)
    # As if it had been killed in the second program: one iteration done, the first program whole.
    (second,) = parts.glob("breakout/rehearsal*")
    newest = sorted(second.glob("checkpoints/[0-9]*"))
    shutil.rmtree(newest[-1])
    rows = [row for row in (second / "metrics.csv").read_text().splitlines() if ",640," not in row]
    (second / "metrics.csv").write_text("\n".join(rows) + "\n")
    (first,) = parts.glob("breakout/tabula_rasa*")
    untouched = (first / "metrics.csv").stat().st_mtime_ns
    run_main(monkeypatch, output="parts", resume=True, **options)
    assert metrics(parts) == metrics(whole)
    assert (first / "metrics.csv").stat().st_mtime_ns == untouched
    # A seed more: what is there is neither trained again nor changed.
    run_main(monkeypatch, games="breakout", methods="kickstarting", seeds=3, output="parts", resume=True)
    after = metrics(parts)
    assert len(after) == len(metrics(whole)) + 2 and set(metrics(whole)) <= set(after)


def test_a_finished_benchmark_is_extended_to_what_it_would_have_been(monkeypatch, tmp_path, capsys):
    """JSRL's roll-ins and exploration end at shares of the frames, which further iterations are not counted in."""
    options = {"games": "breakout", "methods": "tabula_rasa,jsrl,kickstarting"}
    run_main(monkeypatch, output="whole", more_iterations=1, **options)
    run_main(monkeypatch, output="parts", **options)
    shorter = metrics(tmp_path / "parts")
    with pytest.raises(SystemExit):
        run_main(monkeypatch, output="parts", resume=True, more_iterations=1, games="breakout", methods="tabula_rasa")
    assert "to extend it give all that it trained: --methods with tabula_rasa," in capsys.readouterr().err
    run_main(monkeypatch, output="parts", resume=True, more_iterations=1, **options)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert set(shorter) < set(metrics(tmp_path / "parts"))
    assert "after 960 frames" in (tmp_path / "parts" / "report.md").read_text()
    before = metrics(tmp_path / "parts")
    run_main(monkeypatch, output="parts", resume=True, **options)
    assert metrics(tmp_path / "parts") == before


def test_all_methods_of_a_seed_start_from_the_same_student(monkeypatch):
    names = ("tabula_rasa", "rehearsal", "qdagger")
    config = benchmark_pvrl.Config(**SMALL | {"widths": (8,), "methods": names})
    game = benchmark_pvrl.Game.load(config, "breakout")
    params = []
    for name in names:
        program = qdagger.program(game.students[name], game.environment, game.teacher, game.data)
        key = qdagger.run_key(program, jax.random.key(3))
        params.append(qdagger.init(program, key, game.students[name]).learner.params)
    for other in params[1:]:
        jax.tree.map(lambda a, b: (a == b).all() or pytest.fail("they differ"), params[0], other)


@pytest.fixture
def batches(monkeypatch):
    """(batch size of the settings, that of the program as it was traced) of every update that is compiled."""
    seen, update = set(), qdagger.update

    def traced(program, hyperparameters, learner, batch, *rest, **options):
        seen.add((program.settings.batch_size, batch.action.shape[0]))
        return update(program, hyperparameters, learner, batch, *rest, **options)

    monkeypatch.setattr(qdagger, "update", traced)
    return seen


def test_a_method_with_other_static_settings_has_a_program_of_its_own(batches, monkeypatch, capsys, tmp_path):
    """Not qdagger's program under its name (issue 11, item 3); and its results are not taken for those of other settings."""
    methods.add("big_batch", "QDagger, large batches", batch_size=64, warm_up=328)
    options = {"games": "breakout", "methods": "qdagger,big_batch", "seeds": 1, "output": "out"}
    run_main(monkeypatch, **options)
    assert batches == {(32, 32), (64, 64)}  # as they were compiled
    (folder,) = tmp_path.glob("out/breakout/big_batch*")
    (other,) = tmp_path.glob("out/breakout/qdagger*")
    effective = identity(folder)["methods"]
    assert set(effective) == {"big_batch"} and set(identity(other)["methods"]) == {"qdagger"}
    found = [about["settings"] for about in (effective["big_batch"], identity(other)["methods"]["qdagger"])]
    assert [(settings["batch_size"], settings["warm_up"]) for settings in found] == [(64, 328), (32, 5)]
    # In its first iteration of 320 steps nothing is learned online yet; in qdagger's something is.
    losses = [[row["td_loss"] for row in rows_of(place) if row["phase"] == "online"] for place in (folder, other)]
    assert losses[0][0] == "" and min(map(float, [losses[0][1], *losses[1]])) > 0.0

    before = metrics(tmp_path / "out")
    methods.METHODS.pop("big_batch")
    methods.add("big_batch", "QDagger, large batches", batch_size=64, warm_up=400, learning_rate=1e-3)
    with pytest.raises(SystemExit):
        run_main(monkeypatch, resume=True, **options)
    message = capsys.readouterr().err
    assert "big_batch's warm_up is 328 in" in message and "and 400 in this run" in message
    assert "big_batch's learning_rate is 0.0005 in" in message
    # Nor with another loss of the same name and the same numbers.
    methods.METHODS.pop("big_batch")

    @term()
    def nothing(context, hyperparameters):
        return 0.0 * context.online.q_values[:, 0]

    methods.add("big_batch", "QDagger, large batches", term=nothing, batch_size=64, warm_up=328)
    with pytest.raises(SystemExit):
        run_main(monkeypatch, resume=True, **options)
    assert "big_batch's terms is" in capsys.readouterr().err
    assert metrics(tmp_path / "out") == before


def test_methods_that_differ_in_values_alone_share_a_program(monkeypatch):
    methods.add("big_batch", "QDagger, large batches", batch_size=64, warm_up=4000)
    methods.add("warm", "QDagger, later", warm_up=4000)
    methods.add("slow", "slowly weaned", weaning="linear", weaning_steps=presets.Share(2_500_000))

    @term()
    def own(context, hyperparameters):
        return context.online.q_values[:, 0]

    methods.add("own", "with a term", term=own)
    names = [
        "qdagger",
        "tabula_rasa",
        "rehearsal",
        "big_batch",
        "dqfd",
        "jsrl",
        "rehearsal_half",
        "dagger",
        "warm",
        "slow",
        "own",
    ]
    config = benchmark_pvrl.Config(methods=tuple(names))
    environment = environments.make("minatar/breakout")
    students = {name: config.student(environment, name) for name in names}
    game = benchmark_pvrl.Game(environment, None, None, students)
    assert game.groups(names, 5) == [
        ["qdagger", "dqfd", "dagger", "slow"], ["tabula_rasa", "jsrl"], ["rehearsal", "rehearsal_half"], ["big_batch"], ["warm"], ["own"],
    ]  # fmt: skip
    # As many as memory has room for, at least one.
    for most, expected in ((15, [["qdagger", "dqfd", "dagger"], ["slow"]]), (4, [[name] for name in names[:1]])):
        monkeypatch.setattr(benchmark_pvrl.memory, "most_runs", lambda *_, most=most: most)
        assert game.groups(names, 5)[: len(expected)] == expected


def test_what_was_begun_goes_on_as_it_was_put_together(monkeypatch):
    """Whatever the memory allows now, and whatever methods and seeds are asked for besides."""
    order = ("qdagger", "dqfd", "dagger", "tabula_rasa")
    config, environment = benchmark_pvrl.Config(methods=order), environments.make("minatar/breakout")
    game = benchmark_pvrl.Game(environment, None, None, {name: config.student(environment, name) for name in order})
    monkeypatch.setattr(benchmark_pvrl.memory, "most_runs", lambda *_: 4)
    missing = {(name, seed) for name in order for seed in (0, 1, 2)} - {("dqfd", 2)}
    begun = [(["qdagger", "dagger"], [0, 1]), (["dqfd"], [1, 2])]
    assert list(benchmark_pvrl.divided(missing, order, begun, game)) == [
        (["qdagger", "dagger"], [0, 1]),
        (["qdagger", "dagger"], [2]),
        (["dqfd"], [0, 1]),
        (["tabula_rasa"], [0, 1, 2]),
    ]


def test_a_comparison_asks_what_was_begun(monkeypatch):
    config, environment = (
        benchmark_pvrl.Config(methods=("qdagger", "dqfd"), seeds=2),
        environments.make("minatar/breakout"),
    )
    game = benchmark_pvrl.Game(
        environment, None, None, {name: config.student(environment, name) for name in config.methods}
    )
    trained = []
    monkeypatch.setattr(benchmark_pvrl.Game, "load", lambda *_: game)
    monkeypatch.setattr(benchmark_pvrl.Game, "about", lambda _: {})
    monkeypatch.setattr(written, "check_sources", lambda *_: None)
    monkeypatch.setattr(
        written, "begun", lambda _, game, iterations: [(["dqfd"], [0, 1])] if game == "breakout" else []
    )
    monkeypatch.setattr(benchmark_pvrl, "train", lambda config, name, game, *what: trained.append((name, *what)))
    benchmark_pvrl.train_all(config)
    assert [what for name, *what in trained if name == "breakout"] == [[["dqfd"], [0, 1]], [["qdagger"], [0, 1]]]
    assert [what for name, *what in trained if name == "asterix"] == [[["qdagger", "dqfd"], [0, 1]]]


def test_what_is_finished_is_drawn_before_the_next_game(monkeypatch):
    done = []
    finished = {"asterix"}
    monkeypatch.setattr(benchmark_pvrl, "missing", lambda config, game: set() if game in finished else {("qdagger", 0)})
    monkeypatch.setattr(benchmark_pvrl.Game, "load", lambda *_: SimpleNamespace(about=dict))
    monkeypatch.setattr(benchmark_pvrl, "divided", lambda *_: [(["qdagger"], [0])])
    monkeypatch.setattr(benchmark_pvrl, "train", lambda config, game, *_: (done.append(game), finished.add(game)))
    monkeypatch.setattr(written, "check_sources", lambda *_: None)

    def draw(config, games):
        done.append(games)
        raise written.ResultsError("nothing that fits together")

    monkeypatch.setattr(benchmark_pvrl, "draw", draw)
    benchmark_pvrl.train_all(benchmark_pvrl.Config(games=("breakout", "asterix", "freeway"), methods=("qdagger",)))
    assert done == ["breakout", ["breakout", "asterix"], "freeway"]


def test_results_of_two_presets_share_no_options():
    """However alike the flags: what a preset says of methods that only one of them trained is in no other option."""
    flags = {"games": ("atari/breakout",), "frames": 400_000, "data_transitions": 50_000, "evaluation_steps": 8_000}
    quick, paper = (benchmark_pvrl.Config(preset=preset, **flags).shared for preset in ("quick", "paper"))
    assert {name for name in quick if quick[name] != paper[name]} == {"preset"}


def test_reincarnates_preset_is_the_comparisons_qdagger():
    config, environment = benchmark_pvrl.Config(), environments.make("minatar/breakout")
    preset = dict(presets.named("comparison"))
    assert preset.pop("data_transitions") == config.sources("breakout", environment).data_transitions == 40_000
    assert QDagger(**preset) == config.student(environment, "qdagger")


WRONG = {
    "an unknown game": ({"games": "brekout"}, "unknown environment 'minatar/brekout'; the nearest are minatar/breakout"),
    "an unknown method": ({"methods": "qdager"}, "unknown method 'qdager'; the nearest are qdagger"),
    "one teacher for several games": ({"games": "breakout,asterix", "teacher": "mine"}, "--teacher is 'mine', one game's"),
    "one game's data for several games": ({"games": "breakout,asterix", "data": "mine"}, "--data is 'mine', one game's"),
    "no methods": ({"methods": ""}, "--methods is empty"),
    "a method twice": ({"methods": "qdagger,dqfd,qdagger"}, "--methods is qdagger,dqfd,qdagger; give each once"),
    "frames that do not divide": ({"frames": 1001}, "--frames is 1001, not a multiple of iterations, 2"),
    "no results to draw": ({"redraw": True, "output": "nothing"}, "holds no finished results"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_with_what_would_be_right(case, monkeypatch, capsys):
    options, message = WRONG[case]
    with pytest.raises(SystemExit):
        run_main(monkeypatch, **options)
    assert message in capsys.readouterr().err
