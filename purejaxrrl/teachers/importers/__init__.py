"""Teachers from other libraries' files, read without those libraries and without running anything in them."""

from purejaxrrl.teachers.importers.perciatelli44 import perciatelli44

__all__ = ["perciatelli44"]
