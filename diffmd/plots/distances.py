"""Distances and radial distribution functions in NumPy, independent of the engine.

g_AB(r) = V n(r) / (N_A N_B v(r)), with n(r) the number of ordered pairs (a of type A, b of type B, a != b) whose
minimum-image distance lies in the bin, v(r) = 4 pi (r_+^3 - r_-^3) / 3 the bin's volume; for A = B the number of pairs
is N_A (N_A - 1), so that an ideal gas has g = 1 whatever its size. Up to half the smallest perpendicular width of the
box every image of every pair is counted once.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

_CHUNK_PAIRS = 1 << 19


@dataclasses.dataclass(frozen=True)
class Distribution:
    """A radial distribution.

    Attributes:
        r: middles of the bins (bins,).
        g: (bins,); without a box, where there is no density to compare with, the probability density of the distance.
        frames: how many frames it is averaged over.
        periodic: whether there is a box.
    """

    r: Float[np.ndarray, "bins"]
    g: Float[np.ndarray, "bins"]
    frames: int
    periodic: bool


def widths(box: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Perpendicular widths of the box with rows a, b, c."""
    return 1 / np.linalg.norm(np.linalg.inv(box), axis=0)


def minimum_image(d: Float[np.ndarray, "*n 3"], box: Float[np.ndarray, "3 3"] | None) -> Float[np.ndarray, "*n 3"]:
    """The shortest image of displacements; of triclinic boxes 27 images are compared."""
    if box is None:
        return d
    d = d - np.round(d @ np.linalg.inv(box)) @ box
    if np.count_nonzero(box - np.diag(np.diagonal(box))) == 0:
        return d
    best, shortest = d, np.sum(d**2, axis=-1)
    for shift in itertools.product((-1, 0, 1), repeat=3):
        image = d + np.asarray(shift) @ box
        length = np.sum(image**2, axis=-1)
        best = np.where((length < shortest)[..., None], image, best)
        shortest = np.minimum(length, shortest)
    return best


def radial_distribution(
    frames: Iterable[tuple[Float[np.ndarray, "atoms 3"], Float[np.ndarray, "3 3"] | None]],
    first: Bool[np.ndarray, "atoms"],
    second: Bool[np.ndarray, "atoms"],
    r_max: float,
    bins: int,
) -> Distribution:
    """g(r) between two selections, averaged over (positions, box) frames.

    Args:
        frames: positions, wrapped or not, and the matrix H (rows a, b, c) or None.
        first, second: which atoms belong to either selection.
        r_max: upper end of the last bin; at most half the smallest width of any box.
        bins: number of bins, from 0.

    Raises:
        ValueError: there is no pair, or no frame.
    """
    pairs = int(first.sum()) * int(second.sum()) - int((first & second).sum())
    if pairs < 1:
        raise ValueError("no pair of atoms")
    edges = np.linspace(0, r_max, bins + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    total, count, periodic = np.zeros(bins), 0, True
    for positions, box in frames:
        counts = _histogram(np.asarray(positions, np.float64), box, first, second, edges)
        if box is None:
            periodic, density = False, 1 / np.diff(edges)
        else:
            density = abs(np.linalg.det(box)) / shells
        total += counts * density / pairs
        count += 1
    if count == 0:
        raise ValueError("no frame")
    return Distribution((edges[1:] + edges[:-1]) / 2, total / count, count, periodic)


def _histogram(
    positions: np.ndarray, box: np.ndarray | None, first: np.ndarray, second: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    counts = np.zeros(len(edges) - 1)
    rows, columns = np.flatnonzero(first), np.flatnonzero(second)
    step = max(1, _CHUNK_PAIRS // len(columns))
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        d = minimum_image(positions[chunk, None] - positions[None, columns], box)
        r = np.sqrt(np.sum(d**2, axis=-1))
        counts += np.histogram(r[chunk[:, None] != columns[None, :]], edges)[0]
    return counts
