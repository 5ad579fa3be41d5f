"""Writing structures as extended xyz or PDB, for programs that read no HDF5."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from diffmd.errors import OutputError
from diffmd.io.files import replacing
from diffmd.io.structures.base import ANGSTROM, ANGSTROM_PER_FS, Structure
from diffmd.io.structures.elements import element_masses, element_of
from diffmd.io.structures.pdb import OWN_MASSES_REMARK, TYPE_REMARK
from diffmd.units import Units

StructureFormat = Literal["extxyz", "pdb"]

_SAME_MASS = 0.02
"""How far, relatively, the masses of an element's atoms may be from its standard one."""


def write_structure(path: Path, frames: Iterable[Structure], format: StructureFormat, units: Units) -> None:
    """Writes frames, one after another, as one file that appears when it is whole.

    extxyz: species, pos, vel, mass, charge (those there are) and the step; in md units Angstrom, Angstrom/fs, g/mol,
    e; in reduced units the numbers as they are, with all their digits. PDB: a model a frame, Angstrom, three decimals;
    the name of a type is shortened to four letters; what is no element has the
    symbol X. Remarks tell `read_structure` the whole name, and where masses are not those of the elements.

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
            columns.append(values.reshape(len(frame.names), -1) / unit)
            names.append(name)
    yield str(len(frame.names))
    lattice = "" if frame.box is None else f'Lattice="{" ".join(map(repr, (frame.box / length).ravel().tolist()))}" '
    periodic = "F F F" if frame.box is None else "T T T"
    yield f'{lattice}Properties={":".join(names)} pbc="{periodic}" step={frame.step}'
    for name, row in zip(frame.types(), np.concatenate(columns, axis=1).tolist(), strict=True):
        yield " ".join([name, *map(repr, row)])


def _pdb(frame: Structure, number: int, units: Units) -> Iterator[str]:
    length = ANGSTROM if units.name == "md" else 1.0
    x = frame.positions / length
    # Eight columns, three decimals.
    if np.any(x < -999.9994) or np.any(x > 9999.9994):
        raise OutputError(f"frame {number} has a coordinate that PDB has no room for; use extxyz")
    types = frame.types()
    names = _short(types)
    if not number:
        for name, short in names.items():
            if name != short:
                yield f"{TYPE_REMARK}{short} {name}"
        if _own_masses(frame, types, units):
            yield OWN_MASSES_REMARK
    if frame.box is not None:
        a, b, c = frame.box / length
        edges = [float(np.linalg.norm(v)) for v in (a, b, c)]
        pairs = ((b, c), (a, c), (a, b))
        angles = [np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))) for u, v in pairs]
        if max(edges) > 99999.9994:
            raise OutputError(f"frame {number} has a box that PDB has no room for; use extxyz")
        yield "CRYST1{:9.3f}{:9.3f}{:9.3f}{:7.2f}{:7.2f}{:7.2f} P 1           1".format(*edges, *angles)
    yield f"MODEL     {(number + 1) % 10000:4d}"
    for k, (name, row) in enumerate(zip(types, x, strict=True)):
        # Without a symbol, readers would guess an element from the name.
        symbol = name if element_of(name) == name else "X"
        # An element's symbol ends in column 14.
        columns = names[name] if len(names[name]) == 4 or len(symbol) == 2 else f" {names[name]}"
        numbers = "{:8.3f}{:8.3f}{:8.3f}{:6.2f}{:6.2f}".format(*row, 1.0, 0.0)
        yield f"ATOM  {(k + 1) % 100000:5d} {columns:4s} MOL A   1    {numbers}          {symbol:>2s}"
    yield "ENDMDL"


def _short(types: Sequence[str]) -> dict[str, str]:
    """A name of at most four characters for each type: its own, or a number that is no type's."""
    found = {name: name for name in types if len(name) <= 4}
    free = (f"T{n}" for n in itertools.count(1) if f"T{n}" not in found.values())
    for name in dict.fromkeys(types):
        if name not in found:
            found[name] = name[:4] if name[:4] not in found.values() else next(free)
    return found


def _own_masses(frame: Structure, types: Sequence[str], units: Units) -> bool:
    """Whether atoms have other masses than those of the elements that their types are named as."""
    if units.name != "md" or frame.masses is None:
        return False
    standard = element_masses([element_of(name) or "H" for name in types])
    assert standard is not None
    named = np.array([element_of(name) == name for name in types])
    return bool(np.any(named & (np.abs(frame.masses - standard) > _SAME_MASS * standard)))


_FORMATS: Mapping[StructureFormat, Callable[[Structure, int, Units], Iterator[str]]] = {"extxyz": _extxyz, "pdb": _pdb}
