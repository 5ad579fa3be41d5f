"""What becomes of a command's answer, or of its failure."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import typer

from diffmd.cli.execute import Talk, run_tool
from diffmd.commands.run.request import CommandResult
from diffmd.errors import ConfigError, Interrupted, NumericalError, OutputError

PLAIN = Talk(quiet=False, json=False, debug=False)


def fails_with(problem: BaseException) -> Callable[[], CommandResult]:
    def work() -> CommandResult:
        raise problem

    return work


def code_of(work: Callable[[], CommandResult], talk: Talk = PLAIN) -> int:
    with pytest.raises(typer.Exit) as exit_:
        run_tool(work, talk)
    return exit_.value.exit_code


@pytest.mark.parametrize(
    ("problem", "code", "sentence"),
    [
        (ConfigError("must be positive", "dynamics.steps"), 2, "error: dynamics.steps: must be positive"),
        (NumericalError("not finite at step 7"), 3, "error: not finite at step 7"),
        (OutputError("the disk is full"), 5, "error: the disk is full"),
        (Interrupted("stopped at step 10", 130), 130, "stopped at step 10"),
        (Interrupted("stopped at step 10", 143), 143, "stopped at step 10"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 3, "error: this machine ran out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "x.h5"), 5, "error: x.h5: No space left on device"),
        (ValueError("odd"), 1, "error: internal error: ValueError (odd); run again with --debug"),
    ],
)
def test_each_failure_has_its_code_and_sentence(
    problem: BaseException, code: int, sentence: str, capfd: pytest.CaptureFixture[str]
):
    assert code_of(fails_with(problem)) == code
    said = capfd.readouterr()
    assert said.err.startswith(sentence)
    assert "Traceback" not in said.err
    assert said.out == ""


def test_every_line_of_an_error_is_marked(capfd: pytest.CaptureFixture[str]):
    code_of(fails_with(ConfigError("a.yaml:1: one\na.yaml:2: two")))
    assert capfd.readouterr().err == "error: a.yaml:1: one\nerror: a.yaml:2: two\n"


def test_debug_shows_the_traceback(capfd: pytest.CaptureFixture[str]):
    assert code_of(fails_with(ValueError("odd")), Talk(quiet=False, json=False, debug=True)) == 1
    assert "Traceback" in capfd.readouterr().err


def test_the_answer_and_the_next_command(capfd: pytest.CaptureFixture[str]):
    result = CommandResult({"loss": 1.0}, ["loss 1"], "diffmd plot x", exit_code=4)
    assert code_of(lambda: result) == 4
    assert capfd.readouterr().out == "loss 1\nNext: diffmd plot x\n"
    assert code_of(lambda: result, Talk(quiet=True, json=False, debug=False)) == 4
    assert capfd.readouterr() == ("", "")


def test_json_is_alone_on_stdout_and_has_null_for_nan(capfd: pytest.CaptureFixture[str]):
    answer = {"loss": float("nan"), "gradients": {"a": np.array([1.0, np.inf])}, "n": np.int64(2)}

    def work() -> CommandResult:
        print("a user's own potential says hello")
        subprocess.run([sys.executable, "-c", "print('and so does a library')"], check=True)
        return CommandResult(answer, ["loss nan"], "diffmd plot x")

    assert code_of(work, Talk(quiet=False, json=True, debug=False)) == 0
    said = capfd.readouterr()
    assert json.loads(said.out) == {"loss": None, "gradients": {"a": [1.0, None]}, "n": 2}
    assert said.out.count("\n") == 1
    assert "hello" in said.err
    assert "library" in said.err
    assert "Next: diffmd plot x" in said.err


def test_a_failure_leaves_stdout_empty_under_json(capfd: pytest.CaptureFixture[str]):
    assert code_of(fails_with(ConfigError("no")), Talk(quiet=False, json=True, debug=False)) == 2
    assert capfd.readouterr() == ("", "error: no\n")


def test_a_full_disk_under_stdout_is_an_output_error():
    script = "from diffmd.cli import tools\nfrom diffmd.cli import main\nmain(['--version'])\n"
    with open("/dev/full", "w") as full:
        run = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert run.returncode == 5
    assert run.stderr == "error: No space left on device\n"
