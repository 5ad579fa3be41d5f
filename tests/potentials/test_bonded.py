"""Harmonic bonds and angles: closed forms, OpenMM as referee, derivatives, and the awkward places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from diffmd.errors import ConfigError
from diffmd.potentials import TermPotential

BOND = {"kind": "harmonic_bond", "bonds": [[0, 1], [1, 2], [3, 1]], "r0": 0.7, "k": 100.0}
ANGLE = {"kind": "harmonic_angle", "angles": [[0, 1, 2], [3, 1, 0]], "theta0": float(np.radians(110)), "k": 10.0}
X = np.array([[0.1, 0.2, 0.3], [0.8, 0.1, 0.2], [1.3, 0.9, 0.1], [0.9, -0.5, 0.9]])


def starting(potential):
    return {name: jnp.asarray(value) for name, value in potential.parameters.items()}


def energy(potential, p, x):
    x = jnp.asarray(x)
    return jnp.sum(potential.term_energies(p, jnp.diff(x[potential.atoms], axis=1)))


def angle_of(x):
    a, b = x[0] - x[1], x[2] - x[1]
    return np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_bond_is_the_formula(make, precision):
    potential = make(BOND)
    assert isinstance(potential, TermPotential)
    v = jnp.asarray(np.diff(X[potential.atoms], axis=1))
    values = potential.term_energies(starting(potential), v)
    assert values.shape == (3,)
    assert values.dtype == precision
    r = np.linalg.norm(X[[0, 1, 3]] - X[[1, 2, 1]], axis=1)
    np.testing.assert_allclose(values, 50 * (r - 0.7) ** 2, rtol=1e-12 if precision == "float64" else 1e-4)


def test_angle_is_the_formula(make, precision):
    potential = make(ANGLE)
    values = potential.term_energies(starting(potential), jnp.asarray(np.diff(X[potential.atoms], axis=1)))
    assert values.dtype == precision
    theta = np.array([angle_of(X[list(term)]) for term in ANGLE["angles"]])
    np.testing.assert_allclose(
        values, 5 * (theta - np.radians(110)) ** 2, rtol=1e-11 if precision == "float64" else 1e-4
    )


@pytest.mark.parametrize("section", [BOND, ANGLE], ids=["bond", "angle"])
def test_agrees_with_openmm(make, section, double):
    openmm = pytest.importorskip("openmm")
    system = openmm.System()
    for _ in X:
        system.addParticle(1.0)
    if section is BOND:
        force = openmm.HarmonicBondForce()
        for i, j in BOND["bonds"]:
            force.addBond(i, j, 0.7, 100.0)
    else:
        force = openmm.HarmonicAngleForce()
        for atoms in ANGLE["angles"]:
            force.addAngle(*atoms, np.radians(110), 10.0)
    system.addForce(force)
    referee = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    referee.setPositions(X)
    state = referee.getState(getEnergy=True, getForces=True)
    potential = make(section)
    value, gradient = jax.jit(jax.value_and_grad(lambda x: energy(potential, starting(potential), x)))(jnp.asarray(X))
    assert float(value) == pytest.approx(state.getPotentialEnergy()._value, rel=1e-12)
    np.testing.assert_allclose(-gradient, np.array(state.getForces(asNumpy=True)._value), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "section",
    [
        BOND,
        BOND | {"r0": [0.7, 0.8, 0.9], "k": {"A-A": 10.0, "B-A": 20.0}},
        ANGLE,
        ANGLE | {"theta0": {"A-B-A": 1.9}, "k": [3.0, 4.0]},
        ANGLE | {"theta0": [1.7, 2.0]},
    ],
    ids=str,
)
def test_derivatives_agree_with_finite_differences(make, slope, section, double):
    potential = make(section, "ABAA" if section["kind"] == "harmonic_angle" else "AABA")
    p = starting(potential)
    f = lambda x: energy(potential, p, x)  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.grad(f))(jnp.asarray(X)), slope(f, X), rtol=1e-9, atol=1e-9)
    for name, value in p.items():
        g = lambda v, name=name: energy(potential, {**p, name: v}, X)  # noqa: E731
        np.testing.assert_allclose(jax.jit(jax.grad(g))(value), slope(g, value), rtol=1e-9, atol=1e-10)


def test_values_by_type_in_either_order(make, double):
    by_type = make(BOND | {"k": {"A-A": 1.0, "B-A": 2.0}, "r0": {"A-B": 0.5, "A-A": 0.6}}, "AABA")
    assert set(by_type.parameters) == {"k.A-A", "k.B-A", "r0.A-B", "r0.A-A"}
    p = starting(by_type)
    np.testing.assert_array_equal(by_type.k.values(p), [1, 2, 1])
    np.testing.assert_array_equal(by_type.r0.values(p), [0.6, 0.5, 0.6])
    shared = jax.grad(lambda p: jnp.sum(by_type.k.values(p) * jnp.asarray([1.0, 10.0, 100.0])))(p)
    assert {name: float(v) for name, v in shared.items() if name[0] == "k"} == {"k.A-A": 101, "k.B-A": 10}


def test_a_scalar_may_come_as_one_value_a_term(make, double):
    potential = make(ANGLE)
    p = starting(potential)
    each = {**p, "theta0": jnp.full(2, p["theta0"])}
    v = jnp.asarray(np.diff(X[potential.atoms], axis=1))
    np.testing.assert_array_equal(potential.term_energies(p, v), potential.term_energies(each, v))
    assert jax.grad(lambda p: jnp.sum(potential.term_energies(p, v)))(each)["theta0"].shape == (2,)


def test_chains(make):
    assert make(BOND | {"bonds": {"chain": [1, 3]}}).atoms.tolist() == [[1, 2], [2, 3]]
    assert make(ANGLE | {"angles": {"chain": [0, 3]}}).atoms.tolist() == [[0, 1, 2], [1, 2, 3]]


def derivatives(function, x):
    """Value, gradient and Hessian."""
    return jax.jit(lambda x: (function(x), jax.grad(function)(x), jax.hessian(function)(x)))(x)


AWKWARD = {
    "straight": [[-1.0, 0, 0], [0, 0, 0], [1.0, 0, 0]],
    "folded": [[1.0, 0, 0], [0, 0, 0], [2.0, 0, 0]],
    "ends coincide": [[1.0, 0, 0], [0, 0, 0], [1.0, 0, 0]],
    "bond of no length": [[0.0, 0, 0], [0, 0, 0], [1.0, 0, 0]],
    "all at one place": [[0.0, 0, 0], [0, 0, 0], [0, 0, 0]],
    "folded, with rounding": [[0.3, 0.1, 0.7], [0.6, 0.2, 1.4], [0.9, 0.3, 2.1]],
    "almost straight": [[-1.0, 1e-9, 0], [0, 0, 0], [1.0, 0, 0]],
    "straight but for an underflow": [[-1.0, 1e-20, 0], [0, 0, 0], [1.0, 0, 0]],
}


@pytest.mark.parametrize("kind", ["angle", "bond"])
def test_awkward_places_are_finite(make, precision, kind):
    section = ANGLE | {"angles": [[0, 1, 2]]} if kind == "angle" else BOND | {"bonds": [[0, 1], [0, 2]]}
    potential = make(section, "AAA")
    f = lambda p, x: energy(potential, p, x)  # noqa: E731
    mixed = jax.jacfwd(jax.grad(f), 1)
    all_of = jax.jit(
        jax.vmap(lambda x, p: (f(p, x), jax.grad(f, 1)(p, x), jax.hessian(f, 1)(p, x), mixed(p, x)), (0, None))
    )
    for array in jax.tree.leaves(all_of(jnp.asarray(list(AWKWARD.values())), starting(potential))):
        for name, value in zip(AWKWARD, array, strict=True):
            assert np.all(np.isfinite(value)), name


def test_no_direction_no_force(make, double):
    straight = jnp.asarray([[-1.0, 0, 0], [0, 0, 0], [1.0, 0, 0]])
    angle = make(ANGLE | {"angles": [[0, 1, 2]]}, "AAA")
    value, force, _ = derivatives(lambda x: energy(angle, starting(angle), x), straight)
    assert float(value) == pytest.approx(5 * np.radians(70) ** 2, rel=1e-14)
    np.testing.assert_array_equal(force, np.zeros((3, 3)))
    bond = make(BOND | {"bonds": [[0, 1]]}, "AA")
    value, force, _ = derivatives(lambda x: energy(bond, starting(bond), x), jnp.zeros((2, 3)))
    assert float(value) == pytest.approx(50 * 0.49)
    np.testing.assert_array_equal(force, np.zeros((2, 3)))


@pytest.mark.parametrize("bend", [0.0, 1e-12, 1e-6, 1e-3, 0.0099, 0.0101, 0.3])
def test_a_linear_molecule_is_smooth_where_it_is_straight(make, double, bend):
    """With theta0 = pi, U = k phi^2 / 2: at the straight angle its Hessian is that of phi = y (1/a + 1/b)."""
    potential = make(ANGLE | {"angles": [[0, 1, 2]], "theta0": float(np.pi)}, "AAA")
    x = jnp.asarray([[-1.0, 0, 0], [0, 0, 0], [0.5, 0, 0]])
    f = lambda y: energy(potential, starting(potential), x.at[1, 1].set(y))  # noqa: E731
    y = jnp.asarray(bend)
    phi = lambda y: np.arctan(y / 1.0) + np.arctan(y / 0.5)  # noqa: E731
    rate = 1 / (1 + bend**2) + 0.5 / (0.25 + bend**2)
    curve = -2 * bend / (1 + bend**2) ** 2 - bend / (0.25 + bend**2) ** 2
    value, first, second = derivatives(f, y)
    assert float(value) == pytest.approx(5 * phi(bend) ** 2, rel=1e-12, abs=1e-300)
    assert float(first) == pytest.approx(10 * phi(bend) * rate, rel=1e-9, abs=1e-300)
    assert float(second) == pytest.approx(10 * (rate**2 + phi(bend) * curve), rel=1e-7)


@pytest.mark.parametrize(
    ("section", "path", "said"),
    [
        (BOND | {"bonds": []}, "bonds", "empty"),
        (BOND | {"bonds": [[0, 1], [1, 4]]}, "bonds.1", "not there"),
        (BOND | {"bonds": [[-1, 1]]}, "bonds.0", "not there"),
        (BOND | {"bonds": [[1, 1]]}, "bonds.0", "twice"),
        (BOND | {"bonds": [[0, 1, 2]]}, "bonds.0", "3 atoms, not 2"),
        (BOND | {"bonds": {"chain": [0, 4]}}, "bonds.chain", "0 to 3"),
        (ANGLE | {"angles": {"chain": [0, 1]}}, "angles.chain", "no term"),
        (BOND | {"k": [1.0, 2.0]}, "k", "2 values for 3 terms"),
        (BOND | {"k": {"A-B": 1.0}}, "k", "no value for A-A (term 0, atoms [0, 1])"),
        (BOND | {"k": {"A-X": 1.0}}, "k.A-X", "'A-X' is not"),
        (BOND | {"k": {"A-B": 1.0, "B-A": 2.0}}, "k.B-A", "twice"),
    ],
    ids=str,
)
def test_refused_in_the_build(make, section, path, said):
    with pytest.raises(ConfigError) as error:
        make(section, "AABA")
    assert error.value.path == f"potentials.it.{path}"
    assert said in error.value.message


@pytest.mark.parametrize("section", [ANGLE | {"theta0": "110"}, BOND | {"k": -1.0}, BOND | {"r0": [True]}])
def test_refused_by_the_schema(make, section):
    with pytest.raises(ValidationError):
        make(section)
