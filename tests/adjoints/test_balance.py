"""A loss whose terms are brought to the same slope: what is wrong in a faint one is heard."""

import jax
import pytest
from support.objectives import MOLECULE, PLENTY, changed, nothing, ready

from diffmd.adjoints.gradcheck.check import check
from diffmd.observables.energies import PotentialEnergy

LOUD = {"observable": {"kind": "distance", "pairs": [[0, 2]]}, "compare": "none"}
FAINT = {"observable": {"kind": "potential_energy"}, "compare": "none", "weight": 1e-8}


@pytest.fixture
def case(monkeypatch):
    """The derivative of the faint term is wrong by a thousandth."""
    right = PotentialEnergy.measure

    def wrong(self, frame):
        value = right(self, frame)
        return value + 1e-3 * (value - jax.lax.stop_gradient(value))

    monkeypatch.setattr(PotentialEnergy, "measure", wrong)
    bond = {"bond": MOLECULE["potentials"]["bond"]}
    parameters = ["potentials.bond.r0"]
    with jax.enable_x64(True):
        yield ready(changed(MOLECULE, potentials=bond, loss=[LOUD, FAINT], parameters=parameters))


@pytest.mark.parametrize(("balanced", "verdict"), [(False, "agrees"), (True, "disagrees")])
def test_a_faint_term_is_heard(case, balanced, verdict):
    objective = case.experiment.objective
    losses = {"case": None}
    found = check(
        losses, objective, case.fresh, case.p, ("forward",), PLENTY, None, nothing, nothing, balanced=balanced
    )
    assert [row.verdict for row in found] == [verdict]
