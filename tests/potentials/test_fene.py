"""FENE bonds: the formula, OpenMM, derivatives, and bonds stretched up to and beyond what they can be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError
from support.experiments import experiment, runner

from diffmd.dynamics.run.host_loop import NonFiniteError
from diffmd.errors import ConfigError
from diffmd.potentials import TermPotential
from diffmd.simulation import explain

PLAIN = {"kind": "fene_bond", "bonds": [[0, 1], [1, 2], [3, 1]], "k": 30.0, "r_max": 1.5}
FULL = PLAIN | {"sigma": 1.0, "epsilon": 0.7}
# Bonds of 0.92, 1.2 (no repulsion) and 1.05.
X = np.array([[0.0, 0, 0], [0.5, 0.6, -0.5], [0.5, 1.8, -0.5], [1.2, 0.2, 0.2]])


@pytest.fixture
def single():
    with jax.enable_x64(False):
        yield


def starting(potential):
    return {name: jnp.asarray(value) for name, value in potential.parameters.items()}


def energy(potential, p, x):
    x = jnp.asarray(x)
    return jnp.sum(potential.term_energies(p, jnp.diff(x[potential.atoms], axis=1)))


def by_hand(r, k, most, sigma=None, epsilon=None):
    u = -k / 2 * most**2 * np.log(1 - (r / most) ** 2)
    if sigma is None:
        return u
    return u + np.where(r < 2 ** (1 / 6) * sigma, 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6) + epsilon, 0)


@pytest.mark.parametrize("section", [PLAIN, FULL], ids=["plain", "full"])
def test_the_formula(make, section, precision):
    potential = make(section)
    assert isinstance(potential, TermPotential)
    values = potential.term_energies(starting(potential), jnp.asarray(np.diff(X[potential.atoms], axis=1)))
    assert values.dtype == precision
    r = np.linalg.norm(X[[0, 1, 3]] - X[[1, 2, 1]], axis=1)
    expected = by_hand(r, 30.0, 1.5, *((1.0, 0.7) if section is FULL else ()))
    np.testing.assert_allclose(values, expected, rtol=1e-12 if precision == "float64" else 1e-5)


def test_agrees_with_openmm(make, double):
    openmm = pytest.importorskip("openmm")
    system = openmm.System()
    formula = (
        "-k/2*R^2*log(1-(r/R)^2) + step(2^(1/6)*sigma-r)*(4*epsilon*((sigma/r)^12-(sigma/r)^6)+epsilon);"
        "k=30; R=1.5; sigma=1; epsilon=0.7"
    )
    force = openmm.CustomBondForce(formula)
    for _ in X:
        system.addParticle(1.0)
    for i, j in FULL["bonds"]:
        force.addBond(i, j)
    system.addForce(force)
    referee = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    referee.setPositions(X)
    state = referee.getState(getEnergy=True, getForces=True)
    potential = make(FULL)
    value, gradient = jax.jit(jax.value_and_grad(lambda x: energy(potential, starting(potential), x)))(jnp.asarray(X))
    assert float(value) == pytest.approx(state.getPotentialEnergy()._value, rel=1e-12)
    np.testing.assert_allclose(-gradient, np.array(state.getForces(asNumpy=True)._value), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "section",
    [PLAIN, FULL | {"k": [30.0, 20.0, 10.0], "r_max": {"A-A": 1.5, "B-A": 1.4}, "epsilon": {"A-A": 0.7, "A-B": 0.2}}],
    ids=["plain", "by term and type"],
)
def test_derivatives_agree_with_finite_differences(make, slope, section, double):
    potential = make(section, "AABA")
    p = starting(potential)
    f = lambda p, x: energy(potential, p, x)  # noqa: E731
    gradient_p, gradient_x = jax.jit(jax.grad(f, (0, 1)))(p, jnp.asarray(X))
    np.testing.assert_allclose(gradient_x, slope(lambda x: f(p, x), X, 1e-4), rtol=1e-8, atol=1e-7)
    for name, value in p.items():
        g = lambda v, name=name: f({**p, name: v}, X)  # noqa: E731
        np.testing.assert_allclose(gradient_p[name], slope(g, value, 1e-4), rtol=1e-8, atol=1e-9, err_msg=name)


def derivatives(potential, p, x):
    """Energies, forces, and what the adjoint needs: Hessian and mixed derivatives."""
    f = lambda p, x: energy(potential, p, x)  # noqa: E731
    force = jax.grad(f, 1)
    return jax.jit(lambda p, x: (f(p, x), force(p, x), jax.jacfwd(force, 1)(p, x), jax.jacfwd(force)(p, x)))(p, x)


def test_coincident_beads_and_the_end_of_the_repulsion(make, single):
    potential = make(PLAIN)
    p = starting(potential)
    value, gradient, hessian, mixed = derivatives(potential, p, jnp.zeros((4, 3)))
    assert float(value) == 0
    assert not np.any(gradient)
    # k for every bond that an atom has.
    np.testing.assert_allclose(np.einsum("iaia->i", hessian), 3 * 30.0 * np.array([1, 3, 1, 1]), rtol=1e-6)
    assert all(np.all(np.isfinite(a)) for a in mixed.values())
    # All three at once: at the end of the repulsion, beyond it, and where there is none.
    full = make(FULL | {"sigma": [1.0, 1.0, 0.0]})
    edge = jnp.asarray([[0.0, 0, 0], [2 ** (1 / 6), 0, 0], [2 ** (1 / 6), 1.3, 0], [2 ** (1 / 6), 0, 0]])
    found = derivatives(full, starting(full), edge)
    assert float(found[0]) == pytest.approx(by_hand(2 ** (1 / 6), 30.0, 1.5) + by_hand(1.3, 30.0, 1.5), rel=1e-5)
    assert all(np.all(np.isfinite(a)) for a in jax.tree.leaves(found))


def test_a_bond_too_long_has_no_number_and_spoils_no_other(make, single):
    potential = make(PLAIN | {"bonds": [[0, 1], [2, 3]], "k": [30.0, 20.0]})
    p = starting(potential)
    x = jnp.asarray([[[0.0, 0, 0], [r, 0, 0], [0, 0, 5], [0, 1, 5]] for r in (1.5, 1.500001, 2.0, 1e3, np.nan)])
    each = jax.vmap(lambda x: potential.term_energies(p, jnp.diff(x[potential.atoms], axis=1)))(x)
    assert np.all(np.isnan(each[:, 0]))
    np.testing.assert_allclose(each[:, 1], by_hand(1.0, 20.0, 1.5), rtol=1e-5)
    _, gradient, hessian, mixed = jax.vmap(lambda x: derivatives(potential, p, x))(x)
    assert np.all(np.isnan(gradient[:, :2, 0]))
    assert np.all(np.isnan(hessian[:, 0, 0, 0, 0]))
    assert np.all(np.isnan(mixed["k"][:, :2, 0, 0]))
    for array in (gradient[:, 2:], hessian[:, 2:, :, 2:], mixed["k"][:, 2:]):
        assert np.all(np.isfinite(array))


def test_a_run_that_tears_a_bond_stops_and_names_it(double):
    built = experiment(
        {
            "box": None,
            "atoms": [{"type": "A", "count": 3, "mass": 1.0}],
            "positions": {"kind": "inline", "values": [[0.0, 0, 0], [0.9, 0, 0], [1.8, 0, 0]]},
            "velocities": {"kind": "inline", "values": [[0.0, 0, 0], [0, 0, 0], [60.0, 0, 0]]},
        },
        {"fene": {"kind": "fene_bond", "bonds": {"chain": [0, 2]}, "k": 30.0, "r_max": 1.5}},
        {"integrator": {"kind": "velocity_verlet", "dt": 0.02}, "steps": 5},
    )
    run, one = runner(built), built.systems[0]
    with pytest.raises(NonFiniteError) as error:
        run(5)
    problem = explain(one.problem, {}, one.values, jax.random.key(1), one.control(one.values), error.value)
    assert "became infinite or undefined at step 1" in str(problem)
    assert "potentials.fene" in str(problem)
    assert "1, 2" in str(problem)


@pytest.mark.parametrize(
    ("section", "path", "said"),
    [
        (PLAIN | {"bonds": [[1, 1]]}, "bonds.0", "twice"),
        (PLAIN | {"r_max": [1.5]}, "r_max", "1 values for 3 terms"),
        (FULL | {"epsilon": {"A-B": 1.0}}, "epsilon", "no value for A-A"),
    ],
    ids=str,
)
def test_refused_in_the_build(make, section, path, said):
    with pytest.raises(ConfigError) as error:
        make(section, "AABA")
    assert error.value.path == f"potentials.it.{path}"
    assert said in error.value.message


@pytest.mark.parametrize("section", [PLAIN | {"r_max": 0.0}, PLAIN | {"k": -1.0}, PLAIN | {"sigma": 1.0}])
def test_refused_by_the_schema(make, section):
    with pytest.raises(ValidationError):
        make(section)
