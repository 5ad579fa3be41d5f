"""The odd slopes of all that moves a system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diffmd.dynamics.base import Integrator, Thermostat
from diffmd.potentials.base import Potential
from diffmd.slopes import Slope


def odd_slopes(
    potentials: Mapping[str, Potential],
    integrator: Integrator,
    thermostat: Thermostat | None,
    values: Mapping[str, Any],
) -> dict[str, Slope]:
    """By local path (``potentials.lj.epsilon.H``), the numbers of a system whose derivative is infinite, or zero
    wherever the atoms are, at these values.

    Args:
        potentials: by name.
        values: numbers by local path; those of the potentials and of the dynamics.
    """

    def below(prefix: str) -> dict[str, np.ndarray]:
        return {key[len(prefix) :]: np.asarray(value) for key, value in values.items() if key.startswith(prefix)}

    moves = below("dynamics.integrator.")
    parts = {f"potentials.{name}.": one.slopes(below(f"potentials.{name}.")) for name, one in potentials.items()}
    parts["dynamics.integrator."] = integrator.slopes(moves)
    if thermostat is not None:
        parts["dynamics.thermostat."] = thermostat.slopes(below("dynamics.thermostat."), float(moves["dt"]))
    return {f"{prefix}{key}": slope for prefix, found in parts.items() for key, slope in found.items()}
