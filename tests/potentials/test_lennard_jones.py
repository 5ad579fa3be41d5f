"""Lennard-Jones: closed form, mixing, per-type parameters, and OpenMM and ASE as referees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from diffmd.errors import ConfigError

CUTOFFS = [None, 2.5, {"kind": "shifted_potential", "distance": 2.5}, {"kind": "shifted_force", "distance": 2.5},
           {"kind": "switch", "distance": 2.5, "from": 2.0}]  # fmt: skip


def section(**fields):
    return {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0} | fields


def starting(potential):
    return {name: jnp.asarray(value) for name, value in potential.parameters.items()}


def value_and_slope(f):
    return jax.jit(jax.value_and_grad(f))


def energy(potential, p, x, types, edge=None):
    """Sum over pairs, with the minimum image in a cube."""
    i, j = np.triu_indices(len(types), 1)
    d = x[i] - x[j]
    if edge is not None:
        d = d - edge * jnp.round(d / edge)
    q = {
        name: table if table.ndim == 0 else table[types[i], types[j]]
        for name, table in potential.pair_parameters(p).items()
    }
    return jnp.sum(potential.pair_energy(jnp.sum(d * d, axis=-1), q))


def test_closed_form(make, precision):
    potential = make(section(sigma=1.1, epsilon=0.7))
    q = potential.pair_parameters(starting(potential))
    assert all(v.shape == () and v.dtype == precision for v in q.values())
    r = jnp.linspace(0.9, 4, 50)
    expected = 4 * 0.7 * ((1.1 / r) ** 12 - (1.1 / r) ** 6)
    np.testing.assert_allclose(potential.pair_energy(r**2, q), expected, rtol=1e-12 if precision == "float64" else 5e-5)
    minimum = jnp.asarray(1.1 * 2 ** (1 / 6))
    assert float(potential.pair_energy(minimum**2, q)) == pytest.approx(-0.7, rel=1e-6)
    assert potential.cutoff is None
    assert not potential.truncated


def test_mixing_and_overrides(make, double):
    values = {"sigma": {"A": 1.0, "B": 0.8, "C": 0.5, "C-A": 0.9}, "epsilon": {"A": 1.0, "B": 0.25, "C": 0.0}}
    for rule, mixed in (("lorentz_berthelot", 0.9), ("geometric", np.sqrt(0.8))):
        potential = make(section(mixing=rule, **values), "ABC")
        assert set(potential.parameters) == {
            *(f"sigma.{k}" for k in values["sigma"]),
            "epsilon.A",
            "epsilon.B",
            "epsilon.C",
        }
        q = potential.pair_parameters(starting(potential))
        sigma6, epsilon = np.asarray(q["c12"] / q["c6"])[:2, :2], np.asarray(q["c6"] ** 2 / q["c12"] / 4)[:2, :2]
        np.testing.assert_allclose(sigma6 ** (1 / 6), [[1, mixed], [mixed, 0.8]], rtol=1e-14)
        np.testing.assert_allclose(epsilon, [[1, 0.5], [0.5, 0.25]], rtol=1e-14)
        np.testing.assert_array_equal(q["c12"], q["c12"].T)
        assert np.all(np.asarray(q["c6"])[2] == 0)
        p = starting(potential) | {"epsilon.C-A": jnp.asarray(1.0)}
        assert float(potential.sigma.table(p, lambda a, b: a)[0, 2]) == 0.9


def test_one_type_gives_scalars(make, double):
    potential = make(section(sigma={"A": 0.3}, epsilon=0.5))
    assert set(potential.parameters) == {"sigma.A", "epsilon"}
    assert all(v.shape == () for v in potential.pair_parameters(starting(potential)).values())


def test_values_by_type_may_come_as_an_array(make, double):
    scalar, mapped = make(section(), "AB"), make(section(sigma={"A": 1.0, "B": 0.8}), "AB")
    q = scalar.pair_parameters({"sigma": jnp.asarray([1.0, 0.8]), "epsilon": jnp.asarray(1.0)})
    np.testing.assert_array_equal(q["c6"], mapped.pair_parameters(starting(mapped))["c6"])


def test_gradients_of_the_tables_are_finite_where_epsilon_is_zero(make, precision):
    potential = make(section(epsilon={"A": 0.0, "B": 0.0, "C": 1.0}, sigma={"A": 0.0, "B": 1.0, "C": 1.0}), "ABC")
    for mixing in ("lorentz_berthelot", "geometric"):
        potential = make(
            section(mixing=mixing, epsilon={"A": 0.0, "B": 0.0, "C": 1.0}, sigma={"A": 0.0, "B": 1.0, "C": 1.0}), "ABC"
        )
        slopes = jax.grad(lambda p: jnp.sum(potential.pair_parameters(p)["c12"]))(starting(potential))  # noqa: B023
        assert all(np.isfinite(v) for v in slopes.values())
        # The like pair B-B has the exact derivative 4 sigma^12.
        only = jax.grad(lambda p: potential.pair_parameters(p)["c12"][1, 1])(starting(potential))  # noqa: B023
        assert float(only["epsilon.B"]) == 4


def test_a_negative_well_depth_under_mixing_is_seen(make, double):
    potential = make(section(epsilon={"A": 1.0, "B": 1.0}), "AB")
    q = potential.pair_parameters(starting(potential) | {"epsilon.B": jnp.asarray(-1.0)})
    assert np.isnan(q["c6"][0, 1])


@pytest.mark.parametrize("cutoff", CUTOFFS, ids=str)
def test_derivatives_agree_with_finite_differences(make, slope, cutoff, double):
    types = np.array([0, 1, 0, 1, 1])
    potential = make(
        section(sigma={"A": 1.0, "B": 0.9, "A-B": 0.97}, epsilon={"A": 1.0, "B": 0.6}, cutoff=cutoff), "ABABB"
    )
    p = starting(potential)
    # Distances from 1.0 to 3.4, none of them near the cutoff or the switch.
    x = jnp.asarray([[0, 0, 0], [1.05, 0, 0.1], [0.4, 1.2, 0], [1.8, 1.1, 0.9], [-1.5, 0.3, 0.2]])
    f = lambda x: energy(potential, p, x, types)  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.grad(f))(x), slope(f, x, 2e-4), rtol=1e-8, atol=1e-7)
    for name, value in p.items():
        g = lambda v, name=name: energy(potential, {**p, name: v}, x, types)  # noqa: E731
        np.testing.assert_allclose(jax.jit(jax.grad(g))(value), slope(g, value, 2e-4), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("cutoff", [2.5, {"kind": "switch", "distance": 2.5, "from": 2.0}], ids=str)
def test_agrees_with_openmm(make, cutoff, mixed, double):
    openmm = pytest.importorskip("openmm")
    n, edge = 60, 5.2
    rng = np.random.default_rng(3)
    lattice = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)[:n] * edge / 4
    x = lattice + rng.uniform(-0.12, 0.12, (n, 3))
    types = np.arange(n) % 2 if mixed else np.zeros(n, int)
    sigma, epsilon = [1.0, 0.85], [0.9, 0.4]
    system, force = openmm.System(), openmm.NonbondedForce()
    for t in types:
        system.addParticle(1.0)
        force.addParticle(0.0, sigma[t], epsilon[t])
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(2.5)
    force.setUseDispersionCorrection(False)
    if isinstance(cutoff, dict):
        force.setUseSwitchingFunction(True)
        force.setSwitchingDistance(2.0)
    system.addForce(force)
    system.setDefaultPeriodicBoxVectors(*(np.eye(3) * edge))
    referee = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    referee.setPositions(x)
    state = referee.getState(getEnergy=True, getForces=True)
    values = (
        {"sigma": {"A": 1.0, "B": 0.85}, "epsilon": {"A": 0.9, "B": 0.4}} if mixed else {"sigma": 1.0, "epsilon": 0.9}
    )
    potential = make(section(cutoff=cutoff, **values), "".join("AB"[t] for t in types))
    value, gradient = value_and_slope(lambda x: energy(potential, starting(potential), x, types, edge))(jnp.asarray(x))
    assert float(value) == pytest.approx(state.getPotentialEnergy()._value, rel=1e-10)
    forces = np.array(state.getForces(asNumpy=True)._value)
    np.testing.assert_allclose(-gradient, forces, rtol=1e-9, atol=1e-9 * np.abs(forces).max())


def test_agrees_with_ase(make, double):
    ase = pytest.importorskip("ase")
    from ase.calculators.lj import LennardJones as Referee

    x = (
        np.random.default_rng(0).uniform(-0.1, 0.1, (27, 3))
        + np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3) * 1.2
    )
    atoms = ase.Atoms("Ar27", x)
    # ASE's cutoff shifts the energy.
    atoms.calc = Referee(sigma=1.05, epsilon=0.3, rc=2.0)
    potential = make(section(sigma=1.05, epsilon=0.3, cutoff={"kind": "shifted_potential", "distance": 2.0}))
    value, gradient = value_and_slope(lambda x: energy(potential, starting(potential), x, np.zeros(27, int)))(
        jnp.asarray(x)
    )
    assert float(value) == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(-gradient, atoms.get_forces(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("fields", "path", "said"),
    [
        ({"sigma": {"A": 1.0}}, "sigma", "no value for type B"),
        ({"sigma": {"A": 1.0, "B": 1.0, "X": 1.0}}, "sigma.X", "'X' is not"),
        ({"sigma": {"A": 1.0, "B": 1.0, "A-B": 1.0, "B-A": 1.0}}, "sigma.B-A", "twice"),
        ({"epsilon": {"A": 1.0, "B": 1.0, "A-b": 1.0}}, "epsilon.A-b", "did you mean A-B?"),
    ],
)
def test_values_that_do_not_fit_the_types_are_refused(make, fields, path, said):
    with pytest.raises(ConfigError, match=r"potentials\.it") as error:
        make(section(**fields), "AB")
    assert error.value.path == f"potentials.it.{path}"
    assert said in error.value.message


@pytest.mark.parametrize(
    "fields", [{"sigma": -1.0}, {"epsilon": -0.1}, {"epsilon": {"A": -1.0}}, {"sigma": "1"}, {"cutof": 1}]
)
def test_refused_by_the_schema(make, fields):
    with pytest.raises(ValidationError):
        make(section(**fields))
