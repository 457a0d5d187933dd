"""The accelerator benchmark: parts that hang, break, lack something or differ are rows; what is carried installs offline."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import accelerator
import accelerator_parts
import flax.linen as nn
import jax
import numpy as np
import pytest
from accelerator_parts import Part, atari_exact, convolution, dqn, expectations, qdagger
from accelerator_runner import carry, machine, processes, tables

PROGRAM = Path(accelerator.__file__)
CPU = {"platform": "cpu", "kind": "cpu", "count": 1, "memory_bytes": None}
HANGS = """
import pathlib, subprocess, sys, time
def measure(quick, **_):
    yield {"case": "before", "value": 1.5}
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path(__file__).with_suffix(".pid").write_text(str(child.pid))
    time.sleep(600)
"""
WORKS = "def measure(quick, **_):\n    print('no row')\n    yield {'case': 'after', 'quick': quick}\n"


def part(folder: Path, name: str, text: str, limit: float = 30, flags: str = "") -> Part:
    path = folder / f"{name}.py"
    path.write_text(text)
    return Part(name, path, limit, flags)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The report of a run of parts that each go wrong in another way: its folder, its JSON, and whether all was well."""
    folder = tmp_path_factory.mktemp("parts")
    parts = [
        part(folder, "hangs", HANGS, limit=2),
        part(
            folder, "breaks", "def measure(quick, **_):\n    yield {'case': 1}\n    raise RuntimeError('out of luck')\n"
        ),
        part(folder, "lacks", "import no_such_package\n"),
        part(folder, "differs", "def measure(quick, **_):\n    yield {'case': 1, 'agrees': False}\n"),
        part(folder, "refused", "def measure(quick, **_):\n    yield {'case': 1, 'error': 'no memory'}\n"),
        part(folder, "dies", "import os\ndef measure(quick, **_):\n    yield {'case': 1}\n    os.abort()\n"),
        part(folder, "flags", WORKS, flags="--xla_gpu_enable_command_buffer=+WHILE"),
        part(folder, "works", WORKS),
    ]
    report = {"parts": []}
    is_well = accelerator.run_parts(parts, {"quick": True}, CPU, report, folder / "out" / "report.json")
    return (
        folder,
        {one["name"]: one for one in json.loads((folder / "out" / "report.json").read_text())["parts"]},
        is_well,
    )


def test_a_part_that_hangs_is_cut_off_with_all_that_it_started_and_keeps_its_rows(finished):
    folder, parts, _ = finished
    assert parts["hangs"]["status"] == "cut off after 2 s"
    assert parts["hangs"]["rows"] == [{"case": "before", "value": 1.5}]
    assert parts["hangs"]["seconds"] < 5
    assert not is_running(int((folder / "hangs.pid").read_text()))


@pytest.mark.parametrize(
    ("name", "status", "rows"),
    [
        ("breaks", "failed: RuntimeError: out of luck", 1),
        ("lacks", "missing: no_such_package", 0),
        ("differs", "differs in 1 rows", 1),
        ("refused", "1 of 1 cases failed", 1),
        ("dies", f"killed by signal {int(signal.SIGABRT)}", 1),
        ("flags", "skipped: its flags are a GPU's", 0),
        ("works", "ok", 1),
    ],
)
def test_what_goes_wrong_is_said_and_the_next_part_runs(finished, name, status, rows):
    _, parts, is_well = finished
    assert parts[name]["status"] == status
    assert len(parts[name]["rows"]) == rows
    assert not is_well


def test_the_log_of_what_went_wrong_is_kept(finished):
    _, parts, _ = finished
    assert "out of luck" in parts["breaks"]["log"]
    assert parts["works"]["log"] == ""


def test_no_part_begins_when_the_whole_time_is_over(tmp_path):
    report = {"parts": []}
    parts = [part(tmp_path, "works", WORKS)]
    assert not accelerator.run_parts(parts, {"quick": True}, CPU, report, tmp_path / "report.json", whole=5)
    assert report["parts"][0]["status"] == "not run: the time of the whole program is over"


