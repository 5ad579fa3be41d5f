"""The minimiser: it comes to rest at a minimum, whatever it starts from, and is differentiable on the way."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from support.experiments import dimers, experiment, runner
from support.objectives import Case, changed, ready

from diffmd.config.loading import load_data
from diffmd.dynamics.run.shape import Shape
from diffmd.errors import ConfigError

QUICKMIN = {"kind": "quickmin", "dt": 0.02, "max_step": 0.05}


def cluster(x: list, **sections: object):  # type: ignore[no-untyped-def]
    """Lennard-Jones atoms in free space."""
    system = {
        "box": None,
        "atoms": [{"type": "A", "count": len(x), "mass": 1.0}],
        "positions": {"kind": "inline", "values": x},
        "velocities": {"kind": "zero"},
    }
    lj = {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0}
    return experiment(system, {"lj": lj}, {"integrator": QUICKMIN, "steps": 10}, **sections)


TETRAHEDRON = [[0.0, 0, 0], [1.3, 0.1, 0], [0.4, 1.2, 0], [0.5, 0.4, 1.1]]


def test_it_comes_to_rest_at_a_minimum(precision):
    run = runner(cluster(TETRAHEDRON))(400, 40)
    tight = precision == "float64"
    assert np.abs(run.end.forces).max() < (1e-12 if tight else 1e-5)
    assert np.all(np.diff(run["potential_energy"]) <= (1e-12 if tight else 1e-5))
    # Six pairs at the bottom of their wells.
    assert run["potential_energy"][-1] == pytest.approx(-6, rel=1e-12 if tight else 1e-6)
    np.testing.assert_allclose(run["velocities"][-1], 0, atol=1e-12 if tight else 1e-5)
    # The centre of mass stays.
    np.testing.assert_allclose(run["positions"].mean(axis=1), [np.mean(TETRAHEDRON, 0)] * 11, atol=1e-5)


def test_atoms_on_top_of_each_other_move_no_further_than_they_may():
    # In single precision the square of this force is not finite.
    built = cluster([[0.0, 0, 0], [0.02, 0, 0], [0.9, 0.9, 0]])
    assert built.systems[0].values["system.positions"].dtype == "float32"
    run = runner(built)(300)
    steps = np.linalg.norm(np.diff(run["positions"], axis=0), axis=-1)
    assert steps.max() == pytest.approx(0.05, rel=1e-5)
    assert run["potential_energy"][-1] == pytest.approx(-3, rel=1e-5)
    one = built.systems[0]
    control = one.control(one.values)
    shape = Shape(20, 0, 0, (), control.plan)

    @jax.jit
    def slope(sigma):  # type: ignore[no-untyped-def]
        def total(sigma):  # type: ignore[no-untyped-def]
            values = dict(one.values) | {"potentials.lj.sigma": sigma}
            state = one.problem.start({}, values, control.plan)
            return (one.problem.advance({}, values, jax.random.key(0), shape, state)[0].positions ** 2).sum()

        return jax.grad(total)(sigma)

    assert np.isfinite(slope(one.values["potentials.lj.sigma"]))


def test_nothing_moves_where_nothing_pushes(double):
    built = dimers(1, {"r0": 1.0, "k": 8.0}, {"integrator": QUICKMIN})
    one = built.systems[0]
    run = runner(built)(5)
    np.testing.assert_array_equal(run["positions"], np.repeat(run["positions"][:1], 6, axis=0))
    shape = Shape(5, 0, 0, (), one.control(one.values).plan)

    def end(r0):  # type: ignore[no-untyped-def]
        values = dict(one.values) | {"potentials.bond.r0": r0}
        state = one.problem.start({}, values, shape.plan)
        return one.problem.advance({}, values, jax.random.key(0), shape, state)[0].positions[1, 0]

    assert np.isfinite(jax.jit(jax.grad(end))(one.values["potentials.bond.r0"]))


def test_it_forgets_velocities_that_lead_uphill(double):
    run = runner(dimers(1, {"r0": 0.8, "k": 8.0}, {"integrator": QUICKMIN}))
    apart = np.array([[-3.0, 0, 0], [3.0, 0, 0]])
    fast = run(1, values={"system.velocities": apart})
    np.testing.assert_array_equal(fast["positions"], run(1)["positions"])
    # What leads downhill is kept.
    together = run(1, values={"system.velocities": -apart / 10})
    assert together["positions"][1, 0, 0] > fast["positions"][1, 0, 0]


RELAXED = {
    "seed": 1,
    "system": {
        "box": [4.0, 4.0, 4.0],
        "atoms": [{"type": "A", "count": 40, "mass": 1.0}],
        "positions": {"kind": "random", "min_distance": 0.5},
        "velocities": {"kind": "maxwell_boltzmann", "temperature": 1.0},
    },
    "potentials": {
        "lj": {
            "kind": "lennard_jones",
            "sigma": 1.0,
            "epsilon": 1.0,
            "cutoff": {"kind": "shifted_force", "distance": 1.9},
        }
    },
    "dynamics": {
        "integrator": {"kind": "velocity_verlet", "dt": 0.004},
        "steps": 10,
        "equilibration": {"steps": 60, "integrator": QUICKMIN | {"dt": 0.01}},
    },
    "loss": [{"observable": {"kind": "potential_energy"}, "compare": "none"}],
    "parameters": ["potentials.lj.epsilon"],
}


def nearest(case: Case) -> float:
    """The smallest distance of two atoms where the run starts."""
    x = np.asarray(case.ready.values["default"]["system.positions"])
    d = x[:, None] - x[None]
    d -= 4.0 * np.round(d / 4.0)
    return float(np.min(np.linalg.norm(d, axis=-1) + 9 * np.eye(len(x))))


def test_it_relaxes_the_start_of_a_run(double):
    relaxed, raw = ready(RELAXED), ready(changed(RELAXED, dynamics__equilibration=None))
    assert nearest(relaxed) > 0.85 > 0.6 > nearest(raw)


@pytest.mark.parametrize("place", ["thermostat", "equilibration"])
def test_it_takes_no_thermostat(place: str):
    bath = {"kind": "rescale", "temperature": 1.0}
    given: dict = {"integrator": QUICKMIN, "thermostat": bath}
    if place == "equilibration":
        given = {"equilibration": given | {"steps": 5}}
    config = changed(RELAXED, dynamics=RELAXED["dynamics"] | given)
    with pytest.raises(ConfigError, match="atoms that slide to a minimum have no temperature to set"):
        load_data(config)
