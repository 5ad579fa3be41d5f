"""One frame of a structure file as plain data, and what every reader needs for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from diffmd.errors import ConfigError

ANGSTROM = 0.1
"""In nm."""

ANGSTROM_PER_FS = 100.0
"""In nm/ps."""

TypesFrom = Literal["elements", "names"]


@dataclasses.dataclass(frozen=True)
class Structure:
    """Atoms at one moment.

    Attributes:
        positions: of each atom.
        velocities: of each atom, or None where the file has none.
        box: H (3, 3), rows a, b, c, lower triangular; None without periodicity.
        names: each atom's name as the file has it: species of xyz, atom names of PDB, mmCIF and GRO.
        elements: each atom's element symbol; None where the file and its format's rules do not say.
        masses: of each atom, or None: the file's own, or (in md units) those of the elements, if all are known.
        charges: of each atom, or None.
        step: number of steps done; 0 where the file does not say.
        notes: sentences about what was read that a user must hear.
    """

    positions: Float[np.ndarray, "atoms 3"]
    velocities: Float[np.ndarray, "atoms 3"] | None
    box: Float[np.ndarray, "3 3"] | None
    names: tuple[str, ...]
    elements: tuple[str | None, ...]
    masses: Float[np.ndarray, "atoms"] | None
    charges: Float[np.ndarray, "atoms"] | None
    step: int = 0
    notes: tuple[str, ...] = ()

    def types(self, choice: TypesFrom | None = None) -> tuple[str, ...]:
        """Each atom's type: as chosen, else its element where that is known, and its name where it is not.

        Raises:
            ConfigError: one name stands for two elements, or elements are chosen where some are unknown.
        """
        if choice == "names":
            return self._by_name()
        unknown = next((k for k, element in enumerate(self.elements) if element is None), None)
        if unknown is not None and choice == "elements":
            raise ConfigError(
                f"the element of atom {unknown} ({self.names[unknown]}) is not known from the file; "
                "complete its element column, or write types: names"
            )
        known = set(self.elements)
        for k, (name, element) in enumerate(zip(self.names, self.elements, strict=True)):
            if element is None and name in known:
                raise ConfigError(
                    f"atom {k} is named {name} and its element is not known, but others are of the element {name}; "
                    "complete the file's element column, or write types: names"
                )
        return tuple(element or name for name, element in zip(self.names, self.elements, strict=True))

    def unknown_elements(self) -> str:
        """Says of how many atoms the element is unknown, and the names of some; empty where all are known."""
        names = [name for name, element in zip(self.names, self.elements, strict=True) if element is None]
        if not names:
            return ""
        several = list(dict.fromkeys(names))
        listed = ", ".join(several[:5]) + (", ..." if len(several) > 5 else "")
        return f"the elements of {len(names)} of its {len(self.names)} atoms are not known from it ({listed})"

    def _by_name(self) -> tuple[str, ...]:
        found: dict[str, str] = {}
        for name, element in zip(self.names, self.elements, strict=True):
            if element is not None and found.setdefault(name, element) != element:
                raise ConfigError(
                    f"atoms named {name} are of two elements, {found[name]} and {element}; "
                    "rename those of one, or write types: elements"
                )
        return self.names


def pick_frame(frames: int, frame: int, path: Path) -> int:
    """The number, from 0, of frame `frame` (negative: from the end). Raises ConfigError where there is none."""
    if not -frames <= frame < frames:
        raise ConfigError(f"{path} has {frames} frame{'s' * (frames != 1)}; there is no frame {frame}")
    return frame % frames


def turned(
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
