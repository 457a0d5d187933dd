"""Packs a teacher, its card and its data into one file for others, and unpacks one, all checksums verified.

    python experiments/share_teacher.py --pack runs/my-teacher/teacher --data runs/my-teacher/teacher_data --file mine.zip
    python experiments/share_teacher.py --unpack mine.zip --folder runs/theirs

Give either --pack or --unpack. What was unpacked is read by `experiments/reincarnate.py --teacher FOLDER/teacher`.
"""

from pathlib import Path

from purejaxrrl.errors import UserError
from purejaxrrl.files import atomic
from purejaxrrl.runs import command_line
from purejaxrrl.students.hyperparameters import declare, option
from purejaxrrl.teachers import archive


@declare
class Config:
    pack: str = option("", "folder of the teacher to pack")
    data: str = option("", "folder of the teacher's data to pack with it; empty: no data")
    file: str = option("teacher.zip", "name of the file that is packed")
    unpack: str = option("", "file to verify and unpack")
    folder: str = option("runs/shared-teacher", "folder to unpack the file to")
    largest: int = option(
        archive.LARGEST, "disk space in GiB that unpacking may take at most", minimum=1, maximum=1_000
    )

    def __post_init__(self):
        if bool(self.pack) == bool(self.unpack):
            raise UserError("give either --pack, a teacher's folder, or --unpack, a file")


def main() -> None:
    (config,) = command_line.parse((Config,), __doc__)
    with command_line.user_errors("the same command starts again"):
        atomic.check_writable(Path(config.file).parent if config.pack else config.folder)
        if config.pack:
            manifest, place = archive.pack(config.file, config.pack, config.data), config.file
        else:
            manifest, place = archive.unpack(config.unpack, config.folder, config.largest), config.folder
    print(
        f"{place}: {manifest['environment']}, {len(manifest['files'])} files\nSHA-256 of the teacher {manifest['teacher_sha256']}, "
        f"{'of its data ' + manifest['data_sha256'] if manifest['data_sha256'] else 'without data'}"
    )


if __name__ == "__main__":
    main()
