"""How long JAX has been compiling, and whether it is: tracing, lowering, and XLA's own work or its cache's."""

import time
from types import TracebackType

import jax.monitoring

_STAGES = {
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
}


class Compilations:
    """`with Compilations() as compilations:` listens; `seconds` is what all since then took together.

    JAX says when a stage begins (a scalar, the time) and when it has ended (its duration). Functions are traced within
    functions: the outermost stage counts.
    """

    def __init__(self):
        self._depth = 0
        self._ended = self._began = 0.0

    def __enter__(self) -> "Compilations":
        jax.monitoring.register_scalar_listener(self._begin)
        jax.monitoring.register_event_duration_secs_listener(self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        jax.monitoring.unregister_scalar_listener(self._begin)
        jax.monitoring.unregister_event_duration_listener(self._end)

    def _begin(self, event: str, value: float, **_: object) -> None:
        if event in _STAGES:
            if not self._depth:
                self._began = time.perf_counter()
            self._depth += 1

    def _end(self, event: str, seconds: float, **_: object) -> None:
        if event in _STAGES and self._depth:  # a stage that began before anybody listened is not counted
            self._depth -= 1
            if not self._depth:
                self._ended += time.perf_counter() - self._began

    @property
    def running(self) -> bool:
        return self._depth > 0

    @property
    def seconds(self) -> float:
        """Until now."""
        return self._ended + (time.perf_counter() - self._began if self.running else 0.0)
