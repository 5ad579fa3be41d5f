"""Runs that are wild, and right: none of them has blown up."""

from __future__ import annotations

import numpy as np
import pytest
from support.experiments import experiment, liquid, runner

pytestmark = pytest.mark.usefixtures("double")

LJ = {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0}


def atoms(count: int) -> dict:
    return {"atoms": [{"type": "A", "count": count, "mass": 1.0}], "velocities": {"kind": "zero"}}


def test_free_atoms_may_cross_the_box_in_a_step():
    fast = {"kind": "maxwell_boltzmann", "temperature": 100.0}
    system = atoms(8) | {"box": [3.0, 3.0, 3.0], "velocities": fast}
    positions = {"positions": {"kind": "random", "min_distance": 0.5}}
    gas = {"integrator": {"kind": "velocity_verlet", "dt": 1.0}}
    run = runner(experiment(system | positions, {"lj": LJ | {"epsilon": 0.0}}, gas))(20, 20)
    assert np.abs(np.diff(run["positions"], axis=0)).max() > 100


def test_a_cluster_that_is_pressed_together_flies_apart():
    x = [[0.7 * i, 0.7 * j, 0.7 * k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    system = atoms(8) | {"box": None, "positions": {"kind": "inline", "values": x}}
    apart = {"integrator": {"kind": "velocity_verlet", "dt": 0.0002}}
    run = runner(experiment(system, {"lj": LJ}, apart))(5000, 2500)
    # From rest to a temperature of dozens, and many sizes away; energy is kept.
    assert np.ptp(run["positions"][-1], axis=0).min() > 5
    np.testing.assert_allclose(run["total_energy"], run["total_energy"][0], rtol=1e-3)


def test_a_bond_that_is_pressed_to_nothing_swings():
    system = atoms(2) | {"box": None, "positions": {"kind": "inline", "values": [[0, 0, 0], [0.05, 0, 0]]}}
    bond = {"kind": "harmonic_bond", "bonds": [[0, 1]], "r0": 1.0, "k": 1.0}
    run = runner(experiment(system, {"bond": bond}, {"integrator": {"kind": "velocity_verlet", "dt": 0.1}}))(200, 1)
    assert np.linalg.norm(np.diff(run["positions"], axis=0), axis=-1).max() > 0.05
    np.testing.assert_allclose(run["total_energy"], run["total_energy"][0], rtol=1e-2)


def test_a_hot_start_cools_down():
    bath = {"integrator": {"kind": "langevin", "dt": 0.001, "friction": 10.0, "temperature": 1.0}}
    run = runner(liquid(bath, temperature=500.0))(500, 500)
    assert run["kinetic_energy"][0] > 100 * run["kinetic_energy"][-1]


def test_a_minimiser_begins_with_atoms_on_top_of_each_other():
    x = [[0.0, 0, 0], [1e-3, 0, 0], [1, 0, 0], [1, 1e-2, 0], [0, 1, 0]]
    system = atoms(5) | {"box": None, "positions": {"kind": "inline", "values": x}}
    down = {"integrator": {"kind": "quickmin", "dt": 0.02, "max_step": 0.3}}
    run = runner(experiment(system, {"lj": LJ}, down))(200, 200)
    assert run["potential_energy"][-1] < -5
