"""The pair sweep: forces, energies, virial and all their derivatives against plain automatic differentiation of a
naive sum over all pairs, and against OpenMM."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.experiments import experiment

from diffmd.box import Box, minimum_image
from diffmd.neighbors import AllPairs, NeighborList, build, plan
from diffmd.potentials import rows
from diffmd.potentials.sweep import PairSweep, Sweep

NONE = np.zeros((0, 2), int)
ALL = ("forces", "energies", "virial")
BOXES = {
    "none": np.eye(3),
    "orthorhombic": np.diag([3.0, 3.2, 3.4]),
    "triclinic": np.array([[3.0, 0, 0], [1.0, 3.2, 0], [-0.7, 1.1, 3.4]]),
}
CUT = 1.3


def atoms(shape: str) -> np.ndarray:
    """19 atoms at awkward places: across the boundary, boxes away, exactly at the cutoff, and two on top of each other
    (which do not interact)."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)[:18]
    x = grid * 1.05 + rng.uniform(-0.15, 0.15, (18, 3))
    x[1] = x[0] + [0, 0, CUT]
    x = np.concatenate([x, x[:1]])
    return x if shape == "none" else x + rng.integers(-2, 3, (19, 3)) @ BOXES[shape]


EXCLUDED = np.array([[0, 18], [2, 3]])


def neighbors(kind: str, x: np.ndarray, box: Box) -> AllPairs | NeighborList:
    return listed(plan(kind, x, box, CUT, 0.1, EXCLUDED), x, box, EXCLUDED)  # type: ignore[arg-type]


def listed(plan, x, box, excluded):
    return jax.jit(lambda x, box: build(plan, x, box, excluded))(jnp.asarray(x), box)


def tables(multi: bool) -> tuple[dict, np.ndarray]:
    types = np.arange(19) % 2 if multi else np.zeros(19, int)
    sigma, epsilon = np.array([[0.9, 1.0], [1.0, 1.1]]), np.array([[0.5, 0.3], [0.3, 0.2]])
    q = {"sigma": sigma if multi else sigma[0, 0], "epsilon": epsilon if multi else epsilon[0, 0], "scale": np.ones(())}
    return {name: jnp.asarray(value, dtype=float) for name, value in q.items()}, types


def energy(r2: jax.Array, q: dict) -> jax.Array:
    """Lennard-Jones times (1 - r^2 / cut^2)^4, zero beyond."""
    s6 = (q["sigma"] ** 2 / r2) ** 3
    inside = r2 < CUT**2
    taper = jnp.where(inside, 1 - jnp.where(inside, r2, 0) / CUT**2, 0) ** 4
    return q["scale"] * 4 * q["epsilon"] * (s6**2 - s6) * taper


def naive(x, h, q, types, shape) -> tuple[Sweep, jax.Array]:
    """Everything by plain sums over all pairs i != j, and autodiff of the total energy."""
    n = len(types)
    mask = ~np.eye(n, dtype=bool)
    mask[tuple(EXCLUDED.T)] = mask[tuple(EXCLUDED[:, ::-1].T)] = False
    spread = {k: v if v.ndim == 0 else v[types][:, types] for k, v in q.items()}

    def per_atom(x, h):
        d = minimum_image(Box(h, shape), tuple(x[:, None, k] - x[None, :, k] for k in range(3)))
        r2 = jnp.where(mask, sum(c * c for c in d), 1)
        return jnp.sum(jnp.where(mask, energy(r2, spread), 0), axis=1) / 2

    def total(x, h):
        return jnp.sum(per_atom(x, h))

    def strained(strain):
        # Without periodicity the box has no say.
        return total(x @ (jnp.eye(3) + strain), h @ (jnp.eye(3) + strain))

    return Sweep(-jax.grad(total)(x, h), per_atom(x, h), -jax.grad(strained)(jnp.zeros((3, 3))))


def scalar(s: Sweep) -> jax.Array:
    """One number in which every output has its own weight."""
    n = len(s.energies)
    w = jnp.cos(jnp.arange(3 * n)).reshape(n, 3)
    v = jnp.sin(jnp.arange(9.0)).reshape(3, 3)
    return jnp.sum(jnp.sin(s.forces) * w) + jnp.sum(jnp.cos(s.energies) * w[:, 0]) + jnp.sum(jnp.sin(s.virial) * v)


CASES = [
    ("none", "all_pairs", False, True),
    ("orthorhombic", "all_pairs", True, True),
    ("orthorhombic", "cell_list", True, False),
    ("triclinic", "cell_list", True, True),
    ("triclinic", "all_pairs", False, False),
]


