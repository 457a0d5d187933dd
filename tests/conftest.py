"""Programs that several tests, or the processes that they start, compile alike are compiled once."""

import os
import shutil
import tempfile

# Before JAX is imported, and for processes that tests start.
_CACHE = tempfile.mkdtemp(prefix="purejaxrrl-tests-")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"


def pytest_unconfigure():
    shutil.rmtree(_CACHE, ignore_errors=True)
