"""Sums over listed terms (bonds, angles) without a scatter: an atom-to-terms gather table.

Gathering the atoms of each term and summing each atom's terms are transposes of one another, so each is the other's
adjoint, and both are gathers whose sums keep their order on every device.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import Box, minimum_image
from diffmd.potentials.base import Parameters, TermForce, TermPotential
from diffmd.potentials.sweep import Mode


@dataclasses.dataclass(frozen=True, eq=False)
class TermTable:
    """Which atoms each term has, and which places each atom has in the terms.

    Attributes:
        atoms: (terms, arity).
        places: (atoms, M): indices into the flattened (terms * arity) rows, padded with terms * arity.
        mode: ``reverse`` gives both maps their adjoint; the others leave them to JAX.
    """

    atoms: Int[np.ndarray, "terms arity"]
    places: Int[np.ndarray, "atoms places"]
    mode: Mode

    @staticmethod
    def create(atoms: Int[np.ndarray, "terms arity"], size: int, mode: Mode) -> TermTable:
        """The table for a system of `size` atoms."""
        flat = np.asarray(atoms).reshape(-1)
        count = np.bincount(flat, minlength=size)
        places = np.full((size, max(1, int(count.max(initial=0)))), len(flat))
        filled = np.zeros(size, int)
        for place, atom in enumerate(flat):
            places[atom, filled[atom]] = place
            filled[atom] += 1
        return TermTable(np.asarray(atoms), places, mode)

    def gather(self, x: Float[Array, "atoms 3"]) -> Float[Array, "terms arity 3"]:
        """Rows of `x` of each term's atoms."""
        return _gather_reverse(self, x) if self.mode == "reverse" else _gather(self, x)

    def spread(self, rows: Float[Array, "terms arity 3"]) -> Float[Array, "atoms 3"]:
        """Sum over each atom's places in the terms; the transpose of `gather`."""
        return _spread_reverse(self, rows) if self.mode == "reverse" else _spread(self, rows)


def _gather(table: TermTable, x: Array) -> Array:
    return x[table.atoms]


def _spread(table: TermTable, rows: Array) -> Array:
    flat = rows.reshape(-1, 3)
    padded = jnp.concatenate([flat, jnp.zeros((1, 3), flat.dtype)])
    return jnp.sum(padded[table.places], axis=1)


_gather_reverse = jax.custom_vjp(_gather, nondiff_argnums=(0,))
_spread_reverse = jax.custom_vjp(_spread, nondiff_argnums=(0,))
_gather_reverse.defvjp(lambda table, x: (_gather(table, x), None), lambda table, _, ct: (_spread_reverse(table, ct),))
_spread_reverse.defvjp(lambda table, r: (_spread(table, r), None), lambda table, _, ct: (_gather_reverse(table, ct),))


def links(table: TermTable, positions: Float[Array, "atoms 3"], box: Box) -> Float[Array, "terms links 3"]:
    """v_k = x_{k+1} - x_k of each term's consecutive atoms, minimum image."""
    x = table.gather(positions)
    v = x[:, 1:] - x[:, :-1]
    return jnp.stack(minimum_image(box, (v[..., 0], v[..., 1], v[..., 2])), axis=-1)


def term_forces(
    potential: TermPotential | TermForce, table: TermTable, p: Parameters, positions: Float[Array, "atoms 3"], box: Box
) -> Float[Array, "atoms 3"]:
    """F = -dU/dx, from each term's dU/dv."""
    slope = _slopes(potential, p, links(table, positions, box))
    zero: Any = jnp.zeros_like(slope[:, :1])
    # dU/dx_k = dU/dv_{k-1} - dU/dv_k.
    return table.spread(jnp.concatenate([slope, zero], axis=1) - jnp.concatenate([zero, slope], axis=1))


def _slopes(potential: TermPotential | TermForce, p: Parameters, v: Float[Array, "terms links 3"]) -> Array:
    """dU/dv of each term."""

    def energy(p: Parameters, vectors: Array) -> Array:
        return jnp.sum(potential.term_energies(p, vectors))

    gradients = potential.term_gradients if isinstance(potential, TermForce) else jax.grad(energy, argnums=1)
    # Of each step the vectors are stored, not the dozens of numbers between them and the slope.
    slope: Array = jax.checkpoint(gradients, prevent_cse=False)(p, v)
    return slope


def term_virial(
    potential: TermPotential | TermForce, table: TermTable, p: Parameters, positions: Float[Array, "atoms 3"], box: Box
) -> Float[Array, "3 3"]:
    """W_ab = -sum over links of v_a (dU/dv)_b."""
    v = links(table, positions, box)
    # Written out: a matrix product in single precision may have 10 bits on a GPU.
    return -jnp.sum(v[..., :, None] * _slopes(potential, p, v)[..., None, :], axis=(0, 1))


def term_energy(
    potential: TermPotential | TermForce, table: TermTable, p: Parameters, positions: Float[Array, "atoms 3"], box: Box
) -> Float[Array, ""]:
    """Total energy of the terms."""
    return jnp.sum(potential.term_energies(p, links(table, positions, box)))
