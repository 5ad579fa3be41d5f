"""Molecules along their bonds: which atoms hang together, and their positions made whole in a periodic box."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from jaxtyping import Bool, Float, Int

Bonds = Int[np.ndarray, "bonds 2"]

_IMAGES = np.array(list(itertools.product((-1, 0, 1), repeat=3)))


@dataclasses.dataclass(frozen=True)
class Whole:
    """Positions of which no bond is torn.

    Attributes:
        positions: each molecule's first atom where it was, the others in the images to which its bonds lead; atoms of
            molecules that were whole keep every bit.
        endless: whether an atom's molecule is bonded to its own image (an infinite chain, layer or network), so that
            it cannot be whole; its atoms are where they were.
    """

    positions: Float[np.ndarray, "atoms 3"]
    endless: Bool[np.ndarray, "atoms"]


def made_whole(
    positions: Float[np.ndarray, "atoms 3"], bonds: Bonds, vectors: Float[np.ndarray, "3 3"] | None
) -> Whole:
    """Positions with every bond by its shortest image.

    Args:
        bonds: pairs of atoms.
        vectors: H, rows a, b, c, lower triangular and reduced; None without periodicity.
    """
    size = len(positions)
    nowhere = np.zeros(size, bool)
    if vectors is None or not len(bonds):
        return Whole(positions, nowhere)
    crossed = _crossed(positions[bonds[:, 1]] - positions[bonds[:, 0]], vectors)
    if not crossed.any():
        return Whole(positions, nowhere)
    shifts = _shifts(bonds, crossed, size)
    open_ends = np.any(shifts[bonds[:, 1]] - shifts[bonds[:, 0]] != crossed, axis=1)
    molecule = molecules_of(bonds, size)
    endless = np.isin(molecule, molecule[bonds[open_ends, 0]])
    moved = shifts.any(axis=1) & ~endless
    out = positions.copy()
    out[moved] -= shifts[moved] @ vectors
    return Whole(out, endless)


def molecules_of(bonds: Bonds, size: int) -> Int[np.ndarray, "atoms"]:
    """The number of each atom's molecule: atoms that bonds join, directly or along others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joined = coo_array((np.ones(len(bonds)), (bonds[:, 0], bonds[:, 1])), shape=(size, size))
    return np.asarray(connected_components(joined, directed=False)[1])


def among(bonds: Bonds, selected: Int[np.ndarray, "selected"]) -> Int[np.ndarray, "between 2"]:
    """The bonds between selected atoms, by their places in the selection."""
    both = bonds[np.isin(bonds, selected).all(axis=1)]
    order = np.argsort(selected, kind="stable")
    return order[np.searchsorted(selected, both, sorter=order)].reshape(-1, 2)


def _crossed(d: Float[np.ndarray, "bonds 3"], vectors: Float[np.ndarray, "3 3"]) -> Int[np.ndarray, "bonds 3"]:
    """The integers n for which d - n H is shortest."""
    nearest = np.round(d @ np.linalg.inv(vectors))
    # In a reduced box the shortest image is among those around.
    left = (d - nearest @ vectors)[:, None] - _IMAGES @ vectors
    lengths = np.sum(left**2, axis=-1)
    here = len(_IMAGES) // 2
    nearer = lengths.min(axis=1) < lengths[:, here] * (1 - 1e-9)
    best = np.where(nearer, lengths.argmin(axis=1), here)
    return (nearest + _IMAGES[best]).astype(int)


def _shifts(bonds: Bonds, crossed: Int[np.ndarray, "bonds 3"], size: int) -> Int[np.ndarray, "atoms 3"]:
    """How many boxes each atom is to go back, along a tree of bonds from its molecule's first atom."""
    neighbors: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(size)]
    for (i, j), n in zip(bonds.tolist(), crossed, strict=True):
        neighbors[i].append((j, n))
        neighbors[j].append((i, -n))
    shifts, seen = np.zeros((size, 3), int), np.zeros(size, bool)
    for root in range(size):
        if seen[root] or not neighbors[root]:
            continue
        seen[root], edge = True, [root]
        while edge:
            reached = []
            for atom in edge:
                for other, n in neighbors[atom]:
                    if not seen[other]:
                        seen[other] = True
                        shifts[other] = shifts[atom] + n
                        reached.append(other)
            edge = reached
    return shifts
