"""One frame of a structure file: extxyz, xyz, PDB, GRO, or diffmd's own trajectory.

In md units lengths become nm and velocities nm/ps, from the file format's own (Angstrom; Angstrom/fs for velocity
columns of extxyz, as QUIP and GPUMD write them; nm and nm/ps in GRO). In reduced units numbers are taken as they stand.
A box comes out in the form of `diffmd.box`: lower triangular and reduced, atoms turned along with it.
"""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from diffmd.errors import ConfigError
from diffmd.io.files import reason
from diffmd.io.xyz import XyzFrame, read_xyz
from diffmd.units import Units

ANGSTROM = 0.1
"""In nm."""

ANGSTROM_PER_FS = 100.0
"""In nm/ps."""

_PDB_ATOM = ("ATOM", "HETATM")
_PDB_NAME = slice(12, 16)
_PDB_Z = 54
"""The last column of a PDB atom's z."""
_PDB_SYMBOL = slice(76, 78)


@dataclasses.dataclass(frozen=True)
class Structure:
    """Atoms at one moment.

    Attributes:
        positions: of each atom.
        velocities: of each atom, or None where the file has none.
        box: H (3, 3), rows a, b, c, lower triangular; None without periodicity.
        types: each atom's type: element symbols, or whatever names an xyz file has, or a PDB file without a symbol.
        masses: of each atom, or None (md units: those of the elements, where the file has none).
        charges: of each atom, or None.
        step: number of steps done; 0 where the file does not say.
    """

    positions: Float[np.ndarray, "atoms 3"]
    velocities: Float[np.ndarray, "atoms 3"] | None
    box: Float[np.ndarray, "3 3"] | None
    types: tuple[str, ...]
    masses: Float[np.ndarray, "atoms"] | None
    charges: Float[np.ndarray, "atoms"] | None
    step: int = 0


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
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {path}: it is not text") from error
    if not np.all(np.isfinite(found.positions)):
        raise ConfigError(f"{path} has a position that is not a finite number")
    return found


def _pick(frames: int, frame: int, path: Path) -> int:
    if not -frames <= frame < frames:
        raise ConfigError(f"{path} has {frames} frame{'s' * (frames != 1)}; there is no frame {frame}")
    return frame % frames


def _of_xyz(path: Path, frame: int, units: Units) -> Structure:
    raw: XyzFrame = read_xyz(path, lambda count: _pick(count, frame, path))
    md = units.name == "md"
    length, speed = (ANGSTROM, ANGSTROM_PER_FS) if md else (1.0, 1.0)
    masses = raw.masses
    if masses is None and md:
        masses = _element_masses(raw.types)
    velocities = None if raw.velocities is None else raw.velocities * speed
    if velocities is None and raw.momenta is not None and masses is not None:
        velocities = raw.momenta / masses[:, None] * (_ase_speed() if md else 1.0)
    positions, velocities, box = _turned(
        raw.positions * length, velocities, None if raw.cell is None else raw.cell * length, path
    )
    return Structure(positions, velocities, box, raw.types, masses, raw.charges, raw.step)


def _of_pdb(path: Path, frame: int, units: Units) -> Structure:
    from ase.io.proteindatabank import read_proteindatabank

    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith(_PDB_ATOM) and len(line.rstrip()) < _PDB_Z:
            raise ConfigError(
                f"{path} is damaged or truncated: line {number + 1} ends before the atom's coordinates do"
            )
    text = io.StringIO("".join(map(_with_symbol, lines)))
    images = _through_ase(lambda: read_proteindatabank(text, index=slice(None)), path)
    # ASE makes an empty frame of END after ENDMDL, and gives CRYST1 to the first model alone.
    images = [image for image in images if len(image)]
    if not images:
        raise ConfigError(f"{path} has no ATOM or HETATM lines")
    atoms = images[_pick(len(images), frame, path)]
    cell = np.asarray((atoms if atoms.pbc.any() else images[0]).cell)
    # CRYST1 with a cube of 1 Angstrom is the format's way to say that there is no crystal.
    periodic = bool(images[0].pbc.any()) and not np.allclose(cell, np.eye(3))
    # What is no element keeps its name.
    named = zip(atoms.symbols, atoms.arrays["atomtypes"], strict=True)
    types = tuple(str(name) if symbol == "X" else symbol for symbol, name in named)
    return _of_ase(atoms, types, cell if periodic else None, units, path, 1.0, None)


def _with_symbol(line: str) -> str:
    """A line of a PDB file; an atom's gets the symbol X, if neither its symbol nor its name begins with an element."""
    from ase.io.espresso import label_to_symbol

    if not line.startswith(_PDB_ATOM):
        return line
    for columns in (_PDB_SYMBOL, _PDB_NAME):
        try:
            label_to_symbol(line[columns].strip())
            return line
        except (KeyError, IndexError):
            continue
    return f"{line.rstrip()[: _PDB_SYMBOL.start]:{_PDB_SYMBOL.start}} X\n"