@pytest.mark.parametrize(("shape", "kind", "multi", "x64"), CASES)
def test_sweep_and_its_derivatives_equal_plain_autodiff(shape, kind, multi, x64):
    with jax.enable_x64(x64):
        rtol = 1e-11 if x64 else 2e-4
        x = jnp.asarray(atoms(shape), dtype=float)
        # The strain of a right-angled box makes it triclinic.
        h, inner = jnp.asarray(BOXES[shape], dtype=float), "none" if shape == "none" else "triclinic"
        q, types = tables(multi)
        near = neighbors(kind, np.asarray(x), Box(h, shape))

        def swept(mode):
            return lambda x, h, q: PairSweep(energy, types, mode)(x, Box(h, shape), near, q, ALL)

        def differentiated(sweep):
            def loss(*at):
                found = sweep(*at)
                return scalar(found), found

            return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(x, h, q)

        (value, found), gradient = differentiated(swept("reverse"))
        (true_value, truth), true_gradient = differentiated(lambda *a: naive(*a, types, inner))
        for name in ALL:
            a, b = np.asarray(getattr(found, name)), np.asarray(getattr(truth, name))
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max(), err_msg=name)
        np.testing.assert_allclose(value, true_value, rtol=rtol * 10)
        leaves = zip(
            jax.tree_util.tree_leaves_with_path(gradient),
            jax.tree_util.tree_leaves_with_path(true_gradient),
            strict=True,
        )
        diagonal = np.eye(3) if shape == "orthorhombic" else 1
        for (path, a), (_, b) in leaves:
            # A right-angled box has three edges, and no other derivative is asked for; tables are symmetric.
            a, b = (np.asarray(g) * (diagonal if path[0].idx == 1 else 1) for g in (a, b))
            if path[0].idx == 2:
                a, b = a + a.T, b + b.T
            np.testing.assert_allclose(a, b, rtol=rtol, atol=10 * rtol * np.abs(b).max(), err_msg=str(path))

        # Forward mode: the tangent along a random direction is the gradient's product with it.
        rng = np.random.default_rng(0)

        def draw(a):
            t = rng.normal(size=a.shape)
            return jnp.asarray(t + t.T if t.shape == (2, 2) else t, a.dtype)

        tangents = (draw(x), draw(h) * (0 if shape == "none" else diagonal), jax.tree.map(draw, q))
        _, slope = jax.jit(lambda p, t: jax.jvp(lambda *a: scalar(swept("forward")(*a)), p, t))((x, h, q), tangents)
        products = [
            jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(true_gradient), jax.tree.leaves(tangents), strict=True)
        ]
        np.testing.assert_allclose(slope, sum(products), rtol=100 * rtol)


