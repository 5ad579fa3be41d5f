"""Progress lines: how often, and what they say."""

from __future__ import annotations

import pytest

from diffmd.cli.progress import LineReporter, QuietReporter, duration, rate


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_every_few_seconds_not_one_a_step(capsys: pytest.CaptureFixture[str]):
    clock = Clock()
    reporter = LineReporter(lambda: None, clock)
    reporter.start(1000, "steps", "simulate")
    for _ in range(100):
        clock.now += 0.125
        reporter.advance(10)
    reporter.finish()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "simulate: 400/1000 steps, 80 steps/s, 8 s left"
    assert lines[-1] == "simulate: 1000/1000 steps, 80 steps/s"
    assert len(lines) == 3


def test_lines_grow_rare_in_a_long_run(capsys: pytest.CaptureFixture[str]):
    clock = Clock()
    reporter = LineReporter(lambda: None, clock)
    reporter.start(32_400, "epochs", "train")
    for _ in range(32_400):
        clock.now += 1.0
        reporter.advance(1, "loss 0.5")
    lines = capsys.readouterr().err.splitlines()
    assert 100 < len(lines) < 500
    assert lines[-1].endswith("loss 0.5")


def test_what_came_before_an_error_is_said(capsys: pytest.CaptureFixture[str]):
    reporter = LineReporter(lambda: None)
    reporter.start(20, "epochs", "train")
    reporter.advance(3, "loss 0.5")
    reporter.finish()
    reporter.finish()
    said = capsys.readouterr().err
    assert said.startswith("train: 3/20 epochs")
    assert said.count("\n") == 1


def test_quiet_says_warnings_alone(capsys: pytest.CaptureFixture[str]):
    reporter = QuietReporter(lambda: 143)
    reporter.start(1, "steps", "x")
    reporter.advance(1)
    reporter.message("hello")
    reporter.warning("the gradient is exactly zero")
    reporter.finish()
    assert capsys.readouterr().err == "warning: the gradient is exactly zero\n"
    assert reporter.stop_code() == 143


def test_durations_and_rates():
    assert duration(7.6) == "8 s"
    assert duration(125) == "2 min 5 s"
    assert duration(9 * 3600 + 130) == "9 h 2 min"
    assert rate(10, 100.0, "epochs") == "10 s each"
    assert rate(0, 1.0, "epochs") == ""
