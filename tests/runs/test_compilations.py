"""What is counted as compilation, against a clock of the test's and against JAX itself."""

import time

import jax
import jax.numpy as jnp
import pytest

from purejaxrrl.runs.compilations import Compilations

TRACE, LOWER, COMPILE = (
    f"/jax/core/compile/{stage}_duration" for stage in ("jaxpr_trace", "jaxpr_to_mlir_module", "backend_compile")
)


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
