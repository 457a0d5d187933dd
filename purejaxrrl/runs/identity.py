"""Which run something is of: all that decides its results, as JSON, and how two of them differ.

Results of runs that differ in anything named here are never mixed: not in a checkpoint, not in a folder, not in a figure. The
commit is the last one that changed code (tests are none), with a checksum of what was not committed, new modules of the library included, so
that a change of the documentation does not keep anybody from resuming. Code that a user adds (terms, networks, rules of weaning) is named by the settings (`ValueBased.code`).
"""

import contextlib
import functools
import hashlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import purejaxrrl
from purejaxrrl import teachers
from purejaxrrl.errors import in_line
from purejaxrrl.files import documents

_LIBRARIES = "jax", "jaxlib", "flax", "optax"
_CODE = "*.py", "*.h", "*.toml", ":(exclude)tests"


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


class Difference(NamedTuple):
    """A value that differs: its name, dots between the levels, and both values as JSON; `ABSENT` where one has none."""

    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{in_line(self.name)} {self.before!r} there, {self.now!r} now"


def of_run(
    program: str,
    environment: str,
    settings: Mapping[str, Any],
    teacher: teachers.Teacher | None = None,
    data_sha256: str | None = None,
) -> dict[str, Any]:
    """What decides the results of a run, but for the code.

    Args:
      program: which one, as its user calls it.
      environment: its name.
      settings: every effective one, also those that were not given; without those that do not change results.
      data_sha256: the fingerprint of the teacher's data.
    """
    about_teacher = None
    if teacher:
        card = teacher.card
        about_teacher = {
            "sha256": teacher.fingerprint(),
            "score": card.score,
            "random_score": card.random_score,
            "evaluation_episodes": card.evaluation_episodes,
        }
    return documents.plain(
        {
            "program": program,
            "environment": environment,
            "settings": settings,
            "teacher": about_teacher,
            "data_sha256": data_sha256,
        }
    )


def with_code(identity: Mapping[str, Any]) -> dict[str, Any]:
    """`identity` with the commit, where the library is in a git checkout, and the versions that decide results."""
    versions = {"purejaxrrl": purejaxrrl.__version__} | {name: metadata.version(name) for name in _LIBRARIES}
    return documents.plain(identity, "identity") | {"commit": _running_commit(), "versions": versions}


@functools.cache
def _running_commit() -> str | None:
    """`commit` as the process found it first: it runs what it has imported, whatever is edited meanwhile."""
    return commit()


def commit() -> str | None:
    """The last commit that changed code, "+" and a checksum of the changes since where there are some; None without git."""
    package = Path(purejaxrrl.__file__).parent
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None  # installed: in no checkout, or in somebody else's
    root = Path(_git(package, "rev-parse", "--show-toplevel").strip())
    found = _git(root, "log", "-1", "--format=%H", "--", *_CODE)
    changes = _git(root, "diff", "--no-ext-diff", "HEAD", "--", *_CODE)
    if found is None or changes is None:
        return None  # nothing is committed yet
    new = _git(package, "ls-files", "--others", "--exclude-standard", "-z", "--", *_CODE) or ""
    for name in filter(None, new.split("\0")):
        with contextlib.suppress(OSError):  # an editor's link to nowhere, or gone by now
            changes += f"\n{name}\n{(package / name).read_text(errors='replace')}"
    return found.strip() + (f"+{hashlib.sha256(changes.encode()).hexdigest()[:12]}" if changes else "")


def differences(before: Any, now: Any) -> list[Difference]:
    """All values in which two identities (nested JSON objects) differ; lists are compared as wholes."""
    return list(_differences("", before, now))


def listed(found: Sequence[Difference]) -> str:
    """Differences as part of a line; of another program's run, or another environment's, nothing else is to be said."""
    for name in ("program", "environment"):
        found = [each for each in found if each.name == name] or found
    more = f", and {len(found) - 5} more" if len(found) > 5 else ""
    return ", ".join(map(str, found[:5])) + more


def _differences(name: str, before: Any, now: Any) -> Iterator[Difference]:
    if _is_object(before) and _is_object(now):
        before, now = ({} if value is ABSENT else value for value in (before, now))
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(f"{name}.{key}" if name else key, before.get(key, ABSENT), now.get(key, ABSENT))
    elif before != now or (type(before) is not type(now) and not _numbers(before, now)):
        yield Difference(name, before, now)


def _is_object(value: Any) -> bool:
    """An object, or nothing where the other may have one: what is in it then has a name of its own."""
    return isinstance(value, dict) or value is ABSENT


def _numbers(*values: Any) -> bool:
    """Whether all are numbers, so that 1 and 1.0 are the same."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode(errors="replace")
