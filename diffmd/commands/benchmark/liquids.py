"""The liquids that ``diffmd bench`` times: the fluid of a shipped config, and Lennard-Jones melts of any size."""

from __future__ import annotations

from typing import Any

from diffmd.config.examples import example_text
from diffmd.config.yaml_reader import read_text

FLUID = 50
"""Atoms of the shipped fluid (configs/lj_fluid.yaml), all pairs of which are summed over."""
SIZES = (FLUID, 500, 4000, 32_000)
SMALLEST = 108
"""Atoms of the smallest melt: its box is as wide as twice the cutoff and the skin need, just about."""


def is_a_size(atoms: int) -> bool:
    """Whether there is a liquid of so many atoms: the fluid, or one whose fcc lattice fills a cube."""
    cells = round((atoms / 4) ** (1 / 3))
    return atoms == FLUID or (atoms >= SMALLEST and 4 * cells**3 == atoms)


def near_size(atoms: int) -> int:
    """The number of atoms nearest to `atoms` that there is a liquid of."""
    cells = max(3, round((max(atoms, 1) / 4) ** (1 / 3)))
    return min((FLUID, *(4 * n**3 for n in (cells - 1, cells, cells + 1) if n >= 3)), key=lambda n: abs(n - atoms))


def liquid(atoms: int) -> dict[str, Any]:
    """The config of the liquid of so many atoms, as data; `is_a_size` holds.

    The melt is the one that molecular dynamics programs are usually timed with: reduced units, fcc lattice, density
    0.8442, temperature 1.44 (half of which turns into potential energy at once), cutoff 2.5, skin 0.3, time step 0.005;
    its lattice has melted in the 200 steps before those that are timed. Forces go to zero at the cutoff, so that
    there is a gradient. The fluid has its velocities rescaled in each step.
    """
    if atoms == FLUID:
        data: dict[str, Any] = read_text(example_text("lj_fluid"), "lj_fluid").data
        return data
    return {
        "seed": 1,
        "system": {
            "atoms": [{"type": "A", "count": atoms, "mass": 1.0}],
            "positions": {"kind": "lattice", "lattice": "fcc", "density": 0.8442},
            "velocities": {"kind": "maxwell_boltzmann", "temperature": 1.44, "exact": True, "remove_com": True},
        },
        "potentials": {
            "lj": {
                "kind": "lennard_jones",
                "sigma": 1.0,
                "epsilon": 1.0,
                "cutoff": {"kind": "shifted_force", "distance": 2.5},
            }
        },
        "dynamics": {
            "integrator": {"kind": "velocity_verlet", "dt": 0.005},
            "steps": _steps(atoms),
            "neighbors": {"kind": "auto", "skin": 0.3},
            "equilibration": {"steps": 200},
        },
        "loss": [{"observable": {"kind": "potential_energy"}, "frames": "end", "compare": "none"}],
        "parameters": ["potentials.lj.sigma", "potentials.lj.epsilon"],
    }


def _steps(atoms: int) -> int:
    """So many that a run takes a moment, and lists are built several times."""
    return max(40, min(200, 400_000 // atoms))
