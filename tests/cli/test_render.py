"""Tables."""

from __future__ import annotations

import pytest

from diffmd.cli import render

ROW = {
    "case": "lj_fluid",
    "parameter": "potentials.lj.sigma",
    "method": "reverse",
    "ad": 1.2345678901234,
    "fd": 1.23456789,
    "fd_error": 2e-9,
    "relative_error": 1e-9,
    "verdict": "agrees",
    "reason": None,
    "suggestion": None,
}


def test_gradcheck_rows_are_whole_off_a_terminal(capsys: pytest.CaptureFixture[str]):
    rough = {
        **ROW,
        "parameter": "[potentials]" + ".a" * 30,
        "fd": None,
        "verdict": "not_smooth",
        "reason": "pair 3-17 crosses the truncated cutoff of potentials.lj at step 41",
        "suggestion": "try {kind: shifted_force, ...}",
    }
    render.gradcheck_table([ROW, rough])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:6] == ["case", "parameter", "method", "gradient", "finite", "difference"]
    assert lines[1].split()[:5] == ["lj_fluid", "potentials.lj.sigma", "reverse", "1.23456789", "1.23456789"]
    assert lines[1].split()[5:] == ["2e-09", "1e-09", "agrees"]
    assert rough["parameter"] in lines[2]
    assert lines[3].endswith(
        "(reverse): pair 3-17 crosses the truncated cutoff of potentials.lj at step 41; try {kind: shifted_force, ...}"
    )
    assert "\x1b" not in "".join(lines)


def test_a_derivative_says_what_it_is_per(capsys: pytest.CaptureFixture[str]):
    render.gradcheck_table([{**ROW, "parameter": "potentials.angle.theta0", "unit": "rad"}])
    assert "potentials.angle.theta0 (per rad)  reverse" in capsys.readouterr().out


def test_fields_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]):
    render.fields(["status", "epochs", "loss"], ["finished", "", "0.5"])
    assert capsys.readouterr().out == "status  finished\nloss    0.5\n"


def test_a_table_has_a_line_a_row(capsys: pytest.CaptureFixture[str]):
    render.table(["run", "loss"], [["outputs/a", "0.5"], ["outputs/[b]", "0.1"]])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["run", "loss"],
        ["outputs/a", "0.5"],
        ["outputs/[b]", "0.1"],
    ]
