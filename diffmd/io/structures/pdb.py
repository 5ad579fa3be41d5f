"""PDB."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from diffmd.errors import ConfigError
from diffmd.io.structures.base import Structure, pick_frame
from diffmd.io.structures.elements import element_of
from diffmd.io.structures.through_ase import of_ase, through_ase
from diffmd.units import Units

_ATOM = ("ATOM", "HETATM")
_NAME = slice(12, 16)
_Z = 54
"""The last column of an atom's z."""
_SYMBOL = slice(76, 78)


def read_pdb(path: Path, frame: int, units: Units) -> Structure:
    """Model `frame` of a PDB file. Raises ConfigError."""
    from ase.io.proteindatabank import read_proteindatabank

    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith(_ATOM) and len(line.rstrip()) < _Z:
            raise ConfigError(
                f"{path} is damaged or truncated: line {number + 1} ends before the atom's coordinates do"
            )
    text = io.StringIO("".join(map(_with_symbol, lines)))
    images = through_ase(lambda: read_proteindatabank(text, index=slice(None)), path)
    # ASE makes an empty frame of END after ENDMDL, and gives CRYST1 to the first model alone.
    images = [image for image in images if len(image)]
    if not images:
        raise ConfigError(f"{path} has no ATOM or HETATM lines")
    atoms = images[pick_frame(len(images), frame, path)]
    cell = np.asarray((atoms if atoms.pbc.any() else images[0]).cell)
    # CRYST1 with a cube of 1 Angstrom is the format's way to say that there is no crystal.
    periodic = bool(images[0].pbc.any()) and not np.allclose(cell, np.eye(3))
    names = tuple(map(str, atoms.arrays["atomtypes"]))
    return of_ase(
        atoms, names, tuple(map(element_of, atoms.symbols)), cell if periodic else None, units, path, 1.0, None
    )


def _with_symbol(line: str) -> str:
    """A line of a PDB file; an atom's gets the symbol X, if neither its symbol nor its name begins with an element."""
    from ase.io.espresso import label_to_symbol

    if not line.startswith(_ATOM):
        return line
    for columns in (_SYMBOL, _NAME):
        try:
            label_to_symbol(line[columns].strip())
            return line
        except (KeyError, IndexError):
            continue
    return f"{line.rstrip()[: _SYMBOL.start]:{_SYMBOL.start}} X\n"
