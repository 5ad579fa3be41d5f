"""Potentials: importing this package registers every kind."""

from diffmd.potentials import bonded, fene, lennard_jones, neural, python, spline
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
    "fene",
    "lennard_jones",
    "neural",
    "python",
    "spline",
]
