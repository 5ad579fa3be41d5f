"""Arrays by path as named columns: what tables and curves are made of."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

MOST_COLUMNS = 1000


def columns(
    prefix: str, values: Mapping[str, np.ndarray], units: Mapping[str, str] = MappingProxyType({})
) -> dict[str, np.ndarray]:
    """Path -> (rows, ...) as ``<prefix><path>.<index>`` -> (rows,); at most `MOST_COLUMNS`. Those of a path in `units`
    say their unit, ``<path> (nm)``."""
    found: dict[str, np.ndarray] = {}
    for path, array in values.items():
        flat = array.reshape(len(array), int(np.prod(array.shape[1:], dtype=int)))
        indices = itertools.product(*map(range, array.shape[1:]))
        for column, index in zip(flat.T, itertools.islice(indices, MOST_COLUMNS - len(found)), strict=False):
            unit = f" ({units[path]})" if path in units else ""
            found[prefix + ".".join((path, *map(str, index))) + unit] = column
    return found


def is_angle(dimension: str) -> bool:
    """Whether a dimension is an angle, which pictures show in degrees."""
    return dimension == "angle"


def shown(values: np.ndarray, dimension: str) -> np.ndarray:
    """Values as a picture shows them: angles in degrees."""
    return np.degrees(values) if is_angle(dimension) else values
