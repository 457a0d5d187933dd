"""Most of the suite's time is compilation: here it is quick rather than thorough, and what was compiled once is used again."""

import gc
import os
import shutil
import tempfile

import pytest

_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if not _IS_WORKER:  # before JAX is imported; for the workers, and for the processes that tests start
    _CACHE = tempfile.mkdtemp(prefix="purejaxrrl-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
    # The workers are the cores' share: threads of theirs would only wait for each other. Without fusion emitters, and in one module
    # of LLVM, compilation takes half of its time.
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 --xla_cpu_multi_thread_eigen=false --xla_cpu_use_fusion_emitters=false "
        "--xla_cpu_parallel_codegen_split_count=1",
    )
    os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
    # What is tested is the same on a GPU, which the workers would have to share; accelerator.py is for that.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tracing makes many small objects that live; looking among them for garbage as often as Python does takes a seventh of the suite's time.
gc.set_threshold(50_000, 20, 100)


def pytest_unconfigure():
    if not _IS_WORKER:
        shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def breakout():
    import purejaxrrl

    return purejaxrrl.make("minatar/breakout")


@pytest.fixture(scope="session")
def teacher(breakout):
    import tiny

    return tiny.untrained_teacher(breakout)


@pytest.fixture(scope="session")
def dataset(breakout, teacher):
    import tiny

    return tiny.data(breakout, teacher, tiny.SHORT_EPISODES)


@pytest.fixture(scope="session")
def teacher_folder(teacher, tmp_path_factory):
    from purejaxrrl import teachers

    folder = tmp_path_factory.mktemp("teacher") / "breakout"
    teachers.save(folder, teacher)
    return folder
