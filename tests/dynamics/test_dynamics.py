"""Degrees of freedom, centre-of-mass removal, and equilibration."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from support.experiments import dimers, experiment, liquid, runner

from diffmd.simulation import equilibrate

LANGEVIN = {"kind": "langevin", "dt": 0.01, "friction": 1.0, "temperature": 0.8}
FREE = {"r0": 1.0, "k": 0.0}


@pytest.mark.parametrize(
    ("dynamics", "expected"),
    [
        ({}, 321),
        ({"remove_com_motion": 5}, 321),
        ({"integrator": LANGEVIN}, 324),
        ({"integrator": LANGEVIN, "remove_com_motion": 5}, 321),
    ],
)
def test_degrees_of_freedom(dynamics, expected, double):
    assert liquid(dynamics).systems[0].problem.dynamics.degrees_of_freedom == expected


def test_one_atom_keeps_its_three_degrees_of_freedom(double):
    one = {"box": None, "atoms": [{"type": "A", "count": 1, "mass": 2.0}]}
    one["positions"] = {"kind": "inline", "values": [[0.0, 0.0, 0.0]]}
    built = experiment(one, {"lj": {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0}})
    assert built.systems[0].problem.dynamics.degrees_of_freedom == 3


def test_the_centre_of_mass_stops_every_so_many_steps(double):
    run = runner(dimers(4, FREE, {"integrator": LANGEVIN, "remove_com_motion": 3}))(12)
    drift = np.abs(run["velocities"].sum(axis=1)).max(axis=1)
    removed = np.arange(13) % 3 == 0
    assert drift[removed].max() < 1e-13
    assert drift[~removed].min() > 1e-3


def test_equilibration_goes_before_with_noise_of_its_own(double):
    section = {"integrator": LANGEVIN, "equilibration": {"steps": 8, "integrator": LANGEVIN}}
    built = dimers(4, FREE, section)
    one = built.systems[0]
    dynamics, steps = one.equilibration
    key = jax.random.key(1)

    def equilibrated(count):
        told = []
        control = one.control(one.values)
        values = equilibrate(
            one.problem, dynamics, count, {}, one.values, key, control, lambda _: None, told.append
        )  # fmt: skip
        assert sum(told) == count
        return values

    assert equilibrated(0) is one.values
    before = equilibrated(steps)
    production = runner(built)(8, 8)
    # The same integrator, temperature and seed, from the same start: other numbers.
    assert np.abs(np.asarray(before["system.velocities"]) - production.end.velocities).max() > 0.1
    assert set(before) == set(one.values)
    np.testing.assert_array_equal(equilibrated(steps)["system.positions"], before["system.positions"])
    # The run's own step count starts after it.
    assert int(runner(built)(0, values=before).end.step) == 0
