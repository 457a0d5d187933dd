"""What a person sees while a run goes on: a bar with what is being done and the time left, and a line an iteration."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from rich import progress_bar
from rich.console import Console
from rich.live import Live
from rich.table import Table

from purejaxrrl.runs.compilations import Compilations

_RECENT = 3


class ProgressBar:
    """Counts work in updates of all runs, phase by phase; in frames where a phase has no updates.

        with ProgressBar({"offline": 4_000, "online": 16_000}) as bar:
            bar.begin("offline", 2_000, "offline iteration 1 of 2")
            ...
            seconds = bar.advance(line)

    Compilation is no part of the pace: while there is some, the bar says so. Within an iteration the bar moves at the phase's
    pace, up to the iteration's end. Where the output is not a terminal only the lines are printed, each with speed and time left.

    Args:
      total, done: work by phase, what all iterations have and what a resumed run has done of it.
      units: of the work, by phase; updates unless given.
    """

    def __init__(
        self,
        total: Mapping[str, int],
        done: Mapping[str, int] | None = None,
        units: Mapping[str, str] | None = None,
    ):
        self._total = dict(total)
        self._units = dict.fromkeys(self._total, "updates") | dict(units or {})
        self._done = dict.fromkeys(self._total, 0) | dict(done or {})
        # Seconds without compilation, and work, of each iteration. Every phase has its list: another thread reads them.
        self._paces: dict[str, list[tuple[float, int]]] = {phase: [] for phase in self._total}
        self._expected: dict[str, float] = {}
        self._phase, self._work, self._most, self._what = next(iter(self._total)), 0, 0, ""
        self._compilations = Compilations()
        self._last, self._compiled = time.perf_counter(), 0.0
        self.console = Console(highlight=False, soft_wrap=True)
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "ProgressBar":
        self._open.enter_context(self._compilations)
        if self.console.is_terminal:
            self._open.enter_context(Live(self, console=self.console, transient=True, refresh_per_second=4))
        return self

    def __exit__(self, *exception: Any) -> None:
        self._open.close()

    def expect(self, paces: Mapping[str, float]) -> None:
        """Seconds a unit of work by phase, measured before any iteration: what is said of the time left until one of the phase has ended.
        Prints that."""
        self._expected = dict(paces)
        self._last, self._compiled = time.perf_counter(), self._compilations.seconds
        self.console.print(
            f"[dim]measured: {clock(self._left())} left, or more where evaluations wait for episodes to end[/dim]"
        )

    def begin(self, phase: str, work: int, what: str, most: int = 0) -> None:
        """An iteration with so much work begins; `what` is said of it. most: the work that one of that phase has."""
        self._phase, self._work, self._what, self._most = phase, work, what, most

    def advance(self, line: str, frames: int = 0) -> float:
        """The iteration has ended, in which all runs together played that many frames. Prints the line; returns its seconds."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        compiled = self._compilations.seconds
        compiling, self._compiled = compiled - self._compiled, compiled
        working = max(seconds - compiling, 1e-9)
        self._done[self._phase] += self._work
        if self._work and 2 * self._work >= self._most:  # else what is no work takes most of the time
            self._paces[self._phase].append((working, self._work))
        speeds = {self._units[self._phase]: self._work} | {"frames": frames}
        said = [f"after {clock(compiling)} of compilation"] if compiling >= 1 else []
        said += [f"{number / working:,.0f} {what}/s" for what, number in speeds.items() if number]
        self._work, self._what = 0, ""
        self.console.print(f"{line}  [dim]{', '.join([*said, *self._said_of_time_left()])}[/dim]")
        return seconds

    def __rich__(self) -> Table:
        """The bar as it is now: rich asks for it several times a second."""
        row = Table.grid(padding=(0, 1))
        total, done = max(sum(self._total.values()), 1), sum(self._done.values()) + self._guessed()
        bar = progress_bar.ProgressBar(total=total, completed=done, width=40)
        row.add_row(bar, self._status())
        return row

    def _status(self) -> str:
        if self._compilations.running:
            return f"compiling: {self._what}" if self._what else "compiling"
        return ", ".join(filter(None, (self._what, *self._said_of_time_left())))

    def _said_of_time_left(self) -> list[str]:
        """Nothing before there is a pace of all that remains."""
        remain = [phase for phase in self._total if self._total[phase] > self._done[phase]]
        return [f"{clock(self._left())} left"] if all(map(self._pace, remain or [self._phase])) else []

    def _pace(self, phase: str) -> float:
        """Seconds a unit of work: of the last iterations of that phase, or where it has none yet, as expected, or of another with that unit."""
        paces = self._paces[phase]
        if not paces and phase in self._expected:
            return self._expected[phase]
        alike = [paces for other, paces in self._paces.items() if self._units[other] == self._units[phase]]
        paces = paces or [pace for paces in alike for pace in paces]
        if not paces:
            return 0.0
        seconds, work = map(sum, zip(*paces[-_RECENT:], strict=True))
        return seconds / work

    def _guessed(self) -> float:
        """Work done of the iteration that is going on."""
        working = time.perf_counter() - self._last - (self._compilations.seconds - self._compiled)
        pace = self._pace(self._phase)
        return min(max(working, 0.0) / pace, self._work) if pace else 0.0

    def _left(self) -> float:
        """Seconds until the end, without what is still to be compiled."""
        remaining = {phase: self._total[phase] - self._done[phase] for phase in self._total}
        seconds = sum(number * self._pace(phase) for phase, number in remaining.items())
        return max(seconds - self._guessed() * self._pace(self._phase), 0.0)


def counted(number: int, noun: str) -> str:
    """As "1 seed" and "4 seeds"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def clock(seconds: float) -> str:
    """Minutes and seconds, as 3:07; from an hour on hours too, as 1:03:07."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}:{minutes_left:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
