"""Energies and the temperature, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest


def test_by_hand(make, frame, precision):
    v = np.array([[1.0, 2, 3], [0, -1, 0.5]])
    fields = {
        "masses": jnp.asarray([2.0, 4.0]),
        "potential_energy": lambda: jnp.asarray(-7.0),
        "degrees_of_freedom": 3,
    }
    kinetic = 0.5 * (2 * 14 + 4 * 1.25)
    expected = {
        ("potential_energy", "reduced"): -7.0,
        ("kinetic_energy", "reduced"): kinetic,
        ("total_energy", "reduced"): kinetic - 7,
        ("temperature", "reduced"): 2 * kinetic / 3,
        ("temperature", "md"): 2 * kinetic / 3 / 8.31446261815324e-3,
    }
    for (kind, units), value in expected.items():
        measured = make({"kind": kind}, "AA", units=units).measure(frame(np.zeros((2, 3)), v=v, **fields))
        assert measured.shape == ()
        assert measured.dtype == precision
        assert float(measured) == pytest.approx(value, rel=1e-6)


def test_the_potential_energy_is_computed_only_when_asked_for(make, frame):
    def costly():
        raise AssertionError

    for kind in ("kinetic_energy", "temperature"):
        assert np.isfinite(make({"kind": kind}, "AA").measure(frame(np.zeros((2, 3)), potential_energy=costly)))
