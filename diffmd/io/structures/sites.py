"""Sites of a PDB or mmCIF model, and the structure they make: alternate locations, elements, cell."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from diffmd.errors import ConfigError
from diffmd.io.structures.base import ANGSTROM, Structure, turned
from diffmd.io.structures.elements import element_masses, element_of
from diffmd.io.structures.residues import residue_elements
from diffmd.units import Units


@dataclasses.dataclass(frozen=True)
class Site:
    """One place of one atom.

    Attributes:
        name: of the atom.
        position: in the file's unit.
        residue: name of the residue.
        residue_key: chain, number, insertion code, ...: equal in neighbouring sites of one residue.
        alternate: label of the alternate location; empty where there is none.
        occupancy: of this location.
        symbol: what the element column says; empty where it says nothing.
        by_columns: the element that the alignment of the name says, in formats where it does.
    """

    name: str
    position: tuple[float, float, float]
    residue: str
    residue_key: tuple[str, ...]
    alternate: str = ""
    occupancy: float = 1.0
    symbol: str = ""
    by_columns: str | None = None


def structure_of_sites(
    sites: Sequence[Site], cell: np.ndarray | None, units: Units, path: Path, notes: tuple[str, ...] = ()
) -> Structure:
    """The structure of one model, whose lengths are in Angstrom (md units) or as they stand (reduced units).

    Args:
        cell: rows a, b, c; None without a crystal.
        notes: sentences about what was read so far.

    Raises:
        ConfigError: there are no atoms, or the cell has no volume.
    """
    kept = [site for residue in _residues(sites) for site in _one_location(residue)]
    if len(kept) < len(sites):
        notes += (
            f"{path}: {len(sites) - len(kept)} alternate locations of atoms are left out; "
            "of each atom the location of the highest occupancy is taken, the first where several share it",
        )
    elements: list[str | None] = []
    against: list[str] = []
    for _, run in itertools.groupby(kept, key=lambda site: (site.residue_key, site.residue)):
        residue = list(run)
        own = _elements(residue)
        elements += own
        against += [
            f"{site.name} of {site.residue}: {element}"
            for site, element in zip(residue, own, strict=True)
            if not site.symbol and element is not None and site.by_columns not in (None, element)
        ]
    if against:
        notes += (
            f"{path} names no element of {len(against)} atoms whose names stand in the columns of another element than "
            f"their residue has; they are taken as the residue's ({against[0]})",
        )
    length = ANGSTROM if units.name == "md" else 1.0
    positions = np.array([site.position for site in kept], float).reshape(-1, 3) * length
    positions, _, box = turned(positions, None, None if cell is None else cell * length, path)
    masses = element_masses(elements) if units.name == "md" else None
    return Structure(
        positions, None, box, tuple(site.name for site in kept), tuple(elements), masses, None, notes=notes
    )


def cell_of(edges: Sequence[float], angles: Sequence[float], path: Path) -> np.ndarray | None:
    """Cell vectors as rows, a along x and b in the xy plane; None for what stands for no crystal: edges of 0, and the
    cube of 1 Angstrom. Angles in degrees. Raises ConfigError: there is no such cell."""
    from gemmi import UnitCell

    if not any(edges) or (tuple(edges) == (1, 1, 1) and tuple(angles) == (90, 90, 90)):
        return None
    if min(edges) <= 0 or not all(0 < angle < 180 for angle in angles):
        raise ConfigError(f"{path} has a cell without volume: edges {list(edges)}, angles {list(angles)}")
    vectors = np.array(UnitCell(*edges, *angles).orth.mat.tolist()).T
    if not np.all(np.isfinite(vectors)):
        raise ConfigError(f"{path} has a cell without volume: edges {list(edges)}, angles {list(angles)}")
    return vectors


def _residues(sites: Iterable[Site]) -> Iterator[list[Site]]:
    for _, run in itertools.groupby(sites, key=lambda site: site.residue_key):
        yield list(run)


def _one_location(residue: list[Site]) -> list[Site]:
    """The sites of a residue, one for each atom, in the order of the file."""
    labelled = {site.name for site in residue if site.alternate}
    if not labelled:
        return residue
    blank = collections.Counter(site.name for site in residue if not site.alternate)

    def alternates(site: Site) -> bool:
        # A location without a label, beside others with one, is a further one; several are atoms that share a name.
        return bool(site.alternate) or (site.name in labelled and blank[site.name] == 1)

    occupancies: dict[str, list[float]] = {}
    for site in filter(alternates, residue):
        occupancies.setdefault(site.alternate, []).append(site.occupancy)
    # A stable sort: the first label stays first among equals.
    ranked = sorted(occupancies, key=lambda label: -sum(occupancies[label]) / len(occupancies[label]))
    rank = {label: place for place, label in enumerate(ranked)}
    # Where locations are of different residues (a serine here, a threonine there), one residue is taken whole.
    chosen = min(filter(alternates, residue), key=lambda site: rank[site.alternate]).residue
    best: dict[str, int] = {}
    for site in filter(alternates, residue):
        if site.residue == chosen:
            best[site.name] = min(rank[site.alternate], best.get(site.name, len(rank)))
    return [
        site
        for site in residue
        if not alternates(site) or (site.residue == chosen and best[site.name] == rank[site.alternate])
    ]


def _elements(residue: Sequence[Site]) -> list[str | None]:
    by_residue: Sequence[str | None] | None = None
    if not all(site.symbol for site in residue):
        by_residue = residue_elements(residue[0].residue, [site.name for site in residue])
    told = _by_columns(residue) if by_residue is None else by_residue
    return [element_of(site.symbol) if site.symbol else other for site, other in zip(residue, told, strict=True)]


def _by_columns(residue: Sequence[Site]) -> Sequence[str | None]:
    """Elements by the alignment of names; beads of a model, whose names begin with what is no element, have none.

    A name of four characters fills the columns, and tells nothing about the others.
    """
    beads = any(site.by_columns is None and not site.symbol and len(site.name) < 4 for site in residue)
    return [None if beads else site.by_columns for site in residue]
