"""Most of the suite's time is compilation: here it is quick rather than thorough, and what was compiled once is used again."""

import os
import shutil
import tempfile

# Before JAX is imported, and for the processes that tests start.
_CACHE = tempfile.mkdtemp(prefix="purejaxrrl-tests-")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


def pytest_unconfigure():
    shutil.rmtree(_CACHE, ignore_errors=True)
