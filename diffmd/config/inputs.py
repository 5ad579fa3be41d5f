"""Numbers per atom that a config gives, inline or in a structure file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from diffmd.errors import ConfigError, DiffmdError
from diffmd.io.structures import Structure, read_structure
from diffmd.units import Units


def structure(folder: Path, name: str, frame: int, units: Units, path: str) -> Structure:
    """A frame of a structure file.

    Args:
        folder: what a relative `name` is relative to.
        path: the config's path of the section with ``path`` and ``frame``, for errors.

    Raises:
        ConfigError: the file is missing, damaged or of no known kind, or has no such frame.
    """
    try:
        return read_structure(folder / Path(name).expanduser(), frame, units)
    except DiffmdError as error:
        raise ConfigError(str(error), f"{path}.path") from error


def per_atom(values: Sequence[Sequence[float]] | np.ndarray, count: int, path: str) -> Float[np.ndarray, "count 3"]:
    """`values` as an array (count, 3). Raises ConfigError where there are more or fewer atoms than `count`."""
    if len(values) != count:
        raise ConfigError(f"has {len(values)} atoms, but the system has {count}", path)
    return np.array(values, float).reshape(count, 3)
