"""Writing structures as extended xyz or PDB, for programs that read no HDF5."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from diffmd.errors import OutputError
from diffmd.io.files import replacing
from diffmd.io.structures.base import ANGSTROM, ANGSTROM_PER_FS, Structure
from diffmd.units import Units

StructureFormat = Literal["extxyz", "pdb"]


def write_structure(path: Path, frames: Iterable[Structure], format: StructureFormat, units: Units) -> None:
    """Writes frames, one after another, as one file that appears when it is whole.

    extxyz: species, pos, vel, mass, charge (those there are) and the step; in md units Angstrom, Angstrom/fs, g/mol,
    e; in reduced units the numbers as they are, with all their digits. PDB: a model a frame, Angstrom, three decimals;
    names of types are cut to four letters, and what is no element has the symbol X.

    Raises:
        OutputError: the file cannot be written, or PDB's columns cannot hold a coordinate.
    """
    lines = _FORMATS[format]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for number, frame in enumerate(frames):
            file.writelines(f"{line}\n" for line in lines(frame, number, units))
        if format == "pdb":
            file.write("END\n")


def _extxyz(frame: Structure, number: int, units: Units) -> Iterator[str]:
    length, speed = (ANGSTROM, ANGSTROM_PER_FS) if units.name == "md" else (1.0, 1.0)
    columns, names = [frame.positions / length], ["species:S:1", "pos:R:3"]
    for name, values, unit in (
        ("vel:R:3", frame.velocities, speed),
        ("mass:R:1", frame.masses, 1.0),
        ("charge:R:1", frame.charges, 1.0),
    ):
        if values is not None:
            columns.append(values.reshape(len(frame.types()), -1) / unit)
            names.append(name)
    yield str(len(frame.types()))
    lattice = "" if frame.box is None else f'Lattice="{" ".join(map(repr, (frame.box / length).ravel().tolist()))}" '
    periodic = "F F F" if frame.box is None else "T T T"
    yield f'{lattice}Properties={":".join(names)} pbc="{periodic}" step={frame.step}'
    for name, row in zip(frame.types(), np.concatenate(columns, axis=1).tolist(), strict=True):
        yield " ".join([name, *map(repr, row)])


def _pdb(frame: Structure, number: int, units: Units) -> Iterator[str]:
    from ase.data import atomic_numbers

    length = ANGSTROM if units.name == "md" else 1.0
    x = frame.positions / length
    # Eight columns, three decimals.
    if np.any(x < -999.9994) or np.any(x > 9999.9994):
        raise OutputError(f"frame {number} has a coordinate that PDB has no room for; use extxyz")
    if frame.box is not None:
        a, b, c = frame.box / length
        edges = [float(np.linalg.norm(v)) for v in (a, b, c)]
        pairs = ((b, c), (a, c), (a, b))
        angles = [np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))) for u, v in pairs]
        yield "CRYST1{:9.3f}{:9.3f}{:9.3f}{:7.2f}{:7.2f}{:7.2f} P 1           1".format(*edges, *angles)
    yield f"MODEL     {(number + 1) % 10000:4d}"
    for k, (name, row) in enumerate(zip(frame.types(), x, strict=True)):
        # Without a symbol, readers would guess an element from the name.
        symbol = name if name in atomic_numbers else "X"
        yield (
            f"ATOM  {(k + 1) % 100000:5d} {name[:4]:^4s} MOL A   1    "
            "{:8.3f}{:8.3f}{:8.3f}{:6.2f}{:6.2f}          {:>2s}".format(*row, 1.0, 0.0, symbol)
        )
    yield "ENDMDL"


_FORMATS: Mapping[StructureFormat, Callable[[Structure, int, Units], Iterator[str]]] = {"extxyz": _extxyz, "pdb": _pdb}
