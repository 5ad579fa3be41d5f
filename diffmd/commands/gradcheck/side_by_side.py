"""Independent pieces of work on the cores of this machine.

XLA compiles without Python's lock, so that threads of one process share the work of many small programs.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar, final

import jax

from diffmd.commands.run.nested import NestedReporter
from diffmd.commands.run.reporter import Reporter
from diffmd.errors import Interrupted

Task = TypeVar("Task")
Result = TypeVar("Result")
_LOOK = 0.1
"""Seconds between two looks at what the others said."""


def side_by_side(
    work: Callable[[Task, Reporter], Result],
    tasks: Sequence[Task],
    workers: int,
    reporter: Reporter,
    on_result: Callable[[Task, Result], None],
    device: jax.Device,
    double: bool,
) -> None:
    """Does every task, `workers` of them at a time, on a device and in a precision.

    Args:
        work: of a task; the reporter takes messages, and asks to stop where the caller is asked or another task failed.
        on_result: called with each result as it comes, by the thread of the caller.

    Raises whatever `work` raises, as soon as the other threads have stopped; Interrupted if the caller wants to stop.
    """
    if min(workers, len(tasks)) <= 1:
        for task in tasks:
            on_result(task, work(task, NestedReporter(reporter)))
        return
    halt = threading.Event()
    said: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def one(task: Task) -> Result:
        if halt.is_set():
            raise Interrupted("ended beside another", 1)
        try:
            with jax.default_device(device), jax.enable_x64(double):
                return work(task, _Distant(reporter, said, halt))
        except BaseException:
            # Before this thread takes the next task; the owner sees the failure of the first.
            halt.set()
            raise

    with ThreadPoolExecutor(workers, thread_name_prefix="gradcheck") as pool:
        futures: dict[Future[Result], Task] = {pool.submit(one, task): task for task in tasks}
        pending = set(futures)
        try:
            while pending:
                done, pending = wait(pending, _LOOK, FIRST_COMPLETED)
                with contextlib.suppress(queue.Empty):
                    while True:
                        said.get_nowait()()
                for future in sorted(done, key=list(futures).index):
                    on_result(futures[future], future.result())
                if (code := reporter.stop_code()) is not None:
                    raise Interrupted("stopped as asked", code)
        finally:
            # Nothing is left to stop where all went well.
            halt.set()
            for future in pending:
                future.cancel()


@final
class _Distant:
    """The reporter of another thread: what is said waits for the thread that owns it; the count is not its own."""

    def __init__(self, reporter: Reporter, said: queue.SimpleQueue[Callable[[], None]], halt: threading.Event) -> None:
        self._reporter, self._said, self._halt = reporter, said, halt

    def start(self, total: int, unit: str, label: str) -> None:
        """Nothing: a count is under way."""

    def advance(self, n: int, note: str = "") -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Left for the owner to say."""
        self._said.put(lambda: self._reporter.message(text))

    def warning(self, text: str) -> None:
        """Left for the owner to say."""
        self._said.put(lambda: self._reporter.warning(text))

    def finish(self) -> None:
        """Nothing."""

    def stop_code(self) -> int | None:
        """What the owner is asked, or that another task failed."""
        code = self._reporter.stop_code()
        return 1 if code is None and self._halt.is_set() else code
