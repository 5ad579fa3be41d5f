"""GRO, the format of GROMACS: columns whose width follows from the distance of the decimal points.

Source: https://manual.gromacs.org/current/reference-manual/file-formats.html#gro. Lengths in nm, velocities in nm/ps.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffmd.io.structures.base import Structure, pick_frame, turned
from diffmd.io.structures.elements import element_masses
from diffmd.io.structures.residues import residue_elements
from diffmd.io.structures.text import number, read_lines, refused, shown
from diffmd.units import Units

_RESIDUE, _NAME, _NUMBERS = slice(0, 10), slice(10, 15), 20
_BOX = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1))
"""Vector and component of each number of the box line."""


@dataclasses.dataclass(frozen=True)
class _Frame:
    first: int
    """The line of the first atom, from 0."""
    count: int

    @property
    def box(self) -> int:
        return self.first + self.count


def read_gro(path: Path, frame: int, units: Units) -> Structure:
    """Frame `frame` of a GRO file; atoms without velocities, beside others that have them, are at rest.

    Raises:
        ConfigError: it is no GRO file, or damaged.
        OSError: it cannot be read at all.
    """
    lines = read_lines(path)
    frames = _frames(lines, path)
    chosen = frames[pick_frame(len(frames), frame, path)]
    atoms = lines[chosen.first : chosen.box]
    width = _width(atoms[0], path, chosen.first) if atoms else 8
    rows = [_numbers(line, width, path, chosen.first + k) for k, line in enumerate(atoms)]
    names = tuple(line[_NAME].strip() for line in atoms)
    for k, name in enumerate(names):
        if not name or not name.isascii() or " " in name:
            raise refused(path, chosen.first + k, f"columns 11-15 hold {shown(atoms[k][_NAME])}, not an atom's name")
    velocities, notes = _velocities(rows, path)
    positions, velocities, box = turned(
        np.array([row[:3] for row in rows], float).reshape(-1, 3),
        velocities,
        _box(lines[chosen.box], path, chosen),
        path,
    )
    elements = _elements(atoms, names)
    masses = element_masses(elements) if units.name == "md" else None
    return Structure(positions, velocities, box, names, elements, masses, None, notes=notes)


def _frames(lines: Sequence[str], path: Path) -> list[_Frame]:
    found: list[_Frame] = []
    title = 0
    while any(line.strip() for line in lines[title:]):
        # An empty line is a title of its own, unless the title follows it.
        while not lines[title].strip() and not _is_count(lines, title + 1):
            title += 1
        if not _is_count(lines, title + 1):
            told = (
                f"it is no GRO file: here should be the number of atoms, not {shown(lines[title + 1])}"
                if title + 1 < len(lines)
                else ""
            )
            raise refused(path, title + 1, told or "the file ends before the number of atoms")
        frame = _Frame(title + 2, int(lines[title + 1]))
        if frame.box >= len(lines):
            got = max(len(lines) - frame.first, 0)
            raise refused(
                path,
                title + 1,
                f"it counts {frame.count} atoms, and {got} lines follow, not these and a box: truncated",
            )
        _box(lines[frame.box], path, frame)
        found.append(frame)
        title = frame.box + 1
    if not found:
        raise refused(path, 0, "the file is empty")
    return found


def _is_count(lines: Sequence[str], line: int) -> bool:
    text = lines[line].strip() if line < len(lines) else ""
    return text.isascii() and text.isdigit()


def _width(line: str, path: Path, at: int) -> int:
    """How many columns a number has: the distance of decimal points."""
    points = [k for k, character in enumerate(line) if character == "." and k >= _NUMBERS]
    distances = {second - first for first, second in itertools.pairwise(points[:3])}
    if len(points) < 3 or len(distances) != 1:
        raise refused(
            path, at, "here should be an atom, with x, y and z after column 20, their decimal points equally far apart"
        )
    return distances.pop()


def _numbers(line: str, width: int, path: Path, at: int) -> tuple[float, ...]:
    """Position, and velocity if there is one."""
    text = line[_NUMBERS:].rstrip()
    fields = [text[k : k + width] for k in range(0, len(text), width)]
    values = [number(field) for field in fields]
    if len(values) not in (3, 6) or None in values or any(field.count(".") != 1 for field in fields):
        what = f"here should be an atom, with 3 or 6 numbers after column 20, each {width} columns wide"
        raise refused(path, at, f"{what}, not {shown(text)}")
    points = [field.index(".") for field in fields]
    # A velocity has one more decimal than a position.
    if len(set(points[:3])) != 1 or len(set(points[3:])) > 1 or len(fields[-1]) != width:
        raise refused(path, at, f"its numbers do not stand in columns of width {width}: {shown(text)}")
    return tuple(value for value in values if value is not None)


def _velocities(rows: Sequence[tuple[float, ...]], path: Path) -> tuple[np.ndarray | None, tuple[str, ...]]:
    having = sum(len(row) == 6 for row in rows)
    if not having:
        return None, ()
    velocities = np.array([row[3:] or (0.0, 0.0, 0.0) for row in rows])
    if having == len(rows):
        return velocities, ()
    return velocities, (
        f"{path} has velocities of {having} of its {len(rows)} atoms; the others are taken to be at rest",
    )


def _box(line: str, path: Path, frame: _Frame) -> np.ndarray | None:
    values = [number(word) for word in line.split()]
    if len(values) not in (3, 9) or None in values:
        raise refused(
            path, frame.box, f"after {frame.count} atoms there should be the box, 3 or 9 numbers, not {shown(line)}"
        )
    cell = np.zeros((3, 3))
    for place, value in zip(_BOX, values, strict=False):
        cell[place] = value
    return cell if np.any(cell) else None


def _elements(atoms: Sequence[str], names: Sequence[str]) -> tuple[str | None, ...]:
    found: list[str | None] = []
    for residue, run in itertools.groupby(range(len(atoms)), key=lambda k: atoms[k][_RESIDUE]):
        own = [names[k] for k in run]
        found += residue_elements(residue[5:].strip(), own) or (None,) * len(own)
    return tuple(found)
