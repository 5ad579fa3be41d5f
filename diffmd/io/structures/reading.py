"""Which reader reads a structure file, by its suffix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from diffmd.errors import ConfigError
from diffmd.io.files import reason
from diffmd.io.structures.base import Structure
from diffmd.io.structures.gro import read_gro
from diffmd.io.structures.mmcif import read_mmcif
from diffmd.io.structures.pdb import read_pdb
from diffmd.io.structures.trajectory import read_trajectory_frame
from diffmd.io.structures.xyz import read_xyz
from diffmd.units import Units


def read_structure(path: Path, frame: int, units: Units) -> Structure:
    """Frame `frame` (from 0; negative counts from the end) of a file, by its suffix, in the units of `units`.

    Raises:
        ConfigError: there is no such file or frame, it is of no known kind, or damaged.
        OutputError: an HDF5 trajectory is missing or damaged.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise ConfigError(f"{path} is no structure file that diffmd reads: its name must end in one of {known}")
    if path.is_dir():
        raise ConfigError(f"cannot read {path}: it is a directory")
    try:
        found = reader(path, frame, units)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {reason(error)}") from error
    if not len(found.positions):
        raise ConfigError(f"{path} has no atoms")
    if not np.all(np.isfinite(found.positions)):
        raise ConfigError(f"{path} has a position that is not a finite number")
    return found


_READERS: Mapping[str, Callable[[Path, int, Units], Structure]] = {
    ".extxyz": read_xyz,
    ".xyz": read_xyz,
    ".pdb": read_pdb,
    ".cif": read_mmcif,
    ".mmcif": read_mmcif,
    ".pdbx": read_mmcif,
    ".gro": read_gro,
    ".h5md": read_trajectory_frame,
}
