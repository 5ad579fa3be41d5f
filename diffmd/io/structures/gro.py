"""GRO."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffmd.errors import ConfigError
from diffmd.io.structures.base import ANGSTROM, Structure, pick_frame
from diffmd.io.structures.elements import element_of
from diffmd.io.structures.through_ase import ase_speed, of_ase, through_ase
from diffmd.units import Units


def read_gro(path: Path, frame: int, units: Units) -> Structure:
    """The frame of a GRO file. Raises ConfigError."""
    from ase.io.gromacs import read_gromacs

    lines = path.read_text().splitlines()
    count = int(lines[1]) if len(lines) > 1 and lines[1].strip().isdigit() else None
    if count is None:
        raise ConfigError(f"{path} is no GRO file: its second line is not the number of atoms")
    if len(lines) < count + 3:
        raise ConfigError(f"{path} ends after {max(len(lines) - 2, 0)} of {count} atoms and a box: it is truncated")
    if any(line.strip() for line in lines[count + 3 :]):
        raise ConfigError(f"{path} has several frames; GRO is read with one (convert it to extxyz)")
    pick_frame(1, frame, path)
    atoms = through_ase(lambda: read_gromacs(path), path)
    velocities = atoms.get_velocities() * ase_speed() if atoms.has("momenta") else None
    cell = np.asarray(atoms.cell)
    elements = tuple(map(element_of, atoms.get_chemical_symbols()))
    names = tuple(map(str, atoms.arrays["atomtypes"]))
    return of_ase(
        atoms, names, elements, cell if atoms.pbc.any() and np.any(cell) else None, units, path, ANGSTROM, velocities
    )
