"""Where a trajectory is looked at from: an orthographic view that shows box and atoms.

Atoms that stay in a plane across an axis are looked at straight; others from above and from the side. Screen
coordinates are in pixels, x to the right, y down; depth is 0 at the back and 1 in front, and 1 everywhere
in a straight view.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float, Int

_FLAT = 0.02
# Azimuth and elevation: seen from the front (-y), turned about z and raised, so that z points up in the picture.
_TURN, _RISE = (np.cos(0.42), np.sin(0.42)), (np.cos(0.30), np.sin(0.30))
_RAISED = np.array(
    [
        [_TURN[0], _TURN[1], 0],
        [-_TURN[1] * _RISE[1], _TURN[0] * _RISE[1], _RISE[0]],
        [_TURN[1] * _RISE[0], -_TURN[0] * _RISE[0], _RISE[1]],
    ]
)
_CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))
EDGES = tuple((i, j) for i, j in itertools.combinations(range(8), 2) if np.abs(_CORNERS[i] - _CORNERS[j]).sum() == 1)


@dataclasses.dataclass(frozen=True)
class Camera:
    """An orthographic camera.

    Attributes:
        rotation: rows: right, up, towards the viewer.
        centre: the point in the middle of the picture.
        scale: pixels a unit of length.
        size: width and height in pixels.
        near, far: the range of depths, along the third row, from the centre; equal in a straight view.
    """

    rotation: Float[np.ndarray, "3 3"]
    centre: Float[np.ndarray, "3"]
    scale: float
    size: tuple[int, int]
    near: float
    far: float

    def project(self, points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n"]]:
        """Pixels and depths of points."""
        seen = (points - self.centre) @ self.rotation.T
        half = np.asarray(self.size) / 2
        pixels = half + self.scale * seen[:, :2] * np.array([1, -1])
        if self.near <= self.far:
            return pixels, np.ones(len(points))
        return pixels, np.clip((seen[:, 2] - self.far) / (self.near - self.far), 0, 1)


def corners(box: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "8 3"]:
    """The corners of a box whose one corner is the origin, in the order of `EDGES`."""
    return _CORNERS @ box


@dataclasses.dataclass(frozen=True)
class Sticks:
    """Straight pieces of bonds.

    Attributes:
        starts, ends: of each piece.
        owners: the atom whose colour it has, at its start.
        others: the atom towards which it goes.
    """

    starts: Float[np.ndarray, "sticks 3"]
    ends: Float[np.ndarray, "sticks 3"]
    owners: Int[np.ndarray, "sticks"]
    others: Int[np.ndarray, "sticks"]


def sticks(
    positions: Float[np.ndarray, "atoms 3"],
    bonds: Int[np.ndarray, "bonds 2"],
    d: Float[np.ndarray, "bonds 3"],
    types: Int[np.ndarray, "atoms"],
) -> Sticks:
    """Bonds as pieces that do not cross the box: whole between atoms of one type, else a half from either atom
    towards the nearest image of the other.

    Args:
        positions: of the atoms.
        bonds: pairs i, j.
        d: nearest image of x_j - x_i.
        types: of the atoms.
    """
    i, j = bonds[:, 0], bonds[:, 1]
    across = np.linalg.norm(positions[j] - positions[i] - d, axis=1) > 1e-3 * np.linalg.norm(d, axis=1)
    split = across | (types[i] != types[j])
    first = positions[i] + np.where(split, 0.5, 1.0)[:, None] * d
    second = positions[j[split]] - d[split] / 2
    return Sticks(
        np.concatenate([positions[i], positions[j[split]]]),
        np.concatenate([first, second]),
        np.concatenate([i, j[split]]),
        np.concatenate([j, i[split]]),
    )


def aim(
    positions: Float[np.ndarray, "*n 3"], box: Float[np.ndarray, "3 3"] | None, margin: float, pixels: int
) -> Camera:
    """A camera that shows all frames.

    The whole box is in the picture, unless the atoms stay in a small part of it: then they fill the picture.

    Args:
        positions: of all atoms in all frames, as they are drawn.
        box: the matrix H, rows a, b, c; None where there is no periodicity.
        margin: kept free around the atoms, in units of length.
        pixels: the longer side of the picture.
    """
    atoms = positions.reshape(-1, 3).astype(np.float64)
    flat = _flat_axis(np.ptp(atoms, axis=0), box)
    rotation = _RAISED if flat is None else _straight(flat)
    seen = atoms @ rotation.T
    low, high = seen.min(axis=0) - margin, seen.max(axis=0) + margin
    if box is not None:
        edges = corners(box) @ rotation.T
        room = np.ptp(edges, axis=0)
        if np.any((high - low)[:2] > 0.45 * room[:2]):
            low, high = np.minimum(low, edges.min(axis=0)), np.maximum(high, edges.max(axis=0))
    extent = np.maximum(high - low, 1e-9)
    # Not thinner than 2 to 1, so that a chain on a line still has a picture.
    width, height = np.maximum(extent[:2], extent[:2].max() / 2) * 1.06
    scale = pixels / max(width, height)
    # Encoders of film want even numbers.
    size = (2 * round(scale * width / 2), 2 * round(scale * height / 2))
    depth = 0.0 if flat is not None else float(extent[2]) / 2
    return Camera(rotation, ((low + high) / 2) @ rotation, float(scale), size, near=depth, far=-depth)


def _flat_axis(extent: np.ndarray, box: np.ndarray | None) -> int | None:
    width = extent.max() if box is None else np.linalg.norm(box, axis=1).max()
    return next((axis for axis in (2, 1, 0) if extent[axis] <= _FLAT * width), None)


def _straight(towards: int) -> np.ndarray:
    rotation = np.zeros((3, 3))
    right, up = {2: (0, 1), 1: (0, 2), 0: (1, 2)}[towards]
    rotation[0, right] = rotation[1, up] = 1
    rotation[2] = np.cross(rotation[0], rotation[1])
    return rotation
