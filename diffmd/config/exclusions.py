"""Which pairs do not interact because bonds join them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from diffmd.potentials.base import Potential, TermForce, TermPotential


def excluded_pairs(potentials: Iterable[Potential], size: int, reach: int) -> Int[np.ndarray, "pairs 2"]:
    """Pairs i < j at most `reach` bonds apart, along the bonds of every potential on two atoms."""
    neighbors: list[set[int]] = [set() for _ in range(size)]
    for i, j in bonded_pairs(potentials):
        neighbors[i].add(j)
        neighbors[j].add(i)
    pairs: set[tuple[int, int]] = set()
    for atom in range(size if reach else 0):
        seen, edge = {atom}, {atom}
        for _ in range(reach):
            edge = {k for one in edge for k in neighbors[one]} - seen
            seen |= edge
        pairs |= {(atom, other) for other in seen if other > atom}
    return np.asarray(sorted(pairs), int).reshape(-1, 2)


def bonded_pairs(potentials: Iterable[Potential]) -> Int[np.ndarray, "bonds 2"]:
    """The bonds of a system, each once, i < j."""
    found: set[tuple[int, int]] = set()
    for potential in potentials:
        if isinstance(potential, (TermPotential, TermForce)) and potential.atoms.shape[1] == 2:
            found |= {(int(min(i, j)), int(max(i, j))) for i, j in potential.atoms}
    return np.asarray(sorted(found), int).reshape(-1, 2)
