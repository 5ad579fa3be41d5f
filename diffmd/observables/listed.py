"""Lists of pairs, triples and quadruples of atoms that an observable is taken over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from diffmd.errors import ConfigError
from diffmd.observables.base import ObservableContext
from diffmd.potentials.term_lists import Chain
from diffmd.spec import quantity

EACH = quantity(False, doc="true: the value of each, as an array; false: their mean.")


def listed(
    terms: Sequence[Sequence[int]] | Chain, arity: int, context: ObservableContext, field: str
) -> Int[np.ndarray, "terms arity"]:
    """The atoms of each term, `arity` of them, checked against the system; of a chain, every run of its atoms.

    Raises:
        ConfigError: at the term, if it has the wrong number of atoms, one twice, or one that is not there; for a list
            that is empty or a chain that holds none.
    """
    if isinstance(terms, Chain):
        atoms = chained(terms, context, f"{field}.chain")
        if len(atoms) < arity:
            raise ConfigError(f"a chain of {len(atoms)} atoms has no run of {arity}", context.path(f"{field}.chain"))
        return atoms[: len(atoms) - arity + 1, None] + np.arange(arity)
    if not terms:
        raise ConfigError("the list is empty", context.path(field))
    for number, atoms_of_term in enumerate(terms):
        check_atoms(list(atoms_of_term), context, f"{field}.{number}", arity)
    return np.asarray(terms, dtype=int)


def chained(chain: Chain, context: ObservableContext, field: str) -> Int[np.ndarray, "atoms"]:
    """The atoms of a chain, first to last. Raises ConfigError if it leaves the system or runs backward."""
    first, last = chain.chain
    size = context.system.size
    if not 0 <= first <= last < size:
        message = f"the chain runs from {first} to {last}, but the atoms are 0 to {size - 1}"
        raise ConfigError(message, context.path(field))
    return np.arange(first, last + 1)


def check_atoms(atoms: Sequence[int], context: ObservableContext, field: str, arity: int | None = None) -> None:
    """Raises ConfigError if atoms are too few or too many, not there, or the same."""
    size, path = context.system.size, context.path(field)
    if arity is not None and len(atoms) != arity:
        raise ConfigError(f"{list(atoms)} has {len(atoms)} atoms, not {arity}", path)
    if not all(0 <= atom < size for atom in atoms):
        raise ConfigError(f"{list(atoms)} names an atom that is not there: they are 0 to {size - 1}", path)
    if len(set(atoms)) != len(atoms):
        raise ConfigError(f"{list(atoms)} names the same atom twice", path)
