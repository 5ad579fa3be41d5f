"""The force field: the sum of its parts, and blind to the image that an atom stands in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.experiments import experiment

from diffmd.neighbors import build, plan

BOXES = {
    "orthorhombic": np.diag([4.0, 4.2, 4.4]),
    "triclinic": np.array([[4.0, 0, 0], [1.5, 4.2, 0], [-1.2, 1.4, 4.4]]),
}
BONDS, ANGLES = [[0, 1], [1, 2], [3, 4]], [[0, 1, 2]]


def mixture(shape: str):
    h = BOXES[shape]
    rng = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    x = (grid + rng.uniform(-0.12, 0.12, grid.shape)) / 3 @ h
    return experiment(
        {
            "box": h.tolist() if shape == "triclinic" else np.diag(h).tolist(),
            "atoms": [{"type": "A", "count": 20, "mass": 1.0}, {"type": "B", "count": 7, "mass": 2.0}],
            "positions": {"kind": "inline", "values": x.tolist()},
            "exclusions": 1,
        },
        {
            "lj": {"kind": "lennard_jones", "sigma": {"A": 1.0, "B": 0.9}, "epsilon": 0.7,
                   "cutoff": {"kind": "shifted_force", "distance": 1.7}},
            "lj2": {"kind": "lennard_jones", "sigma": 0.6, "epsilon": 0.1,
                    "cutoff": {"kind": "switch", "distance": 1.75, "from": 1.5}},
            "bond": {"kind": "harmonic_bond", "bonds": BONDS, "r0": 1.0, "k": 30.0},
            "angle": {"kind": "harmonic_angle", "angles": ANGLES, "theta0": 1.9, "k": 5.0},
        },
    )  # fmt: skip


def everything(built, kind):
    """(values) -> energy, energies by potential, forces, and the gradient of a function of both."""
    problem = built.systems[0].problem
    field, excluded = problem.dynamics.forcefield, problem.dynamics.system.excluded
    box = problem.box(built.systems[0].values)
    x0 = np.asarray(built.systems[0].values["system.positions"])
    chosen = plan(kind, x0, box, field.cutoff, 0.1, excluded)

    def evaluate(values):
        near = build(chosen, values["system.positions"], problem.box(values), excluded)

        def loss(values):
            at = (values, values["system.positions"], problem.box(values), near)
            forces, energy = field.forces(*at), field.energy(*at)
            weights = jnp.cos(jnp.arange(forces.size)).reshape(forces.shape)
            return jnp.sum(jnp.sin(forces) * weights) + energy, (energy, field.energies(*at), forces)

        (_, parts), gradient = jax.value_and_grad(loss, has_aux=True)(values)
        # Where the atom stands does enter the derivative with respect to the box at fixed positions.
        return parts, {path: g for path, g in gradient.items() if path != "system.box"}

    return jax.jit(evaluate)


@pytest.mark.parametrize("kind", ["all_pairs", "cell_list"])
@pytest.mark.parametrize("shape", list(BOXES))
def test_an_atom_moved_by_box_vectors_changes_nothing(shape, kind, double):
    built = mixture(shape)
    values = dict(built.systems[0].values)
    evaluate = everything(built, kind)
    expected = evaluate(values)
    x = np.array(values["system.positions"])
    for atom, shift in ((0, [1, 0, 0]), (1, [-2, 3, 1]), (19, [0, 0, -7])):
        x[atom] += shift @ BOXES[shape]
    found = evaluate(values | {"system.positions": jnp.asarray(x)})
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.abs(b).max(), err_msg=str(path))


def test_it_is_the_sum_of_its_potentials(double):
    built = mixture("triclinic")
    one = built.systems[0]
    field, values = one.problem.dynamics.forcefield, one.values
    box, excluded = one.problem.box(values), one.problem.dynamics.system.excluded
    assert {tuple(pair) for pair in excluded.tolist()} == {tuple(pair) for pair in BONDS}
    assert field.cutoff == 1.75
    assert field.needs_pairs
    assert not field.only("bond").needs_pairs
    assert field.only("bond").cutoff is None
    # One name begins with the other.
    assert set(field.parameters(values, "lj")) == {"sigma.A", "sigma.B", "epsilon"}

    @jax.jit
    def parts(x):
        near = build(plan("all_pairs", np.zeros((27, 3)), box, 1.75, 0.0, excluded), x, box, excluded)
        at = (values, x, box, near)
        slope = jax.grad(lambda x: field.energy(values, x, box, near))(x)
        return field.energy(*at), field.energies(*at), field.forces(*at), field.with_mode("forward").forces(*at), slope

    total, energies, reverse, forward, slope = parts(values["system.positions"])
    assert float(total) == pytest.approx(float(sum(energies.values())), rel=1e-13)
    assert set(energies) == {"lj", "lj2", "bond", "angle"}
    size = np.abs(slope).max()
    np.testing.assert_allclose(reverse, -slope, rtol=1e-11, atol=1e-12 * size)
    np.testing.assert_allclose(forward, -slope, rtol=1e-11, atol=1e-12 * size)


def test_a_potential_without_a_cutoff_needs_all_pairs(double):
    built = experiment(
        {"box": None, "atoms": [{"type": "A", "count": 1, "mass": 1.0}],
         "positions": {"kind": "inline", "values": [[0.0, 0.0, 0.0]]}},
        {"far": {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0},
         "near": {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0, "cutoff": 2.0}},
    )  # fmt: skip
    assert built.systems[0].problem.dynamics.forcefield.cutoff is None
