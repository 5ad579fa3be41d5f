"""``gradient --dry-run``: what each method would take, without a gradient and without a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import pytest
from support.commanded import Listener, request, written
from support.objectives import MOLECULE, PLENTY, changed, nothing, ready

from diffmd.adjoints.base import Stored
from diffmd.adjoints.choice import of_the_path, recommended
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.commands.forecast import dry_run as module
from diffmd.commands.forecast import forecast
from diffmd.commands.forecast.calibration import short_frames, timed
from diffmd.commands.forecast.dry_run import dry_run
from diffmd.errors import ConfigError, NumericalError
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
    assert result.answer["recommended"]["method"] == "forward"


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
    # Positions of four atoms at every step, at least: that velocities change by them is linear in them.
    assert plenty.bytes >= 60 * 4 * 3 * 8
    assert gradient.health.kind == "cotangent"


def test_calls_are_timed_after_the_first():
    told: list[str] = []
    assert timed(lambda: told.append("a"), 3, 1.0) >= 0
    assert told == ["a"] * 4


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
    assert short_frames(dataclasses.replace(term, frames=frames), 100, 0.1) == short


@pytest.mark.parametrize(
    ("fitting", "numbers", "frames", "method", "why"),
    [
        (("reverse", "forward"), 2, 1, "forward", "2 numbers are learnt"),
        (("reverse", "forward"), 3, 1, "reverse", "3 numbers are learnt: one way back gives all derivatives"),
        (("reverse",), 1, 1, "reverse", "one number is learnt"),
        (("reverse", "forward", "reweight"), 1, 396, "reweight", "averages 396 frames of an equilibrium"),
        (("reverse", "forward", "reweight"), 1, 10, "forward", "one number is learnt"),
        (("reverse", "implicit"), 9, 1, "implicit", "slides to a minimum"),
        (("finite-difference",), 9, 1, "finite-difference", "the one that fits"),
    ],
)
def test_the_method_to_take(fitting: tuple[str, ...], numbers: int, frames: int, method: str, why: str):
    found = recommended(dict.fromkeys(fitting, Stored(1.0)), numbers, 100, frames)
    assert found is not None
    assert found.method == method
    assert why in found.reason


def test_a_run_too_long_for_checkpoints_is_undone():
    kept = {"reverse": Stored(1.0, repeats=2), "reversible": Stored(1.0)}
    found = recommended(kept, 9, 10**7, 1)
    assert found is not None
    assert found.method == "reversible"
    once = recommended({**kept, "reverse": Stored(1.0, repeats=1)}, 9, 10**7, 1)
    assert once is not None
    assert once.method == "reverse"
    assert "at checkpoints and run 2 times" in once.reason


def test_auto_and_the_recommendation_share_their_rule():
    assert [of_the_path(count) for count in (1, 2, 3)] == ["forward", "forward", "reverse"]


def test_what_is_not_timed_is_told_by_a_rule_of_thumb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_BUDGET", 0.0)
    bonds = {"bond": MOLECULE["potentials"]["bond"]}
    config = written(tmp_path, changed(MOLECULE, dynamics__steps=40, potentials=bonds, parameters=["potentials.bond"]))
    listener = Listener()
    result = dry_run(request(config, tmp_path / "run"), listener)
    found = {row["method"]: row for row in result.answer["methods"]}
    assert listener.said[0].startswith("4 atoms, 40 steps, 2 numbers to learn")
    assert not found["reverse"]["measured"]
    assert found["reverse"]["forward_steps"] == pytest.approx(2.7 * 40)
    assert found["forward"]["forward_steps"] == pytest.approx((1 + 2 * 0.65) * 40)
    assert found["finite-difference"]["forward_steps"] > 40 * 2 * 2
    # Positions of four atoms at every step, at least.
    assert found["reverse"]["memory"] >= 40 * 4 * 3 * 8
    assert result.answer["recommended"]["method"] == "forward"
    assert result.summary[-1].startswith("Recommended: forward. 2 numbers are learnt")
    assert result.summary[-2].startswith("~: about")
    assert result.next_command.endswith("--method forward")


def test_what_a_run_refuses_is_refused_with_its_line(tmp_path: Path):
    config = written(tmp_path, changed(MOLECULE, potentials__bond__bonds=[[0, 40]]))
    with pytest.raises(ConfigError, match=r"small.yaml:\d+: potentials.bond.bonds.0: \[0, 40\] names an atom"):
        dry_run(request(config, tmp_path / "run"), Listener())


def test_a_run_that_blows_up_is_explained(tmp_path: Path):
    # Too few steps for the numbers to become infinite.
    data = changed(MOLECULE, dynamics__steps=4, dynamics__integrator={"kind": "velocity_verlet", "dt": 50.0})
    with pytest.raises(NumericalError, match=r"the run blew up at step 1: atom .* pushed by potentials\..*Likely: "):
        dry_run(request(written(tmp_path, data), tmp_path / "run"), Listener(), "reverse")


def test_a_minimum_that_is_far_away_tells_no_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forecast, "_WHOLE", 0.0)
    quickmin = {"kind": "quickmin", "dt": 0.05, "max_step": 0.1}
    config = written(tmp_path, changed(MOLECULE, dynamics__integrator=quickmin))
    result = dry_run(request(config, tmp_path / "run"), Listener(), "implicit")
    (found,) = result.answer["methods"]
    assert found["memory"] > 0
    assert found["forward_steps"] is found["seconds"] is None
    assert "cost cannot be foretold" in found["note"]
    assert result.answer["recommended"]["method"] == "implicit"
    assert "MB" in result.summary[1]
