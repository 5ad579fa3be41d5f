"""A parameter that comes to a value without a derivative: every command gives the potential's own reason."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from support.commanded import Listener, request, written
from support.objectives import PLENTY, nothing, ready

from diffmd.adjoints.base import Gradient, Health
from diffmd.adjoints.diagnosis.zeros import parameter_slopes, zero_warnings
from diffmd.adjoints.gradcheck.check import check
from diffmd.commands.scan import scan

MIX = {
    "system": {
        "box": [4, 4, 4],
        "atoms": [{"type": "O", "count": 3, "mass": 1.0}, {"type": "H", "count": 3, "mass": 1.0}],
        "positions": {"kind": "random", "min_distance": 0.9},
    },
    "potentials": {
        "lj": {
            "kind": "lennard_jones",
            "sigma": 1.0,
            "epsilon": {"O": 1.0, "H": 0.5},
            "cutoff": {"kind": "shifted_force", "distance": 1.9},
        }
    },
    "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.001}, "steps": 4},
    "loss": [{"observable": {"kind": "potential_energy"}, "compare": "none"}],
    "parameters": ["potentials.lj.epsilon.H"],
}
PATH = "potentials.lj.epsilon.H"
REASON = f"{PATH} cannot be learned from 0: pairs O-H take the geometric mean of both types' values"


def test_gradcheck_and_gradient_give_the_reason() -> None:
    with jax.enable_x64(True):
        case = ready(MIX)
        objective = case.experiment.objective
        p = {PATH: jnp.asarray(0.0)}
        odd = parameter_slopes(objective, p, case.experiment.values)
        (row,) = check({"mix": None}, objective, case.fresh, p, ("reverse",), PLENTY, None, nothing, nothing, odd=odd)
        assert parameter_slopes(objective, case.p, case.experiment.values) == {}
    assert row.verdict == "not_smooth"
    assert row.reason.startswith(REASON)
    assert "0.001" in row.suggestion
    health = Health("tangent", np.zeros(0), np.zeros(0), None, None, "")
    said = zero_warnings(Gradient(0.0, [0.0], {PATH: np.array(-2.0)}, health), odd)
    assert said[PATH].startswith(f"the gradient means nothing: {REASON}")
    assert "does not depend" not in said[PATH]


def test_a_size_of_zero_is_told_as_flat() -> None:
    with jax.enable_x64(True):
        case = ready({**MIX, "parameters": ["potentials.lj.sigma"]})
        p = {"potentials.lj.sigma": jnp.asarray(0.0)}
        odd = parameter_slopes(case.experiment.objective, p, case.experiment.values)
    health = Health("tangent", np.zeros(0), np.zeros(0), None, None, "")
    (said,) = zero_warnings(Gradient(0.0, [0.0], {"potentials.lj.sigma": np.array(0.0)}, health), odd).values()
    assert said == (
        "the gradient with respect to potentials.lj.sigma is exactly zero: it is 0, where the energy, which goes as "
        "sigma^6, is flat in it: no gradient leads away from there; start from a positive number"
    )


def test_a_scan_has_a_loss_and_no_gradient_there(tmp_path: Path) -> None:
    listener = Listener()
    result = scan(request(written(tmp_path, MIX), tmp_path / "run"), listener, f"{PATH}=0:0.5:2")
    at_zero, beyond = result.answer["points"]
    assert np.isfinite(at_zero["loss"])
    assert at_zero["gradient"] is None
    assert np.isfinite(beyond["gradient"])
    assert [text for text in listener.warned if REASON in text] == listener.warned
