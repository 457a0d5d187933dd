"""What is counted as compilation, against a clock of the test's and against JAX itself."""

import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from purejaxrrl.runs import compilations
from purejaxrrl.runs.compilations import Compilations

TRACE, LOWER, COMPILE = (
    f"/jax/core/compile/{stage}_duration" for stage in ("jaxpr_trace", "jaxpr_to_mlir_module", "backend_compile")
)


KEEPING = """
import sys
import jax, jax.numpy as jnp
from purejaxrrl.runs import compilations

jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
compilations.keep()
with compilations.Compilations():
    jax.jit(lambda x: jnp.sort(jnp.sin(x)))(jnp.arange(64.0))
print(jax.config.jax_compilation_cache_dir)
"""


@pytest.mark.parametrize("case", ["fresh", "said elsewhere", "said nowhere", "a file in its place"])
def test_programs_are_kept_unless_somebody_says_otherwise(case, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"PUREJAXRRL_CACHE": str(tmp_path / "cache"), "JAX_PLATFORMS": "cpu"}
    said = {"said elsewhere": str(tmp_path / "other"), "said nowhere": ""}.get(case)
    environment |= {} if said is None else {"JAX_COMPILATION_CACHE_DIR": said}
    if case == "a file in its place":
        (tmp_path / "cache").touch()
    done = subprocess.run([sys.executable, "-c", KEEPING], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    kept = sorted(path.parents[1].name for path in tmp_path.rglob("*-cache") if path.is_file())
    assert bool(kept) == (case in ("fresh", "said elsewhere"))
    if case == "fresh":
        assert set(kept) == {"xla"} and done.stdout.startswith(str(tmp_path / "cache" / "xla"))
    elif said:
        assert done.stdout.strip() == said


@pytest.mark.parametrize(("most", "left"), [(30, "abc"), (29, "bc"), (20, "bc"), (10, "c"), (0, "")])
def test_what_was_used_least_recently_is_forgotten(most, left, tmp_path):
    # Written in the order a, c, b; c was read last.
    for name, written, read in (("a", 1, 2), ("b", 4, 3), ("c", 2, 5)):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (read, written))
    compilations._forget(tmp_path, most)
    assert "".join(sorted(path.name for path in tmp_path.iterdir())) == left


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def begins(event):
    jax.monitoring.record_scalar(event, 0.0, fun_name="f")


def ends(event):
    jax.monitoring.record_event_duration_secs(event, 1e9, fun_name="f")


def test_a_function_that_is_traced_within_another_is_counted_once(clock):
    with Compilations() as compilations:
        begins(TRACE), clock(2), begins(TRACE), clock(3), ends(TRACE), clock(1), ends(TRACE)
        assert compilations.seconds == 6 and not compilations.running
        clock(50)
        begins(COMPILE), clock(4)
        assert compilations.seconds == 10 and compilations.running
        ends(COMPILE)
    begins(LOWER), clock(9), ends(LOWER)
    assert compilations.seconds == 10


def test_other_events_and_stages_that_began_before_are_not_counted(clock):
    begins(COMPILE)
    with Compilations() as compilations:
        ends(COMPILE)
        begins("/jax/other"), clock(5), ends("/jax/other")
    assert compilations.seconds == 0 and not compilations.running


def test_jax_says_when_it_compiles_and_when_it_runs_what_it_has_compiled():
    function = jax.jit(lambda x: jnp.linalg.qr(x @ x)[0].sum())
    x = jnp.ones((7, 7))
    with Compilations() as compilations:
        started = time.perf_counter()
        function(x).block_until_ready()
        first, whole = compilations.seconds, time.perf_counter() - started
        function(x).block_until_ready()
    assert 0 < first <= whole and compilations.seconds == first
