"""Potentials: importing this package registers every kind."""

from diffmd.potentials import bonded, lennard_jones, neural, python
from diffmd.potentials.base import (
    BuildContext,
    EnergyPotential,
    PairPotential,
    Potential,
    TermForce,
    TermPotential,
)

__all__ = [
    "BuildContext",
    "EnergyPotential",
    "PairPotential",
    "Potential",
    "TermForce",
    "TermPotential",
    "bonded",
    "lennard_jones",
    "neural",
    "python",
]
