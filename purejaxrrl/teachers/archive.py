"""Computational work to pass on: a teacher, its data and its card in one file, with a SHA-256 of every part.

The file is a ZIP with `manifest.json`, `teacher/` and, where there is some, `teacher_data/`. Unpacking writes only the files
that the manifest names, below the folder that is asked for, and only if all their checksums hold; nothing in it is run.
"""

import hashlib
import os
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import Field

from purejaxrrl import teachers
from purejaxrrl.errors import UserError
from purejaxrrl.files import atomic, checkpoints, documents, system_errors, validation
from purejaxrrl.teachers import datasets

KIND = "purejaxrrl teacher archive"
FORMAT = 2
_FORMAT_1_KIND = "purejaxrrl parcel"
_MANIFEST = "manifest.json"
_TEACHER, _DATA = "teacher", "teacher_data"
_CHUNK = 1 << 20
_LONGEST_MANIFEST = 1 << 24
LARGEST = 4
"""GiB that are unpacked unless more are asked for."""


class ArchiveError(UserError):
    """A file that is not a whole and untouched archive; the message says what is wrong with it."""


@validation.validated
class File:
    """What a file in the archive must be."""

    sha256: validation.Sha256
    bytes: validation.Count


@validation.validated
class Manifest:
    """What an archive holds; the files by their place in it."""

    kind: str
    format: Annotated[int, Field(ge=1, le=FORMAT)]
    environment: str
    teacher_sha256: validation.Sha256
    data_sha256: validation.Sha256 | None
    files: dict[str, validation.nested(File)]

    def __post_init__(self):
        kind = _FORMAT_1_KIND if self.format == 1 else KIND
        if self.kind != kind:
            raise UserError(f"it holds {self.kind!r}, not {kind!r}")
        for name in self.files:
            parts = PurePosixPath(name).parts
            if not parts or parts[0] not in (_TEACHER, _DATA) or ".." in parts or "\\" in name or name.endswith("/"):
                raise UserError(f"it has a file {name!r}, which would be written outside of its folder")


def pack(
    path: str | os.PathLike, teacher_folder: str | os.PathLike, data_folder: str | os.PathLike = ""
) -> dict[str, Any]:
    """Writes a teacher, and its data where a folder of it is given, as the file `path`; returns the manifest.

    Raises:
      checkpoints.CheckpointError: a folder is not a whole teacher, or not its data.
      ValueError: `path` exists, or there is a link in a folder, which may lead to what is nobody else's.
    """
    path = Path(path)
    if path.exists():
        raise UserError(f"{path} exists; give another name")
    if data_folder and not Path(data_folder).exists():
        raise UserError(f"{data_folder} does not exist; give the folder of the teacher's data, or none")
    atomic.make_folder(path.parent)
    teacher = teachers.load(teacher_folder)
    data = datasets.load(data_folder, teacher).fingerprint() if data_folder else None
    files = _files(_TEACHER, Path(teacher_folder)) | (_files(_DATA, Path(data_folder)) if data_folder else {})
    described = {name: File(checkpoints.file_sha256(file), file.stat().st_size) for name, file in files.items()}
    manifest = documents.plain(Manifest(KIND, FORMAT, teacher.card.environment, teacher.fingerprint(), data, described))
    partial = path.with_name(f".{path.name}.partial")
    try:
        with atomic.naming(path), partial.open("wb") as written:
            with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
                archive.writestr(_MANIFEST, documents.text(manifest))
                for name, file in files.items():
                    archive.write(file, name)
            atomic.flush(written)
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    atomic.flush_folder(path.parent)
    return manifest


