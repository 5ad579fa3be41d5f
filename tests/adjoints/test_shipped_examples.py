"""Every method agrees on every shipped example, cut to 50 steps (the liquid to fewer: its motion is chaotic)."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from support.objectives import apart, ready

SHORT = ("dynamics.steps=50", "precision=double")
EXAMPLES = {
    "lj_fluid": SHORT,
    "bond_angle": SHORT,
    "nn_logo": SHORT,
    "lj_liquid": ("dynamics.steps=15", "dynamics.equilibration.steps=50"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_reverse_forward_and_finite_differences_agree(name: str):
    rows = ready(name, *EXAMPLES[name]).rows()
    assert {row.verdict for row in rows} == {"agrees"}
    for row in rows:
        assert abs(row.ad - row.fd) <= 1e-6 * max(abs(row.ad), abs(row.fd)), row
    ad = {method: np.array([row.ad for row in rows if row.method == method]) for method in ("reverse", "forward")}
    assert np.abs(ad["reverse"]).max() > 0
    np.testing.assert_allclose(ad["reverse"], ad["forward"], rtol=1e-9, atol=1e-12 * np.abs(ad["forward"]).max())


def test_single_precision_agrees_with_double():
    double = ready("lj_fluid", "dynamics.steps=50", "precision=double").reverse()
    with jax.enable_x64(False):
        single = ready("lj_fluid", "dynamics.steps=50", "precision=single").reverse()
    assert single.loss == pytest.approx(double.loss, rel=1e-3)
    assert apart(single.gradients, double.gradients) < 1e-2
    assert all(g.dtype == np.float32 for g in single.gradients.values())
