"""Which atoms an observable looks at."""

from __future__ import annotations

import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.errors import ConfigError
from diffmd.observables.base import ObservableContext
from diffmd.spec import quantity

ATOMS = quantity(None, doc="Atoms looked at, counted from zero; null: all, or those of `types`.")
TYPES = quantity(None, doc="Types of the atoms looked at; null: all, or those of `atoms`.")


def of_type(context: ObservableContext, name: str, path: str) -> Int[np.ndarray, "selected"]:
    """The atoms of a type.

    Raises:
        ConfigError: at `path`, if there is no such type.
    """
    names = context.system.type_names
    if name not in names:
        raise ConfigError(f"'{name}' is not a type of this system (types: {', '.join(names)})", path)
    return np.flatnonzero(context.system.types == names.index(name))


def select(context: ObservableContext, atoms: list[int] | None, types: list[str] | None) -> Int[np.ndarray, "selected"]:
    """The atoms listed, or those of the types listed, or all.

    Raises:
        ConfigError: if both are given, the selection is empty, or it names what is not there or an atom twice.
    """
    size = context.system.size
    if atoms is not None and types is not None:
        raise ConfigError("give `atoms` or `types`, not both", context.path("types"))
    if types is not None:
        parts = [of_type(context, name, context.path(f"types.{k}")) for k, name in enumerate(types)]
        if not parts:
            raise ConfigError("the list is empty", context.path("types"))
        return np.unique(np.concatenate(parts))
    if atoms is None:
        return np.arange(size)
    if not atoms:
        raise ConfigError("the list is empty", context.path("atoms"))
    for number, atom in enumerate(atoms):
        if not 0 <= atom < size:
            raise ConfigError(f"there is no atom {atom}: they are 0 to {size - 1}", context.path(f"atoms.{number}"))
    if len(set(atoms)) != len(atoms):
        raise ConfigError("an atom is listed twice", context.path("atoms"))
    return np.asarray(atoms, dtype=int)


def two_selections(
    context: ObservableContext, atoms: list[int] | None, types: list[str] | None
) -> tuple[Int[np.ndarray, "first"], Int[np.ndarray, "second"]]:
    """The atoms of each of two types; or twice the same array, of the atoms listed, of one type, or of all.

    Raises:
        ConfigError: as `select` does.
    """
    if types is not None and len(set(types)) == 2 and atoms is None:
        first, second = (of_type(context, name, context.path(f"types.{k}")) for k, name in enumerate(types))
        return first, second
    selected = select(context, atoms, types)
    return selected, selected


def take(x: Float[Array, "atoms 3"], selected: Int[np.ndarray, "selected"]) -> Float[Array, "selected 3"]:
    """x[selected]; all atoms in order need no gather, and a selection names none twice."""
    if np.array_equal(selected, np.arange(len(x))):
        return x
    return x.at[selected].get(unique_indices=True)
