"""Does it run on this GPU, is it exact, how fast? One command, in parts that each have a time limit, within nine minutes.

    python experiments/benchmarks/accelerator.py                    # on a machine with a GPU
    python experiments/benchmarks/accelerator.py --quick            # every part in its smallest form, on a CPU
    python experiments/benchmarks/accelerator.py --carry FOLDER     # what a machine without a network lacks

A part that hangs, breaks or lacks a package is a row that says so, and the next one runs. docs/accelerator.md has the rest.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import accelerator_parts
from accelerator_parts import Part, expectations
from accelerator_runner import carry, machine, processes, tables

WHOLE = 540.0
"""Seconds after which nothing more is begun or goes on."""
PROBE_LIMIT = 60.0
LEAST = 10.0
"""With fewer seconds than this left of the whole, no part is begun."""
HERE = Path(__file__).resolve().parent
QUICK_FLAGS = "--xla_backend_optimization_level=1"
"""The quick run compiles quickly; its times say nothing."""


class UserError(ValueError):
    """What the user asked for cannot be done; the message is one line that says why and what would be right."""


def environment(flags: str, on_cpu: bool) -> dict[str, str]:
    """The environment of a part: this one, with the program's folders on the path and `flags` among XLA's."""
    folders = [HERE, HERE.parent, HERE.parent.parent]
    path = os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])
    changed = {
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip(),
        # PureJaxRL's process shares the device with ours, and what was killed may hold its memory a moment longer.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    # Without a choice of platforms JAX has the accelerator and beside it the CPU, which parts ask for too.
    inherited = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    return inherited | changed | ({"JAX_PLATFORMS": "cpu"} if on_cpu else {})


def find_device(on_cpu: bool) -> dict[str, Any]:
    """What JAX runs on. Raises UserError where that cannot be found out."""
    found = processes.run(HERE / "accelerator_runner" / "machine.py", {}, PROBE_LIMIT, environment("", on_cpu))
    if not found.rows:
        raise UserError(f"JAX finds no device here: {found.status}")
    return found.rows[0]


def run_part(part: Part, options: dict[str, Any], limit: float, device: dict[str, Any]) -> processes.Outcome:
    """One part, unless it needs what is not there."""
    if part.gpu_flags and device["platform"] != "gpu":
        return processes.Outcome("skipped: its flags are a GPU's", [], 0.0)
    flags = QUICK_FLAGS if options["quick"] else part.gpu_flags
    return processes.run(part.path, options | {"limit": limit}, limit, environment(flags, device["platform"] == "cpu"))


def run_parts(
    parts: Sequence[Part],
    options: dict[str, Any],
    device: dict[str, Any],
    report: dict[str, Any],
    output: Path,
    whole: float = WHOLE,
) -> bool:
    """Runs the parts one after another within `whole` seconds; returns whether all is well.

    report: gets an entry for each part, and is written to `output` after each.
    """
    ends, is_well = time.monotonic() + whole, True
    for part in parts:
        left = ends - time.monotonic()
        limit = min(part.limit, left)
        print(f"\n{part.name}: at most {max(limit, 0):.0f} s", flush=True)
        if left < LEAST:
            outcome = processes.Outcome("not run: the time of the whole program is over", [], 0.0)
        else:
            outcome = run_part(part, options, limit, device)
        report["parts"].append({"name": part.name, "flags": part.gpu_flags, "limit": limit} | vars(outcome))
        write(output, report)
        if outcome.rows:
            print(tables.tables(outcome.rows))
        print(f"{part.name}: {outcome.status}, {outcome.seconds:.0f} s", flush=True)
        is_well &= outcome.is_ok or outcome.status.startswith("skipped")
    return is_well


def write(path: Path, report: dict[str, Any]) -> None:
    """In one step, so that what stands there is always whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(report, indent=1) + "\n")
    partial.replace(path)


def chosen(options: argparse.Namespace) -> list[Part]:
    """The parts to run, with the command line's limit. Raises UserError for one that does not exist."""
    if options.limit is not None and not 0 < options.limit <= WHOLE:
        raise UserError(f"--limit is {options.limit:g}; it must lie above 0 and within {WHOLE:g} seconds")
    known = {part.name: part for part in accelerator_parts.PARTS}
    unknown = [name for name in options.only or () if name not in known]
    if unknown:
        raise UserError(f"there is no part {unknown[0]!r}; there are {', '.join(known)}")
    absent = [path for path in options.also if not path.is_file()]
    if absent:
        raise UserError(f"--also {absent[0]}: there is no such file")
    parts = [known[name] for name in options.only or known] + [Part(path.stem, path, WHOLE) for path in options.also]
    return [Part(part.name, part.path, min(part.limit, options.limit or part.limit), part.gpu_flags) for part in parts]


