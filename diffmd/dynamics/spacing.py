"""How far apart atoms are: the nearest other atom of each, on the host."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float, Int

from diffmd.box import BoxShape

_FEW = 20_000
"""Pairs that are all looked at."""
_FIRST_REACH = 2.0
"""How far images are looked for at first, in (volume per atom)^(1/3)."""


def nearest_atoms(
    positions: Float[np.ndarray, "atoms 3"], vectors: Float[np.ndarray, "3 3"], shape: BoxShape
) -> tuple[Float[np.ndarray, "atoms"], Int[np.ndarray, "atoms"]]:
    """Distance [length] of each atom's nearest other atom (nearest image), and which it is; infinite for a lone atom.

    Args:
        positions: unwrapped.
        vectors, shape: of the box (see `Box`).
    """
    x = np.asarray(positions, float)
    if len(x) < 2 or not np.isfinite(x).all():
        return np.full(len(x), np.inf), np.zeros(len(x), int)
    if shape == "none":
        return _nearest(x, x, np.arange(len(x)))
    h = np.asarray(vectors, float)
    inverse = np.linalg.inv(h)
    widths = 1 / np.linalg.norm(inverse, axis=0)
    s = x @ inverse
    s -= np.floor(s)
    reach = _FIRST_REACH * (abs(np.linalg.det(h)) / len(x)) ** (1 / 3)
    while True:
        points, atoms = _with_images(s, reach / widths)
        distance, other = _nearest(s @ h, points @ h, atoms)
        # What is nearer than the images reach is the nearest.
        if distance.max() <= reach or reach >= widths.max():
            return distance, other
        reach *= 2


def _with_images(
    s: Float[np.ndarray, "atoms 3"], margin: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "points 3"], Int[np.ndarray, "points"]]:
    """Fractional coordinates of the atoms, first, and of their images within `margin` of the box; whose they are."""
    points, atoms = [s], [np.arange(len(s))]
    for shift in itertools.product((-1, 0, 1), repeat=3):
        if any(shift):
            moved = s + shift
            near = np.all((moved >= -margin) & (moved <= 1 + margin), axis=1)
            points.append(moved[near])
            atoms.append(np.flatnonzero(near))
    return np.concatenate(points), np.concatenate(atoms)


def _nearest(
    x: Float[np.ndarray, "atoms 3"], points: Float[np.ndarray, "points 3"], atoms: Int[np.ndarray, "points"]
) -> tuple[Float[np.ndarray, "atoms"], Int[np.ndarray, "atoms"]]:
    """The nearest of `points` that is no image of the atom itself, whose images are in `atoms`."""
    if len(x) * len(points) <= _FEW:
        d = np.linalg.norm(x[:, None] - points, axis=2)
        d[np.arange(len(x))[:, None] == atoms] = np.inf
        place = np.argmin(d, axis=1)
        return d[np.arange(len(x)), place], atoms[place]
    # Scipy takes longer to import than few distances to compute.
    from scipy.spatial import cKDTree

    # An atom and its own images are at most 27 of the points; but for tiny boxes, two do.
    distance, which = np.full(len(x), np.inf), np.zeros(len(x), int)
    left = np.arange(len(x))
    for count in (2, 28):
        found = cKDTree(points).query(x[left], k=min(count, len(points)))
        near, place = (np.asarray(part) for part in found)
        others = atoms[place] != left[:, None]
        first = np.argmax(others, axis=1)
        rows = np.arange(len(left))
        known = others[rows, first]
        distance[left[known]] = near[rows, first][known]
        which[left[known]] = atoms[place[rows, first]][known]
        left = left[~known]
        if not len(left):
            break
    return distance, which
