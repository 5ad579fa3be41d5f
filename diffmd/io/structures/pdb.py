"""PDB: fixed columns, lengths in Angstrom.

The lines are read here, for the readers there are take ``********`` for 0, guess elements that are not told, and leave
out what follows the first END; gemmi knows the residues and the unit cell. Numbers of atoms and residues only tell
residues apart, so hybrid-36, hexadecimal and wrapped ones need no decoding.

Source: https://www.wwpdb.org/documentation/file-format-content/format33/v3.3.html.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from diffmd.errors import ConfigError
from diffmd.io.structures.base import Structure, pick_frame
from diffmd.io.structures.elements import element_of
from diffmd.io.structures.sites import Site, cell_of, structure_of_sites
from diffmd.io.structures.text import number, read_lines, refused, shown
from diffmd.units import Units

_ATOM = ("ATOM", "HETATM")
_NAME, _ALTERNATE, _RESIDUE, _NUMBER = slice(12, 16), 16, slice(17, 21), slice(21, 27)
_COORDINATES = (("x", 30, 38), ("y", 38, 46), ("z", 46, 54))
_OCCUPANCY, _SYMBOL = slice(54, 60), slice(76, 78)
_EDGES, _ANGLES = ((6, 15), (15, 24), (24, 33)), ((33, 40), (40, 47), (47, 54))
_END = re.compile(r"(END|ENDMDL)\s*$")
_DECIMAL = re.compile(r"\d\.\d")
_WITH_DECIMALS = re.compile(
    r"HEADER|TITLE|COMPND|SOURCE|EXPDTA|REMARK|JRNL|USER|HELIX|SHEET|SSBOND|LINK|HYDBND|SLTBRG|CISPEP|SITE|CRYST|ORIGX"
    r"|SCALE|MTRIX|TVECT|ANISOU|SIGATM|SIGUIJ|TER|CONECT|MASTER|HET   |HETNAM|HETSYN|FORMUL|MODRES|#"
)
"""Begins what may hold decimal numbers and is no atom."""
TYPE_REMARK = "REMARK   6 TYPE "
"""Begins diffmd's own remark on a type whose name is longer than PDB has columns for: the short name, the whole."""

OWN_MASSES_REMARK = "REMARK   6 MASSES ARE NOT THOSE OF THE ELEMENTS"
"""diffmd's own remark on a run whose masses a PDB file has no place for."""


@dataclasses.dataclass
class _Model:
    atoms: list[int] = dataclasses.field(default_factory=list)
    cell: int | None = None
    """Lines, from 0."""


def read_pdb(path: Path, frame: int, units: Units) -> Structure:
    """Model `frame` of a PDB file.

    Raises:
        ConfigError: it has no atoms, or is damaged.
        OSError: it cannot be read at all.
    """
    lines = read_lines(path)
    models = _models(lines, path)
    if not models:
        raise ConfigError(f"{path} has no ATOM or HETATM lines")
    model = models[pick_frame(len(models), frame, path)]
    longer = {short: name for line in lines if line.startswith(TYPE_REMARK) for short, name in [_longer(line)]}
    for first, second in _repeated(lines, model.atoms):
        raise refused(path, second, f"it repeats line {first + 1}")
    sites = [_site(lines[at], longer, path, at) for at in model.atoms]
    cell, notes = (None, ()) if model.cell is None else _cell(lines[model.cell], units, path, model.cell)
    if not any(_END.match(line) for line in lines):
        notes += (f"{path} has no END, so that it may have been cut short: {len(sites)} lines of atoms were read",)
    found = structure_of_sites(sites, cell, units, path, notes)
    return dataclasses.replace(found, masses=None) if OWN_MASSES_REMARK in lines else found


def _models(lines: Sequence[str], path: Path) -> list[_Model]:
    """Frames as MODEL, ENDMDL and END part them, each with the last CRYST1 before its end."""
    found: list[_Model] = []
    now, opened = _Model(), None
    modelled = any(line[:6].rstrip() == "MODEL" for line in lines)
    for at, line in enumerate(lines):
        record = line[:6].rstrip()
        if line.startswith(_ATOM):
            if modelled and opened is None:
                raise refused(path, at, "this atom stands outside of MODEL and ENDMDL")
            now.atoms.append(at)
        elif record == "CRYST1":
            now.cell = at
        elif record in ("MODEL", "ENDMDL", "END"):
            if now.atoms:
                found.append(now)
                now = _Model(cell=now.cell)
            opened = at if record == "MODEL" else None
        elif not _WITH_DECIMALS.match(line) and len(_DECIMAL.findall(line)) >= 3:
            raise refused(path, at, f"it has coordinates, but is no ATOM or HETATM: {shown(line[:30])}")
    if opened is not None:
        raise refused(path, opened, "this MODEL has no ENDMDL: the file is truncated")
    return [*found, now] if now.atoms else found


