"""SIGKILL at every file operation of a function, one after the other: a library between a process and libc counts them.

Only a process that has no threads may fork, so the module with the functions runs as a program of its own (`run`), and what
starts threads (orbax) happens in forks only.
"""

import ctypes
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long left = 0;
void arm(long operation) { left = operation; }
long remaining(void) { return left; }

static int last(void) { return left > 0 && atomic_fetch_sub(&left, 1) == 1; }
static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name, declared, given) \
  int name declared { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && last()) die(); \
    return NEXT(name) given; \
  }
OPEN(open, (const char* path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char* path, int flags, ...), (path, flags, mode))
OPEN(openat, (int folder, const char* path, int flags, ...), (folder, path, flags, mode))
OPEN(openat64, (int folder, const char* path, int flags, ...), (folder, path, flags, mode))

/* Half of it is written: a kill does not wait for the end. */
ssize_t write(int file, const void* bytes, size_t count) {
  if (last()) { NEXT(write)(file, bytes, count / 2); die(); }
  return NEXT(write)(file, bytes, count);
}

#define BEFORE(type, name, declared, given) \
  type name declared { if (last()) die(); return NEXT(name) given; }
BEFORE(ssize_t, pwrite, (int file, const void* bytes, size_t count, off_t at), (file, bytes, count, at))
BEFORE(ssize_t, pwrite64, (int file, const void* bytes, size_t count, off64_t at), (file, bytes, count, at))
BEFORE(ssize_t, writev, (int file, const struct iovec* parts, int count), (file, parts, count))
BEFORE(int, rename, (const char* from, const char* to), (from, to))
BEFORE(int, renameat, (int a, const char* from, int b, const char* to), (a, from, b, to))
BEFORE(int, unlink, (const char* path), (path))
BEFORE(int, unlinkat, (int folder, const char* path, int flags), (folder, path, flags))
BEFORE(int, rmdir, (const char* path), (path))
BEFORE(int, mkdir, (const char* path, mode_t mode), (path, mode))
BEFORE(int, mkdirat, (int folder, const char* path, mode_t mode), (folder, path, mode))
BEFORE(int, ftruncate, (int file, off_t length), (file, length))
BEFORE(int, ftruncate64, (int file, off64_t length), (file, length))

/* The disk keeps what a killed process wrote: waiting for it would only take time. */
int fsync(int file) { if (last()) die(); return 0; }
int fdatasync(int file) { if (last()) die(); return 0; }
"""


def run(module: str, folder: Path, *arguments: str, patience: float = 900) -> Any:
    """Runs `module` as a program with the counting library; it prints as JSON what its scenarios found."""
    if sys.platform != "linux":
        pytest.skip("file operations are counted with Linux's names for them")
    compiler = shutil.which("cc") or pytest.skip("no C compiler for the library that counts file operations")
    source, library = folder / "counting.c", folder / "counting.so"
    source.write_text(_SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-w", "-o", library, source, "-ldl"], check=True)
    tests = Path(__file__).parent
    paths = [str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        [sys.executable, module, folder, *arguments], env=environment, capture_output=True, text=True, timeout=patience
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def at_every_operation(
    prepare: Callable[[], None], action: Callable[[], None], check: Callable[[], str], share: float = 1.0
) -> list[str]:
    """For each file operation of `action`: what `check` returns after `prepare` and an `action` that was killed there.

    All three run in forks of this process. The last entry is of an action that came to its end.

    share: of the operations; the others are left out.
    """
    found = []
    for operation in itertools.count(1):
        if not _in_share(operation, share):
            continue
        forked(prepare)
        killed = _fork(action, kill_at=operation) == signal.SIGKILL
        found.append(forked(check))
        if not killed:
            return found


def _in_share(operation: int, share: float) -> bool:
    """Evenly, by the golden ratio, so that nothing that comes again and again (an open, a write, a rename) is left out each time."""
    return operation * (5**0.5 - 1) / 2 % 1 < share


MANY = 10**9


def operations(action: Callable[[], None]) -> int:
    """How many file operations `action` does, in a fork."""

    def counted() -> str:
        ctypes.CDLL(None).arm(ctypes.c_long(MANY))
        action()
        remaining = ctypes.CDLL(None).remaining
        remaining.restype = ctypes.c_long
        return str(MANY - remaining())

    return int(forked(counted))


def killed(action: Callable[[], None], operation: int) -> bool:
    """Whether `action`, in a fork, was killed at that operation, rather than coming to its end before."""
    return _fork(action, kill_at=operation) == signal.SIGKILL


def forked(function: Callable[[], str | None]) -> str:
    """What `function` returns in a fork of this process."""
    reading, writing = os.pipe()
    status = _fork(function, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    assert status == 0, f"{function.__name__} failed ({status})"
    return text


def _fork(function: Callable[[], str | None], pipe: int | None = None, kill_at: int = 0) -> int:
    """Runs it in a fork; returns the signal that ended it, or its exit status."""
    process = os.fork()
    if process:
        status = os.waitpid(process, 0)[1]
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    try:
        ctypes.CDLL(None).arm(ctypes.c_long(kill_at))
        text = function()
        ctypes.CDLL(None).arm(ctypes.c_long(0))
        if pipe is not None:
            os.write(pipe, (text or "").encode())
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
