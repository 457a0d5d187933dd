"""Joins the parts beside it and installs them, without a network and without touching what is installed.

    python install.py

Wheels go to the folder `installed` beside this file and programs to `experiments`; the last line says how they are run. Copy the parts
here in as many goes as it takes: what is missing is named.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def join(manifest: dict) -> Path:
    """The archive made of the parts. Ends the program where one is missing or damaged."""
    archive = HERE / "carried.tar"
    missing = [name for name in manifest["parts"] if not (HERE / name).is_file()]
    if missing:
        sys.exit(f"error: missing {', '.join(missing)}: copy it here, to {HERE}")
    with archive.open("wb") as joined:
        for name, digest in manifest["parts"].items():
            content = (HERE / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                sys.exit(f"error: {name} is damaged: copy it here again")
            joined.write(content)
    return archive


def install(manifest: dict) -> None:
    """The wheels that the archive had. Ends the program where one is missing or damaged, or pip fails."""
    wheels = HERE / "wheels"
    for name, digest in manifest["wheels"].items():
        if not (wheels / name).is_file():
            sys.exit(f"error: missing {name}")
        if hashlib.sha256((wheels / name).read_bytes()).hexdigest() != digest:
            sys.exit(f"error: {name} is damaged")
    shutil.rmtree(HERE / "installed", ignore_errors=True)
    offline = ["--no-index", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(HERE / "installed")]
    if subprocess.run([*command, *(str(wheels / name) for name in manifest["wheels"])]).returncode:
        sys.exit("error: pip could not install the wheels; what it says is above")


def main() -> None:
    manifest = json.loads((HERE / "manifest.json").read_text())
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != manifest["python"]:
        sys.exit(f"error: these wheels are for Python {manifest['python']}, and this is {here}")
    archive = join(manifest)
    with tarfile.open(archive) as tar:
        tar.extractall(HERE, filter="data")
    archive.unlink()
    install(manifest)
    program = HERE / "experiments" / "benchmarks" / "accelerator.py"
    print(f"PYTHONPATH={HERE / 'installed'} {sys.executable} {program}")


if __name__ == "__main__":
    main()
