"""Crystal lattices that fill a box evenly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float

LatticeName = Literal["sc", "bcc", "fcc", "diamond"]

_FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]

BASES: Mapping[LatticeName, Float[np.ndarray, "sites 3"]] = {
    "sc": np.zeros((1, 3)),
    "bcc": np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
    "fcc": np.array(_FCC),
    "diamond": np.concatenate([np.array(_FCC), np.array(_FCC) + 0.25]),
}
"""Sites of the cubic cell, in units of its edge."""


def cubic_edge(count: int, density: float) -> float:
    """Edge of the cube that holds `count` atoms at `density` (atoms per length^3)."""
    return (count / density) ** (1 / 3)


def cells(lattice: LatticeName, count: int, vectors: Float[np.ndarray, "3 3"]) -> tuple[int, int, int]:
    """How many cells fit along each box vector: sites for `count` atoms, few of them empty, cells nearly cubic."""
    needed = math.ceil(count / len(BASES[lattice]))
    edges = np.linalg.norm(vectors, axis=1)
    ideal = edges * (needed / np.prod(edges)) ** (1 / 3)
    ranges = [np.arange(max(1, int(k / 2)), min(needed, int(2 * k) + 2) + 1) for k in ideal[:2]]
    x, y = np.meshgrid(*ranges, indexing="ij")
    z = -(-needed // (x * y))
    spacing = np.stack([edges[0] / x, edges[1] / y, edges[2] / z])
    # Empty sites and stretched cells count alike; the first of equals is taken.
    cost = x * y * z / needed * spacing.max(axis=0) / spacing.min(axis=0)
    best = np.unravel_index(np.argmin(np.round(cost, 9)), cost.shape)
    return int(x[best]), int(y[best]), int(z[best])


def fill(lattice: LatticeName, count: int, vectors: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "count 3"]:
    """`count` sites of the lattice that spans the box; where it has more, the empty ones are spread evenly."""
    counts = cells(lattice, count, vectors)
    corners = np.stack(np.meshgrid(*[np.arange(k) for k in counts], indexing="ij"), axis=-1).reshape(-1, 1, 3)
    # Off the faces by an eighth of a cell, so that rounding leaves every atom in the box.
    sites = ((corners + BASES[lattice] + 0.125) / counts).reshape(-1, 3)
    return sites[np.arange(count) * len(sites) // count] @ vectors
