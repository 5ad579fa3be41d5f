"""What ASE reads, in the units of a config."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from diffmd.errors import ConfigError
from diffmd.io.files import reason
from diffmd.io.structures.base import ANGSTROM, ANGSTROM_PER_FS, Structure, turned
from diffmd.io.structures.elements import element_masses
from diffmd.units import Units


def of_ase(
    atoms: Any,
    names: tuple[str, ...],
    elements: tuple[str | None, ...],
    cell: np.ndarray | None,
    units: Units,
    path: Path,
    own: float,
    velocities: np.ndarray | None,
) -> Structure:
    """From ASE's Angstrom; in reduced units back to the numbers of the file, whose unit is `own` Angstrom^-1."""
    length = ANGSTROM if units.name == "md" else own
    positions, velocities, box = turned(
        atoms.positions * length, velocities, None if cell is None else cell * length, path
    )
    masses = element_masses(elements) if units.name == "md" else None
    return Structure(positions, velocities, box, names, elements, masses, None)


def through_ase(read: Callable[[], Any], path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read()
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ConfigError(f"cannot read {path}: it is damaged or truncated ({reason(error)})") from error


def ase_speed() -> float:
    """ASE's unit of velocity in nm/ps."""
    import ase.units

    return ase.units.fs * ANGSTROM_PER_FS