def _of_gro(path: Path, frame: int, units: Units) -> Structure:
    from ase.io.gromacs import read_gromacs

    lines = path.read_text().splitlines()
    count = int(lines[1]) if len(lines) > 1 and lines[1].strip().isdigit() else None
    if count is None:
        raise ConfigError(f"{path} is no GRO file: its second line is not the number of atoms")
    if len(lines) < count + 3:
        raise ConfigError(f"{path} ends after {max(len(lines) - 2, 0)} of {count} atoms and a box: it is truncated")
    if any(line.strip() for line in lines[count + 3 :]):
        raise ConfigError(f"{path} has several frames; GRO is read with one (convert it to extxyz)")
    _pick(1, frame, path)
    atoms = _through_ase(lambda: read_gromacs(path), path)
    velocities = atoms.get_velocities() * _ase_speed() if atoms.has("momenta") else None
    cell = np.asarray(atoms.cell)
    types = tuple(atoms.get_chemical_symbols())
    return _of_ase(atoms, types, cell if atoms.pbc.any() and np.any(cell) else None, units, path, ANGSTROM, velocities)


def _of_ase(
    atoms: Any,
    types: tuple[str, ...],
    cell: np.ndarray | None,
    units: Units,
    path: Path,
    own: float,
    velocities: np.ndarray | None,
) -> Structure:
    """From ASE's Angstrom; in reduced units back to the numbers of the file, whose unit is `own` Angstrom^-1."""
    length = ANGSTROM if units.name == "md" else own
    positions, velocities, box = _turned(
        atoms.positions * length, velocities, None if cell is None else cell * length, path
    )
    return Structure(positions, velocities, box, types, _element_masses(types), None)


def _of_trajectory(path: Path, frame: int, units: Units) -> Structure:
    from diffmd.io.trajectory import read_trajectory

    run = read_trajectory(path)
    if run.units.name != units.name:
        raise ConfigError(f"{path} is in {run.units.name} units, the config in {units.name}")
    k = _pick(len(run), frame, path)
    return Structure(
        np.asarray(run.positions[k], float),
        np.asarray(run.velocities[k], float),
        None if run.box is None else np.asarray(run.box[k], float),
        tuple(run.species),
        np.asarray(run.topology.masses, float),
        np.asarray(run.topology.charges, float),
        int(run.step[k]),
    )


_READERS: Mapping[str, Callable[[Path, int, Units], Structure]] = {
    ".extxyz": _of_xyz,
    ".xyz": _of_xyz,
    ".pdb": _of_pdb,
    ".gro": _of_gro,
    ".h5md": _of_trajectory,
}


def _through_ase(read: Callable[[], Any], path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read()
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ConfigError(f"cannot read {path}: it is damaged or truncated ({reason(error)})") from error


def _ase_speed() -> float:
    """ASE's unit of velocity in nm/ps."""
    import ase.units

    return ase.units.fs * ANGSTROM_PER_FS


def _element_masses(types: tuple[str, ...]) -> Float[np.ndarray, "atoms"] | None:
    """Standard atomic masses, if every type is an element."""
    from ase.data import atomic_masses, atomic_numbers

    if not all(atomic_numbers.get(name, 0) for name in types):
        return None
    return np.array([atomic_masses[atomic_numbers[name]] for name in types])


def _turned(
    positions: np.ndarray, velocities: np.ndarray | None, cell: np.ndarray | None, path: Path
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Everything turned so that the cell is lower triangular with a positive diagonal, the cell then reduced."""
    if cell is None:
        return positions, velocities, None
    scale = float(np.abs(cell).max())
    if not np.isfinite(scale) or abs(np.linalg.det(cell)) <= 1e-9 * scale**3:
        raise ConfigError(f"{path} has a cell without volume: {cell.tolist()}")
    # The opposite vectors of a left-handed cell span the same lattice, right-handed.
    cell = cell if np.linalg.det(cell) > 0 else -cell
    if np.any(np.triu(cell, 1)) or np.any(np.diag(cell) < 0):
        q, r = np.linalg.qr(cell.T)
        q, r = q * np.sign(np.diag(r)), r * np.sign(np.diag(r))[:, None]
        cell, positions = np.tril(r.T), positions @ q
        velocities = None if velocities is None else velocities @ q
    h = np.where(np.abs(cell) < 1e-12 * scale, 0.0, cell)
    for vector, by in ((2, 1), (2, 0), (1, 0)):
        tilt = h[vector, by] / h[by, by]
        # At the limit itself (a hexagonal cell) either sign will do.
        if abs(tilt) > 0.5 + 1e-9:
            h[vector] -= np.round(tilt) * h[by]
    return positions, velocities, h
