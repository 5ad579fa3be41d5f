"""Lists of terms: which atoms each bond or angle is made of."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Int
from pydantic import Field

from diffmd.errors import ConfigError
from diffmd.potentials.base import BuildContext
from diffmd.spec import Spec


class Chain(Spec):
    """Atoms first to last, both included, joined in a row: every run of consecutive atoms is a term."""

    chain: Annotated[list[int], Field(min_length=2, max_length=2)] = Field(
        description="First and last atom, counted from zero."
    )


def term_atoms(
    terms: list[list[int]] | Chain, arity: int, context: BuildContext, field: str
) -> Int[np.ndarray, "terms arity"]:
    """The atoms of each term, checked against the system.

    Raises:
        ConfigError: at the term, if it has the wrong number of atoms, one twice, or one that is not there.
    """
    size = len(context.types)
    if isinstance(terms, Chain):
        first, last = terms.chain
        path = context.path(f"{field}.chain")
        if not 0 <= first <= last < size:
            raise ConfigError(f"the chain runs from {first} to {last}, but the atoms are 0 to {size - 1}", path)
        if last - first + 1 < arity:
            raise ConfigError(f"a chain of {last - first + 1} atoms has no term of {arity}", path)
        return np.arange(first, last - arity + 2)[:, None] + np.arange(arity)
    if not terms:
        raise ConfigError("the list is empty", context.path(field))
    for number, atoms in enumerate(terms):
        path = context.path(f"{field}.{number}")
        if len(atoms) != arity:
            raise ConfigError(f"{atoms} has {len(atoms)} atoms, not {arity}", path)
        if not all(0 <= atom < size for atom in atoms):
            raise ConfigError(f"{atoms} names an atom that is not there: the atoms are 0 to {size - 1}", path)
        if len(set(atoms)) != arity:
            raise ConfigError(f"{atoms} has the same atom twice", path)
    return np.asarray(terms, dtype=int)
