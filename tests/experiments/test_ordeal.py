"""Whole programs under kills and damage: the main job, the benchmark and a teacher's training, small, but as they are.

100 kills, at file operations drawn at random of everything that a program writes: resumed, it ends with equal results. 200 bytes
changed at random in what a stopped or finished program left: resumed, it ends in an error of one line, or with equal results.
Programs run in forks of a process that has imported everything and started nothing.
"""

import contextlib
import csv
import functools
import io
import json
import os
import shutil
import sys
from pathlib import Path

import killing
import numpy as np
import pytest

KILLS, DAMAGES = int(os.environ.get("ORDEAL_KILLS", 100)), int(os.environ.get("ORDEAL_DAMAGES", 200))
BENCHMARK = {
    "games": "breakout", "methods": "tabula_rasa,qdagger", "seeds": 1, "frames": 640, "iterations": 2, "evaluation_steps": 20,
    "target_period": 10, "widths": 8, "data_transitions": 400, "offline_updates": 20,
}  # fmt: skip
TEACHER = {
    "iteration_steps": 160, "target_period": 10, "batch_size": 8, "capacity": 400, "warm_up": 48, "evaluation_environments": 2,
    "evaluation_steps": 2, "frames": 320, "longer_frames": 480, "card_episodes": 4, "keep_replay": 200,
}  # fmt: skip
ON_ATARI = {
    "environment": "atari/breakout", "seeds": 1, "width": 1 / 16, "evaluation_limit": 20, "evaluation_environments": 2,
    "capacity": 240,  # less than is played: the ring of frames begins anew
}  # fmt: skip
PROGRAMS = os.environ.get("ORDEAL_PROGRAMS", "reincarnate,benchmark_pvrl,dqn,reincarnate_on_atari").split(",")
SLOW = {"reincarnate_on_atari": 10}
"""By what the numbers of kills and damages are divided: of programs that take so much longer."""


def arguments(program: str, folder: Path) -> list[str]:
    import tiny

    options = {
        "reincarnate": tiny.TINY | {"seeds": 1},
        "reincarnate_on_atari": tiny.TINY | ON_ATARI,
        "benchmark_pvrl": BENCHMARK,
        "dqn": TEACHER,
    }[program]
    options = options | {"output": folder / "run"} | ({"data": folder / "data"} if program != "dqn" else {})
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def job(program: str, folder: Path, resume: bool = True) -> str:
    """The program; returns its status and what it said of an error."""
    import benchmark_pvrl
    import dqn
    import reincarnate

    module = {"benchmark_pvrl": benchmark_pvrl, "dqn": dqn}.get(program, reincarnate)
    sys.argv = [f"{program}.py", *arguments(program, folder), *["--resume"] * resume]
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            module.main()
            return json.dumps([0, said.getvalue()])
        except SystemExit as end:
            return json.dumps([end.code, said.getvalue()])


def results(folder: Path) -> str:
    """All that a program leaves and that is not a time, a place or a picture; "" before there is anything."""
    found = {}
    for path in sorted((folder / "run").rglob("metrics.csv")):
        with path.open(newline="", errors="replace") as file:
            found[str(path.relative_to(folder))] = [
                {name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
            ]
    for path in sorted((folder / "run").rglob("about.json")):
        if path.parent.name in ("student", "teacher", "teacher_data"):
            found[str(path.relative_to(folder))] = json.loads(path.read_text(errors="replace"))["arrays"]
    return json.dumps(found, sort_keys=True) if found else ""


def hidden(folder: Path) -> list[str]:
    """What a killed program left and nobody removed."""
    names = (str(place.relative_to(folder)) for place in folder.rglob(".*"))
    return [name for name in names if name.endswith((".partial", ".replaced"))]


def uninterrupted(program: str, folder: Path) -> tuple[str, int]:
    """Its results, and how many file operations it does."""
    operations = killing.operations(lambda: job(program, folder, resume=False))
    found = results(folder)
    assert found, f"{program} left no results"
    return found, operations


def kills(program: str, folder: Path, number: int) -> list[str]:
    """For each kill, at an operation drawn at random, how the resumed program ended."""
    expected, operations = uninterrupted(program, folder / "expected")
    generator, found = np.random.default_rng(0), []
    for _ in range(number):
        place = folder / "killed"
        shutil.rmtree(place, ignore_errors=True)
        killing.killed(lambda: job(program, place, resume=False), int(generator.integers(1, operations)))  # noqa: B023
        status, said = json.loads(killing.forked(functools.partial(job, program, place)))
        how = "equal" if status == 0 and results(place) == expected else f"OTHER {status} {said[:300]}"
        found.append(how + (f" LEFT {left}" if (left := hidden(place)) else ""))
    return found


def damages(program: str, folder: Path, number: int) -> list[str]:
    """For each damaged byte, in what a finished or a killed program left, how the resumed program ended."""
    expected, operations = uninterrupted(program, folder / "finished")
    killing.killed(lambda: job(program, folder / "stopped", resume=False), operations * 2 // 3)
    generator, found = np.random.default_rng(1), []
    for each in range(number):
        template, place = folder / ("finished" if each % 2 else "stopped"), folder / "damaged"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(template, place)
        files = sorted(path for path in place.rglob("*") if path.is_file() and path.stat().st_size)
        file = files[generator.integers(len(files))]
        content = bytearray(file.read_bytes())
        content[generator.integers(len(content))] ^= int(generator.integers(1, 256))
        file.write_bytes(content)
        status, said = json.loads(killing.forked(functools.partial(job, program, place)))
        is_equal = status == 0 and results(place) == expected
        found.append(_judged(status, said, is_equal, f"{template.name} {file.relative_to(place)}"))
    return found


def _judged(status: int, said: str, equal: bool, where: str) -> str:
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    if status == 2 and len(errors) == 1 and "Traceback" not in said:
        return "an error"
    if status == 0 and equal:
        return "a fallback, equal" if "damaged: " in said else "equal"
    return f"WRONG {where}: {status} {said[-500:]}"


@pytest.mark.slow
def test_kills_and_damage_of_whole_programs(tmp_path):
    found = killing.run(__file__, tmp_path, patience=6 * 3600)
    print(json.dumps(found, indent=1))
    for program in PROGRAMS:
        assert set(found["kills"][program]) == {"equal"}, program
        assert set(found["damages"][program]) <= {"an error", "a fallback, equal", "equal"}, program
        assert program in SLOW or {"an error", "equal"} <= set(found["damages"][program]), program


if __name__ == "__main__":
    here = Path(__file__).parents[2]
    sys.path[:0] = [str(here / "experiments"), str(here / "experiments" / "pvrl")]
    import benchmark_pvrl  # noqa: F401
    import dqn  # noqa: F401
    import reincarnate  # noqa: F401

    from purejaxrrl.runs import identity

    identity.commit = lambda: None
    root, found = Path(sys.argv[1]), {"kills": {}, "damages": {}}
    for kind, function, total in (("kills", kills, KILLS), ("damages", damages, DAMAGES)):
        for number, name in enumerate(PROGRAMS):
            share = (total // len(PROGRAMS) + (number < total % len(PROGRAMS))) // SLOW.get(name, 1)
            place = root / kind / name
            place.mkdir(parents=True)
            found[kind][name] = function(name, place, share)
            print(f"{kind} of {name}: {found[kind][name]}", file=sys.stderr, flush=True)
    print(json.dumps(found))
