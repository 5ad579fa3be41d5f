"""xyz and extended xyz, in the units that QUIP and GPUMD write: Angstrom, Angstrom/fs."""

from __future__ import annotations

from pathlib import Path

from diffmd.io.structures.base import ANGSTROM, ANGSTROM_PER_FS, Structure, pick_frame, turned
from diffmd.io.structures.elements import element_masses, element_of
from diffmd.io.structures.through_ase import ase_speed
from diffmd.io.structures.xyz_frames import XyzFrame, read_xyz_frame
from diffmd.units import Units


def read_xyz(path: Path, frame: int, units: Units) -> Structure:
    """Frame `frame` of an xyz or extended xyz file. Raises ConfigError."""
    raw: XyzFrame = read_xyz_frame(path, lambda count: pick_frame(count, frame, path))
    md = units.name == "md"
    length, speed = (ANGSTROM, ANGSTROM_PER_FS) if md else (1.0, 1.0)
    elements = tuple(map(element_of, raw.types))
    masses = raw.masses
    if masses is None and md:
        masses = element_masses(elements)
    velocities = None if raw.velocities is None else raw.velocities * speed
    if velocities is None and raw.momenta is not None and masses is not None:
        velocities = raw.momenta / masses[:, None] * (ase_speed() if md else 1.0)
    positions, velocities, box = turned(
        raw.positions * length, velocities, None if raw.cell is None else raw.cell * length, path
    )
    return Structure(positions, velocities, box, raw.types, elements, masses, raw.charges, raw.step)
