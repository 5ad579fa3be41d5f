"""How lists are built: their plan, made in NumPy from a system as it stands, and how it grows."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from diffmd.box import Box, BoxShape

FEW_ATOMS = 150
"""Up to so many atoms all pairs are quicker than lists (measured on a CPU)."""

_MARGIN = 1e-5
"""Relative head-room of the radius, far over the rounding errors of a distance."""

_SAMPLE = 1000
"""Of so many atoms neighbours are counted for a plan."""

_AT_ONCE = 1_000_000
"""So many distances are computed at once."""

Grid = tuple[int, int, int]


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
    grid: Grid = (1, 1, 1)
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
    atoms = AtomsToList(np.asarray(positions, float), np.asarray(box.vectors, float), box.shape, draft.radius)
    for grid in dict.fromkeys((atoms.finest_grid(), (1, 1, 1))):
        count = np.bincount(atoms.cells(grid), minlength=int(np.prod(grid)))
        draft = dataclasses.replace(draft, grid=grid, cell_capacity=_with_room(count, 4, n))
        # Crowded cells (a droplet in a large box) can make more candidates than there are atoms.
        if _candidates(draft) < n:
            break
    chosen = dataclasses.replace(draft, capacity=_with_room(atoms.neighbors(grid), 8, n))
    return everything if kind == "auto" and 2 * chosen.capacity > n else chosen


def grow(plan: NeighborPlan, needed: Int[np.ndarray, "capacities"]) -> NeighborPlan:
    """The plan with room for what lists reported as `needed`; the same plan if it has room."""
    row, cell, *finer = (int(k) for k in needed)
    capacity = _rung(row + row // 8 + 1, 8, plan.atoms) if row > plan.capacity else plan.capacity
    x, y, z = (g - f if g - f >= 3 else 1 for g, f in zip(plan.grid, finer, strict=True))
    kept = (x, y, z)
    # Fewer cells are fuller; what they hold exactly, the next build reports.
    fuller = int(np.ceil(cell * np.prod(plan.grid) / np.prod(kept)))
    room = plan.cell_capacity
    if fuller > room:
        room = _rung(fuller + fuller // 8 + 1, 4, plan.atoms)
    return dataclasses.replace(plan, capacity=capacity, grid=kept, cell_capacity=room)


def _with_room(counts: Int[np.ndarray, "_"], step: int, most: int) -> int:
    """Room for counts such as these as the atoms move: for a little more than the largest of them or, where they are
    alike as in a crystal, for what they would be in its melt.

    In a dense liquid, the number of atoms in a sphere varies by a third of the root of its mean, and the largest number
    that a run will see lies five to six times that above the mean.
    """
    largest, mean = float(np.max(counts, initial=0)), float(np.mean(counts)) if len(counts) else 0.0
    return _rung(int(np.ceil(max(largest + largest / 16 + 1, mean + 2 * np.sqrt(mean)))), step, most)


def _rung(wanted: int, step: int, most: int) -> int:
    """`wanted` rounded up to a short ladder (eight rungs an octave at most)."""
    wanted = max(wanted, step)
    step = max(step, 2 ** max(wanted.bit_length() - 4, 0))
    # A row or a cell with room for every atom cannot overflow, so no more is ever needed.
    return min(-(-wanted // step) * step, most)


def _candidates(plan: NeighborPlan) -> int:
    """How many places an atom's search looks at."""
    return int(np.prod([3 if g >= 3 else 1 for g in plan.grid])) * plan.cell_capacity


@dataclasses.dataclass(frozen=True, eq=False)
class AtomsToList:
    """Atoms on the host.

    Attributes:
        x: their positions.
        h: box vectors.
        shape: the box's.
        radius: how far neighbours are.
    """

    x: Float[np.ndarray, "atoms 3"]
    h: Float[np.ndarray, "3 3"]
    shape: BoxShape
    radius: float

    @property
    def widths(self) -> Float[np.ndarray, "3"]:
        """Perpendicular widths of the box; without periodicity those of the space that atoms take, and a radius."""
        if self.shape == "none":
            return np.ptp(self.x, axis=0) + self.radius
        return np.asarray(1 / np.linalg.norm(np.linalg.inv(self.h), axis=0))

    def finest_grid(self) -> Grid:
        """As many cells of at least `radius` as fit (with one part in a thousand to spare), but no more than atoms."""
        fit = np.clip(np.floor(self.widths / (self.radius * 1.001)), 1, 1000).astype(int)
        while np.prod(fit) > max(27, len(self.x)):
            fit[np.argmax(fit)] -= 1
        return tuple(int(k) if k >= 3 else 1 for k in fit)  # type: ignore[return-value]

    def cells(self, grid: Grid) -> Int[np.ndarray, "atoms"]:
        """The cell of each atom, as `search` cuts them."""
        counts = np.asarray(grid)
        s = self.x / (counts * self.radius * 1.001) if self.shape == "none" else self.x @ np.linalg.inv(self.h)
        inside = np.clip(np.floor((s - np.floor(s)) * counts), 0, counts - 1).astype(int)
        return np.ravel_multi_index(tuple(inside.T), grid)

    def neighbors(self, grid: Grid) -> Int[np.ndarray, "sample"]:
        """How many neighbours atoms have: all, or a sample of them."""
        n, cell = len(self.x), self.cells(grid)
        order = np.argsort(cell, kind="stable")
        count = np.bincount(cell, minlength=int(np.prod(grid)))
        k = np.arange(count.max(initial=0))
        first = np.cumsum(count) - count
        table = np.where(k < count[:, None], order[np.minimum(first[:, None] + k, n - 1)], -1)
        adjacent, _ = around(grid)
        sample = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(int))
        found = []
        for some in np.array_split(sample, max(1, sample.size * adjacent.shape[1] * len(k) // _AT_ONCE)):
            others = table[adjacent[cell[some]]].reshape(len(some), -1)
            near = self._near(self.x[some][:, None] - self.x[others], grid)
            found.append(np.sum(near & (others >= 0) & (others != some[:, None]), axis=1))
        return np.concatenate(found)

    def _near(self, d: Float[np.ndarray, "*pairs 3"], grid: Grid) -> Bool[np.ndarray, "*pairs"]:
        """Whether some image of d is within the radius, as `search` finds it."""
        if self.shape == "none":
            return np.asarray(np.sum(d * d, axis=-1) <= self.radius**2)
        d = d - np.round(d @ np.linalg.inv(self.h)) @ self.h
        if self.shape == "orthorhombic" or min(grid) >= 3:
            return np.asarray(np.sum(d * d, axis=-1) <= self.radius**2)
        if self.radius > self.widths.min():
            return np.ones(d.shape[:-1], bool)
        images = (np.sum((d + shift @ self.h) ** 2, axis=-1) for shift in itertools.product((-1, 0, 1), repeat=3))
        return np.asarray(functools.reduce(np.minimum, images) <= self.radius**2)


def around(grid: Grid) -> tuple[Int[np.ndarray, "cells around"], Int[np.ndarray, "around 3"]]:
    """The cells to search for each cell, itself and those around it, each once; and the steps that lead there."""
    cells = np.stack(np.unravel_index(np.arange(int(np.prod(grid))), grid), axis=-1)
    steps = np.asarray(list(itertools.product(*[(-1, 0, 1) if g >= 3 else (0,) for g in grid])))
    reached = (cells[:, None, :] + steps) % np.asarray(grid)
    return np.ravel_multi_index(tuple(np.moveaxis(reached, -1, 0)), grid).astype(np.int32), steps
