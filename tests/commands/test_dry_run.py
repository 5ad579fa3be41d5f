"""``gradient --dry-run``: what each method would take, without a gradient and without a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import pytest
from support.commanded import Listener, request, written
from support.objectives import MOLECULE, PLENTY, changed, nothing, ready

from diffmd.adjoints.base import Stored
from diffmd.adjoints.reverse import Reverse
from diffmd.commands import dry_run as module
from diffmd.commands.dry_run import _extended, _in_turns, _memory, _short_frames, dry_run
from diffmd.errors import ConfigError
from diffmd.losses import Frames


@pytest.mark.slow
def test_methods_that_fit_are_foretold_and_others_say_why(tmp_path: Path):
    # Bonds alone: they compile soon.
    bonds = {"bond": MOLECULE["potentials"]["bond"]}
    config = written(tmp_path, changed(MOLECULE, dynamics__steps=40, potentials=bonds, parameters=["potentials.bond"]))
    result = dry_run(request(config, tmp_path / "run"), Listener())
    assert not (tmp_path / "run").exists()
    found = {row["method"]: row for row in result.answer["methods"]}
    assert result.answer["steps"] == 40
    for method in ("reverse", "forward", "finite-difference", "reversible"):
        assert found[method]["memory"] > 0
        # How many they are, a test under load cannot say.
        assert found[method]["forward_steps"] > 0
        assert found[method]["seconds"] > 0
    for method, said in (("reweight", "canonical ensemble"), ("implicit", "minimised structures")):
        assert found[method]["memory"] is None
        assert said in found[method]["note"]
    assert result.summary[0].startswith("40 steps")


def test_an_unknown_method_is_refused(tmp_path: Path):
    config = written(tmp_path, MOLECULE)
    with pytest.raises(ConfigError, match="--method adjoint: there are auto"):
        dry_run(request(config, tmp_path / "run"), Listener(), "adjoint")


def test_what_reverse_keeps_is_known_beforehand():
    with jax.enable_x64(True):
        case = ready(changed(MOLECULE, dynamics__steps=60))
        plenty = Reverse(case.experiment.objective, PLENTY).stored(case.fresh(), case.p)
        little = Reverse(case.experiment.objective, int(plenty.bytes) // 10).stored(case.fresh(), case.p)
        gradient = Reverse(case.experiment.objective, PLENTY).gradient(case.fresh(), case.p, nothing, nothing)
    assert plenty.repeats == 0 < little.repeats
    assert little.bytes < plenty.bytes
    # Positions and velocities of four atoms at every step, at least.
    assert plenty.bytes >= 60 * 2 * 4 * 3 * 8
    assert gradient.health.kind == "cotangent"


def test_the_whole_lies_on_the_line_through_the_calibrations():
    assert _extended([1.0, 3.0], [100, 300], 1300) == pytest.approx(13.0)
    assert _extended([2.0], [50], 50) == 2.0
    # Noise that makes the longer one quicker does not make the whole free.
    assert _extended([3.0, 2.0], [100, 300], 600) == pytest.approx(3.0)


def test_calls_are_timed_in_turns_after_the_first():
    told: list[str] = []
    times = _in_turns(lambda: told.append("a"), lambda: told.append("b"))
    assert told == ["a", "b"] * 4
    assert len(times) == 2


@pytest.mark.parametrize(
    ("frames", "short"),
    [
        (Frames(None, None, 1), Frames(None, None, 1)),
        (Frames(0, None, 10), Frames(0, None, 10)),
        (Frames(500, None, 10), Frames(50, None, 10)),
        (Frames(990, 1000, 10), Frames(60, 100, 10)),
        (Frames(0, 500, 10), Frames(0, 50, 10)),
        (Frames(0, None, 100), Frames(0, None, 25)),
    ],
)
def test_a_tenth_of_the_run_has_a_tenth_of_the_frames(frames: Frames, short: Frames):
    with jax.enable_x64(True):
        (term,) = ready(MOLECULE).experiment.objective.problems[0].terms
    assert _short_frames(dataclasses.replace(term, frames=frames), 100, 0.1) == short


def test_programs_in_a_row_hold_their_buffers_together():
    assert _memory(Stored(100.0), 7) == 107
    assert _memory(Stored(100.0, in_a_row=True), 7) == (114 if jax.default_backend() == "cpu" else 107)


def test_a_minimum_that_is_far_away_tells_no_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_WHOLE", 0.0)
    quickmin = {"kind": "quickmin", "dt": 0.05, "max_step": 0.1}
    config = written(tmp_path, changed(MOLECULE, dynamics__integrator=quickmin))
    result = dry_run(request(config, tmp_path / "run"), Listener(), "implicit")
    (found,) = result.answer["methods"]
    assert found["memory"] > 0
    assert found["forward_steps"] is found["seconds"] is None
    assert "cost cannot be foretold" in found["note"]
    assert "MB" in result.summary[-1]
