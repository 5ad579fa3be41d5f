"""Which atoms a row of the pair sweep looks at: all others (`AllPairs`), or a list built from cells (`NeighborList`).

A list holds every pair that has an image within radius = cutoff + skin, in both rows, and is complete for the cutoff
until atoms have moved: with u_i the displacement of atom i since the build, a pair that was left out had
|d0| > cutoff + skin, so |d| >= |d0| - |u_i| - |u_j| > cutoff while max |u| <= skin / 2. If the box goes from H0 to H,
u_i is what is left after the affine motion x0 -> x0 A, A = H0^-1 H, and |d0 A| >= |d0| (1 - ||1 - A||): a change of the
box counts as a displacement of ||1 - A|| (cutoff + skin) / 2 (`displacement2`).

**Cells.** The fractional coordinates are cut into `grid` cells, each at least radius wide, so |s_k| <= radius / w_k of
a listed pair's image puts its atoms into the same or adjacent cells (modulo the grid: atoms may be any number of boxes
away). Without periodicity the same grid is laid over all space and repeats: aliased cells only add candidates. An axis
that has no room for three cells is one cell, so all atoms along it are candidates.

**Images.** Rounding s gives the nearest image in a right-angled box always, and in a triclinic one up to half the
smallest width w (see `diffmd.box`); with three cells along every axis, radius <= w / 3. With fewer, the 27 images
around the rounded one are tried: they have every image with all |s_k| <= 1, hence every one within w. Beyond that, all
pairs are listed. So the filter never drops a pair that it should keep.

**Compaction** without scatter: the candidates within radius are bits of 32-bit words; the k-th neighbour is the k-th
set bit, found by bisection over the words' running counts and then inside one word. On two CPU cores, float64, 4000
atoms at density 0.8442 and radius 2.8, a build takes 13 ms; a running sum and a scatter alone take 90 ms.

Counts that do not fit the plan are reported in `needed`, never dropped in silence.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from diffmd.box import Box, apply_shifts, displacement, fractional, image_shifts, inverse, transform, widths

FEW_ATOMS = 150
"""Up to so many atoms all pairs are quicker than lists (measured on a CPU)."""

_MARGIN = 1e-5
"""Relative head-room of the radius, far over the rounding errors of a distance."""

_WORD = 32


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


@dataclasses.dataclass(frozen=True)
class NeighborPlan:
    """How lists are built: everything about them that is compiled in.

    Attributes:
        kind: ``all_pairs`` or ``cell_list``.
        atoms: number of atoms.
        cutoff: distance within which no pair may be missing; 0 with all pairs.
        skin: how far lists reach beyond the cutoff.
        capacity: places a row (K); the number of atoms with all pairs.
        grid: cells along each box vector: one, or at least three.
        cell_capacity: places a cell.
    """

    kind: Literal["all_pairs", "cell_list"]
    atoms: int
    cutoff: float
    skin: float
    capacity: int
    grid: tuple[int, int, int] = (1, 1, 1)
    cell_capacity: int = 0

    @property
    def is_list(self) -> bool:
        """Whether there is a list, which can overflow and grow old."""
        return self.kind == "cell_list"

    @property
    def radius(self) -> float:
        """Distance up to which pairs are listed."""
        return (self.cutoff + self.skin) * (1 + _MARGIN)

    def overflowed(self, needed: Int[np.ndarray, "capacities"]) -> bool:
        """Whether a list that reported `needed` may miss pairs."""
        return self.is_list and bool(
            needed[0] > self.capacity or needed[1] > self.cell_capacity or np.any(np.asarray(needed[2:]) > 0)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for a checkpoint."""
        return dataclasses.asdict(self) | {"grid": list(self.grid)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> NeighborPlan:
        """The reverse of `to_dict`."""
        return NeighborPlan(**{**data, "grid": tuple(data["grid"])})


def plan(
    kind: Literal["auto", "all_pairs", "cell_list"],
    positions: Float[np.ndarray, "atoms 3"],
    box: Box,
    cutoff: float | None,
    skin: float,
    excluded: Int[np.ndarray, "pairs 2"],
) -> NeighborPlan:
    """Plans lists for a system as it stands, with some head-room. On the host, outside compiled code.

    Args:
        kind: ``auto`` takes all pairs for few atoms, or where a list would hold most pairs anyway.
        cutoff: the longest cutoff; None (a potential has none) means all pairs, whatever `kind`.
        skin: how far lists reach beyond it.
        excluded: pairs that do not interact; they are listed and masked.
    """
    n = len(positions)
    everything = NeighborPlan("all_pairs", n, 0.0, 0.0, n)
    if kind == "all_pairs" or cutoff is None or (kind == "auto" and (n <= FEW_ATOMS or skin == 0)):
        return everything
    draft = NeighborPlan("cell_list", n, float(cutoff), float(skin), 8)
    x = jnp.asarray(positions)
    for grid in dict.fromkeys((_finest_grid(positions, box, draft.radius), (1, 1, 1))):
        draft = dataclasses.replace(draft, grid=grid)
        cell, _ = jax.jit(_cells, static_argnums=0)(draft, x, box)
        draft = dataclasses.replace(draft, cell_capacity=_rung(int(np.bincount(np.asarray(cell)).max()), 4, n))
        # Crowded cells (a droplet in a large box) can make more candidates than there are atoms.
        if _candidates(draft) < n:
            break
    needed = np.asarray(jax.jit(_survey, static_argnums=0)(draft, x, box))
    chosen = dataclasses.replace(draft, capacity=_rung(int(needed[0]), 8, n))
    return everything if kind == "auto" and 2 * chosen.capacity > n else chosen


def grow(plan: NeighborPlan, needed: Int[np.ndarray, "capacities"]) -> NeighborPlan:
    """The plan with room for what lists reported as `needed`; the same plan if it has room."""
    row, cell, *finer = (int(k) for k in needed)
    capacity = _rung(row, 8, plan.atoms) if row > plan.capacity else plan.capacity
    x, y, z = (g - f if g - f >= 3 else 1 for g, f in zip(plan.grid, finer, strict=True))
    kept = (x, y, z)
    # Fewer cells are fuller; what they hold exactly, the next build reports.
    fuller = int(np.ceil(cell * np.prod(plan.grid) / np.prod(kept)))
    room = _rung(fuller, 4, plan.atoms) if fuller > plan.cell_capacity else plan.cell_capacity
    return dataclasses.replace(plan, capacity=capacity, grid=kept, cell_capacity=room)


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
    words, candidates, cell, needed = _search(plan, positions, box)
    k = jnp.arange(plan.capacity, dtype=np.int32)
    place = jnp.minimum(_kth_bit(words, k), candidates.shape[1] - 1)
    used = k < jnp.sum(lax.population_count(words), axis=1, keepdims=True, dtype=np.int32)
    indices = jnp.where(used, candidates[cell[:, None], place], own)
    mask = used
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


def _rung(count: int, step: int, most: int) -> int:
    """`count` with an eighth of head-room, rounded up to a short ladder (eight rungs an octave at most)."""
    wanted = max(count + count // 8 + 1, step)
    step = max(step, 2 ** max(wanted.bit_length() - 4, 0))
    # A row or a cell with room for every atom cannot overflow, so no more is ever needed.
    return min(-(-wanted // step) * step, most)


def _finest_grid(positions: Float[np.ndarray, "atoms 3"], box: Box, radius: float) -> tuple[int, int, int]:
    """As many cells of at least `radius` as fit (with one part in a thousand to spare), but no more than atoms."""
    size = np.asarray(widths(box)) if box.periodic else np.ptp(positions, axis=0) + radius
    fit = np.clip(np.floor(size / (radius * 1.001)), 1, 1000).astype(int)
    while np.prod(fit) > max(27, len(positions)):
        fit[np.argmax(fit)] -= 1
    return tuple(int(k) if k >= 3 else 1 for k in fit)  # type: ignore[return-value]


def _candidates(plan: NeighborPlan) -> int:
    """How many places an atom's search looks at."""
    return int(np.prod([3 if g >= 3 else 1 for g in plan.grid])) * plan.cell_capacity


def _cells(
    plan: NeighborPlan, positions: Float[Array, "atoms 3"], box: Box
) -> tuple[Int[Array, "atoms"], Int[Array, "3"]]:
    """The cell of each atom, and by how many cells the grid is too fine along each axis."""
    grid, radius = plan.grid, plan.radius
    counts = np.asarray(grid, np.int32)
    size = widths(box) if box.periodic else counts * jnp.full(3, radius * 1.001)
    s = fractional(box, positions) if box.periodic else positions / size
    inside = jnp.floor((s - jnp.floor(s)) * counts).astype(np.int32)
    # The last cell takes s - floor(s) = 1, to which a tiny negative s rounds; and nan, which the host finds elsewhere.
    inside = jnp.clip(inside, 0, counts - 1)
    # s is exact to a few units in its last place: cells must be wider than the radius by that much.
    slack = 8 * jnp.finfo(s.dtype).eps * (1 + jnp.max(jnp.abs(s), axis=0)) * size
    fit = jnp.floor(jnp.clip(size / (radius + slack * counts), 1, counts)).astype(np.int32)
    return inside @ np.asarray([grid[1] * grid[2], grid[2], 1], np.int32), jnp.where(counts > 1, counts - fit, 0)


def _adjacent(grid: tuple[int, int, int]) -> Int[np.ndarray, "cells around"]:
    """The cells to search for each cell: itself and those around it, each once."""
    cells = np.stack(np.unravel_index(np.arange(int(np.prod(grid))), grid), axis=-1)
    steps = np.asarray(list(itertools.product(*[(-1, 0, 1) if g >= 3 else (0,) for g in grid])))
    around = (cells[:, None, :] + steps) % np.asarray(grid)
    return np.ravel_multi_index(tuple(np.moveaxis(around, -1, 0)), grid).astype(np.int32)


def _search(
    plan: NeighborPlan, positions: Float[Array, "atoms 3"], box: Box
) -> tuple[Array, Int[Array, "cells candidates"], Int[Array, "atoms"], Int[Array, "capacities"]]:
    """The candidates of each cell, and for each atom which of its cell's are neighbours, as words of 32 bits."""
    n, room = plan.atoms, plan.cell_capacity
    cell, finer = _cells(plan, positions, box)
    order = jnp.argsort(cell, stable=True).astype(np.int32)
    edges = jnp.searchsorted(cell[order], jnp.arange(np.prod(plan.grid) + 1, dtype=np.int32)).astype(np.int32)
    count = edges[1:] - edges[:-1]
    k = jnp.arange(room, dtype=np.int32)
    # Atom n stands for nobody.
    table = jnp.where(k < count[:, None], order[jnp.minimum(edges[:-1, None] + k, n - 1)], n)
    adjacent = _adjacent(plan.grid)
    candidates = table[adjacent].reshape(len(adjacent), -1)
    spare = -candidates.shape[1] % _WORD
    candidates = jnp.pad(candidates, ((0, 0), (0, spare)), constant_values=n)
    # Nobody is at nan, which is not within any distance.
    columns = [jnp.append(positions[:, axis], jnp.nan)[candidates][cell] for axis in range(3)]
    d = tuple(positions[:, axis, None] - columns[axis] for axis in range(3))
    near = _within(plan, box, d) & (candidates[cell] != jnp.arange(n, dtype=np.int32)[:, None])  # type: ignore[arg-type]
    bits = np.uint32(1) << np.arange(_WORD, dtype=np.uint32)
    words = jnp.sum(jnp.where(near.reshape(n, -1, _WORD), bits, np.uint32(0)), axis=-1, dtype=np.uint32)
    rows = jnp.sum(lax.population_count(words), axis=1, dtype=np.int32)
    needed = jnp.concatenate([jnp.stack([jnp.max(rows), jnp.max(count)]), finer])
    return words, candidates, cell, needed


def _survey(plan: NeighborPlan, positions: Float[Array, "atoms 3"], box: Box) -> Int[Array, "capacities"]:
    return _search(plan, positions, box)[3]


def _within(plan: NeighborPlan, box: Box, d: tuple[Array, Array, Array]) -> Array:
    """Whether some image of d is within the radius."""
    d = apply_shifts(box, d, image_shifts(box, d))
    limit = jnp.asarray(plan.radius**2, d[0].dtype)
    r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    if box.shape == "triclinic" and min(plan.grid) < 3:
        # A scalar addition an image: XLA fuses the 27 of them into one pass over the candidates.
        for n in itertools.product((-1, 0, 1), repeat=3):
            e = [d[axis] + sum(n[row] * box.vectors[row, axis] for row in range(3)) for axis in range(3)]
            r2 = jnp.minimum(r2, e[0] * e[0] + e[1] * e[1] + e[2] * e[2])
        limit = jnp.where(plan.radius > jnp.min(widths(box)), jnp.inf, limit)
    return r2 <= limit


def _kth_bit(words: Array, k: Int[Array, "K"]) -> Int[Array, "atoms K"]:
    """Where the k-th set bit (from 0) of each row of words is; anything where there are fewer."""
    counts = lax.population_count(words).astype(np.int32)
    upto = jnp.cumsum(counts, axis=1)
    # The first word whose running count exceeds k, by bisection.
    last = words.shape[1] - 1
    low = jnp.zeros((words.shape[0], k.shape[0]), np.int32)
    for half in (2**b for b in reversed(range(last.bit_length()))):
        probe = low + half
        low = jnp.where(jnp.take_along_axis(upto, jnp.minimum(probe, last + 1) - 1, axis=1) <= k, probe, low)
        low = jnp.minimum(low, last)
    word = jnp.take_along_axis(words, low, axis=1)
    rank = k - jnp.take_along_axis(upto - counts, low, axis=1)
    place = low * _WORD
    for half in (16, 8, 4, 2, 1):
        lower = word & np.uint32((1 << half) - 1)
        below = lax.population_count(lower).astype(np.int32)
        up = rank >= below
        rank = jnp.where(up, rank - below, rank)
        place = jnp.where(up, place + half, place)
        word = jnp.where(up, word >> np.uint32(half), lower)
    return place


def _exclusion_table(atoms: int, excluded: Int[np.ndarray, "pairs 2"]) -> Int[np.ndarray, "atoms most"]:
    """The atoms that each atom leaves out; unused places hold the atom itself."""
    both = np.concatenate([excluded, excluded[:, ::-1]]).astype(np.int32)
    both = both[np.argsort(both[:, 0], kind="stable")]
    counts = np.bincount(both[:, 0], minlength=atoms)
    table = np.repeat(np.arange(atoms, dtype=np.int32)[:, None], counts.max(initial=0), axis=1)
    table[both[:, 0], np.arange(len(both)) - np.repeat(np.cumsum(counts) - counts, counts)] = both[:, 1]
    return table
