"""From a command's answer, or its failure, to what is printed and the exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import typer

from diffmd.cli import render
from diffmd.cli.progress import make_reporter, say
from diffmd.cli.signals import stop_signals
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import CommandResult, Request
from diffmd.errors import DiffmdError, Interrupted

Show = Callable[[CommandResult], None]


@dataclasses.dataclass(frozen=True)
class Talk:
    """How much is said, and how: --quiet, --json, --debug."""

    quiet: bool
    json: bool
    debug: bool


def show_summary(result: CommandResult) -> None:
    """The lines for a person."""
    for line in result.summary:
        render.out(line)


def run_command(
    command: str,
    request: Request,
    work: Callable[[Request, Reporter], CommandResult],
    talk: Talk,
    show: Show = show_summary,
) -> None:
    """Runs a command that computes: with a device, progress, and signals that leave a checkpoint.

    Its config is read, and a line says what it is about, before anything slow is imported.

    Raises:
        typer.Exit: always, with the command's exit code.
    """
    with told_failures(talk.debug):
        with stop_signals() as signals, stdout_for_the_answer_alone(talk.json):
            from diffmd.cli.opening import opening_line

            request = request.read()
            reporter = make_reporter(talk.quiet, signals.code)
            reporter.message(opening_line(command, request))
            # JAX is imported from here on, never for --help.
            from diffmd.cli.runtime import prepare

            prepare(request.device)
            try:
                result = work(request, reporter)
            finally:
                reporter.finish()
        answer(result, talk, show)


def run_tool(
    work: Callable[[], CommandResult],
    talk: Talk,
    show: Show = show_summary,
    next_to_stderr: bool = False,
    opening: str = "",
) -> None:
    """Runs a command that only looks or writes files; `opening` says on stderr what it is about, where that takes
    a while. Raises typer.Exit: always, with the command's exit code."""
    with told_failures(talk.debug):
        with stdout_for_the_answer_alone(talk.json):
            if opening and not talk.quiet:
                say(opening)
            result = work()
        answer(result, talk, show, next_to_stderr)


def answer(result: CommandResult, talk: Talk, show: Show, next_to_stderr: bool = False) -> None:
    """Prints the answer. Raises typer.Exit: always, with the result's exit code."""
    try:
        if talk.json:
            render.json_object(result.answer, sys.stdout)
        elif not talk.quiet:
            show(result)
        if result.next_command and not talk.quiet:
            render.out(f"Next: {result.next_command}", to_stderr=talk.json or next_to_stderr)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
    raise typer.Exit(result.exit_code)


def abandon_stdout() -> None:
    """Sends what is left for a closed pipe nowhere, so that Python's exit does not complain of it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


@contextlib.contextmanager
def stdout_for_the_answer_alone(wanted: bool) -> Iterator[None]:
    """Inside the block all that is written to stdout goes to stderr, from Python or from a library in C."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def told_failures(debug: bool) -> Iterator[None]:
    """Turns a failure inside the block into a sentence on stderr and typer.Exit with its exit code."""
    try:
        yield
    except (typer.Exit, typer.TyperException):
        raise
    except BrokenPipeError:
        abandon_stdout()
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(130) from None
    except (Exception, MemoryError) as problem:
        if debug:
            traceback.print_exc()
        sentence, code = described(problem)
        if isinstance(problem, Interrupted):
            say(sentence)
        else:
            render.error(sentence)
        raise typer.Exit(code) from None


def described(problem: BaseException) -> tuple[str, int]:
    """The sentence and the exit code for a failure."""
    if isinstance(problem, DiffmdError):
        return str(problem), problem.exit_code
    if isinstance(problem, MemoryError):
        return "this machine ran out of memory", 3
    if isinstance(problem, OSError):
        return _file_sentence(problem), 5
    kind = type(problem).__name__
    said = str(problem).strip().splitlines()
    detail = f" ({said[0][:200]})" if said else ""
    return f"internal error: {kind}{detail}; run again with --debug and report what it shows", 1


def _file_sentence(problem: OSError) -> str:
    why: Any = problem.strerror or str(problem).splitlines()[:1] or "input or output failed"
    return f"{problem.filename}: {why}" if problem.filename else str(why)
