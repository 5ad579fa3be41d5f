"""A chain of atoms one bond length apart, folded so that it fits its box."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from diffmd.errors import ConfigError

# In units of the bond length:
_STEP = math.sqrt(3) / 2
"""Advance of a bond along its row; it zigzags by half a bond across."""

_ROWS = 2 * _STEP
"""Distance between rows, and between layers: a turn takes two bonds."""

_GAP = 1.25
"""Least distance between the chain's outermost atoms and its images."""


def fold(count: int, bond: float, widths: Float[np.ndarray, "3"] | None, path: str) -> Float[np.ndarray, "count 3"]:
    """A zigzag (bond angle 120 degrees) that runs up and down in rows, and layer by layer where it must.

    Atoms that are not bonded are further apart than a bond, and so are the chain's images. It lies within 0 <= x_k <=
    widths_k.

    Args:
        widths: perpendicular widths of the box; None where there is none: one straight zigzag.
        path: the config's path of the bond length, for errors.

    Raises:
        ConfigError: the chain does not fit the box.
    """
    bonds = count - 1
    shape = (bonds, 1, 1) if widths is None else _rows(bonds, widths / bond - _GAP)
    if shape is None:
        edge = (_ROWS * _ROWS * _STEP * count) ** (1 / 3) + 3
        raise ConfigError(
            f"a chain of {count} atoms with bonds of {bond:g} does not fit the box; "
            f"write a box of edge {edge * bond:.3g} or more, or shorter bonds",
            path,
        )
    x = bond * np.cumsum([(0.0, 0.0, 0.0), *itertools.islice(_steps(*shape), bonds)], axis=0)
    middle = 0 if widths is None else widths / 2
    return x - (x.max(axis=0) + x.min(axis=0)) / 2 + middle


def _rows(bonds: int, room: Float[np.ndarray, "3"]) -> tuple[int, int, int] | None:
    """Bonds a row, rows a layer and layers that hold so many bonds in the room, or None."""
    if bonds == 0:
        return (0, 1, 1)
    along = math.floor(room[0] / _STEP + 1e-9)
    # The turn from layer to layer sticks out by half a bond at either side.
    one, many = (math.floor((room[1] - out) / _ROWS + 1) for out in (0, 1))
    layers = math.floor((room[2] - 0.5) / _ROWS + 1)
    if along < 1 or one < 1 or layers < 1:
        return None
    if bonds <= one * along + 2 * (one - 1):
        return (along, one, 1)
    if many >= 1 and bonds <= layers * (many * along + 2 * (many - 1)) + 2 * (layers - 1):
        return (along, many, layers)
    return None


def _steps(along: int, rows: int, layers: int) -> Iterator[tuple[float, float, float]]:
    """The bonds one after another, of length 1."""
    forth, outward = 1, 1
    zigzag = itertools.cycle((0.5, -0.5))
    for layer in range(layers):
        for row in range(rows):
            for _ in range(along):
                yield (forth * _STEP, 0.0, next(zigzag))
            forth = -forth
            if row < rows - 1:
                yield (0.0, outward * _STEP, next(zigzag))
                yield (0.0, outward * _STEP, next(zigzag))
        if layer < layers - 1:
            yield (0.0, outward * 0.5, _STEP)
            yield (0.0, -outward * 0.5, _STEP)
        outward = -outward
