"""Pressure, stress and density: the ideal gas, by hand, a change of volume in a real force field, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.experiments import experiment

from diffmd.errors import ConfigError
from diffmd.neighbors import build, plan

BOX = np.array([[3.0, 0, 0], [0.5, 2.5, 0], [-0.3, 0.2, 4.0]])
VOLUME = 30.0


def test_an_ideal_gas(make, frame, precision):
    v = np.random.default_rng(0).normal(size=(5, 3))
    masses = np.array([1.0, 2, 1, 2, 3])
    gas = frame(0 * v, BOX, jnp.asarray(v), masses=jnp.asarray(masses))
    moving = np.einsum("i,ia,ib->ab", masses, v, v)
    boltzmann = 8.31446261815324e-3
    for section, units, expected in (
        ({"kind": "pressure"}, "reduced", np.trace(moving) / 3 / VOLUME),
        ({"kind": "pressure", "temperature": 1.5}, "reduced", 5 * 1.5 / VOLUME),
        ({"kind": "pressure", "temperature": 300.0}, "md", 5 * boltzmann * 300 / VOLUME),
        ({"kind": "stress_tensor"}, "reduced", -moving / VOLUME),
        ({"kind": "stress_tensor", "temperature": 1.5}, "reduced", -5 * 1.5 / VOLUME * np.eye(3)),
        ({"kind": "density"}, "reduced", 5 / VOLUME),
        ({"kind": "density", "of": "mass"}, "reduced", 9 / VOLUME),
        ({"kind": "density", "of": "mass", "types": ["B"]}, "reduced", 5 / VOLUME),
        ({"kind": "density", "atoms": [0]}, "reduced", 1 / VOLUME),
    ):
        observable = make(section, "AAABB", BOX, units)
        value = observable.measure(gas)
        assert value.dtype == precision
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)
        assert observable.configurational == ("temperature" in section or section["kind"] == "density")


def test_the_temperature_of_the_dynamics_is_differentiated(double):
    """dP/dT of a configuration is N k_B / V, and d sigma_aa / dT its negative, whichever part holds the temperature."""
    bath = {"kind": "langevin", "dt": 0.01, "friction": 1.0, "temperature": 1.5}
    verlet = {"kind": "velocity_verlet", "dt": 0.01}
    rescale = {"kind": "rescale", "temperature": 1.5}
    sections = (
        ({"kind": "pressure", "temperature": "dynamics"}, 2 / 27),
        ({"kind": "stress_tensor", "temperature": "dynamics"}, -2 / 27 * np.eye(3)),
        ({"kind": "heat_capacity", "temperature": "dynamics"}, 1.0),
    )
    for part, dynamics in (
        ("integrator", {"integrator": bath}),
        ("thermostat", {"integrator": verlet, "thermostat": rescale}),
    ):
        problem = (one := experiment(
            {"box": [3.0] * 3, "atoms": [{"type": "A", "count": 2, "mass": 1.0}],
             "positions": {"kind": "inline", "values": [[0, 0, 0], [1.1, 0, 0]]}},
            {"bond": {"kind": "harmonic_bond", "bonds": [[0, 1]], "r0": 1.0, "k": 2.0}},
            dynamics,
            loss=[{"observable": section, "frames": "all", "compare": "none"} for section, _ in sections],
        ).systems[0]).problem  # fmt: skip
        base = dict(one.values)
        x, box, none = base["system.positions"], problem.box(base), np.zeros((0, 2), int)
        near = build(plan("all_pairs", np.asarray(x), box, None, 0.0, none), x, box, none)
        state = problem.dynamics.start(base, near, box, jnp.asarray(0))
        path = f"dynamics.{part}.temperature"

        def measured(t, problem=problem, base=base, near=near, state=state, path=path):
            frame = problem.dynamics.frame(base | {path: t}, state, near)
            pressure, stress, kept = (term.observable.measure(frame) for term in problem.terms)
            return pressure, stress, kept["temperature"]

        for found, (_, expected) in zip(jax.jacfwd(measured)(base[path]), sections, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_the_virial_enters_with_its_sign(make, frame, double):
    w = np.array([[1.0, 2, 3], [2, 5, 6], [3, 6, 9]])
    pushed = frame(np.zeros((2, 3)), BOX, virial=lambda: jnp.asarray(w))
    assert float(make({"kind": "pressure"}, "AA", BOX).measure(pushed)) == pytest.approx(15 / 3 / VOLUME)
    np.testing.assert_allclose(make({"kind": "stress_tensor"}, "AA", BOX).measure(pushed), -w / VOLUME)


def test_a_liquid_pushes_against_its_box(make, double):
    """P = -dF/dV, whose configurational part is -dU/dV of a uniform expansion."""
    built = experiment(
        {
            "box": [4.0, 4.2, 4.4],
            "atoms": [{"type": "A", "count": 20, "mass": 1.0}],
            "positions": {"kind": "random", "min_distance": 0.95},
            "velocities": {"kind": "maxwell_boltzmann", "temperature": 0.7},
        },
        {
            "lj": {
                "kind": "lennard_jones",
                "sigma": 1.0,
                "epsilon": 1.0,
                "cutoff": {"kind": "shifted_force", "distance": 1.9},
            }
        },
    )
    one = built.systems[0]
    problem, values = one.problem, one.values
    x = values["system.positions"]
    none, box = np.zeros((0, 2), int), problem.box(values)
    near = build(plan("all_pairs", np.asarray(x), box, 1.9, 0.0, none), x, box, none)
    dynamics, h = problem.dynamics, np.diag([4.0, 4.2, 4.4])
    sections = (
        {"kind": "pressure", "temperature": 0.9},
        {"kind": "pressure"},
        {"kind": "stress_tensor"},
    )
    step = 1e-5

    @jax.jit
    def everything(values):
        def energy(scale):
            wider = values | {"system.box": values["system.box"] * scale}
            return dynamics.forcefield.energy(wider, x * scale, problem.box(wider), near)

        now = dynamics.frame(values, dynamics.start(values, near, box, jnp.asarray(0)), near)
        measured = [make(section, "A" * 20, h).measure(now) for section in sections]
        return energy(1 + step) - energy(1 - step), measured

    difference, (configurational, instantaneous, stress) = everything(dict(values))
    size = 4.0 * 4.2 * 4.4
    change = float(difference) / (size * ((1 + step) ** 3 - (1 - step) ** 3))
    assert float(configurational) == pytest.approx(20 * 0.9 / size - change, rel=1e-8)
    kinetic = float(jnp.sum(values["system.velocities"] ** 2))
    assert float(instantaneous) == pytest.approx(kinetic / 3 / size - change, rel=1e-8)
    assert -float(jnp.trace(stress)) / 3 == pytest.approx(float(instantaneous), rel=1e-12)


def test_the_energy_of_one_potential(make, frame, precision):
    parts = {"lj": jnp.asarray(-3.0), "bond": jnp.asarray(0.5)}
    observable = make({"kind": "potential_energy", "potential": "bond"}, "AA", potentials=("lj", "bond"))
    value = observable.measure(frame(np.zeros((2, 3)), potential_energies=lambda: parts))
    assert (float(value), value.dtype) == (0.5, precision)
    assert observable.configurational
    with pytest.raises(ConfigError) as error:
        make({"kind": "potential_energy", "potential": "bonds"}, "AA", potentials=("lj", "bond"))
    assert error.value.path == "loss.0.observable.potential"
    assert "no potential 'bonds' (potentials: lj, bond)" in error.value.message
    for kind in ("kinetic_energy", "total_energy", "temperature"):
        assert not make({"kind": kind}, "AA").configurational


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"kind": "pressure"}, "needs a periodic box"),
        ({"kind": "stress_tensor"}, "needs a periodic box"),
        ({"kind": "density"}, "needs a periodic box"),
        ({"kind": "density_fluctuation"}, "parts of a periodic box"),
        ({"kind": "compressibility"}, "needs a periodic box"),
    ],
    ids=str,
)
def test_refused_without_a_box(make, section, said):
    with pytest.raises(ConfigError) as error:
        make(section, "AA")
    assert error.value.path == "loss.0.observable"
    assert said in error.value.message
