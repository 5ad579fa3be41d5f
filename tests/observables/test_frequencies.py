"""Normal modes: closed forms, ASE's vibrations, degenerate modes, and what the spec refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.vibrations import Vibrations
from support.experiments import experiment

from diffmd.dynamics.frame import Frame
from diffmd.errors import ConfigError
from diffmd.neighbors import build
from diffmd.observables.frequencies import eigenvalues


@dataclasses.dataclass(frozen=True)
class Shown:
    """A system at its start: frames and forces as functions of its values."""

    at: Callable[[dict], Frame]
    forces: Callable[[dict], jax.Array]
    values: dict


def shown(atoms: list[dict], x: list, potentials: dict, box: list | None = None, **sections: object) -> Shown:
    system = {
        "box": box,
        "atoms": atoms,
        "positions": {"kind": "inline", "values": x},
        "velocities": {"kind": "zero"},
    }
    one = experiment(system, potentials, **sections).systems[0]
    dynamics = one.problem.dynamics
    plan = one.control(one.values).plan

    def both(values: dict) -> tuple[Frame, jax.Array]:
        box = one.problem.box(values)
        neighbors = build(plan, values["system.positions"], box, dynamics.system.excluded)
        state = dynamics.start(values, neighbors, box, jnp.asarray(0))
        return dynamics.frame(values, state, neighbors), state.forces

    return Shown(lambda values: both(values)[0], lambda values: both(values)[1], dict(one.values))


def test_a_diatomic_is_an_oscillator(make, frame, precision):
    # U = k/2 (x1 - x0)^2 along x: omega = sqrt(k / mu).
    k, masses = 7.0, jnp.asarray([2.0, 6.0])
    block = jnp.asarray(np.kron(np.array([[1.0, -1], [-1, 1]]), np.diag([k, 0, 0])), precision)
    observable = make({"kind": "frequencies"}, "AB")
    omega = observable.measure(frame(np.eye(3)[:2], masses=masses, hessian=lambda: block))
    assert omega.dtype == precision
    np.testing.assert_allclose(omega, [np.sqrt(k * (1 / 2 + 1 / 6))], rtol=1e-6)
    # A direction in which the energy falls counts as negative; squared it is the eigenvalue itself.
    fallen = frame(np.eye(3)[:2], hessian=lambda: -block)
    np.testing.assert_allclose(observable.measure(fallen), [-np.sqrt(2 * k)], rtol=1e-6)
    squared = make({"kind": "frequencies", "squared": True}, "AB").measure(fallen)
    np.testing.assert_allclose(squared, [-2 * k], rtol=1e-6)


class Ours(Calculator):
    """Forces of ours for ASE, in units of ours."""

    implemented_properties = ("energy", "forces")

    def __init__(self, forces: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__()
        self.forces = forces

    def calculate(self, atoms=None, properties=(), system_changes=()):  # type: ignore[no-untyped-def]
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": self.forces(atoms.positions)}


def test_water_vibrates_as_in_ase(make, double, tmp_path: Path):
    # CHARMM's flexible TIP3P, at rest; nm, g/mol and kJ/mol make 1/ps.
    water = shown(
        [{"type": "O", "count": 1, "mass": 15.999}, {"type": "H", "count": 2, "mass": 1.008}],
        [[0.0, 0, 0], [0.09572, 0, 0], [0.09572 * np.cos(1.8242), 0.09572 * np.sin(1.8242), 0]],
        {
            "bond": {"kind": "harmonic_bond", "bonds": [[0, 1], [0, 2]], "r0": 0.09572, "k": 462750.4},
            "angle": {"kind": "harmonic_angle", "angles": [[1, 0, 2]], "theta0": 1.8242, "k": 460.24},
        },
        units="md",
    )

    @jax.jit
    def look(x):  # type: ignore[no-untyped-def]
        values = water.values | {"system.positions": x}
        return water.forces(values), water.at(values).hessian()

    x = np.asarray(water.values["system.positions"])
    atoms = Atoms("OH2", positions=x, masses=[15.999, 1.008, 1.008], calculator=Ours(lambda y: np.asarray(look(y)[0])))
    vibrations = Vibrations(atoms, name=str(tmp_path / "vib"), delta=1e-6)
    vibrations.run()
    curvature = vibrations.get_vibrations().get_hessian_2d()
    ours = look(x)[1]
    np.testing.assert_allclose(ours, curvature, atol=1e-7 * np.abs(curvature).max())
    weights = np.repeat(atoms.get_masses() ** -0.5, 3)
    expected = np.sqrt(np.linalg.eigvalsh(weights[:, None] * curvature * weights)[6:])
    still = dataclasses.replace(water.at(water.values), hessian=lambda: ours)
    np.testing.assert_allclose(make({"kind": "frequencies"}, "OHH").measure(still), expected, rtol=1e-6)
    picked = make({"kind": "frequencies", "modes": [2, 0]}, "OHH").measure(still)
    np.testing.assert_allclose(picked, expected[[2, 0]], rtol=1e-6)
    # A bend and two stretches of water, in 1/cm.
    np.testing.assert_allclose(np.asarray(expected) * 5.308837, [1700, 3750, 3850], rtol=0.1)


def test_third_derivatives_in_a_triclinic_box(double):
    rng = np.random.default_rng(4)
    x = np.stack(np.meshgrid([0.2, 1.4], [0.1, 1.3], [0.3, 1.5], indexing="ij"), -1).reshape(-1, 3)[:6]
    fluid = shown(
        [{"type": "A", "count": 3, "mass": 1.0}, {"type": "B", "count": 3, "mass": 2.0}],
        (x + rng.uniform(-0.1, 0.1, x.shape)).tolist(),
        {
            "lj": {
                "kind": "lennard_jones",
                "sigma": {"A": 1.0, "B": 0.9},
                "epsilon": 1.0,
                "cutoff": {"kind": "switch", "from": 1.0, "distance": 1.2},
            }
        },
        [[2.6, 0, 0], [0.4, 2.7, 0], [-0.3, 0.5, 2.8]],
    )
    drawn = [jnp.asarray(rng.standard_normal(shape)) for shape in ((18, 18), (6, 3), (3, 3))]
    keys = ("system.positions", "system.box", "potentials.lj.sigma.A")

    @jax.jit
    def weighted(moved):  # type: ignore[no-untyped-def]
        return jnp.sum(drawn[0] * fluid.at(fluid.values | moved).hessian())

    @jax.jit
    def look(moved):  # type: ignore[no-untyped-def]
        return fluid.forces(fluid.values | moved), fluid.at(fluid.values | moved).hessian(), jax.grad(weighted)(moved)

    here = {key: fluid.values[key] for key in keys}
    _, hessian, gradient = look(here)
    h = 1e-5
    ends = [look(here | {keys[0]: here[keys[0]] + s * h * drawn[1]})[0] for s in (1, -1)]
    central = (ends[1] - ends[0]) / (2 * h)
    np.testing.assert_allclose(hessian @ drawn[1].ravel(), central.ravel(), atol=1e-6 * np.abs(central).max())
    for key, tangent in ((keys[0], drawn[1]), (keys[1], jnp.tril(drawn[2])), (keys[2], jnp.ones(()))):
        ends = [weighted(here | {key: here[key] + s * h * tangent}) for s in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(jnp.sum(gradient[key] * tangent), expected, rtol=1e-6)


def test_modes_that_coincide_share_their_derivative(make, double):
    # An equilateral triangle of springs: omega^2 = 3 k / (2 m), twice, and 3 k / m.
    triangle = shown(
        [{"type": "A", "count": 3, "mass": 2.0}],
        [[0.0, 0, 0], [1.0, 0, 0], [0.5, 3**0.5 / 2, 0]],
        {"bond": {"kind": "harmonic_bond", "bonds": [[0, 1], [1, 2], [0, 2]], "r0": 1.0, "k": [5.0, 5.0, 5.0]}},
    )
    observable = make({"kind": "frequencies", "squared": True}, "AAA")

    def squares(moved):  # type: ignore[no-untyped-def]
        return observable.measure(triangle.at(triangle.values | moved))

    here = {key: triangle.values[key] for key in ("potentials.bond.k", "system.positions")}
    values, slopes = jax.jit(lambda moved: (squares(moved), jax.jacrev(squares)(moved)))(here)
    np.testing.assert_allclose(values, [3.75, 3.75, 7.5], rtol=1e-9)
    each = slopes["potentials.bond.k"]
    # The trace is what it is; the pair shares, so that each spring, being like the others, has the same.
    np.testing.assert_allclose(each, np.array([[0.75], [0.75], [1.5]]) * np.full((1, 3), 1 / 3), atol=1e-9)
    assert np.isfinite(slopes["system.positions"]).all()
    np.testing.assert_array_equal(slopes["system.positions"][0], slopes["system.positions"][1])


def test_eigenvalues_apart_have_their_own_derivatives(double):
    a = jax.random.normal(jax.random.key(1), (4, 4))
    a = a + a.T
    # Those of equal eigenvalues are the derivative of their mean.
    slopes, expected, same = jax.jit(
        lambda a: (
            jax.jacrev(eigenvalues)(a),
            jax.jacrev(jnp.linalg.eigvalsh)(a),
            jax.jvp(eigenvalues, (jnp.eye(4),), (a,))[1],
        )
    )(a)
    np.testing.assert_allclose(slopes, expected, atol=1e-12)
    np.testing.assert_allclose(same, np.full(4, np.trace(a) / 4), atol=1e-12)


def test_a_mode_of_no_stiffness_has_a_finite_gradient(make, frame, double):
    observable = make({"kind": "frequencies", "skip": 0}, "A")
    measured = jax.jacrev(lambda h: observable.measure(frame(np.zeros((1, 3)), hessian=lambda: h)))
    assert np.isfinite(jax.jit(measured)(jnp.zeros((3, 3)))).all()


@pytest.mark.parametrize(
    ("section", "types", "message"),
    [
        ({"skip": 6}, "AB", "2 atoms have 6 modes; leaving 6 out leaves none"),
        ({"modes": [3]}, "ABC", "there is no mode 3: they are 0 to 2"),
        ({"modes": [-1]}, "ABC", "there is no mode -1"),
        ({"modes": []}, "ABC", "the list is empty"),
    ],
)
def test_refusals(make, section: dict, types: str, message: str):
    with pytest.raises(ConfigError, match=message):
        make({"kind": "frequencies"} | section, types)


def test_a_box_keeps_all_but_the_translations(make):
    assert len(make({"kind": "frequencies"}, "ABC", np.eye(3)).modes) == 6
    assert len(make({"kind": "frequencies"}, "ABC").modes) == 3
    assert len(make({"kind": "frequencies"}, "AB").modes) == 1
