"""What a machine without a network lacks, in one folder: wheels for its Python, these programs, and a script that installs them.

Everything is one archive, cut into parts that can be copied one at a time. `carried_install.py` joins them there.
"""

from __future__ import annotations

import contextlib
import email
import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from accelerator_runner import machine

PYTHON = "3.12"
PART_BYTES = 60_000_000
ARCHIVE = "carried.tar"
PRESENT = ("jax", "jaxlib", "flax", "optax", "chex", "orbax-checkpoint", "numpy", "matplotlib", "rich")
"""What such a machine has, and with it what these need."""
GLIBC = range(5, 40)
"""Minor versions of glibc 2 whose wheels are taken, newest last."""
_ROOT = Path(__file__).resolve().parents[3]
_PROGRAMS = ("*.py", "*.json")


class CarryError(ValueError):
    """What is to be carried cannot be had; one line."""


def collect(folder: Path, python: str = PYTHON, present: Path | None = None, also: Sequence[str] = ()) -> None:
    """Writes the parts, `manifest.json` and `install.py` to `folder`, which must be empty or an earlier one of these.

    Args:
      python: the version of the machine's Python, as 3.12.
      present: a file as `pip freeze` writes it, of what the machine has; guessed where it is None.
      also: requirements that are taken along beside what purejaxrrl needs.

    Raises:
      CarryError: the folder holds something else, or there is no wheel of a package.
    """
    foreign = [path.name for path in folder.glob("*") if path.name not in _names(folder)] if folder.exists() else []
    if foreign:
        raise CarryError(f"{folder} holds {foreign[0]!r}, which is not ours; give an empty folder")
    there = names_in(present.read_text()) if present else closure(PRESENT)
    with tempfile.TemporaryDirectory() as temporary:
        stage = Path(temporary)
        wheels = stage / "wheels"
        wheels.mkdir()
        print("our own wheel", flush=True)
        for requirement in [*requirements(_own_wheel(wheels), python), *also]:
            download(requirement, wheels, there, python)
        _copy_programs(stage)
        manifest = {
            "commit": machine.commit(),
            "python": python,
            "wheels": {path.name: digest(path) for path in sorted(wheels.glob("*.whl"))},
        }
        write_folder(folder, stage, manifest)
    for name, size in sorted((path.name, path.stat().st_size) for path in folder.iterdir()):
        print(f"{size / 1e6:8.2f} MB  {name}")


def _own_wheel(wheels: Path) -> Path:
    """Built from a copy: what an earlier build left beside the library would be in the wheel too."""
    with tempfile.TemporaryDirectory() as copy:
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(_ROOT / name, copy)
        shutil.copytree(_ROOT / "purejaxrrl", Path(copy) / "purejaxrrl", ignore=shutil.ignore_patterns("__pycache__"))
        _pip("wheel", "--no-deps", "--wheel-dir", str(wheels), copy, subject="purejaxrrl")
    return next(wheels.glob("*.whl"))


def closure(names: Iterable[str]) -> set[str]:
    """The canonical names of installed packages and of all that they need, as this environment has them."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            needs = map(Requirement, importlib.metadata.requires(name) or ())
            waiting += [
                canonicalize_name(one.name) for one in needs if not one.marker or one.marker.evaluate({"extra": ""})
            ]
    return found


def names_in(frozen: str) -> set[str]:
    """The canonical names in the output of `pip freeze`."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found = set()
    for line in frozen.splitlines():
        with contextlib.suppress(InvalidRequirement):
            found.add(canonicalize_name(Requirement(line.split("#")[0].strip()).name))
    return found


def requirements(wheel: Path, python: str) -> list[str]:
    """What a wheel needs on that Python, extras aside."""
    from packaging.requirements import Requirement

    with zipfile.ZipFile(wheel) as archive:
        place = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        needs = email.message_from_bytes(archive.read(place)).get_all("Requires-Dist") or []
    target = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    return [need for need in needs if not (marker := Requirement(need).marker) or marker.evaluate(target)]


def download(requirement: str, wheels: Path, there: set[str], python: str) -> None:
    """The wheel of a requirement and of all that it needs, except for what is `there` or among the `wheels` already.

    `there` gets the names of what is downloaded. One package at a time, for a package that is there must not be resolved: its
    wheels are large.

    Raises:
      CarryError: there is no such wheel.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    parsed = Requirement(requirement)
    name = canonicalize_name(parsed.name)
    if name in there:
        return
    there.add(name)
    print(f"{parsed.name}{parsed.specifier}", flush=True)
    before = set(wheels.iterdir())
    _pip(
        "download", "--no-deps", "--only-binary=:all:", "--python-version", python, "--implementation", "cp",
        *(f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC), "--platform=manylinux2014_x86_64",
        "--dest", str(wheels), f"{parsed.name}{parsed.specifier}",
        subject=f"{parsed.name}{parsed.specifier} for Python {python}",
    )  # fmt: skip
    for wheel in set(wheels.iterdir()) - before:
        for need in requirements(wheel, python):
            download(need, wheels, there, python)


def _pip(*arguments: str, subject: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        reasons = [line for line in finished.stderr.splitlines() if line.startswith("ERROR")]
        raise CarryError(f"no wheel of {subject}: {(reasons or ['pip failed'])[-1].removeprefix('ERROR: ')}")


def _copy_programs(stage: Path) -> None:
    """The experiments, which a wheel of the library does not have."""
    for pattern in _PROGRAMS:
        for path in (_ROOT / "experiments").rglob(pattern):
            target = stage / path.relative_to(_ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def digest(path: Path) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_folder(folder: Path, stage: Path, manifest: dict[str, Any], part_bytes: int = PART_BYTES) -> None:
    """Packs what is in `stage` into parts in `folder`, with the manifest and the script that installs them."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path in sorted(stage.iterdir()):
                tar.add(path, path.name)
        archive.seek(0)
        parts = dict(_parts(folder, archive, part_bytes))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"parts": parts}, indent=1) + "\n")
    shutil.copy(Path(__file__).with_name("carried_install.py"), folder / "install.py")


def _parts(folder: Path, archive: Any, size: int) -> Iterator[tuple[str, str]]:
    """Cuts a file into parts of at most `size` bytes; yields their names and digests."""
    number = 0
    while chunk := archive.read(size):
        path = folder / f"{ARCHIVE}.{number:02d}"
        path.write_bytes(chunk)
        yield path.name, hashlib.sha256(chunk).hexdigest()
        number += 1


def _names(folder: Path) -> set[str]:
    """What an earlier call wrote there."""
    return {"manifest.json", "install.py", *(path.name for path in folder.glob(f"{ARCHIVE}.[0-9][0-9]"))}
