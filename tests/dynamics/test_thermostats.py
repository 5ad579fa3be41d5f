"""Thermostats against their closed forms, and at rest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.experiments import dimers, liquid, runner

from diffmd.dynamics import Berendsen, Rescale


def temperature(v: np.ndarray, mass: float = 1.0) -> np.ndarray:
    """2 E_kin / (3 N - 3)."""
    return mass * np.sum(v**2, axis=(-1, -2)) / (3 * v.shape[-2] - 3)


def gas(thermostat: dict, dt: float = 0.1):
    """Atoms without forces."""
    return dimers(
        10,
        {"r0": 1.0, "k": 0.0},
        {"integrator": {"kind": "velocity_verlet", "dt": dt}, "thermostat": thermostat},
        velocities={"kind": "maxwell_boltzmann", "temperature": 3.0, "remove_com": True},
    )


def test_rescale_is_exact_at_every_step(double):
    run = runner(liquid({"thermostat": {"kind": "rescale", "temperature": 0.7}}))(20)
    np.testing.assert_allclose(temperature(run["velocities"])[1:], 0.7, rtol=1e-13)


@pytest.mark.parametrize("tau", [1.0, 0.25, 0.1])
def test_berendsen_decays_as_its_closed_form(tau, double):
    # Without forces, T(n) - T0 = (T(0) - T0) (1 - dt/tau)^n; dt = tau is there at once.
    run = runner(gas({"kind": "berendsen", "temperature": 0.5, "tau": tau}))(12)
    found = temperature(run["velocities"])
    expected = 0.5 + (found[0] - 0.5) * (1 - 0.1 / tau) ** np.arange(13)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("target", [0.0, 0.3])
@pytest.mark.parametrize("made", [lambda: Rescale({}), lambda: Berendsen({})])
def test_at_rest_nothing_moves_and_every_derivative_is_finite(made, target, precision):
    thermostat = made()

    def after(v, numbers):
        return jnp.sum(jnp.sin(1 + thermostat.apply(numbers, v, jnp.sum(v**2) / 9, jnp.asarray(0.1))))

    numbers = {"temperature": jnp.asarray(target), "tau": jnp.asarray(0.1)}
    still = jnp.zeros((4, 3))
    assert not np.any(thermostat.apply(numbers, still, jnp.asarray(0.0), jnp.asarray(0.1)))
    for v in (still, jnp.ones((4, 3)) * 0.2):
        dv, dn = jax.grad(after, (0, 1))(v, numbers)
        assert all(np.isfinite(g).all() for g in jax.tree.leaves((dv, dn)))
    moving = jnp.ones((4, 3)) * 0.2
    new = thermostat.apply(numbers, moving, jnp.sum(moving**2) / 9, jnp.asarray(0.1))
    assert float(jnp.sum(new**2) / 9) == pytest.approx(target, rel=1e-5, abs=1e-12)