@pytest.mark.parametrize("want", [("forces",), ("energies",), ("virial",)])
def test_what_is_not_asked_for_is_left_out_and_the_rest_is_the_same(want, double):
    x, h = jnp.asarray(atoms("triclinic")), jnp.asarray(BOXES["triclinic"])
    box = Box(h, "triclinic")
    q, types = tables(True)
    near = neighbors("all_pairs", np.asarray(x), box)
    everything = PairSweep(energy, types, "reverse")(x, box, near, q, ALL)
    for mode in ("reverse", "forward"):
        part = PairSweep(energy, types, mode)(x, box, near, q, want)
        for name in ALL:
            if name not in want:
                assert getattr(part, name) is None
            else:
                np.testing.assert_allclose(getattr(part, name), getattr(everything, name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_long_list_goes_through_in_blocks_of_rows(mode, double, monkeypatch):
    x, h = jnp.asarray(atoms("triclinic")), jnp.asarray(BOXES["triclinic"])
    q, types = tables(True)
    near = neighbors("cell_list", np.asarray(x), Box(h, "triclinic"))

    def derivative():
        def loss(x, h, q):
            return scalar(PairSweep(energy, types, mode)(x, Box(h, "triclinic"), near, q, ALL))

        if mode == "reverse":
            run = jax.value_and_grad(loss, (0, 1, 2))
        else:
            run = lambda *at: jax.jvp(loss, at, jax.tree.map(jnp.cos, at))  # noqa: E731
        return str(jax.make_jaxpr(run)(x, h, q)), jax.jit(run)(x, h, q)

    whole, at_once = derivative()
    # 19 rows, four at a time: the last block has one that was done before.
    monkeypatch.setattr(rows, "ROWS", 4)
    cut, in_blocks = derivative()
    assert cut.count("dynamic_slice") > whole.count("dynamic_slice")
    for part, same in zip(jax.tree.leaves(in_blocks), jax.tree.leaves(at_once), strict=True):
        np.testing.assert_allclose(part, same, rtol=1e-12, atol=1e-12)


def test_forces_sum_to_nothing_and_virial_is_symmetric(double):
    x, box = jnp.asarray(atoms("triclinic")), Box(jnp.asarray(BOXES["triclinic"]), "triclinic")
    q, types = tables(True)
    found = PairSweep(energy, types, "reverse")(x, box, neighbors("cell_list", np.asarray(x), box), q, ALL)
    size = float(jnp.max(jnp.abs(found.forces)))
    np.testing.assert_allclose(jnp.sum(found.forces, axis=0), 0, atol=1e-13 * size * len(x))
    np.testing.assert_array_equal(found.virial, found.virial.T)


@pytest.mark.parametrize("kind", ["all_pairs", "cell_list"])
@pytest.mark.parametrize("x", [np.zeros((1, 3)), np.array([[0.0, 0, 0], [9.0, 0, 0], [9.0, 0, 1.0]])])
def test_atoms_without_a_neighbour_have_no_force_and_no_gradient(kind, x, precision):
    # Unused places of a list are pairs of an atom with itself, at distance zero.
    x, box = jnp.asarray(x, precision), Box(jnp.eye(3), "none")
    near = listed(plan(kind, np.asarray(x), box, CUT, 0.1, NONE), x, box, NONE)
    q = {name: jnp.asarray(1.0) for name in ("sigma", "epsilon", "scale")}

    def total(x, q, mode="reverse"):
        found = PairSweep(energy, np.zeros(len(x), int), mode)(x, box, near, q, ALL)
        return jnp.sum(found.forces[0]) + found.energies[0] + 0 * jnp.sum(found.virial)

    value, (dx, dq) = jax.jit(jax.value_and_grad(total, (0, 1)))(x, q)
    assert float(value) == 0
    assert not np.any(dx)
    assert not any(np.any(g) for g in dq.values())
    tangents = (jnp.ones_like(x), q)
    _, slope = jax.jit(lambda x, q: jax.jvp(lambda x, q: total(x, q, "forward"), (x, q), tangents))(x, q)
    assert float(slope) == 0


@pytest.mark.parametrize("kind", ["all_pairs", "cell_list"])
def test_the_adjoint_only_gathers(kind, double):
    x, box = jnp.asarray(atoms("triclinic")), Box(jnp.asarray(BOXES["triclinic"]), "triclinic")
    q, types = tables(True)
    near = neighbors(kind, np.asarray(x), box)

    def loss(x, h, q, near):
        return scalar(PairSweep(energy, types, "reverse")(x, Box(h, "triclinic"), near, q, ALL))

    text = jax.jit(jax.value_and_grad(loss, (0, 1, 2))).lower(x, box.vectors, q, near).compile().as_text()
    assert "scatter" not in text
    assert "reduce" in text


@pytest.mark.parametrize("kind", ["all_pairs", "cell_list"])
@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_agrees_with_openmm(kind, tilt, double):
    openmm = pytest.importorskip("openmm")
    rng = np.random.default_rng(1)
    edge, grid = 2.4, np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), -1).reshape(-1, 3)
    h = np.array([[edge, 0, 0], [tilt, edge, 0], [-tilt, tilt / 2, edge]])
    x = (grid + rng.uniform(-0.15, 0.15, grid.shape)) / 6 @ h + rng.integers(-3, 4, grid.shape) @ h
    n, sigma, epsilon = len(x), {"A": 0.34, "B": 0.30}, {"A": 1.0, "B": 0.4}
    names = ["A"] * (n // 2) + ["B"] * (n // 2)
    system, force = openmm.System(), openmm.NonbondedForce()
    system.setDefaultPeriodicBoxVectors(*h)
    for name in names:
        system.addParticle(1.0)
        force.addParticle(0.0, sigma[name], epsilon[name])
    force.setNonbondedMethod(force.CutoffPeriodic)
    force.setCutoffDistance(0.9)
    force.setUseSwitchingFunction(True)
    force.setSwitchingDistance(0.75)
    force.setUseDispersionCorrection(False)
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(x)
    state = context.getState(getEnergy=True, getForces=True)

    built = experiment(
        {
            "box": h.tolist() if tilt else [edge] * 3,
            "atoms": [{"type": t, "count": n // 2, "mass": 1.0} for t in "AB"],
            "positions": {"kind": "inline", "values": x.tolist()},
        },
        {"lj": {"kind": "lennard_jones", "sigma": sigma, "epsilon": epsilon,
                "cutoff": {"kind": "switch", "distance": 0.9, "from": 0.75}}},
        units="md",
    )  # fmt: skip
    problem, values = built.systems[0].problem, built.systems[0].values
    box = problem.box(values)
    near = listed(plan(kind, x, box, 0.9, 0.1, NONE), values["system.positions"], box, NONE)
    field, at = problem.dynamics.forcefield, (values, values["system.positions"], box, near)
    forces = np.asarray(state.getForces(asNumpy=True)._value)
    found, total = jax.jit(lambda *at: (field.forces(*at), field.energy(*at)))(*at)
    np.testing.assert_allclose(found, forces, rtol=1e-9, atol=1e-9 * np.abs(forces).max())
    assert float(total) == pytest.approx(state.getPotentialEnergy()._value, rel=1e-9)
