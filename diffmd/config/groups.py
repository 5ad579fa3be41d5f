"""Which atoms share a type, a mass and a charge: as the config lists them, or as a file or an earlier run has them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from diffmd.config.effective import EffectiveSystem
from diffmd.config.positions import FilePositions
from diffmd.config.sections.system import AtomGroupSpec
from diffmd.errors import ConfigError
from diffmd.io.structures import Structure
from diffmd.paths import child, join
from diffmd.system import System
from diffmd.units import Units

_SHOWN = 4
"""How many atoms a refusal shows of each side."""

Numbers = Float[np.ndarray, "..."]
"""A number of a group: one, or one for each of its atoms."""


@dataclasses.dataclass(frozen=True)
class Groups:
    """Atoms by group.

    Attributes:
        group, types, type_names: as in `System`.
        masses, charges: of each group: a number, or one for each of its atoms.
        mass_paths, charge_paths: where these stand, as in `System`.
    """

    group: Int[np.ndarray, "atoms"]
    types: Int[np.ndarray, "atoms"]
    type_names: tuple[str, ...]
    masses: tuple[Numbers, ...]
    charges: tuple[Numbers, ...]
    mass_paths: tuple[str, ...]
    charge_paths: tuple[str, ...]

    def system(self, excluded: Int[np.ndarray, "pairs 2"], units: Units) -> System:
        """The system of these atoms, `excluded` pairs of which pair potentials leave out."""
        return System(self.group, self.types, self.type_names, excluded, units, self.mass_paths, self.charge_paths)

    @property
    def type_of_atoms(self) -> list[str]:
        """The name of each atom's type."""
        return [self.type_names[index] for index in self.types]

    @property
    def mass_of_atoms(self) -> Float[np.ndarray, "atoms"]:
        """Mass of each atom."""
        out = np.empty(len(self.group))
        for k, value in enumerate(self.masses):
            out[self.group == k] = value
        return out


def groups_of(one: EffectiveSystem, structure: Structure | None, units: Units) -> Groups:
    """The groups that `atoms` lists, compared with those of the structure file if there is one; else one a type of the
    structure.

    Args:
        structure: of the file that positions come from, or of the run that is gone on from.

    Raises:
        ConfigError: no atoms from anywhere, types that differ, or a type without a mass.
    """
    positions = one.system.positions
    if one.system.atoms:
        listed = listed_groups(one.system.atoms)
        if structure is not None and isinstance(positions, FilePositions) and positions.types != "ignore":
            _compare(one, structure, listed.type_of_atoms)
        return listed
    return _read(one, structure, units)


def listed_groups(atoms: Sequence[AtomGroupSpec]) -> Groups:
    """The groups that a config lists."""
    names = tuple(dict.fromkeys(group.type for group in atoms))
    counts = [group.count for group in atoms]
    return Groups(
        np.repeat(np.arange(len(atoms)), counts),
        np.repeat([names.index(group.type) for group in atoms], counts),
        names,
        tuple(np.asarray(group.mass) for group in atoms),
        tuple(np.asarray(group.charge) for group in atoms),
        tuple(f"system.atoms.{number}.mass" for number in range(len(atoms))),
        tuple(f"system.atoms.{number}.charge" for number in range(len(atoms))),
    )


def _read(one: EffectiveSystem, structure: Structure | None, units: Units) -> Groups:
    """One group a type; `masses` and `charges` of the config win over those of the structure."""
    path = one.system_path
    if structure is None:
        raise ConfigError("lists no atoms; write groups such as {type: A, count: 50, mass: 10.0}", f"{path}.atoms")
    of_atoms = _types_of(one, structure)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(of_atoms))}
    names, types = tuple(numbers), np.asarray([numbers[name] for name in of_atoms])
    charges = np.zeros(len(types)) if structure.charges is None else structure.charges
    _check_types(one, structure, names)
    masses = _by_type(one.system.masses, structure.masses, names, types, f"{path}.masses")
    without = [name for name, mass in zip(names, masses, strict=True) if mass is None]
    if without:
        why = structure.unknown_elements() if units.name == "md" else "in reduced units elements bring none"
        raise ConfigError(_no_mass(without, names) + (f" ({why})" if why else ""), f"{path}.masses")
    return Groups(
        types,
        types,
        names,
        tuple(mass for mass in masses if mass is not None),
        tuple(q for q in _by_type(one.system.charges, charges, names, types, f"{path}.charges") if q is not None),
        tuple(join(("system", "masses", name)) for name in names),
        tuple(join(("system", "charges", name)) for name in names),
    )


