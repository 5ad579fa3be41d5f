"""Langevin dynamics samples what it should. Each bound is five standard errors of independent samples."""

from __future__ import annotations

import numpy as np
from support.experiments import dimers, runner


def test_a_harmonic_well_has_the_right_position_variance(double):
    # BAOAB samples a harmonic well's positions exactly at any time step, and velocities with the variance
    # k_B T / mu (1 - (omega dt / 2)^2); the pair's centre is free and has exactly k_B T / (2 m).
    k, t, dt = 4.0, 0.7, 0.25
    langevin = {"kind": "langevin", "dt": dt, "friction": 1.0, "temperature": t}
    run = runner(dimers(150, {"r0": 0.0, "k": k}, {"integrator": langevin}))(6000, 4)
    keep = slice(100, None)
    a, b = slice(0, None, 2), slice(1, None, 2)
    x, v = run["positions"][keep], run["velocities"][keep]
    distance, relative, centre = x[:, b] - x[:, a], v[:, b] - v[:, a], (v[:, b] + v[:, a]) / 2
    omega2 = 2 * k
    for samples, expected in (
        (distance, t / k),
        (relative, 2 * t * (1 - omega2 * dt**2 / 4)),
        (centre, t / 2),
    ):
        # Each pair and axis is an oscillator of its own.
        each = np.mean(samples.reshape(len(samples), -1) ** 2, axis=0)
        error = np.std(each, ddof=1) / np.sqrt(each.size)
        assert error < 0.01 * expected
        assert abs(np.mean(each) - expected) < 5 * error


def test_kinetic_energy_is_distributed_as_it_should_be(double):
    # T = 2 E_kin / (3 N) of a gas has mean T0 and variance 2 T0^2 / (3 N); frames exp(-10) apart are independent.
    atoms, t = 40, 1.3
    langevin = {"kind": "langevin", "dt": 0.1, "friction": 5.0, "temperature": t}
    run = runner(dimers(atoms // 2, {"r0": 1.0, "k": 0.0}, {"integrator": langevin}))(12000, 20)
    found = 2 * run["kinetic_energy"][5:] / (3 * atoms)
    n, variance = len(found), 2 * t**2 / (3 * atoms)
    assert abs(found.mean() - t) < 5 * np.sqrt(variance / n)
    # The variance of a sample variance: sigma^4 (2 / (n - 1) + excess / n), the excess of chi squared being 12 / dof.
    assert abs(found.var(ddof=1) - variance) < 5 * variance * np.sqrt(2 / (n - 1) + 12 / (3 * atoms) / n)
