"""Sums over listed terms: gathers and their transposes, forces and derivatives against plain autodiff."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.box import Box
from diffmd.potentials.terms import TermTable, term_energy, term_forces

H = np.array([[3.0, 0, 0], [1.0, 3.2, 0], [-0.7, 1.1, 3.4]])
ANGLES = np.array([[0, 1, 2], [2, 1, 3], [1, 3, 0], [4, 0, 1]])


@pytest.mark.parametrize("atoms", [ANGLES, ANGLES[:, :2], np.zeros((0, 3), int)])
def test_spread_is_the_transpose_of_gather(atoms, double):
    # Atoms 5 and 6 belong to no term.
    rng = np.random.default_rng(0)
    for mode in ("reverse", "forward"):
        table = TermTable.create(atoms, 7, mode)
        x, rows = jnp.asarray(rng.normal(size=(7, 3))), jnp.asarray(rng.normal(size=(*atoms.shape, 3)))
        np.testing.assert_array_equal(table.gather(x), np.asarray(x)[atoms])
        by_hand = np.zeros((7, 3))
        np.add.at(by_hand, atoms.reshape(-1), np.asarray(rows).reshape(-1, 3))
        np.testing.assert_allclose(table.spread(rows), by_hand, rtol=1e-14, atol=1e-14)
        np.testing.assert_allclose(jax.vjp(table.gather, x)[1](rows)[0], by_hand, rtol=1e-14, atol=1e-14)
        np.testing.assert_array_equal(jax.vjp(table.spread, rows)[1](x)[0], np.asarray(x)[atoms])


@pytest.fixture
def bent(make, double):
    """Angles across the boundary of a triclinic box, some atoms boxes away."""
    rng = np.random.default_rng(1)
    potential = make({"kind": "harmonic_angle", "angles": ANGLES.tolist(), "theta0": 1.8, "k": 3.0}, "A" * 7)
    x = rng.uniform(-0.6, 0.6, (7, 3)) + rng.integers(-2, 3, (7, 3)) @ H
    p = {name: jnp.asarray(value) for name, value in potential.parameters.items()}
    return potential, p, jnp.asarray(x), Box(jnp.asarray(H), "triclinic")


def test_forces_are_minus_the_slope_of_the_energy(bent):
    potential, p, x, box = bent
    table = TermTable.create(ANGLES, 7, "forward")
    slope = jax.jit(jax.grad(lambda x: term_energy(potential, table, p, x, box)))(x)
    for mode in ("reverse", "forward"):
        table = TermTable.create(ANGLES, 7, mode)
        found = jax.jit(lambda x, table=table: term_forces(potential, table, p, x, box))(x)
        np.testing.assert_allclose(found, -slope, rtol=1e-12, atol=1e-12)
        assert not np.any(found[5:])


def test_the_adjoint_equals_autodiff_and_only_gathers(bent):
    potential, p, x, box = bent
    weights = jnp.cos(jnp.arange(21.0)).reshape(7, 3)

    def differentiated(mode):
        table = TermTable.create(ANGLES, 7, mode)

        def loss(x, h, p):
            return jnp.sum(weights * jnp.sin(term_forces(potential, table, p, x, Box(h, "triclinic"))))

        return jax.jit(jax.grad(loss, (0, 1, 2)))

    at = (x, box.vectors, p)
    found, expected = differentiated("reverse")(*at), differentiated("forward")(*at)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
    assert "scatter" not in differentiated("reverse").lower(*at).as_text()
    assert "scatter" in differentiated("forward").lower(*at).as_text()
