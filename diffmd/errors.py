"""The errors a user of diffmd can cause or meet, each with the exit code the command line gives it."""

from __future__ import annotations


class DiffmdError(Exception):
    """An error told to the user in one sentence; `exit_code` is what the process ends with."""

    exit_code = 1


class ConfigError(DiffmdError):
    """The config, or the command line, asks for something that cannot be (exit code 2).

    Args:
        message: what is wrong and what to write instead.
        path: dotted path of the value in the config, such as ``potentials.lj.sigma``; the config layer turns it
            into ``file:line``.
    """

    exit_code = 2

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class NumericalError(DiffmdError):
    """The simulation left the finite numbers, or an overflow could not be mended (exit code 3)."""

    exit_code = 3


class OutputError(DiffmdError):
    """Reading or writing failed while a run was under way (exit code 5)."""

    exit_code = 5


class Interrupted(DiffmdError):
    """Ctrl-C (130) or SIGTERM (143) arrived; a checkpoint was written before this was raised."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
