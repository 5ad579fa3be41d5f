"""The command line."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

_COLLECTED_EVERY = 50_000
"""Objects made between two looks for circular garbage; Python's 700 are for small programs."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `diffmd` with `arguments` (default: the process's own). Raises SystemExit: always, with the exit code."""
    # Imports and tracing make objects by the hundred thousand, nearly all of which stay.
    gc.set_threshold(_COLLECTED_EVERY, *gc.get_threshold()[1:])
    import typer

    from diffmd.cli import render
    from diffmd.cli.app import app, command_names
    from diffmd.cli.execute import abandon_stdout, told_failures

    _open_standard_streams()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    code: int | None = 0
    try:
        with told_failures("--debug" in arguments):
            code = app(arguments or ["--help"], prog_name="diffmd", standalone_mode=False)
        code = code if arguments else 2
    except typer.Exit as finished:
        code = finished.exit_code
    except typer.TyperException as problem:
        code = problem.exit_code
        command = arguments[0] if arguments and arguments[0] in command_names() else ""
        render.usage_error(problem, command)
    try:
        sys.stdout.flush()
    except OSError:
        abandon_stdout()
    sys.exit(code or 0)


def _open_standard_streams() -> None:
    """What the caller closed of stdin, stdout and stderr leads nowhere, and no file takes its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
