"""A reporter that writes down what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from diffmd.commands.run.reporter import Reporter


@final
class LogbookReporter:
    """Hands everything on, messages and warnings to the run's log as well."""

    def __init__(self, reporter: Reporter, log: Callable[[str], None]) -> None:
        self._reporter = reporter
        self._log = log

    def start(self, total: int, unit: str, label: str) -> None:
        """Hands on."""
        self._reporter.start(total, unit, label)

    def advance(self, n: int, note: str = "") -> None:
        """Hands on."""
        self._reporter.advance(n, note)

    def message(self, text: str) -> None:
        """Says and logs a line."""
        self._reporter.message(text)
        self._log(text)

    def warning(self, text: str) -> None:
        """Says and logs a warning."""
        self._reporter.warning(text)
        self._log(f"warning: {text}")

    def finish(self) -> None:
        """Hands on."""
        self._reporter.finish()

    def stop_code(self) -> int | None:
        """Hands on."""
        return self._reporter.stop_code()
