"""Work in a process of its own: what comes back from it, and where it runs."""

from __future__ import annotations

import os
import signal

import pytest
from support.commanded import Listener

from diffmd.commands.benchmark.apart import PINS, apart, usable_cores
from diffmd.commands.run.reporter import Reporter
from diffmd.errors import ConfigError, Interrupted, NumericalError


def cores(reporter: Reporter) -> tuple[int, tuple[int, ...]]:
    return os.getpid(), usable_cores()


def talks(reporter: Reporter) -> None:
    reporter.start(3, "steps", "talk")
    reporter.message("a word")
    reporter.advance(2)
    reporter.warning("a warning")
    reporter.finish()


def misconfigured(reporter: Reporter) -> None:
    raise ConfigError("no such thing", "potentials.lj")


def diverges(reporter: Reporter) -> None:
    raise NumericalError("not finite")


def dies(reporter: Reporter) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def waits(reporter: Reporter) -> None:
    reporter.message("waiting")
    signal.pause()


@pytest.mark.skipif(not PINS, reason="this system pins no process to cores")
def test_it_runs_elsewhere_on_so_many_cores():
    before = usable_cores()
    process, used = apart(cores, 1, Listener())
    assert process != os.getpid()
    assert used == before[:1]
    assert usable_cores() == before


def test_what_is_said_there_is_heard_here_and_the_count_is_ours():
    heard = Listener()
    assert apart(talks, 1, heard) is None
    assert (heard.said, heard.warned, heard.done) == (["a word"], ["a warning"], 0)


@pytest.mark.parametrize(
    ("work", "error", "sentence"),
    [
        (misconfigured, ConfigError, "potentials.lj: no such thing"),
        (diverges, NumericalError, "not finite"),
        (dies, NumericalError, r"ended without an answer \(exit code -9\)"),
    ],
)
def test_how_it_fails_is_how_it_fails_here(work, error, sentence):
    with pytest.raises(error, match=sentence):
        apart(work, 1, Listener())


def test_it_ends_when_its_caller_is_to_stop():
    with pytest.raises(Interrupted) as stopped:
        apart(waits, 1, Listener(after=0, code=143))
    assert stopped.value.exit_code == 143