def unpack(path: str | os.PathLike, folder: str | os.PathLike, largest: float = LARGEST) -> dict[str, Any]:
    """Verifies an archive and writes it as `folder`, with `teacher` and `teacher_data` in it; returns the manifest.

    largest: GiB that are written at most.

    Raises:
      ArchiveError: it is none, a checksum does not hold, a name in it would be written elsewhere, or it holds more than `largest`.
      ValueError: `folder` exists.
    """
    path, folder = Path(path), Path(folder)
    if folder.exists():
        raise UserError(f"{folder} exists; give another name")
    with atomic.new_folder(folder) as temporary:
        manifest = _extract(path, temporary, largest)
        _check_contents(path, temporary, manifest)
    return documents.plain(manifest)


def _files(name: str, folder: Path) -> dict[str, Path]:
    """The files below `folder` by their place in the archive."""
    folder = atomic.present(folder)
    if links := [place for place in folder.rglob("*") if place.is_symlink()]:
        raise UserError(f"{links[0]} is a link, which is not followed; put the file itself there")
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    return {f"{name}/{file.relative_to(folder).as_posix()}": file for file in found}


def _extract(path: Path, folder: Path, largest: float) -> Manifest:
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _read_manifest(path, archive)
            _check_size(path, manifest, largest)
            for name, expected in manifest.files.items():
                _extract_file(path, archive, name, expected, folder / name)
    except FileNotFoundError:
        raise ArchiveError(f"{path} does not exist") from None
    # What zipfile raises for bytes that are damaged: also methods, flags and passwords that nobody chose.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, RuntimeError, OverflowError) as error:
        if isinstance(error, OSError) and system_errors.in_one_line(error):
            raise  # the disk's fault, not the file's
        raise ArchiveError(f"{path} is damaged or no archive of ours ({error})") from None
    return manifest


def _check_size(path: Path, manifest: Manifest, largest: float) -> None:
    total = sum(file.bytes for file in manifest.files.values())
    if total > largest * 2**30:
        raise ArchiveError(
            f"{path} would be {total / 2**30:,.1f} GiB unpacked, more than the {largest:g} that are taken (--largest)"
        )


def _read_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    if archive.getinfo(_MANIFEST).file_size > _LONGEST_MANIFEST:
        raise ArchiveError(f"{path} is no archive of ours: its manifest is longer than {_LONGEST_MANIFEST} bytes")
    try:
        content, has_checksum = documents.parse(archive.read(_MANIFEST), f"{path}: {_MANIFEST}")
        manifest = validation.parse(Manifest, content)
    except documents.DocumentError as error:
        raise ArchiveError(str(error)) from None
    except validation.InvalidError as error:
        raise ArchiveError(f"{path} is damaged or no archive of ours: {error}") from None
    if manifest.format > 1 and not has_checksum:
        raise ArchiveError(f"{path} is damaged: its manifest has no checksum")
    listed = archive.namelist()
    if sorted(listed) != sorted([_MANIFEST, *manifest.files]):
        odd = sorted(set(listed) ^ {_MANIFEST, *manifest.files}) or "files of the same name"
        raise ArchiveError(f"{path} does not hold what its manifest lists: {odd}")
    return manifest


def _extract_file(path: Path, archive: zipfile.ZipFile, name: str, expected: File, target: Path) -> None:
    """Writes one file; stops as soon as it is longer than it should be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), expected.bytes
    with archive.open(name) as source, target.open("wb") as written:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                break
            digest.update(chunk)
            written.write(chunk)
    if left or digest.hexdigest() != expected.sha256:
        raise ArchiveError(f"{path}: the checksum of {name} does not hold; the file was damaged or changed")


def _check_contents(path: Path, folder: Path, manifest: Manifest) -> None:
    """The teacher and its data load, and are those that the manifest names."""
    teacher = teachers.load(folder / _TEACHER)
    data = datasets.load(folder / _DATA, teacher).fingerprint() if (folder / _DATA).exists() else None
    if (teacher.fingerprint(), data) != (manifest.teacher_sha256, manifest.data_sha256):
        raise ArchiveError(f"{path} holds another teacher or other data than its manifest names")
