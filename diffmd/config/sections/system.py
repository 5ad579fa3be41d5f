"""The `system` section: box, atoms, and where positions and velocities come from."""

from __future__ import annotations

from typing import Literal

from diffmd.config.positions import PositionsSpec
from diffmd.config.sections.common import Edges, Positive, TypeName, Vectors
from diffmd.config.velocities import VelocitiesSpec
from diffmd.spec import Spec, quantity


class AtomGroupSpec(Spec):
    """`count` consecutive atoms of one type, mass and charge."""

    type: TypeName = quantity(
        doc="a name without spaces, by which potentials and observables know these atoms; in a path one that is no "
        'plain name stands in quotes: potentials.lj.sigma["C.2"]'
    )
    count: int = quantity(doc="How many atoms.", gt=0, le=100_000_000)
    mass: float = quantity(doc="Mass of each atom; learnable as system.atoms.<n>.mass.", unit="mass", gt=0)
    charge: float = quantity(
        0.0,
        doc="Charge of each atom, for the trajectory: no potential acts on it; learnable as system.atoms.<n>.charge.",
        unit="charge",
    )


class StartSpec(Spec):
    """Go on from a frame of an earlier run: atoms, box, positions, velocities, step and time come from it."""

    run: str = quantity(
        doc="Folder of the run, relative to the config's folder; of several systems, the one of this name or the first."
    )
    frame: int = quantity(-1, doc="Which recorded frame; -1 is the last.")


class SystemSpec(Spec):
    """Atoms in a box."""

    box: Edges | Vectors | Literal["auto"] | None = quantity(
        "auto",
        doc="Three edge lengths (a box with right angles), or three box vectors as rows (lower triangular and "
        "reduced: |b_x| <= a_x/2, |c_x| <= a_x/2, |c_y| <= b_y/2), or null for no periodicity. auto: the box of the "
        "structure file, of the lattice, or of the run under `start`.",
        unit="length",
    )
    atoms: list[AtomGroupSpec] = quantity(
        [],
        doc="Groups of atoms, in order; may be left out where a structure file or a run brings them, and is compared "
        "with the file's types otherwise.",
    )
    masses: dict[str, Positive | list[Positive]] = quantity(
        {},
        doc="Where a structure file or a run brings the atoms: type -> mass of each of its atoms, or a list with one "
        "for each; wins over the file's own, or its elements' (in md units). Learnable as system.masses.<type>.",
        unit="mass",
    )
    charges: dict[str, float | list[float]] = quantity(
        {},
        doc="Likewise: type -> charge; wins over the file's own, and is 0 where neither says. No potential "
        "acts on it. Learnable as "
        "system.charges.<type>.",
        unit="charge",
    )
    positions: PositionsSpec | None = quantity(
        None, doc="Where the atoms start; may be left out only under `start`.", unit="length"
    )
    velocities: VelocitiesSpec | None = quantity(
        None, doc="Starting velocities; null: those of the run under `start`, else zero.", unit="length/time"
    )
    start: StartSpec | None = quantity(None, doc="Goes on from an earlier run; keys given beside it win.")
    exclusions: int = quantity(
        0,
        doc="Atoms at most this many bonds apart do not interact through pair potentials; 0 excludes none. "
        "3 leaves out 1-2, 1-3 and 1-4 pairs.",
        ge=0,
        le=3,
    )
