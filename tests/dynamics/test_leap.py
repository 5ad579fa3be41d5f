"""How far an atom may go in one step: lengths of the system itself, in whatever units."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from support.experiments import dimers, experiment, liquid

pytestmark = pytest.mark.usefixtures("double")

DISTANCE = (4 / 0.8442) ** (1 / 3) / 2**0.5
"""Of neighbours in an fcc crystal of density 0.8442."""


def leap(built, **values):
    one = built.systems[0]
    changed = {key.replace("__", "."): jnp.asarray(value) for key, value in values.items()}
    return one.problem.leap({}, {**one.values, **changed})


def ends_at(found, limit):
    return found.over(1.01 * limit) and not found.over(0.99 * limit)


def test_it_is_the_distance_of_neighbours():
    assert ends_at(leap(liquid()), DISTANCE)


def test_or_the_longest_cutoff_of_a_thin_gas():
    gas = {
        "box": [30.0, 30.0, 30.0],
        "atoms": [{"type": "A", "count": 8, "mass": 1.0}],
        "positions": {"kind": "random", "min_distance": 6.0},
    }
    lj = {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0}
    assert ends_at(leap(experiment(gas, {"lj": lj | {"cutoff": 2.5}})), 2.5)
    assert not leap(experiment(gas, {"lj": lj})).over(6.0)


def test_two_atoms_on_top_of_each_other_do_not_set_the_scale():
    x = np.array([[0.0, 0, 0], [1e-6, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0]])
    assert not leap(dimers(3, {"k": 1.0, "r0": 1.0}), system__positions=x).over(0.5)


def test_units_are_no_matter():
    one = liquid({"thermostat": {"kind": "rescale", "temperature": 5.0}})
    as_it_is = leap(one)
    long, slow = 10.0, 3.0
    values = one.systems[0].values
    in_others = leap(
        one,
        system__positions=values["system.positions"] * long,
        system__box=values["system.box"] * long,
        system__velocities=values["system.velocities"] * long / slow,
        dynamics__integrator__dt=values["dynamics.integrator.dt"] * slow,
        dynamics__thermostat__temperature=values["dynamics.thermostat.temperature"] * (long / slow) ** 2,
    )
    assert in_others.spacing == pytest.approx(long * as_it_is.spacing)
    assert in_others.pace == pytest.approx(long * as_it_is.pace)


def test_what_start_and_bath_explain_is_allowed():
    fast = np.zeros((108, 3))
    fast[3] = [300, 0, 400]
    assert ends_at(leap(liquid(), system__velocities=fast), 10 * 500 * 0.004)
    bath = {"kind": "langevin", "dt": 0.004, "friction": 1.0, "temperature": 1e6}
    assert ends_at(leap(liquid({"integrator": bath})), 10 * 0.004 * np.sqrt(3e6))


@pytest.mark.parametrize(("dt", "resolved"), [(0.01, True), (0.44, True), (0.45, False), (10.0, False)])
def test_what_soft_forces_give_is_allowed_where_the_step_resolves_them(dt, resolved):
    x = np.array([[0.0, 0, 0], [1e-3, 0, 0]])
    found = leap(dimers(1, {"k": 1.0, "r0": 1.0}), system__positions=x, dynamics__integrator__dt=dt)
    # Each of two springs' ends of mass 1 gets F / w = 1 / sqrt(2), with the period 2 pi / sqrt(2) = 4.44.
    assert found.released == pytest.approx(dt / np.sqrt(2) if resolved else 0, rel=2e-3)
    assert found.over(9 * dt / np.sqrt(2)) != resolved
    assert found.over(11 * dt / np.sqrt(2))


def test_a_hard_core_explains_nothing():
    x = [[0.0, 0, 0], [0.3, 0, 0]]
    pair = {"box": None, "atoms": [{"type": "A", "count": 2, "mass": 1.0}], "velocities": {"kind": "zero"}}
    lj = {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0}
    assert leap(experiment(pair | {"positions": {"kind": "inline", "values": x}}, {"lj": lj})).released == 0


def test_of_replicas_the_first_speaks_for_all():
    one = liquid()
    x, v = (np.asarray(one.systems[0].values[f"system.{key}"]) for key in ("positions", "velocities"))
    found = leap(one, system__positions=np.stack([x, x]), system__velocities=np.stack([v, v]))
    assert found.spacing == pytest.approx(DISTANCE)
    assert found.pace == pytest.approx(leap(one).pace)


def test_a_minimiser_and_an_atom_alone_are_not_asked():
    quickmin = {"kind": "quickmin", "dt": 0.01, "max_step": 5.0}
    assert not leap(liquid({"integrator": quickmin})).over(1e9)
    alone = {"box": None, "atoms": [{"type": "A", "count": 1, "mass": 1.0}]}
    x = {"positions": {"kind": "inline", "values": [[0.0, 0, 0]]}}
    lj = {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0}
    assert not leap(experiment(alone | x, {"lj": lj})).over(1e9)


def test_masses_by_type_set_the_bath_s_speed(tmp_path):
    (tmp_path / "start.xyz").write_text("3\nwater\nO 0 0 0\nH 1 0 0\nH 0 1 0\n")
    water = {
        "box": None,
        "positions": {"kind": "file", "path": str(tmp_path / "start.xyz")},
        "masses": {"O": 16.0, "H": 1.0},
    }
    bath = {"kind": "langevin", "dt": 0.004, "friction": 1.0, "temperature": 2.0}
    built = experiment(water, {"lj": {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0}}, {"integrator": bath})
    assert leap(built).pace == pytest.approx(0.004 * np.sqrt(3 * 2.0 / 1.0))