def test_a_part_is_given_no_more_than_what_is_left_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "LEAST", 0.0)
    report = {"parts": []}
    parts = [part(tmp_path, "hangs", HANGS, limit=600)]
    started = time.monotonic()
    accelerator.run_parts(parts, {"quick": True}, CPU, report, tmp_path / "report.json", whole=1)
    assert time.monotonic() - started < 5


def test_the_json_says_where_and_with_what_it_was_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")  # the program sets it; this sets it back
    monkeypatch.setattr(accelerator, "find_device", lambda on_cpu: CPU)
    monkeypatch.setattr(accelerator_parts, "PARTS", (part(tmp_path, "works", WORKS),))
    output = tmp_path / "report.json"
    assert accelerator.measure(accelerator.parser().parse_args(["--quick", "--output", str(output)])) == 0
    report = json.loads(output.read_text())
    assert report["device"] == CPU
    assert report["quick"] and report["format"] == 1
    assert report["versions"]["jax"] == jax.__version__
    assert {"driver", "commit", "date"} <= report.keys()
    assert report["parts"][0]["rows"] == [{"case": "after", "quick": True}]
    assert "works: ok" in capsys.readouterr().out


def test_a_part_of_ones_own_and_a_limit_come_from_the_command_line(tmp_path):
    own = part(tmp_path, "own", WORKS)
    options = accelerator.parser().parse_args(["--only", "dqn", "--also", str(own.path), "--limit", "7"])
    assert [(each.name, each.limit) for each in accelerator.chosen(options)] == [("dqn", 7), ("own", 7)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "error: there is no GPU here: JAX sees a CPU only. --quick runs every part small, --allow-cpu as it is"),
        (["--only", "nothing"], "error: there is no part 'nothing'; there are qdagger, dqn, "),
        (["--also", "absent.py"], "error: --also absent.py: there is no such file"),
        (["--purejaxrl", "folder"], "error: --purejaxrl and --purejaxrl-python go together"),
    ],
)
def test_errors_are_one_line(flags, message, monkeypatch, capsys):
    monkeypatch.setattr(accelerator, "find_device", lambda on_cpu: CPU)
    monkeypatch.setattr(sys, "argv", ["accelerator.py", *flags])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert accelerator.main() == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_a_program_that_is_ended_ends_its_part(tmp_path):
    hangs = part(tmp_path, "hangs", HANGS)
    command = f"import sys; sys.path.insert(0, {str(PROGRAM.parent)!r}); import accelerator; {_in_process(hangs.path)}"
    process = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.DEVNULL)
    pid_file = hangs.path.with_suffix(".pid")
    for _ in range(200):
        if pid_file.exists() and pid_file.read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert not is_running(int(pid_file.read_text()))


def _in_process(path: Path) -> str:
    return (
        f"accelerator.find_device = lambda on_cpu: {CPU}; accelerator.accelerator_parts.PARTS = (); "
        f"sys.argv = ['accelerator.py', '--quick', '--also', {str(path)!r}, '--output', {str(path.with_suffix('.json'))!r}]; "
        f"sys.exit(accelerator.main())"
    )


def test_every_part_is_a_file_and_the_device_is_found():
    assert all(each.path.is_file() for each in accelerator_parts.PARTS)
    assert len({each.name for each in accelerator_parts.PARTS}) == len(accelerator_parts.PARTS)
    found = processes.run(Path(machine.__file__), {}, 60, accelerator.environment("", on_cpu=True))
    assert [row["platform"] for row in found.rows] == ["cpu"]


def test_tables_begin_anew_with_another_first_column():
    rows = [{"game": "pong", "agrees": False}, {"game": "breakout", "agrees": True}, {"seeds": 1024, "s": 0.125}]
    assert tables.tables(rows).splitlines() == [
        "    game  agrees",
        "    pong      NO",
        "breakout     yes",
        "seeds      s",
        "1,024  0.125",
    ]


@pytest.mark.parametrize("name", ["atari_exact", "qdagger"])
def test_recorded_data_say_how_they_are_made(name):
    assert expectations.load(name)["command"] == expectations.COMMAND