def _repeated(lines: Sequence[str], atoms: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Numbers of lines that say the same of the same atom."""
    seen: dict[str, int] = {}
    for at in atoms:
        if (first := seen.setdefault(lines[at].rstrip(), at)) != at:
            yield first, at


def _site(line: str, longer: dict[str, str], path: Path, at: int) -> Site:
    position, length = [], len(line.rstrip())
    if "\t" in line[: _COORDINATES[-1][2]]:
        raise refused(path, at, "it holds a tab, and PDB goes by columns; write spaces in its place")
    for axis, first, last in _COORDINATES:
        value = number(line[first:last])
        if length < last:
            told = f"line {at + 1} ends before the atom's coordinates do ({axis} is columns {first + 1}-{last})"
            raise ConfigError(f"cannot read {path}: {told}: it is damaged or truncated")
        if value is None:
            raise refused(
                path, at, f"columns {first + 1}-{last} should be the atom's {axis}, not {shown(line[first:last])}"
            )
        position.append(value)
    # Occupancy, B factor, perhaps a charge and a radius: more would be another atom's coordinates.
    if len(_DECIMAL.findall(line[_COORDINATES[-1][2] :])) > 4:
        raise refused(path, at, f"another atom follows in it: {shown(line[54:])}")
    columns = line[_NAME]
    name = columns.strip()
    if not name or not name.isascii() or " " in name:
        raise refused(path, at, f"columns 13-16 should be the atom's name, not {shown(columns)}")
    occupancy, alternate = 1.0, line[_ALTERNATE].strip()
    if alternate and line[_OCCUPANCY].strip():
        value = number(line[_OCCUPANCY])
        if value is None:
            raise refused(path, at, f"columns 55-60 should be the occupancy, not {shown(line[_OCCUPANCY])}")
        occupancy = value
    symbol = line[_SYMBOL].strip()
    return Site(
        name=longer.get(name, name),
        position=(position[0], position[1], position[2]),
        residue=line[_RESIDUE].strip(),
        residue_key=(line[_NUMBER],),
        alternate=alternate,
        occupancy=occupancy,
        symbol=symbol if symbol.isalpha() else "",
        by_columns=_by_columns(columns),
    )


def _by_columns(name: str) -> str | None:
    """The element that the name's columns say: its symbol ends in column 14."""
    bare = name.strip()
    if not bare.isupper() and element_of(bare) == bare:
        return bare
    if name[0] == " " or name[0].isdigit():
        return element_of(name[1])
    if name[1].isdigit():
        return element_of(name[0])
    if name[3] != " ":
        # Names of four characters leave no room for the rule; the format has them for hydrogens.
        return element_of(name[0]) if name[0] in "HD" else None
    return element_of(name[:2])


def _cell(line: str, units: Units, path: Path, at: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    text = line.rstrip()
    edges = [_cell_number(text, first, last, path, at) for first, last in _EDGES]
    given = [span for span in _ANGLES if text[slice(*span)].strip()]
    notes: tuple[str, ...] = ()
    if not any(edges):
        return None, notes
    if given:
        angles = [_cell_number(text, first, last, path, at) for first, last in _ANGLES]
    else:
        angles = [90.0, 90.0, 90.0]
        notes = (f"{path}, line {at + 1}: CRYST1 has no angles; they are taken as 90 degrees",)
    cell = cell_of(edges, angles, path)
    if cell is None and units.name != "md":
        notes = (f"{path}, line {at + 1}: a CRYST1 of 1 x 1 x 1 stands for no crystal: there is no box",)
    return cell, notes


def _cell_number(text: str, first: int, last: int, path: Path, at: int) -> float:
    field = text[first:last]
    value = number(field)
    if value is None or "." not in field or len(text) < last:
        cut = " and the line is cut short" if len(text) < last else ""
        raise refused(
            path, at, f"columns {first + 1}-{last} of CRYST1 should be a decimal number, not {shown(field)}{cut}"
        )
    return value


def _longer(line: str) -> tuple[str, str]:
    short, _, name = line.removeprefix(TYPE_REMARK).strip().partition(" ")
    return short, name.strip()
