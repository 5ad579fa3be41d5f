"""``gradient --dry-run``: what each method would take, without a gradient and without a file."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest
from support.commanded import Listener, request, written
from support.objectives import MOLECULE, PLENTY, changed, nothing, ready

from diffmd.adjoints.reverse import Reverse
from diffmd.commands.dry_run import _extended, dry_run
from diffmd.errors import ConfigError


@pytest.mark.slow
def test_methods_that_fit_are_foretold_and_others_say_why(tmp_path: Path):
    config = written(tmp_path, changed(MOLECULE, dynamics__steps=40))
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
