"""Reverse mode: within any memory, on any kind of neighbour list, and compiled once."""

from __future__ import annotations

import logging

import jax
import numpy as np
import pytest
from support.objectives import FLUID, MOLECULE, PLENTY, apart, changed, nothing, ready

from diffmd.adjoints.base import Adjoint
from diffmd.adjoints.finite_difference import FiniteDifference
from diffmd.adjoints.forward import Forward
from diffmd.adjoints.reverse.reverse import Reverse

MANY_FRAMES = [
    {"observable": {"kind": "potential_energy"}, "compare": "none", "frames": "all"},
    {"observable": {"kind": "temperature"}, "target": 0.5},
]


@pytest.mark.slow
def test_states_that_do_not_fit_are_computed_again():
    case = ready(changed(FLUID, dynamics__steps=40, loss=MANY_FRAMES, parameters=["potentials.lj", "system.positions"]))
    stored, again = case.reverse(memory=PLENTY), case.reverse(memory=20_000)
    # Segments of other lengths are other programs, whose sums the compiler may take in another order.
    assert again.loss == pytest.approx(stored.loss, rel=1e-13)
    assert apart(again.gradients, stored.gradients) < 1e-12
    np.testing.assert_allclose(again.health.norm, stored.health.norm, rtol=1e-9)


@pytest.mark.slow
def test_lists_give_the_gradient_of_all_pairs():
    short = {"kind": "switch", "distance": 1.5, "from": 1.3}
    # Lists are built more often than frames are measured.
    loss = [{**MANY_FRAMES[0], "frames": {"from": 0, "to": 18, "every": 6}}, {**MANY_FRAMES[1], "frames": "end"}]
    config = changed(FLUID, potentials__lj__cutoff=short, loss=loss, parameters=["potentials.lj"], dynamics__steps=20)
    pairs, listed = (
        ready({**config, "dynamics": {**config["dynamics"], "neighbors": lists}}).reverse()
        for lists in ({"kind": "all_pairs"}, {"kind": "cell_list", "skin": 0.3, "every": 4})
    )
    assert listed.loss == pytest.approx(pairs.loss, rel=1e-12)
    assert apart(listed.gradients, pairs.gradients) < 1e-10


@pytest.mark.parametrize("kind", ["reverse", "forward", "finite-difference"])
def test_nothing_is_compiled_twice(kind: str, caplog: pytest.LogCaptureFixture):
    case = ready(MOLECULE)
    objective = case.experiment.objective
    adjoints: dict[str, Adjoint] = {
        "reverse": Reverse(objective, PLENTY),
        "forward": Forward(objective, 8),
        "finite-difference": FiniteDifference(objective, 1e-5, 8),
    }
    start, other = case.fresh(), {path: value * 1.01 for path, value in case.p.items()}
    losses, compiled = [], []
    with jax.log_compiles(True), caplog.at_level(logging.DEBUG):
        for p in (case.p, other, case.p):
            caplog.clear()
            losses.append(adjoints[kind].gradient(start, p, nothing, nothing).loss)
            compiled.append(sum(record.getMessage().startswith("Compiling") for record in caplog.records))
    assert losses[0] == losses[2] != losses[1]
    assert compiled[0] > 0
    assert compiled[1:] == [0, 0]


def test_progress_counts_what_steps_says():
    case = ready(MOLECULE)
    objective = case.experiment.objective
    for adjoint in (Reverse(objective, PLENTY), Forward(objective, 8), FiniteDifference(objective, 1e-5, 4)):
        told: list[int] = []
        adjoint.gradient(case.fresh(), case.p, nothing, told.append)
        assert sum(told) == adjoint.steps(case.p)