def test_another_byte_is_another_checksum_of_its_block():
    frames = [bytes([number]) * 8 for number in range(2 * atari_exact.BLOCK)]
    changed = [*frames[:-1], b"another!"]
    assert atari_exact.checksums(frames)[0] == atari_exact.checksums(changed)[0]
    assert atari_exact.checksums(frames)[1] != atari_exact.checksums(changed)[1]


@pytest.mark.parametrize(("changed", "difference"), [(None, {}), ("ram", {"ram": 10}), ("screen", {"screen": 10})])
def test_one_other_byte_is_found_in_its_block_and_the_picture_below_the_screen_is_not_looked_at(changed, difference):
    rng = np.random.default_rng(0)
    frames, height = 2 * atari_exact.BLOCK, 4
    seen = {
        "ram": rng.integers(0, 256, (frames, 1, 128), np.uint8),
        "screen": rng.integers(0, 128, (frames, 1, height + 2, 160), np.uint8),
        "reward": rng.integers(0, 9, (frames, 1)),
        "lives": np.full((frames, 1), 3),
    }
    lane = {
        "actions": "a" * frames,
        "height": height,
        "ram": atari_exact.checksums([one.tobytes() for one in seen["ram"][:, 0]]),
        "screen": atari_exact.checksums([one.tobytes() for one in seen["screen"][:, 0, :height]]),
        "outcome": atari_exact.checksums([atari_exact.outcome(reward, 3) for reward in seen["reward"][:, 0]]),
    }
    if changed:
        seen[changed][13, 0, 0] ^= 1

    def play(start, actions):
        assert actions.shape == (1, atari_exact.BLOCK)
        return start + atari_exact.BLOCK, jax.tree.map(lambda leaf: leaf[start : start + atari_exact.BLOCK], seen)

    found = atari_exact.play_and_compare(play, 0, [lane], frames, ends=time.perf_counter() + 60)
    assert found == (frames, [difference])


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        (lambda values: values, []),
        (lambda values: [*(1.5 * value for value in values[:1]), *values[1:]], ["td_loss"]),
        (lambda values: [1.01 * value for value in values], ["td_loss"]),
    ],
    ids=["equal", "one seed far away", "all a little"],
)
def test_metrics_are_compared_by_their_mean_and_by_most_seeds(change, differing):
    expected = expectations.load("qdagger")["metrics"]
    found = expected | {"td_loss": change(expected["td_loss"])}
    rows = list(qdagger.compare(found, expected))
    assert [row["metric"] for row in rows if not row["agrees"]] == differing


