"""The atoms a system starts from: drawn, listed, read from a file, or taken over from an earlier run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from diffmd.box import BoxShape
from diffmd.config.checks.geometry import check_box
from diffmd.config.effective import EffectiveSystem
from diffmd.config.inputs import structure as structure_of
from diffmd.config.positions import FilePositions, LatticePositions, draw_positions, lattice_box
from diffmd.config.velocities import draw_velocities
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
        group, types, type_names: as in `System`.
        masses, charges: of each group: a number, or one for each of its atoms.
        positions, velocities: of each atom.
        box_vectors, box_shape: the box; the identity where there is none.
        before: the frame of an earlier run that this one goes on from; None where it does not.
    """

    group: Int[np.ndarray, "atoms"]
    types: Int[np.ndarray, "atoms"]
    type_names: tuple[str, ...]
    masses: tuple[np.ndarray, ...]
    charges: tuple[np.ndarray, ...]
    positions: Float[np.ndarray, "atoms 3"]
    velocities: Float[np.ndarray, "atoms 3"]
    box_vectors: Float[np.ndarray, "3 3"]
    box_shape: BoxShape
    before: Before | None


@dataclasses.dataclass(frozen=True)
class Before:
    """A frame of an earlier run.

    Attributes:
        step, time: of the frame.
        temperature, degrees_of_freedom: of its velocities, as the earlier run counted; None where they are not taken
            over, or at rest.
    """

    step: int
    time: float
    temperature: float | None
    degrees_of_freedom: int | None


@dataclasses.dataclass(frozen=True)
class _Groups:
    group: np.ndarray
    types: np.ndarray
    type_names: tuple[str, ...]
    masses: tuple[np.ndarray, ...]
    charges: tuple[np.ndarray, ...]


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
    groups = _listed(one) if spec.atoms else _read(structure, path)
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
    masses = _spread(groups.masses, groups.group)
    if spec.velocities is not None:
        velocities = draw_velocities(
            spec.velocities,
            masses=masses,
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
        groups.group,
        groups.types,
        groups.type_names,
        groups.masses,
        groups.charges,
        np.asarray(positions, float),
        np.asarray(velocities, float),
        h,
        shape,
        _before(one, folder, units),
    )


def _trajectory(one: EffectiveSystem, folder: Path) -> Path:
    """The trajectory that `start` names."""
    assert one.system.start is not None
    run = folder / Path(one.system.start.run).expanduser()
    own = run / f"trajectory_{one.name}.h5md"
    return own if own.exists() else run / TRAJECTORY


def _of_run(one: EffectiveSystem, folder: Path, units: Units) -> Structure | None:
    if one.system.start is None:
        return None
    try:
        return read_structure(_trajectory(one, folder), one.system.start.frame, units)
    except (ConfigError, OutputError) as problem:
        raise ConfigError(str(problem), f"{one.system_path}.start.run") from problem


def _before(one: EffectiveSystem, folder: Path, units: Units) -> Before | None:
    """What the frame says beside its atoms; `_of_run` has read it before."""
    if one.system.start is None:
        return None
    run, frame = read_trajectory(_trajectory(one, folder)), one.system.start.frame
    step, time = int(run.step[frame]), float(run.time[frame])
    kinetic, temperature = (float(run.observables[name][frame]) for name in ("kinetic_energy", "temperature"))
    if one.system.velocities is not None or not temperature > 0:
        return Before(step, time, None, None)
    return Before(step, time, temperature, round(2 * kinetic / (units.boltzmann * temperature)))


def _listed(one: EffectiveSystem) -> _Groups:
    atoms = one.system.atoms
    names = tuple(dict.fromkeys(group.type for group in atoms))
    counts = [group.count for group in atoms]
    return _Groups(
        np.repeat(np.arange(len(atoms)), counts),
        np.repeat([names.index(group.type) for group in atoms], counts),
        names,
        tuple(np.asarray(group.mass) for group in atoms),
        tuple(np.asarray(group.charge) for group in atoms),
    )


def _read(structure: Structure | None, path: str) -> _Groups:
    """Groups of a structure: one a type, with a mass and charge for each atom where they differ."""
    if structure is None:
        raise ConfigError("lists no atoms; write groups such as {type: A, count: 50, mass: 10.0}", f"{path}.atoms")
    names = tuple(dict.fromkeys(structure.types))
    types = np.asarray([names.index(name) for name in structure.types])
    charges = np.zeros(len(types)) if structure.charges is None else structure.charges
    if structure.masses is None:
        raise ConfigError("the file brings no masses; list the atoms with theirs under `atoms`", f"{path}.atoms")
    return _Groups(types, types, names, _by_group(structure.masses, types), _by_group(charges, types))


def _by_group(values: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, ...]:
    split = [np.asarray(values[group == k]) for k in range(int(group.max()) + 1)]
    return tuple(np.asarray(part[0]) if np.all(part == part[0]) else part for part in split)


def _spread(by_group: tuple[np.ndarray, ...], group: np.ndarray) -> Float[np.ndarray, "atoms"]:
    out = np.empty(len(group))
    for k, value in enumerate(by_group):
        out[group == k] = value
    return out


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
