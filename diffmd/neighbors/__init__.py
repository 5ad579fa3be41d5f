"""Which atoms a row of the pair sweep looks at: their plan (`planning`), the search (`search`), the lists (`lists`)."""

from diffmd.neighbors.lists import AllPairs, NeighborList, build, displacement2, neighbor_displacements
from diffmd.neighbors.planning import FEW_ATOMS, NeighborPlan, grow, plan

__all__ = [
    "FEW_ATOMS",
    "AllPairs",
    "NeighborList",
    "NeighborPlan",
    "build",
    "displacement2",
    "grow",
    "neighbor_displacements",
    "plan",
]
