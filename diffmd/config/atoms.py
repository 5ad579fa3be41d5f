"""The atoms a system starts from: drawn, listed, read from a file, or taken over from an earlier run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from diffmd.box import BoxShape
from diffmd.config.checks.geometry import check_box
from diffmd.config.effective import EffectiveSystem
from diffmd.config.groups import Groups, difference, groups_of
from diffmd.config.inputs import structure as structure_of
from diffmd.config.positions import FilePositions, LatticePositions, draw_positions, lattice_box
from diffmd.config.sections.system import StartSpec
from diffmd.config.velocities import FileVelocities, VelocitiesSpec, draw_velocities
from diffmd.connectivity import Bonds, made_whole
from diffmd.errors import ConfigError, OutputError
from diffmd.io.rundir import TRAJECTORY
from diffmd.io.structures import Structure, read_structure
from diffmd.io.trajectory import read_trajectory
from diffmd.units import Units

SeedOf = Callable[[str], int]
"""A seed for the random numbers of a path."""


@dataclasses.dataclass(frozen=True)
class StartingAtoms:
    """Atoms as they start.

    Attributes:
        groups: which of them share a type, a mass and a charge.
        names: of each atom, where a structure file has such; None: those of their types.
        positions, velocities: of each atom.
        box_vectors, box_shape: the box; the identity where there is none.
        file_box: that of the structure that positions come from, by which it may have wrapped them; None without.
        before: the frame of an earlier run that this one goes on from; None where it does not.
    """

    groups: Groups
    names: tuple[str, ...] | None
    positions: Float[np.ndarray, "atoms 3"]
    velocities: Float[np.ndarray, "atoms 3"]
    box_vectors: Float[np.ndarray, "3 3"]
    box_shape: BoxShape
    file_box: Float[np.ndarray, "3 3"] | None
    before: Before | None

    def whole(self, bonds: Bonds) -> StartingAtoms:
        """The same with every molecule whole along its bonds, where the box (or that of the file) tore it apart."""
        positions = self.positions
        for vectors in (self.file_box, None if self.box_shape == "none" else self.box_vectors):
            positions = made_whole(positions, bonds, vectors).positions
        return dataclasses.replace(self, positions=positions)


@dataclasses.dataclass(frozen=True)
class Before:
    """A frame of an earlier run.

    Attributes:
        step, time: of the frame.
        temperature, degrees_of_freedom: of its velocities, as the earlier run counted; None where they are not taken
            over, or at rest.
        differs: says where its atoms are of other types than those that go on from it; None where they are alike.
    """

    step: int
    time: float
    temperature: float | None
    degrees_of_freedom: int | None
    differs: str | None


def starting_atoms(one: EffectiveSystem, units: Units, seed_of: SeedOf, folder: Path, momentum: bool) -> StartingAtoms:
    """Atoms, box, positions and velocities of a system.

    Args:
        folder: where relative paths start.
        momentum: whether the dynamics conserve or remove total momentum, which takes three degrees of freedom from T.

    Raises:
        ConfigError: positions cannot be drawn, or what a file or run brings does not fit the config.
    """
    spec, path = one.system, one.system_path
    run = _of_run(one, folder, units)
    structure = run
    if isinstance(spec.positions, FilePositions):
        structure = structure_of(folder, spec.positions.path, spec.positions.frame, units, f"{path}.positions")
    groups = groups_of(one, structure, units)
    count = len(groups.group)
    h, shape = _box(one, structure, count)
    if spec.positions is not None:
        positions = draw_positions(
            spec.positions,
            count=count,
            box_vectors=None if shape == "none" else h,
            box_shape=shape,
            seed=seed_of(f"{path}.positions"),
            folder=folder,
            units=units,
            path=f"{path}.positions",
        )
    else:
        assert run is not None
        positions = run.positions
    if len(positions) != count:
        raise ConfigError(f"there are {len(positions)} positions for {count} atoms", f"{path}.positions")
    if spec.velocities is not None:
        _check_types(spec.velocities, groups, units, folder, f"{path}.velocities")
        velocities = draw_velocities(
            spec.velocities,
            masses=groups.mass_of_atoms,
            boltzmann=units.boltzmann,
            seed=seed_of(f"{path}.velocities"),
            folder=folder,
            degrees_of_freedom=3 * count - (3 if momentum and count > 1 else 0),
            units=units,
            path=f"{path}.velocities",
        )
    elif run is not None and run.velocities is not None:
        velocities = run.velocities
    else:
        velocities = np.zeros((count, 3))
    if len(velocities) != count:
        raise ConfigError(f"there are {len(velocities)} velocities for {count} atoms", f"{path}.velocities")
    return StartingAtoms(
        groups,
        _names(one, structure, folder),
        np.asarray(positions, float),
        np.asarray(velocities, float),
        h,
        shape,
        structure.box if structure is not None and isinstance(spec.positions, FilePositions | None) else None,
        _before(one, run, groups, folder, units),
    )


def _check_types(spec: VelocitiesSpec, groups: Groups, units: Units, folder: Path, path: str) -> None:
    """Raises ConfigError where velocities come from a file whose atoms are of other types."""
    if not isinstance(spec, FileVelocities) or spec.types == "ignore":
        return
    found = structure_of(folder, spec.path, spec.frame, units, path)
    differs = difference(found, found.types(), True, groups.type_of_atoms, spec.path)
    if differs is not None:
        raise ConfigError(
            f"{differs[1]}. Give a file with the same atoms in the same order; or, if its types mean nothing, write "
            "`types: ignore`",
            path,
        )


def _of_run(one: EffectiveSystem, folder: Path, units: Units) -> Structure | None:
    if one.system.start is None:
        return None
    try:
        return read_structure(_trajectory(one, folder, one.system.start), one.system.start.frame, units)
    except (ConfigError, OutputError) as problem:
        raise ConfigError(str(problem), f"{one.system_path}.start.run") from problem


def _trajectory(one: EffectiveSystem, folder: Path, start: StartSpec) -> Path:
    run = folder / Path(start.run).expanduser()
    own = run / f"trajectory_{one.name}.h5md"
    return own if own.exists() else run / TRAJECTORY


def _before(
    one: EffectiveSystem, structure: Structure | None, groups: Groups, folder: Path, units: Units
) -> Before | None:
    """What the frame says beside its atoms; `_of_run` has read it, as `structure`, before."""
    if one.system.start is None or structure is None:
        return None
    run, frame = read_trajectory(_trajectory(one, folder, one.system.start)), one.system.start.frame
    step, time = int(run.step[frame]), float(run.time[frame])
    found = difference(structure, structure.names, False, groups.type_of_atoms, one.system.start.run)
    differs = None if found is None else found[1]
    kinetic, temperature = (float(run.observables[name][frame]) for name in ("kinetic_energy", "temperature"))
    if one.system.velocities is not None or not temperature > 0:
        return Before(step, time, None, None, differs)
    freedom = round(2 * kinetic / (units.boltzmann * temperature))
    return Before(step, time, temperature, freedom, differs)


def _names(one: EffectiveSystem, structure: Structure | None, folder: Path) -> tuple[str, ...] | None:
    """The atoms' names in the file that positions come from, or in the run that is gone on from."""
    positions = one.system.positions
    if isinstance(positions, FilePositions):
        return None if structure is None or positions.types == "ignore" else structure.names
    if one.system.start is None or one.system.atoms:
        return None
    return read_trajectory(_trajectory(one, folder, one.system.start)).topology.names


def _box(one: EffectiveSystem, structure: Structure | None, count: int) -> tuple[np.ndarray, BoxShape]:
    box, path = one.system.box, f"{one.system_path}.box"
    if box is None:
        return np.eye(3), "none"
    if isinstance(box, list):
        return check_box(box, path), "triclinic" if np.ndim(box) == 2 else "orthorhombic"
    if isinstance(one.system.positions, LatticePositions):
        return np.diag(lattice_box(one.system.positions, count, f"{one.system_path}.positions")), "orthorhombic"
    if structure is None:
        raise ConfigError("is missing: write edge lengths, or null for no periodicity", path)
    if structure.box is None:
        return np.eye(3), "none"
    h = check_box(structure.box.tolist(), path)
    return h, "orthorhombic" if np.count_nonzero(h - np.diag(np.diag(h))) == 0 else "triclinic"
