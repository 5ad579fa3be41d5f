"""xyz and extended xyz, in the units that QUIP and GPUMD write: Angstrom, Angstrom/fs."""

from __future__ import annotations

from pathlib import Path

from diffmd.errors import ConfigError
from diffmd.io.structures.base import ANGSTROM, ANGSTROM_PER_FS, Structure, pick_frame, turned
from diffmd.io.structures.elements import element_masses, element_numbered, element_of
from diffmd.io.structures.xyz_frames import XyzFrame, read_xyz_frame
from diffmd.units import Units


def read_xyz(path: Path, frame: int, units: Units) -> Structure:
    """Frame `frame` of an xyz or extended xyz file.

    Raises:
        ConfigError: it is no xyz file, or damaged.
        OSError: it cannot be read at all.
    """
    raw = read_xyz_frame(path, lambda count: pick_frame(count, frame, path))
    md = units.name == "md"
    length, speed = (ANGSTROM, ANGSTROM_PER_FS) if md else (1.0, 1.0)
    names, elements = _named(raw, path)
    masses = element_masses(elements) if raw.masses is None and md else raw.masses
    velocities = None if raw.velocities is None else raw.velocities * speed
    if velocities is None and raw.momenta is not None and masses is not None:
        velocities = raw.momenta / masses[:, None] * (_ase_speed() if md else 1.0)
    positions, velocities, box = turned(
        raw.positions * length, velocities, None if raw.cell is None else raw.cell * length, path
    )
    notes: tuple[str, ...] = ()
    if raw.left_out:
        notes = (
            f"{path}: {raw.left_out} more columns than species and position are left out; "
            "Properties=... in the comment line says what columns are",
        )
    return Structure(positions, velocities, box, names, elements, masses, raw.charges, raw.step, notes)


def _named(raw: XyzFrame, path: Path) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """Names and elements; names that are all elements, as they stand, are meant so."""
    if raw.numbers is None:
        return raw.names, tuple(name if element_of(name) == name else None for name in raw.names)
    found = tuple(map(element_numbered, raw.numbers))
    for k, (z, element) in enumerate(zip(raw.numbers, found, strict=True)):
        if element is None and z:
            raise ConfigError(f"cannot read {path}: the atomic number of atom {k} is {z}")
    symbols = tuple(element or "X" for element in found)
    return (symbols if raw.names == tuple(map(str, raw.numbers)) else raw.names), found


def _ase_speed() -> float:
    """ASE's unit of velocity in nm/ps."""
    import ase.units

    return ase.units.fs * ANGSTROM_PER_FS
