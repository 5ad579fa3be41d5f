"""Reading xyz and extended xyz, whose species may be any names (types of a model are no elements)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from jaxtyping import Float

from diffmd.errors import ConfigError

_PLAIN = "species:S:1:pos:R:3"
_SPECIES = ("species", "symbols", "element")
_POSITIONS = ("pos", "positions")
_VELOCITIES = ("vel", "velo", "velocity", "velocities")
_MASSES = ("mass", "masses")
_CHARGES = ("charge", "charges", "initial_charges")


@dataclasses.dataclass(frozen=True)
class XyzFrame:
    """A frame as it stands in the file; None for what it does not have."""

    types: tuple[str, ...]
    positions: Float[np.ndarray, "atoms 3"]
    cell: Float[np.ndarray, "3 3"] | None
    velocities: Float[np.ndarray, "atoms 3"] | None
    momenta: Float[np.ndarray, "atoms 3"] | None
    masses: Float[np.ndarray, "atoms"] | None
    charges: Float[np.ndarray, "atoms"] | None
    step: int


def read_xyz_frame(path: Path, pick: Callable[[int], int]) -> XyzFrame:
    """The frame that `pick` chooses, given how many there are.

    Raises:
        ConfigError: the file is no xyz file, or damaged.
        OSError, UnicodeDecodeError: it cannot be read at all.
    """
    with path.open(encoding="utf-8") as file:
        starts = _frame_starts(file, path)
        first, count = starts[pick(len(starts))]
        file.seek(0)
        comment, *rows = [line.rstrip("\n") for line in itertools.islice(file, first + 1, first + 2 + count)]
    return _parse(comment, [row.split() for row in rows], path, first)


def _frame_starts(file: TextIO, path: Path) -> list[tuple[int, int]]:
    """Line number of each frame's first line, and its number of atoms."""
    starts: list[tuple[int, int]] = []
    number = 0
    while line := file.readline():
        if not line.strip():
            number += 1
            continue
        if not line.strip().isdigit():
            raise ConfigError(f"{path} is no xyz file: line {number + 1} should be the number of atoms")
        count = int(line)
        got = sum(1 for _ in itertools.islice(_lines(file), count + 1))
        if got < count + 1:
            raise ConfigError(f"{path} is truncated: frame {len(starts)} has {max(got - 1, 0)} of {count} atoms")
        starts.append((number, count))
        number += count + 2
    if not starts:
        raise ConfigError(f"{path} is empty")
    return starts


def _lines(file: TextIO) -> Any:
    """Lines by readline: iteration and `tell` do not mix with it otherwise."""
    return iter(file.readline, "")


def _parse(comment: str, rows: list[list[str]], path: Path, line: int) -> XyzFrame:
    from ase.io.extxyz import key_val_str_to_dict

    extended = "Properties=" in comment or "Lattice=" in comment
    try:
        info: Mapping[str, Any] = key_val_str_to_dict(comment) if extended else {}
        columns = _columns(rows, str(info.get("Properties", _PLAIN)), whole="Properties" in info)
        # ASE gives the lattice with its vectors as columns.
        cell = np.asarray(info["Lattice"], float).reshape(3, 3).T if "Lattice" in info else None
        types = columns[next(name for name in _SPECIES if name in columns)][:, 0]
        positions = _numbers(columns, _POSITIONS, 3)
        if positions is None:
            raise ValueError("it has no positions")
        periodic = np.broadcast_to(np.asarray(info.get("pbc", cell is not None)), 3)
        velocities, momenta = _numbers(columns, _VELOCITIES, 3), _numbers(columns, ("momenta",), 3)
        masses, charges = _numbers(columns, _MASSES, 1), _numbers(columns, _CHARGES, 1)
        step = int(info.get("step", 0))
    except (ValueError, IndexError, StopIteration, TypeError) as error:
        said = str(error) or "it names no species"
        raise ConfigError(f"cannot read {path}: the frame at line {line + 1} is damaged ({said})") from error
    if cell is not None and 0 < np.count_nonzero(periodic) < 3:
        raise ConfigError(f"{path} is periodic along some axes only; diffmd has boxes periodic along all, or none")
    return XyzFrame(
        tuple(types.tolist()),
        positions,
        cell if cell is not None and periodic.all() else None,
        velocities,
        momenta,
        None if masses is None else masses[:, 0],
        None if charges is None else charges[:, 0],
        step,
    )


def _columns(rows: list[list[str]], properties: str, whole: bool) -> dict[str, np.ndarray]:
    """Text columns by name; `whole`: `properties` names every column, else more may follow."""
    fields = properties.split(":")
    widths = [int(width) for width in fields[2::3]]
    for number, row in enumerate(rows):
        if len(row) < sum(widths) or (whole and len(row) > sum(widths)):
            raise ValueError(f"atom {number} has {len(row)} columns, not {sum(widths)}")
    table = np.array([row[: sum(widths)] for row in rows], dtype=str).reshape(len(rows), sum(widths))
    edges = np.cumsum([0, *widths])
    return {name: table[:, first:last] for name, first, last in zip(fields[::3], edges[:-1], edges[1:], strict=True)}


def _numbers(columns: Mapping[str, np.ndarray], names: tuple[str, ...], width: int) -> np.ndarray | None:
    found = next((columns[name] for name in names if name in columns), None)
    if found is None:
        return None
    if found.shape[1] != width:
        raise ValueError(f"{names[0]} has {found.shape[1]} columns, not {width}")
    return found.astype(float)
