"""What a person sees while a run goes on: a bar with speed and time left, and a line an iteration."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class ProgressBar:
    """Counts work in updates of all runs; `with ProgressBar(total, done) as bar: bar.advance(updates, line)`.

    Where the output is not a terminal only the lines are printed, each with speed and time left.
    """

    def __init__(self, total_updates: int, done_updates: int = 0):
        self._total = total_updates
        self._done = done_updates
        # One iteration of each kind includes its compilation; the pace is taken from the others where there are any.
        self._paces: dict[str, list[float]] = {}
        self._started = self._last = time.perf_counter()
        self.console = Console(highlight=False, soft_wrap=True)
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}")
        self._progress = Progress(*columns, console=self.console, transient=True)
        self._task = self._progress.add_task(
            "training", total=total_updates, completed=done_updates, status="compiling"
        )

    def __enter__(self) -> "ProgressBar":
        if self.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress.stop()

    def advance(self, updates: int, agent_steps: int, line: str, kind: str = "") -> float:
        """One iteration is done: `updates` and `agent_steps` over all runs. Returns its seconds."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        self._done += updates
        self._paces.setdefault(kind, []).append(seconds / max(updates, 1))
        recent = self._paces[kind][1:] or self._paces[kind]
        left = (self._total - self._done) * sum(recent[-3:]) / len(recent[-3:])
        speed = f"{updates / seconds:,.0f} updates/s"
        if agent_steps:
            speed += f", {agent_steps / seconds:,.0f} steps/s"
        self._progress.update(self._task, completed=self._done, status=f"{speed}, {clock(left)} left")
        self.console.print(f"{line}  [dim]{speed}, {clock(left)} left[/dim]")
        return seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the bar was made."""
        return time.perf_counter() - self._started


def clock(seconds: float) -> str:
    """Minutes and seconds, as 3:07."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes}:{rest:02d}"
