"""A reporter for work inside a larger count."""

from __future__ import annotations

from typing import final

from diffmd.commands.run.reporter import Reporter


@final
class NestedReporter:
    """Hands on messages, warnings and the wish to stop; the count belongs to whoever made it."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def start(self, total: int, unit: str, label: str) -> None:
        """Nothing: a count is under way."""

    def advance(self, n: int, note: str = "") -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Hands on."""
        self._reporter.message(text)

    def warning(self, text: str) -> None:
        """Hands on."""
        self._reporter.warning(text)

    def finish(self) -> None:
        """Nothing."""

    def stop_code(self) -> int | None:
        """Hands on."""
        return self._reporter.stop_code()
