"""Frames of xyz and extended xyz as they stand in the file, whose species may be any names.

Source: https://github.com/libAtoms/extxyz#extended-xyz-specification-and-parsing-tools.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from diffmd.errors import ConfigError
from diffmd.io.structures.text import checked, number, open_text, refused, shown

_PLAIN = "species:S:1:pos:R:3"
_SPECIES = ("species", "symbol", "symbols", "element", "elements")
_NUMBERS = ("z", "numbers", "atomic_number", "atomic_numbers")
_POSITIONS = ("pos", "position", "positions")
_VELOCITIES = ("vel", "velo", "velocity", "velocities")
_MOMENTA = ("momenta", "momentum")
_MASSES = ("mass", "masses")
_CHARGES = ("charge", "charges", "initial_charges")
_PAIR = re.compile(r"""(?:"([^"]*)"|([^\s="]+))\s*=\s*(?:"([^"]*)"|'([^']*)'|\{([^}]*)\}|(\[[^=]*\])|([^\s"']+))""")
_TRUE, _FALSE = ("t", "true", "1", ".true."), ("f", "false", "0", ".false.")


@dataclasses.dataclass(frozen=True)
class XyzFrame:
    """A frame as it stands in the file; None for what it does not have."""

    names: tuple[str, ...]
    numbers: tuple[int, ...] | None
    positions: Float[np.ndarray, "atoms 3"]
    cell: Float[np.ndarray, "3 3"] | None
    velocities: Float[np.ndarray, "atoms 3"] | None
    momenta: Float[np.ndarray, "atoms 3"] | None
    masses: Float[np.ndarray, "atoms"] | None
    charges: Float[np.ndarray, "atoms"] | None
    step: int
    left_out: int
    """Number of columns that no ``Properties`` names."""


def read_xyz_frame(path: Path, pick: Callable[[int], int]) -> XyzFrame:
    """The frame that `pick` chooses, given how many there are.

    Raises:
        ConfigError: the file is no xyz file, or damaged.
        OSError: it cannot be read at all.
    """
    with open_text(path) as file:
        starts = _frame_starts(checked(iter(file), path), path)
        first, count = starts[pick(len(starts))]
        file.seek(0)
        comment, *rows = list(checked(itertools.islice(file, first + 1, first + 2 + count), path))
    return _Rows(path, first + 2, [row.split() for row in rows]).frame(comment)


