"""Which atoms a row of the pair sweep looks at: all others (`AllPairs`), or a list built from cells (`NeighborList`).

A list holds every pair that has an image within radius = cutoff + skin, in both rows, and is complete for the cutoff
until atoms have moved: with u_i the displacement of atom i since the build, a pair that was left out had
|d0| > cutoff + skin, so |d| >= |d0| - |u_i| - |u_j| > cutoff while max |u| <= skin / 2. If the box goes from H0 to H,
u_i is what is left after the affine motion x0 -> x0 A, A = H0^-1 H, and |d0 A| >= |d0| (1 - ||1 - A||): a change of the
box counts as a displacement of ||1 - A|| (cutoff + skin) / 2 (`displacement2`).

Counts that do not fit the plan are reported in `needed`, never dropped in silence.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffmd.box import Box, displacement, inverse, transform
from diffmd.neighbors.planning import NeighborPlan
from diffmd.neighbors.search import search


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AllPairs:
    """Every pair: rows and columns are the atoms.

    Attributes:
        mask: whether i and j interact: not the same, not excluded.
        needed: zeros; nothing can overflow.
    """

    mask: Bool[Array, "atoms atoms"]
    needed: Int[Array, "capacities"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NeighborList:
    """The atoms near each atom.

    Attributes:
        indices: row i holds i's neighbours; unused places hold i itself, so that a gather is always safe.
        mask: which places are pairs; excluded pairs and unused places are not.
        reference: the positions it was built at.
        box_reference: the box vectors it was built at.
        needed: what a complete list needs: neighbours a row, atoms a cell, and for each axis by how many cells the
            grid is too fine for the box. See `NeighborPlan.overflowed`.
        radius: cutoff + skin. Static.
    """

    indices: Int[Array, "atoms K"]
    mask: Bool[Array, "atoms K"]
    reference: Float[Array, "atoms 3"]
    box_reference: Float[Array, "3 3"]
    needed: Int[Array, "capacities"]
    radius: float = dataclasses.field(metadata={"static": True})


def build(
    plan: NeighborPlan, positions: Float[Array, "atoms 3"], box: Box, excluded: Int[np.ndarray, "pairs 2"]
) -> AllPairs | NeighborList:
    """The neighbours at `positions` (unwrapped, any number of boxes away). Compiled, vectorised; carries no gradient.

    Row order is that of the cells around the atom's and, within a cell, of the atoms: a function of plan and positions.
    """
    positions, box = lax.stop_gradient((positions, box))
    n = plan.atoms
    own = jnp.arange(n, dtype=np.int32)[:, None]
    if not plan.is_list:
        mask = own != own.T
        if len(excluded):
            i, j = np.concatenate([excluded, excluded[:, ::-1]]).T
            mask = mask.at[i, j].set(False)
        return AllPairs(mask, jnp.zeros(5, np.int32))
    near, found, needed = search(plan, positions, box)
    mask = jnp.arange(plan.capacity, dtype=np.int32) < found[:, None]
    indices = jnp.where(mask, near, own)
    for other in _exclusion_table(n, excluded).T:
        mask = mask & (indices != other[:, None])
    return NeighborList(indices, mask, positions, box.vectors, needed, plan.radius)


def neighbor_displacements(
    neighbors: AllPairs | NeighborList, positions: Float[Array, "atoms 3"], box: Box
) -> tuple[Float[Array, "atoms K 3"], Int[Array, "atoms K"], Bool[Array, "atoms K"]]:
    """Where the neighbours of each atom are: what a function of the user's own needs of a list.

    Returns:
        d: x_i - x_j under the minimum image; zero where there is no pair, with derivative zero.
        j: row i has the atoms near i, and unused places.
        pairs: which places are pairs. Each pair stands in both its rows; excluded pairs in none. All pairs within the
            cutoff are there, and some beyond it.
    """
    rows = jnp.arange(len(positions))[:, None]
    j = jnp.broadcast_to(rows.T, neighbors.mask.shape) if isinstance(neighbors, AllPairs) else neighbors.indices
    d = displacement(box, positions[:, None], positions[j])
    return jnp.where(neighbors.mask[..., None], d, 0), j, neighbors.mask


def displacement2(neighbors: NeighborList, positions: Float[Array, "atoms 3"], box: Box) -> Float[Array, ""]:
    """Largest squared displacement of an atom since the build, a change of the box counted in (see the module).

    The list is complete within the cutoff while this is at most (skin / 2)^2.
    """
    moved = positions - neighbors.reference
    if not box.periodic:
        return jnp.max(jnp.sum(moved * moved, axis=-1))
    strain = transform(inverse(Box(neighbors.box_reference, box.shape)), box.vectors - neighbors.box_reference)
    rest = moved - transform(neighbors.reference, strain)
    # The Frobenius norm is no less than the spectral one.
    affine = jnp.sqrt(jnp.sum(strain * strain)) * (neighbors.radius / 2)
    return (jnp.sqrt(jnp.max(jnp.sum(rest * rest, axis=-1))) + affine) ** 2


def _exclusion_table(atoms: int, excluded: Int[np.ndarray, "pairs 2"]) -> Int[np.ndarray, "atoms most"]:
    """The atoms that each atom leaves out; unused places hold the atom itself."""
    both = np.concatenate([excluded, excluded[:, ::-1]]).astype(np.int32)
    both = both[np.argsort(both[:, 0], kind="stable")]
    counts = np.bincount(both[:, 0], minlength=atoms)
    table = np.repeat(np.arange(atoms, dtype=np.int32)[:, None], counts.max(initial=0), axis=1)
    table[both[:, 0], np.arange(len(both)) - np.repeat(np.cumsum(counts) - counts, counts)] = both[:, 1]
    return table
