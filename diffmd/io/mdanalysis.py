"""MDAnalysis shown what it does not read from H5MD by itself: names, types, masses, charges, bonds and molecules.

Importing this module makes ``MDAnalysis.Universe("trajectory.h5md")`` read them too, for MDAnalysis takes up every
parser that is defined.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import h5py
import MDAnalysis
import numpy as np
from MDAnalysis.core.topology import Topology
from MDAnalysis.core.topologyattrs import (
    Atomids,
    Atomnames,
    Atomtypes,
    Bonds,
    Charges,
    Masses,
    Resids,
    Resnames,
    Resnums,
    Segids,
)
from MDAnalysis.topology.base import TopologyReaderBase
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from diffmd.io.rundir import TRAJECTORY
from diffmd.io.trajectory import read_trajectory


@final
class TrajectoryTopology(TopologyReaderBase):
    """The atoms of an H5MD file: all that diffmd wrote of them; of another program's file their number alone."""

    format = "H5MD"

    def parse(self, **kwargs: Any) -> Topology:
        """The topology. Raises OutputError where the file is damaged."""
        path = Path(self.filename)
        with h5py.File(path) as file:
            if "diffmd" not in file:
                group = next(iter(file["particles"].values()))
                found = next(group[name] for name in ("position", "velocity", "force") if name in group)
                return Topology(found["value"].shape[1], 1, 1)
        atoms = read_trajectory(path).topology
        count = len(atoms.types)
        types = np.array([atoms.type_names[index] for index in atoms.types], object)
        # H5MD knows no residues: a molecule, which bonds hold together, is one.
        bonded = coo_array((np.ones(len(atoms.bonds)), tuple(atoms.bonds.T)), shape=(count, count))
        molecules, molecule = connected_components(bonded, directed=False)
        numbers = np.arange(molecules) + 1
        attributes = [
            Atomids(np.arange(count) + 1),
            Atomnames(np.array(atoms.atom_names, object)),
            Atomtypes(types),
            Masses(np.asarray(atoms.masses)),
            Charges(np.asarray(atoms.charges)),
            Bonds([tuple(pair) for pair in atoms.bonds.tolist()]),
            Resids(numbers),
            Resnums(numbers),
            Resnames(np.full(len(numbers), "MOL", object)),
            Segids(np.array(["SYSTEM"], object)),
        ]
        return Topology(count, len(numbers), 1, attrs=attributes, atom_resindex=molecule)


def universe(trajectory: Path | str) -> MDAnalysis.Universe:
    """A run as an MDAnalysis universe, with names, types, masses, charges, bonds, box and times.

    Each molecule, which bonds hold together, is a residue. Lengths are in Angstrom and times in ps where the run is in
    md units; reduced units stay as they are.

    Args:
        trajectory: a ``trajectory.h5md``, or the directory of a run, whose trajectory is taken.

    Raises:
        OutputError: the file is missing, damaged, or not diffmd's.
    """
    path = Path(trajectory)
    path = path / TRAJECTORY if path.is_dir() else path
    named = read_trajectory(path).units.named
    return MDAnalysis.Universe(str(path), convert_units=named, to_guess=())