def _frame_starts(lines: Iterator[str], path: Path) -> list[tuple[int, int]]:
    """Line number of each frame's first line, and its number of atoms."""
    starts: list[tuple[int, int]] = []
    at = 0
    for line in lines:
        if not line.strip():
            at += 1
            continue
        if not (line.strip().isascii() and line.strip().isdigit()):
            raise refused(path, at, f"it is no xyz file: here should be the number of atoms, not {shown(line)}")
        count = int(line)
        got = sum(1 for _ in itertools.islice(lines, count + 1))
        if got < count + 1:
            raise ConfigError(f"{path} is truncated: frame {len(starts)} has {max(got - 1, 0)} of {count} atoms")
        starts.append((at, count))
        at += count + 2
    if not starts:
        raise ConfigError(f"{path} is empty")
    return starts


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The lines of a frame's atoms, split at blanks; `first` is the number of the first, from 0."""

    path: Path
    first: int
    rows: Sequence[Sequence[str]]

    def frame(self, comment: str) -> XyzFrame:
        told = self._info(comment)
        properties = told.get("properties")
        columns = self._columns(_PLAIN if properties is None else properties, whole=properties is not None)
        width = sum(columns[name].stop - columns[name].start for name in columns)
        names, numbers = self._species(columns)
        positions = self._numbers(columns, _POSITIONS, 3)
        if positions is None:
            raise self._of_comment("its Properties name no positions; write pos:R:3")
        masses, charges = self._numbers(columns, _MASSES, 1), self._numbers(columns, _CHARGES, 1)
        for k, mass in enumerate(() if masses is None else masses[:, 0]):
            if mass <= 0:
                raise refused(self.path, self.first + k, f"the mass of atom {k} is {mass:g}; masses are positive")
        return XyzFrame(
            names,
            numbers,
            positions,
            self._cell(told),
            self._numbers(columns, _VELOCITIES, 3),
            self._numbers(columns, _MOMENTA, 3),
            None if masses is None else masses[:, 0],
            None if charges is None else charges[:, 0],
            self._step(told),
            max((len(row) for row in self.rows), default=width) - width,
        )

    def _of_comment(self, what: str) -> ConfigError:
        return refused(self.path, self.first - 1, what)

    def _info(self, comment: str) -> Mapping[str, str]:
        """Keys in lower case, and what stands behind them; empty where the comment is no list of keys."""
        pairs = {
            (m[1] or m[2] or "").lower(): next((g for g in m.groups()[2:] if g is not None), "")
            for m in _PAIR.finditer(comment)
        }
        if not {"properties", "lattice"} & pairs.keys():
            if re.search(r"\b(properties|lattice)\s*=", comment, re.IGNORECASE):
                raise self._of_comment(f"what follows Properties= or Lattice= is not readable: {shown(comment)}")
            return {}
        if _PAIR.sub("", comment).count('"'):
            raise self._of_comment(f"a quotation mark is not closed: {shown(comment)}")
        return pairs

    def _columns(self, properties: str, whole: bool) -> dict[str, slice]:
        """Where each property's columns stand; `whole`: `properties` names every column, else more may follow."""
        fields = properties.split(":")
        if len(fields) % 3 or not all(width.isdigit() and int(width) > 0 for width in fields[2::3]):
            raise self._of_comment(f"Properties should be a list of name:type:columns, not {shown(properties)}")
        names, widths = [name.lower() for name in fields[::3]], [int(width) for width in fields[2::3]]
        if len(set(names)) < len(names):
            raise self._of_comment(f"Properties name a column twice: {shown(properties)}")
        total = sum(widths)
        for k, row in enumerate(self.rows):
            if len(row) < total or (whole and len(row) > total):
                raise refused(self.path, self.first + k, f"atom {k} has {len(row)} columns, not {total}")
        edges = list(itertools.accumulate(widths, initial=0))
        return {name: slice(*edge) for name, edge in zip(names, itertools.pairwise(edges), strict=True)}

    def _found(self, columns: Mapping[str, slice], names: tuple[str, ...], width: int) -> slice | None:
        name = next((name for name in names if name in columns), None)
        if name is None:
            return None
        if (got := columns[name].stop - columns[name].start) != width:
            raise self._of_comment(f"Properties give {name} {got} columns, not {width}")
        return columns[name]

    def _species(self, columns: Mapping[str, slice]) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
        names, numbers = self._found(columns, _SPECIES, 1), self._found(columns, _NUMBERS, 1)
        if names is None and numbers is None:
            raise self._of_comment("its Properties name no species; write species:S:1, or Z:I:1 for atomic numbers")
        for k, row in enumerate(self.rows):
            if names is not None and not row[names.start].isascii():
                raise refused(
                    self.path, self.first + k, f"atom {k} has a name that is no ASCII: {shown(row[names.start])}"
                )
            if numbers is not None and not row[numbers.start].isdigit():
                raise refused(
                    self.path, self.first + k, f"the atomic number of atom {k} is {shown(row[numbers.start])}"
                )
        z = None if numbers is None else tuple(int(row[numbers.start]) for row in self.rows)
        return tuple(row[names.start] for row in self.rows) if names is not None else tuple(map(str, z or ())), z

    def _numbers(self, columns: Mapping[str, slice], names: tuple[str, ...], width: int) -> np.ndarray | None:
        where = self._found(columns, names, width)
        if where is None:
            return None
        values = [[number(text) for text in row[where]] for row in self.rows]
        for k, found in enumerate(values):
            if None in found:
                text = self.rows[k][where][found.index(None)]
                raise refused(
                    self.path, self.first + k, f"{shown(text)} is not a finite number ({names[0]} of atom {k})"
                )
        return np.array(values, float).reshape(len(values), width)

    def _cell(self, told: Mapping[str, str]) -> np.ndarray | None:
        """The cell, if the frame is periodic."""
        if "lattice" not in told:
            return None
        words = re.split(r"[\s,\[\]]+", told["lattice"].strip(" [],"))
        values = [number(word) for word in words]
        if len(values) != 9 or None in values:
            raise self._of_comment(
                f"Lattice should be nine numbers, the vectors a, b and c, not {shown(told['lattice'])}"
            )
        periodic = self._periodic(told.get("pbc", "T"))
        return np.array(values, float).reshape(3, 3) if periodic else None

    def _periodic(self, text: str) -> bool:
        words = re.split(r"[\s,\[\]]+", text.strip(" [],").lower())
        if len(words) not in (1, 3) or not set(words) <= {*_TRUE, *_FALSE}:
            raise self._of_comment(f'pbc should be such as "T T T", not {shown(text)}')
        periodic = {word in _TRUE for word in words}
        if len(periodic) > 1:
            raise ConfigError(
                f"{self.path} is periodic along some axes only; diffmd has boxes periodic along all, or none"
            )
        return periodic.pop()

    def _step(self, told: Mapping[str, str]) -> int:
        text = told.get("step", "0")
        if not re.fullmatch(r"-?\d+", text):
            raise self._of_comment(f"step should be a whole number, not {shown(text)}")
        return int(text)
