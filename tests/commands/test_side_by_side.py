"""Work shared out among threads: all of it, in the caller's precision, and to its end however it ends."""

from __future__ import annotations

import threading
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from support.commanded import Listener

from diffmd.commands.gradcheck.side_by_side import side_by_side
from diffmd.commands.run.reporter import Reporter
from diffmd.errors import Interrupted, NumericalError


def run(work: Any, tasks: list[Any], workers: int, listener: Listener) -> list[Any]:
    found: list[Any] = []
    device = jax.devices()[0]
    side_by_side(work, tasks, workers, listener, lambda task, result: found.append((task, result)), device, True)
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_in_the_precision_asked_for(workers: int):
    def work(task: int, reporter: Reporter) -> str:
        reporter.message(f"at {task}")
        return str(jnp.asarray(1.0).dtype)

    listener = Listener()
    with jax.enable_x64(True):
        found = run(work, [1, 2, 3], workers, listener)
    assert sorted(found) == [(1, "float64"), (2, "float64"), (3, "float64")]
    assert sorted(listener.said) == ["at 1", "at 2", "at 3"]


def test_one_that_fails_stops_the_others():
    begun, stopped = threading.Event(), threading.Event()
    tried: list[str] = []

    def work(task: str, reporter: Reporter) -> None:
        tried.append(task)
        if task == "fails":
            begun.wait(10)
            raise NumericalError("lost")
        begun.set()
        while reporter.stop_code() is None:
            stopped.wait(0.01)
        stopped.set()

    with pytest.raises(NumericalError, match="lost"):
        run(work, ["fails", "waits", "never begun"], 2, Listener())
    assert stopped.is_set()
    assert sorted(tried) == ["fails", "waits"]


def test_the_wish_to_stop_reaches_every_thread():
    class Stopping(Listener):
        def stop_code(self) -> int | None:
            return 130 if both.is_set() else None

    both, waiting = threading.Event(), threading.Barrier(2, action=lambda: both.set())
    codes: list[int | None] = []

    def work(task: int, reporter: Reporter) -> None:
        waiting.wait(10)
        codes.append(reporter.stop_code())

    with pytest.raises(Interrupted) as caught:
        run(work, [1, 2], 2, Stopping())
    assert caught.value.exit_code == 130
    assert codes == [130, 130]
