"""How a command tells its caller how far it is, without knowing of a terminal."""

from __future__ import annotations

from typing import Protocol, final, runtime_checkable


@runtime_checkable
class Reporter(Protocol):
    """The caller's ear: progress, messages, and whether the caller wants the command to stop."""

    def start(self, total: int, unit: str, label: str) -> None:
        """Begins a count of `total` things called `unit` (a plural: steps, epochs); a count under way ends."""

    def advance(self, n: int, note: str = "") -> None:
        """`n` more are done; `note` is a short state of affairs, such as ``loss 0.013``."""

    def message(self, text: str) -> None:
        """Says one line."""

    def warning(self, text: str) -> None:
        """Says one line that should not be missed."""

    def finish(self) -> None:
        """Ends the count."""

    def stop_code(self) -> int | None:
        """The exit code to stop with (130 after Ctrl-C, 143 after SIGTERM), or None to go on."""


@final
class SilentReporter:
    """Says nothing and never asks to stop: for use from Python, where Ctrl-C raises KeyboardInterrupt as ever."""

    def start(self, total: int, unit: str, label: str) -> None:
        """Says nothing."""

    def advance(self, n: int, note: str = "") -> None:
        """Says nothing."""

    def message(self, text: str) -> None:
        """Says nothing."""

    def warning(self, text: str) -> None:
        """Says nothing."""

    def finish(self) -> None:
        """Says nothing."""

    def stop_code(self) -> int | None:
        """Never."""
        return None
