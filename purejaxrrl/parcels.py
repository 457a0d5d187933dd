"""Computational work to pass on: a teacher, its data and its card in one file, with a SHA-256 of every part.

The file is a ZIP with `manifest.json`, `teacher/` and, where there is some, `teacher_data/`. Unpacking writes only the files
that the manifest names, below the folder that is asked for, and only if all their checksums hold; nothing in it is run.
"""

import hashlib
import json
import os
import shutil
import uuid
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from purejaxrrl import datasets, teachers

KIND = "purejaxrrl parcel"
_MANIFEST = "manifest.json"
_TEACHER, _DATA = "teacher", "teacher_data"
_CHUNK = 1 << 20


class ParcelError(ValueError):
    """A file that is not a whole and untouched parcel; the message says what is wrong with it."""


def pack(
    path: str | os.PathLike, teacher_folder: str | os.PathLike, data_folder: str | os.PathLike = ""
) -> dict[str, Any]:
    """Writes a teacher, and its data where a folder of it is given, as the file `path`; returns the manifest.

    Raises:
      checkpoints.CheckpointError: a folder is not a whole teacher, or not its data.
      ValueError: `path` exists.
    """
    path = Path(path)
    if path.exists():
        raise ValueError(f"{path} exists; give another name")
    teacher = teachers.load(teacher_folder)
    data = datasets.load(data_folder, teacher).fingerprint() if data_folder else None
    files = _files(_TEACHER, Path(teacher_folder)) | (_files(_DATA, Path(data_folder)) if data_folder else {})
    manifest = {
        "kind": KIND,
        "format": 1,
        "environment": teacher.card.environment,
        "teacher_sha256": teacher.fingerprint(),
        "data_sha256": data,
        "files": {name: {"sha256": _sha256(file), "bytes": file.stat().st_size} for name, file in files.items()},
    }
    partial = path.with_name(f".{path.name}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_MANIFEST, json.dumps(manifest, indent=2) + "\n")
        for name, file in files.items():
            archive.write(file, name)
    partial.rename(path)
    return manifest


def unpack(path: str | os.PathLike, folder: str | os.PathLike) -> dict[str, Any]:
    """Verifies a parcel and writes it as `folder`, with `teacher` and `teacher_data` in it; returns the manifest.

    Raises:
      ParcelError: it is not a parcel, a checksum does not hold, or a name in it would be written elsewhere.
      ValueError: `folder` exists.
    """
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"{folder} exists; give another name")
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        manifest = _extract(Path(path), temporary)
        _check_contents(path, temporary, manifest)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _files(name: str, folder: Path) -> dict[str, Path]:
    """The files below `folder` by their place in the archive."""
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    return {f"{name}/{file.relative_to(folder).as_posix()}": file for file in found}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _extract(path: Path, folder: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read(_MANIFEST))
            files = _checked_names(path, archive, manifest)
            folder.mkdir(parents=True)
            for name, expected in files.items():
                _extract_file(path, archive, name, expected, folder / name)
    except FileNotFoundError:
        raise ParcelError(f"{path} does not exist") from None
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ParcelError(f"{path} is damaged or no parcel of ours ({error})") from None
    return manifest


def _checked_names(path: Path, archive: zipfile.ZipFile, manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the manifest says of each file, if the archive holds just those, below the two folders."""
    if manifest.get("kind") != KIND:
        raise ParcelError(f"{path} holds {manifest.get('kind')!r}, not {KIND!r}")
    files = manifest["files"]
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or parts[0] not in (_TEACHER, _DATA) or ".." in parts or "\\" in name or name.endswith("/"):
            raise ParcelError(f"{path} has a file {name!r}, which would be written outside of its folder")
    listed = archive.namelist()
    if sorted(listed) != sorted([_MANIFEST, *files]):
        odd = sorted(set(listed) ^ {_MANIFEST, *files}) or "files of the same name"
        raise ParcelError(f"{path} does not hold what its manifest lists: {odd}")
    return files


def _extract_file(path: Path, archive: zipfile.ZipFile, name: str, expected: dict[str, Any], target: Path) -> None:
    """Writes one file; stops as soon as it is longer than it should be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), expected["bytes"]
    with archive.open(name) as source, target.open("wb") as written:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                break
            digest.update(chunk)
            written.write(chunk)
    if left or digest.hexdigest() != expected["sha256"]:
        raise ParcelError(f"{path}: the checksum of {name} does not hold; the file was damaged or changed")


def _check_contents(path: str | os.PathLike, folder: Path, manifest: dict[str, Any]) -> None:
    """The teacher and its data load, and are those that the manifest names."""
    teacher = teachers.load(folder / _TEACHER)
    data = datasets.load(folder / _DATA, teacher).fingerprint() if (folder / _DATA).exists() else None
    if (teacher.fingerprint(), data) != (manifest["teacher_sha256"], manifest["data_sha256"]):
        raise ParcelError(f"{path} holds another teacher or other data than its manifest names")
