"""The Berendsen weak-coupling thermostat."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.dynamics.base import Parameters, Thermostat
from diffmd.potentials.elementwise import scale_root
from diffmd.slopes import AT_REST, Slope
from diffmd.spec import THERMOSTATS, Spec, quantity


@dataclasses.dataclass(frozen=True)
class Berendsen(Thermostat):
    """v *= sqrt(1 + dt/tau (T0/T - 1)) after every step: T relaxes towards T0 as dT/dt = (T0 - T)/tau; not canonical.

    At rest (T = 0) there is no direction to scale: velocities stay zero.
    Berendsen, Postma, van Gunsteren, DiNola and Haak, J. Chem. Phys. 81, 3684 (1984), doi:10.1063/1.448118.
    """

    parameters: Mapping[str, np.ndarray]

    def slopes(self, p: Mapping[str, np.ndarray], dt: float) -> dict[str, Slope]:
        """T0 = 0 stops every atom if dt = tau."""
        return {"temperature": AT_REST} if p["temperature"] == 0 and p["tau"] == dt else {}

    def apply(
        self, p: Parameters, velocities: Float[Array, "*axes"], temperature: Array, dt: Array
    ) -> Float[Array, "*axes"]:
        """Scaled velocities. dt may not exceed tau."""
        moving = temperature > jnp.finfo(velocities.dtype).tiny
        square = 1 + dt / p["tau"] * (p["temperature"] / jnp.where(moving, temperature, 1) - 1)
        # dt = tau with T0 = 0 stops every atom; the square root's slope there is left out. Less than zero, from a T0
        # or a tau that training made too small, it gives nan, which must be seen.
        return velocities * scale_root(jnp.where(moving, square, 1))


@THERMOSTATS.register
class BerendsenSpec(Spec):
    """Weak coupling to a heat bath."""

    kind: Literal["berendsen"] = "berendsen"
    temperature: float = quantity(unit="temperature", doc="Temperature T0 of the bath.", ge=0)
    tau: float = quantity(unit="time", doc="Relaxation time of the temperature; at least dt.", gt=0)

    def build(self) -> Berendsen:
        """The thermostat."""
        return Berendsen({"temperature": np.asarray(self.temperature), "tau": np.asarray(self.tau)})