def measure(options: argparse.Namespace) -> int:
    """Runs the parts, prints their tables and writes the JSON; returns the exit status."""
    started = time.monotonic()
    parts = chosen(options)
    device = find_device(options.quick)
    if device["platform"] == "cpu" and not (options.quick or options.allow_cpu):
        raise UserError(
            "there is no GPU here: JAX sees a CPU only. --quick runs every part small, --allow-cpu as it is"
        )
    report = {
        "format": 1, "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "quick": options.quick, "device": device, "driver": machine.driver(), "versions": machine.versions(),
        "commit": machine.commit(), "parts": [],
    }  # fmt: skip
    print(f"{device['count']} x {device['kind']} ({device['platform']}), driver {report['driver']}, {report['date']}")
    print(", ".join(f"{name} {version}" for name, version in report["versions"].items()))
    print(f"commit {report['commit']}")
    passed = {"quick": options.quick, "purejaxrl": options.purejaxrl, "purejaxrl_python": options.purejaxrl_python}
    with tempfile.TemporaryDirectory() as cache:
        if options.quick:  # where one part compiles what another has compiled, which an honest compile time forbids
            os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
        left = WHOLE - (time.monotonic() - started)
        is_well = run_parts(parts, passed, device, report, options.output, left)
    print(f"\n{summary(report)}\n{time.monotonic() - started:.0f} s in all; {options.output}")
    return 0 if is_well else 1


def summary(report: dict[str, Any]) -> str:
    """A row for each part: how it ended."""
    rows = [
        {"part": part["name"], "seconds": round(part["seconds"]), "rows": len(part["rows"]), "status": part["status"]}
        for part in report["parts"]
    ]
    return tables.table(rows)


def record(names: Sequence[str]) -> None:
    """Writes anew what the parts compare with. Raises UserError where a part of `names` compares with nothing."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    sys.path[1:1] = [str(HERE.parent), str(HERE.parent.parent)]
    for name in names:
        module = importlib.import_module(f"accelerator_parts.{name}")
        if not hasattr(module, "record"):
            raise UserError(f"part {name!r} compares with nothing recorded")
        print(f"{name}: {expectations.store(name, module.record(), machine.versions())}")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    result.add_argument("--quick", action="store_true", help="run every part in its smallest form, on the CPU")
    result.add_argument("--allow-cpu", action="store_true", help="run the parts as they are although there is no GPU")
    result.add_argument(
        "--output",
        type=Path,
        default=Path("runs/accelerator.json"),
        help="name of the report, a JSON file (default: %(default)s)",
    )
    result.add_argument(
        "--only", nargs="+", metavar="PART", help="names of the parts to run, in this order; all unless given"
    )
    result.add_argument(
        "--also",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="Python files with parts of your own, which run at the end",
    )
    result.add_argument(
        "--limit",
        type=float,
        metavar="SECONDS",
        help="seconds that any part is given at most; each part's own limit unless given",
    )
    result.add_argument(
        "--purejaxrl", metavar="FOLDER", help="folder with a checkout of PureJaxRL, to be measured beside our DQN"
    )
    result.add_argument(
        "--purejaxrl-python", metavar="PATH", help="Python interpreter of PureJaxRL's virtual environment"
    )
    result.add_argument(
        "--record", nargs="*", metavar="PART", help="write anew the numbers that these parts compare with, and end"
    )
    carrying = result.add_argument_group("taking along what a machine without a network lacks")
    carrying.add_argument(
        "--carry", type=Path, metavar="FOLDER", help="folder to collect there what that machine lacks, and end"
    )
    carrying.add_argument(
        "--python", default=carry.PYTHON, help="Python version of that machine (default: %(default)s)"
    )
    carrying.add_argument(
        "--present",
        type=Path,
        metavar="FILE",
        help="file with what `pip freeze` says on that machine; guessed unless given",
    )
    carrying.add_argument(
        "--take", nargs="+", default=[], metavar="PACKAGE", help="further packages to take along, by their names"
    )
    return result


def main() -> int:
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part that is running is ended too
    try:
        if bool(options.purejaxrl) != bool(options.purejaxrl_python):
            raise UserError("--purejaxrl and --purejaxrl-python go together")
        if options.carry:
            carry.collect(options.carry, options.python, options.present, options.take)
            return 0
        if options.record is not None:
            record(options.record or ("atari_exact", "qdagger"))
            return 0
        return measure(options)
    except (UserError, carry.CarryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
