"""Work in a process of its own, on so many of the machine's cores.

How many threads XLA computes with is settled when it starts: by the cores that its process may use. So each number of
threads takes a process, which is pinned to as many cores before it begins.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, TypeVar, final

from diffmd.commands.run.reporter import Reporter
from diffmd.errors import ConfigError, DiffmdError, Interrupted, NumericalError, OutputError

PINS = sys.platform == "linux"
"""Whether this system pins processes to cores; elsewhere one thread or all of them can be had, by asking XLA."""
_LOOK = 0.1
"""Seconds between two looks at whether to stop."""
_ERRORS = {kind.exit_code: kind for kind in (ConfigError, NumericalError, OutputError)}

Answer = TypeVar("Answer")


def usable_cores() -> tuple[int, ...]:
    """The cores that this process may use."""
    if sys.platform == "linux":
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def apart(work: Callable[[Reporter], Answer], threads: int, reporter: Reporter) -> Answer:
    """What `work`, which is sent along with its answer, answers in a new process on the first `threads` usable cores.

    Raises:
        DiffmdError: what it raised there, or Interrupted where the caller wants to stop.
        NumericalError: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=_answered, args=(its, work, threads), daemon=True)
    with pinned(threads):
        process.start()
    its.close()
    try:
        return _heard(ours, reporter)
    except EOFError:
        process.join()
        raise NumericalError(
            f"a process that measures ended without an answer (exit code {process.exitcode}); where it was killed, "
            "this machine may have run out of memory: fewer atoms need less"
        ) from None
    finally:
        process.terminate()
        process.join()
        ours.close()


def _heard(ours: Connection, reporter: Reporter) -> Any:
    """The answer; what is said before it is handed on."""
    while True:
        while not ours.poll(_LOOK):
            if (code := reporter.stop_code()) is not None:
                raise Interrupted("stopped as asked", code)
        match ours.recv():
            case "message", text:
                reporter.message(text)
            case "warning", text:
                reporter.warning(text)
            case "failed", text, code:
                raise _ERRORS.get(code, DiffmdError)(text)
            case "answer", answer:
                return answer


@contextlib.contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Inside the block this thread, and so each process that it starts, runs on the first `threads` usable cores, where
    the system pins at all."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, usable_cores()[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _answered(its: Connection, work: Callable[[Reporter], Any], threads: int) -> None:
    """Runs in the new process."""
    # Ctrl-C reaches all processes of a terminal; the one that asked for the work ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not PINS and threads == 1:
        # Read when XLA first computes.
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
    try:
        its.send(("answer", work(_PipeReporter(its))))
    except DiffmdError as problem:
        its.send(("failed", str(problem), problem.exit_code))


@final
class _PipeReporter:
    """Says what it is told through a pipe; the count belongs to whoever listens there, and so does the wish to stop."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def start(self, total: int, unit: str, label: str) -> None:
        """Nothing."""

    def advance(self, n: int, note: str = "") -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Hands on."""
        self._pipe.send(("message", text))

    def warning(self, text: str) -> None:
        """Hands on."""
        self._pipe.send(("warning", text))

    def finish(self) -> None:
        """Nothing."""

    def stop_code(self) -> int | None:
        """Never: it is ended."""
        return None
