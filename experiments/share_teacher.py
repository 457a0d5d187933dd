"""Packs a teacher, its card and its data into one file for others, and unpacks one, all checksums verified.

python experiments/share_teacher.py --pack runs/my-teacher/teacher --data runs/my-teacher/teacher_data --file mine.zip
python experiments/share_teacher.py --unpack mine.zip --folder runs/theirs
"""

import dataclasses

from purejaxrrl import cli, parcels
from purejaxrrl.cli import option


@dataclasses.dataclass(frozen=True)
class Config:
    pack: str = option("", "folder of the teacher to pack")
    data: str = option("", "folder of its data; empty: without")
    file: str = option("teacher.zip", "the file to write")
    unpack: str = option("", "file to verify and unpack")
    folder: str = option("runs/shared-teacher", "folder to unpack it to")

    def __post_init__(self):
        if bool(self.pack) == bool(self.unpack):
            raise ValueError("give either --pack, a teacher's folder, or --unpack, a file")


def main() -> None:
    config = cli.parse(Config, __doc__)
    with cli.user_errors():
        if config.pack:
            manifest, place = parcels.pack(config.file, config.pack, config.data), config.file
        else:
            manifest, place = parcels.unpack(config.unpack, config.folder), config.folder
    print(
        f"{place}: {manifest['environment']}, {len(manifest['files'])} files\nSHA-256 of the teacher {manifest['teacher_sha256']}, "
        f"of its data {manifest['data_sha256']}"
    )


if __name__ == "__main__":
    main()