def _types_of(one: EffectiveSystem, structure: Structure) -> tuple[str, ...]:
    positions = one.system.positions
    choice = positions.types if isinstance(positions, FilePositions) else None
    if choice == "ignore":
        raise ConfigError(
            "ignore takes the types from `atoms`, which lists none; list them, or write elements or names",
            f"{one.system_path}.positions.types",
        )
    try:
        return structure.types(choice)
    except ConfigError as problem:
        raise ConfigError(problem.message, f"{one.system_path}.positions.types") from problem


def _check_types(one: EffectiveSystem, structure: Structure, types: Sequence[str]) -> None:
    """Raises ConfigError for masses and charges of a type that no atom has."""
    for section, given in (("masses", one.system.masses), ("charges", one.system.charges)):
        for name in given:
            if name not in types:
                named = name in structure.names
                way = f"; it is the name of atoms: write `types: names` in {one.system_path}.positions" if named else ""
                said = f"there are no atoms of type {name} (types: {', '.join(types)}){way}"
                raise ConfigError(said, child(f"{one.system_path}.{section}", name))


def _by_type(
    given: Mapping[str, float | list[float]],
    of_file: Float[np.ndarray, "atoms"] | None,
    names: Sequence[str],
    types: Int[np.ndarray, "atoms"],
    path: str,
) -> list[Numbers | None]:
    """The number of each type, or of each of its atoms where they differ: as given, else the file's, else None."""
    found: list[Numbers | None] = []
    for k, name in enumerate(names):
        count = int(np.sum(types == k))
        if name in given:
            value = np.asarray(given[name], float)
            if value.ndim and len(value) != count:
                raise ConfigError(f"has {len(value)} numbers for {count} atoms of type {name}", child(path, name))
            found.append(value)
        elif of_file is not None:
            own = of_file[types == k]
            found.append(np.asarray(own[0]) if np.all(own == own[0]) else own)
        else:
            found.append(None)
    return found


def _no_mass(without: Sequence[str], names: Sequence[str]) -> str:
    entries = ", ".join(f"{name}: ..." for name in without)
    whose = "the file brings no masses" if len(without) == len(names) else f"no mass for {', '.join(without)}"
    return (
        f"{whose}: write `masses: {{{entries}}}` under system, by type; or give the file a mass column "
        "(extxyz: Properties=species:S:1:pos:R:3:mass:R:1); or list the atoms with theirs under `atoms`"
    )


def _compare(one: EffectiveSystem, structure: Structure, listed: Sequence[str]) -> None:
    """Raises ConfigError at the group of the first atom whose type is another one in the file."""
    positions = one.system.positions
    assert isinstance(positions, FilePositions)
    found = difference(structure, _types_of(one, structure), positions.types is None, listed, positions.path)
    if found is None:
        return
    atom, sentence = found
    ends = itertools.accumulate(group.count for group in one.system.atoms)
    group = next(number for number, end in enumerate(ends) if atom < end)
    raise ConfigError(
        f"{sentence}. List them in the file's order; or leave out `atoms`, and the file's types are taken (with "
        "masses and charges under system.masses and system.charges); or, if the file's types mean nothing, write "
        f"`types: ignore` in {one.system_path}.positions",
        f"{one.system_path}.atoms.{group}",
    )


def difference(
    structure: Structure, of_file: Sequence[str], either: bool, listed: Sequence[str], file: str
) -> tuple[int, str] | None:
    """The first atom whose type is another one in a file, and a sentence that shows both; None if there is none.

    Args:
        of_file: the types that the file's atoms have.
        either: whether an atom's name in the file will do as well as its type.
        listed: the types that the atoms should have. Another number of atoms is told where positions are read.
        file: its name.
    """
    if len(listed) != len(of_file):
        return None
    known = [{name, own} if either else {name} for name, own in zip(of_file, structure.names, strict=True)]
    differs = next((k for k, (name, may_be) in enumerate(zip(listed, known, strict=True)) if name not in may_be), None)
    if differs is None:
        return None
    first = max(0, min(differs - 1, len(listed) - _SHOWN))
    last = min(first + _SHOWN, len(listed))
    which = f"atoms {first} to {last - 1} are" if last - first > 1 else f"atom {first} is"
    here, there = _words(listed[first:last]), _words(of_file[first:last])
    return differs, f"{which} {there} in {file}, and {here} here: atom {differs} would be another one"


def _words(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
