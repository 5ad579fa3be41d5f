"""`system.positions`: where atoms start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from diffmd.box import BoxShape
from diffmd.config import chains, lattices, packing
from diffmd.config.inputs import per_atom, structure
from diffmd.config.sections.common import Vector
from diffmd.errors import ConfigError
from diffmd.io.structures import TypesFrom
from diffmd.spec import Spec, quantity
from diffmd.units import Units

_SAME = 1e-3
"""How far, relatively, a lattice's density and the box it is given may differ."""


class InlinePositions(Spec):
    """Coordinates as they stand here."""

    kind: Literal["inline"] = "inline"
    values: list[Vector] = quantity(doc="[x, y, z] of each atom; unwrapped is fine.", unit="length")


class FilePositions(Spec):
    """A frame of a structure file: extxyz, xyz, PDB, mmCIF, GRO, or diffmd's own trajectory.h5md.

    In md units lengths are the format's own (Angstrom; nm in GRO), and atoms whose elements are all known have the
    elements' masses, where the file has none; in reduced units numbers are taken as they stand, and elements bring no
    masses.
    """

    kind: Literal["file"] = "file"
    path: str = quantity(doc="The file, relative to the config's folder.")
    frame: int = quantity(-1, doc="Which frame (model), from 0; -1 is the last.")
    types: TypesFrom | Literal["ignore"] | None = quantity(
        None,
        doc="What gives the atoms their types: the file's elements, or its atom names (OW, CA, the species of xyz). "
        "null: elements where they are known from the file, else names. Known are those of an element column; without "
        "one, by the names of atoms in amino acids, nucleotides, water and ions, and by the columns of a name in PDB "
        "(' CA ' is carbon, 'CA  ' calcium). Types in `atoms` must be the file's, atom by "
        "atom, unless it is ignore.",
    )


class RandomPositions(Spec):
    """Random places; without a box, loosely in a cube around the origin."""

    kind: Literal["random"] = "random"
    min_distance: float = quantity(doc="No two atoms, nor their images, start closer than this.", unit="length", ge=0)


class LatticePositions(Spec):
    """Sites of a cubic lattice that spans the box; where it has more sites than atoms, empty ones spread evenly."""

    kind: Literal["lattice"] = "lattice"
    lattice: lattices.LatticeName = quantity(
        doc="sc, bcc, fcc or diamond: 1, 2, 4 or 8 sites a cell. Full cells: 4 k^3 atoms for fcc (500: k = 5)."
    )
    density: float | None = quantity(
        None,
        doc="Atoms per volume; gives a cubic box where the system's is left out. null: the lattice fills the box.",
        unit="1/length^3",
        gt=0,
    )


class ChainPositions(Spec):
    """A folded zigzag of consecutive atoms, angles of 120 degrees; others keep further apart than a bond."""

    kind: Literal["chain"] = "chain"
    bond_length: float = quantity(doc="Distance from each atom to the next.", unit="length", gt=0)


PositionsSpec = Annotated[
    InlinePositions | FilePositions | RandomPositions | LatticePositions | ChainPositions,
    Field(discriminator="kind"),
]


def lattice_box(spec: LatticePositions, count: int, path: str = "system.positions") -> Float[np.ndarray, "3"]:
    """Edges of the cubic box that the lattice's density gives `count` atoms. Raises ConfigError without a density."""
    if spec.density is None:
        raise ConfigError("is needed where the system has no box: write density, or system.box", f"{path}.density")
    return np.full(3, lattices.cubic_edge(count, spec.density))


def draw_positions(
    spec: PositionsSpec,
    *,
    count: int,
    box_vectors: Float[np.ndarray, "3 3"] | None,
    box_shape: BoxShape,
    seed: int,
    folder: Path,
    units: Units,
    path: str = "system.positions",
) -> Float[np.ndarray, "count 3"]:
    """The starting positions of `count` atoms: the same for the same arguments.

    Args:
        box_vectors: rows a, b, c; None (or a shape ``none``) where there is no periodicity.
        seed: of random positions.
        folder: what relative paths are relative to.
        path: the config's path of `spec`, for errors.

    Raises:
        ConfigError: another number of atoms, an impossible packing, a file that cannot be read, ...
    """
    vectors = None if box_vectors is None or box_shape == "none" else np.asarray(box_vectors, float)
    if isinstance(spec, InlinePositions):
        return per_atom(spec.values, count, f"{path}.values")
    if isinstance(spec, FilePositions):
        found = structure(folder, spec.path, spec.frame, units, path)
        return per_atom(found.positions, count, f"{path}.path")
    if isinstance(spec, RandomPositions):
        return packing.place(count, spec.min_distance, vectors, seed, f"{path}.min_distance")
    if isinstance(spec, LatticePositions):
        return _lattice(spec, count, vectors, path)
    widths = None if vectors is None else 1 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    return chains.fold(count, spec.bond_length, widths, f"{path}.bond_length")


def _lattice(
    spec: LatticePositions, count: int, vectors: Float[np.ndarray, "3 3"] | None, path: str
) -> Float[np.ndarray, "count 3"]:
    if vectors is None:
        vectors = np.diag(lattice_box(spec, count, path))
    here = count / abs(float(np.linalg.det(vectors)))
    if spec.density is not None and abs(here - spec.density) > _SAME * spec.density:
        raise ConfigError(
            f"is {spec.density:g}, but {count} atoms in this box make {here:.6g}: leave out system.box "
            f"(its edge becomes {lattices.cubic_edge(count, spec.density):.6g}) or the density",
            f"{path}.density",
        )
    return lattices.fill(spec.lattice, count, vectors)
