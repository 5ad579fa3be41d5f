"""Progress on stderr: a bar on a terminal, a plain line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, final

import typer

from diffmd.commands.run.reporter import Reporter

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

FIRST_INTERVAL = 5.0  # seconds between plain lines at first
LAST_INTERVAL = 300.0  # and in a run of many hours
StopCode = Callable[[], int | None]


def make_reporter(quiet: bool, stop_code: StopCode) -> Reporter:
    """The reporter that fits stderr as it is."""
    if quiet:
        return QuietReporter(stop_code)
    return BarReporter(stop_code) if sys.stderr.isatty() else LineReporter(stop_code)


def say(text: str) -> None:
    """One line on stderr. A closed pipe or a full log never ends a run: what a run is for lies on disk."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def say_warning(text: str) -> None:
    """A line on stderr that begins with ``warning:``."""
    with contextlib.suppress(OSError, ValueError):
        typer.echo(f"{typer.style('warning:', fg='yellow')} {text}", err=True)


def duration(seconds: float) -> str:
    """``8 s``, ``2 min 5 s`` or ``9 h 2 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def rate(done: int, seconds: float, unit: str) -> str:
    """``35 steps/s``, or ``12 s a step`` for what is slower than one a second."""
    if not done or seconds <= 0:
        return ""
    speed = done / seconds
    return f"{speed:,.3g} {unit}/s" if speed >= 1 else f"{1 / speed:.3g} s each"


@final
class QuietReporter:
    """Warnings alone."""

    def __init__(self, stop_code: StopCode) -> None:
        self._stop_code = stop_code

    def start(self, total: int, unit: str, label: str) -> None:
        """Says nothing."""

    def advance(self, n: int, note: str = "") -> None:
        """Says nothing."""

    def message(self, text: str) -> None:
        """Says nothing."""

    def warning(self, text: str) -> None:
        """Says it even so."""
        say_warning(text)

    def finish(self) -> None:
        """Says nothing."""

    def stop_code(self) -> int | None:
        """What the signals ask for."""
        return self._stop_code()


@final
class LineReporter:
    """Plain lines, for files and batch systems: every few seconds at first, rarer in a long run."""

    def __init__(self, stop_code: StopCode, clock: Callable[[], float] = time.monotonic) -> None:
        self._stop_code = stop_code
        self._clock = clock
        self._total = 0
        self._done = 0
        self._unit = ""
        self._label = ""
        self._note = ""
        self._began = 0.0
        self._said_at = 0.0
        self._said_done = 0
        self._open = False

    def start(self, total: int, unit: str, label: str) -> None:
        """Begins a count; says so only once there is something to say."""
        self.finish()
        self._total, self._unit, self._label = total, unit, label
        self._done = self._said_done = 0
        self._note = ""
        self._began = self._said_at = self._clock()
        self._open = True

    def advance(self, n: int, note: str = "") -> None:
        """Counts, and says a line if the last is long enough ago."""
        self._done += n
        self._note = note
        now = self._clock()
        wait = min(max(FIRST_INTERVAL, (now - self._began) / 50), LAST_INTERVAL)
        if now - self._said_at >= wait:
            self._say(now)

    def message(self, text: str) -> None:
        """Says a line."""
        say(text)

    def warning(self, text: str) -> None:
        """Says a line that begins with ``warning:``."""
        say_warning(text)

    def finish(self) -> None:
        """Says how far it came, if that is news."""
        if self._open and self._done != self._said_done:
            self._say(self._clock())
        self._open = False

    def stop_code(self) -> int | None:
        """What the signals ask for."""
        return self._stop_code()

    def _say(self, now: float) -> None:
        spent = now - self._began
        parts = [f"{self._label}: {self._done}/{self._total} {self._unit}", rate(self._done, spent, self._unit)]
        if 0 < self._done < self._total:
            parts.append(f"{duration(spent / self._done * (self._total - self._done))} left")
        parts.append(self._note)
        say(", ".join(part for part in parts if part))
        self._said_at, self._said_done = now, self._done


@final
class BarReporter:
    """A bar with rate and time left, for a terminal."""

    def __init__(self, stop_code: StopCode) -> None:
        self._stop_code = stop_code
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._unit = ""
        self._done = 0
        self._began = 0.0

    def start(self, total: int, unit: str, label: str) -> None:
        """Draws a new bar."""
        # rich's bars cost 50 ms to import, which `diffmd --help` must not pay.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.finish()
        self._unit, self._done, self._began = unit, 0, time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(label, total=total, speed=unit, note="")
        self._progress.start()

    def advance(self, n: int, note: str = "") -> None:
        """Moves the bar on."""
        if self._progress is not None and self._task is not None:
            self._done += n
            speed = rate(self._done, time.monotonic() - self._began, self._unit)
            with contextlib.suppress(OSError):
                self._progress.update(self._task, advance=n, speed=speed, note=note)

    def message(self, text: str) -> None:
        """Says a line above the bar."""
        if self._progress is None:
            say(text)
        else:
            with contextlib.suppress(OSError):
                self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def warning(self, text: str) -> None:
        """Says a line above the bar that begins with ``warning:``."""
        if self._progress is None:
            say_warning(text)
        else:
            with contextlib.suppress(OSError):
                self._progress.console.print("[yellow]warning:[/] ", end="")
                self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Leaves the bar as it stands."""
        if self._progress is not None:
            with contextlib.suppress(OSError):
                self._progress.stop()
        self._progress = self._task = None

    def stop_code(self) -> int | None:
        """What the signals ask for."""
        return self._stop_code()