@pytest.mark.parametrize(("kernel", "stride", "size"), [(8, 4, 21), (4, 2, 9), (3, 1, 6)])
def test_products_are_the_convolution(kernel, stride, size):
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((2, size, size, 3), np.float32)
    params = {
        "kernel": rng.standard_normal((kernel, kernel, 3, 5), np.float32),
        "bias": rng.standard_normal(5, np.float32),
    }
    ours = convolution.Products(5, kernel, stride, np.float32)
    theirs = nn.Conv(5, (kernel, kernel), stride, "VALID")
    found, expected = (module.apply({"params": params}, inputs) for module in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def wheel(folder: Path, name: str, needs: tuple[str, ...] = ()) -> Path:
    """A wheel that pip installs, with one module of one line."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + "".join(
        f"Requires-Dist: {need}\n" for need in needs
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"NAME = {name!r}\n")
        archive.writestr(f"{about}/METADATA", metadata)
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return path


def test_a_wheels_needs_are_those_of_the_machines_python(tmp_path):
    needs = (
        "numpy>=2",
        'tomli; python_version < "3.11"',
        'pytest; extra == "dev"',
        'typing-extensions; python_version >= "3.12"',
    )
    path = wheel(tmp_path, "needy", needs)
    assert [need.split(";")[0] for need in carry.requirements(path, "3.12")] == ["numpy>=2", "typing-extensions"]


def test_what_the_machine_has_is_read_from_pip_freeze_or_guessed():
    assert carry.names_in("jax==0.11.2\n# a remark\nale_py @ file:///somewhere\n-e .\n") == {"jax", "ale-py"}
    guessed = carry.closure(carry.PRESENT)
    assert {"jax", "numpy", "pillow", "ml-dtypes"} <= guessed
    assert not {"pgx", "ale-py"} & guessed


def test_only_what_is_lacking_is_downloaded_and_a_missing_wheel_is_named(tmp_path, monkeypatch):
    asked = []

    def pip(*arguments, subject):
        asked.append(arguments[-1])
        if arguments[-1] == "absent":
            raise carry.CarryError(f"no wheel of {subject}")
        wheel(tmp_path, "first", ("numpy", "second>=1", "first")) if arguments[-1].startswith("first") else wheel(
            tmp_path, "second"
        )

    monkeypatch.setattr(carry, "_pip", pip)
    carry.download("first>=1", tmp_path, {"numpy"}, "3.12")
    assert asked == ["first>=1", "second>=1"]
    with pytest.raises(carry.CarryError, match="absent"):
        carry.download("absent", tmp_path, set(), "3.12")


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(carry.CarryError, match="mine.txt"):
        carry.collect(tmp_path)


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """A folder as `--carry` writes it, of two tiny wheels, in parts of 1,000 bytes."""
    stage, folder = tmp_path_factory.mktemp("stage"), tmp_path_factory.mktemp("carried")
    (stage / "wheels").mkdir()
    (stage / "experiments").mkdir()
    (stage / "experiments" / "program.py").write_text("import first, second\nprint(first.NAME, second.NAME)\n")
    wheels = [wheel(stage / "wheels", name) for name in ("first", "second")]
    manifest = {
        "commit": "1234abcd",
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "wheels": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels},
    }
    carry.write_folder(folder, stage, manifest, part_bytes=1000)
    return folder


@pytest.fixture
def copied(carried, tmp_path):
    return Path(shutil.copytree(carried, tmp_path / "there"))


def install(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(folder / "install.py")], capture_output=True, text=True)


def test_parts_are_joined_and_installed_without_a_network(copied):
    parts = sorted(copied.glob("carried.tar.*"))
    assert len(parts) > 2 and max(path.stat().st_size for path in parts) <= 1000
    done = install(copied)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"PYTHONPATH={copied / 'installed'} {sys.executable} ")
    program = [sys.executable, str(copied / "experiments" / "program.py")]
    environment = os.environ | {"PYTHONPATH": str(copied / "installed")}
    assert subprocess.run(program, capture_output=True, text=True, env=environment).stdout == "first second\n"
    assert machine.commit(copied) == "1234abcd"


def test_a_missing_part_is_named(copied):
    (copied / "carried.tar.01").unlink()
    done = install(copied)
    assert done.returncode == 1
    assert done.stderr == f"error: missing carried.tar.01: copy it here, to {copied}\n"


def test_a_damaged_part_is_named(copied):
    path = copied / "carried.tar.01"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert install(copied).stderr == "error: carried.tar.01 is damaged: copy it here again\n"


def test_a_missing_wheel_is_named(copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["wheels"]["third-1.0-py3-none-any.whl"] = "0"
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert install(copied).stderr == "error: missing third-1.0-py3-none-any.whl\n"


def test_another_python_is_refused(copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps(manifest | {"python": "3.7"}))
    assert "error: these wheels are for Python 3.7, and this is 3." in install(copied).stderr


def test_purejaxrl_is_measured_by_its_own_interpreter_on_the_same_work(monkeypatch):
    class Worker:
        about = {"updates": 8 * 2_000}

        def __init__(self, *command):
            assert command == ("its-python", "purejaxrl", 20_000, 1_000, 8, "its-folder")

        def seconds(self, program):
            return {"train": 4.0}[program]

        def close(self):
            pass

    monkeypatch.setattr(dqn.dqn_throughput, "Worker", Worker)
    row = dqn.theirs(8, 20_000, 1_000, "its-python", "its-folder")
    assert row == {"s / call": 4.0, "steps / s": 40_000, "updates / s": 4_000, "us / update": 2_000}
