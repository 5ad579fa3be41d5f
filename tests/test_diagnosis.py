"""What a system is like where it starts, against closed forms."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from support.experiments import dimers, experiment, liquid

from diffmd.diagnosis import crowding, largest_force, shortest_distance, stiffest_period

pytestmark = pytest.mark.usefixtures("double")


def started(built):
    one = built.systems[0]
    return one.problem, one.values


def water(k: float, angle: float):
    """A bent molecule of masses 16, 1 and 1 at its minimum."""
    half = np.radians(104.5) / 2
    x = [[0.0, 0, 0], [np.cos(half), np.sin(half), 0], [np.cos(half), -np.sin(half), 0]]
    return experiment(
        {
            "box": None,
            "atoms": [{"type": "O", "count": 1, "mass": 16.0}, {"type": "H", "count": 2, "mass": 1.0}],
            "positions": {"kind": "inline", "values": x},
            "velocities": {"kind": "zero"},
        },
        {
            "bond": {"kind": "harmonic_bond", "bonds": [[0, 1], [0, 2]], "r0": 1.0, "k": k},
            "angle": {"kind": "harmonic_angle", "angles": [[1, 0, 2]], "theta0": float(2 * half), "k": angle},
        },
    )


def test_the_period_of_a_bond():
    found = stiffest_period(*started(dimers(3, {"k": [10.0, 80.0, 20.0], "r0": 1.0})))
    assert found.period == pytest.approx(2 * np.pi * np.sqrt(0.5 / 80.0), rel=1e-3)
    assert found.potential == "bond"
    assert sorted(found.atoms) == [2, 3]


def test_a_mode_goes_to_the_potential_that_makes_it():
    stiff_bonds, stiff_angle = (stiffest_period(*started(water(*k))) for k in ((1000.0, 1.0), (1.0, 1000.0)))
    assert (stiff_bonds.potential, stiff_angle.potential) == ("bond", "angle")
    # The antisymmetric stretch: k (1/m_H + (1 - cos theta)/m_O), without the little that the angle adds.
    square = 1000.0 * (1 + (1 - np.cos(np.radians(104.5))) / 16)
    assert stiff_bonds.period == pytest.approx(2 * np.pi / np.sqrt(square), rel=5e-3)
    # Both hydrogens carry it.
    assert set(stiff_bonds.atoms) == {1, 2}


def test_pairs_that_are_far_apart_are_as_stiff_as_at_their_minimum():
    gas = experiment(
        {
            "box": [30.0, 30.0, 30.0],
            "atoms": [{"type": "A", "count": 2, "mass": 4.0}, {"type": "B", "count": 2, "mass": 1.0}],
            "positions": {"kind": "random", "min_distance": 5.0},
        },
        {"lj": {"kind": "lennard_jones", "sigma": 2.0, "epsilon": {"A": 3.0, "B": 0.0}}},
    )
    found = stiffest_period(*started(gas))
    # u'' = 72 epsilon / (2^(1/3) sigma^2), of two atoms of mass 4.
    assert found.period == pytest.approx(2 * np.pi / np.sqrt(72 * 3 / (2 ** (1 / 3) * 4) / 2), rel=5e-3)
    assert sorted(found.atoms) == [0, 1]


def test_nothing_pulls_an_ideal_gas_back():
    problem, values = started(liquid(cutoff=None))
    values = {**values, "potentials.lj.epsilon": jnp.asarray(0.0)}
    assert stiffest_period(problem, values) is None
    assert crowding(problem, values) is None
    assert largest_force(problem, values).potential is None


@pytest.mark.parametrize("cutoff", [None, 1.5, {"kind": "shifted_potential", "distance": 2 ** (1 / 6)}])
def test_crowding_is_that_of_the_minimum(cutoff):
    found = crowding(*started(liquid(cutoff=cutoff)))
    assert found.value == pytest.approx(0.8442 * np.sqrt(2), rel=1e-2)
    assert found.diameter == pytest.approx(2 ** (1 / 6), rel=3e-3)
    assert found.density == pytest.approx(0.8442)
    assert found.potential == "lj"


def test_the_shortest_distance_and_the_largest_force():
    built = dimers(2, {"k": 10.0, "r0": [1.0, 0.5]}, positions={"kind": "inline", "values": PLACES})
    problem, values = started(built)
    contact, push = shortest_distance(problem, values), largest_force(problem, values)
    assert contact.distance == pytest.approx(0.25)
    assert contact.atoms == (1, 2)
    assert push.force == pytest.approx(15.0)
    assert push.atom in (2, 3)
    assert push.potential == "bond"


PLACES = [[0.0, 0, 0], [1, 0, 0], [1.25, 0, 0], [3.25, 0, 0]]
