"""Ctrl-C and SIGTERM, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import sys, time
import typer
from diffmd.cli.execute import Talk, run_command
from diffmd.commands.run.request import CommandResult, Request
from diffmd.errors import Interrupted

def work(request, reporter):
    print("ready", flush=True)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        {body}
    return CommandResult({{}})

try:
    run_command("count", Request(), work, Talk(True, False, False))
except typer.Exit as end:
    sys.exit(end.exit_code)
"""
OBEDIENT = """time.sleep(0.05)
        if (code := reporter.stop_code()) is not None:
            print("checkpoint written", flush=True)
            raise Interrupted("stopped at a checkpoint", code)"""
DEAF = "time.sleep(0.05)"
# Python drops what is raised in a destructor or a callback of the garbage collector, and says so.
DESTRUCTOR = """class Late:
            def __del__(self):
                time.sleep(1)
        Late()
        time.sleep(9)"""
# Runs in C for minutes without the interpreter's lock, as a compiled segment does: no Python handler can run meanwhile.
COMPILED = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'a', b'b', 2_000_000_000)"


def started(body: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DIFFMD_CACHE": "off"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_for_a_checkpoint(number: signal.Signals, code: int):
    process = started(OBEDIENT)
    process.send_signal(number)
    out, err = process.communicate(timeout=15)
    assert process.returncode == code
    assert "checkpoint written" in out
    assert "stopping after this segment" in err
    assert "stopped at a checkpoint" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("body", [DEAF, DESTRUCTOR], ids=["deaf", "destructor"])
def test_the_second_stops_at_once(body: str):
    process = started(body)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 143
    assert "stopped at once" in err
    assert "Traceback" not in err
    assert "ignored" not in err


def test_a_compiled_segment_is_heard_and_ended_too():
    process = started(COMPILED)
    assert process.stderr is not None
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert "stopping after this segment" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)
    assert process.returncode == 130
