"""The velocity-rescaling thermostat."""

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
class Rescale(Thermostat):
    """v *= sqrt(T0 / T) after every step: the kinetic energy is exact at every step, the ensemble is not canonical.

    At rest (T = 0) there is no direction to scale: velocities stay zero.
    Woodcock, Chem. Phys. Lett. 10, 257 (1971), doi:10.1016/0009-2614(71)80281-6.
    """

    parameters: Mapping[str, np.ndarray]

    def slopes(self, p: Mapping[str, np.ndarray], dt: float) -> dict[str, Slope]:
        """T0 = 0 stops every atom."""
        return {"temperature": AT_REST} if p["temperature"] == 0 else {}

    def apply(
        self, p: Parameters, velocities: Float[Array, "*axes"], temperature: Array, dt: Array
    ) -> Float[Array, "*axes"]:
        """Scaled velocities."""
        moving = temperature > jnp.finfo(velocities.dtype).tiny
        ratio = p["temperature"] / jnp.where(moving, temperature, 1)
        # T0 = 0 stops every atom; its slope in T0 is infinite, and is left out. A T0 that training made negative must
        # be seen: it gives nan.
        return velocities * scale_root(jnp.where(moving, ratio, 1))


@THERMOSTATS.register
class RescaleSpec(Spec):
    """Velocities scaled to the temperature after every step."""

    kind: Literal["rescale"] = "rescale"
    temperature: float = quantity(unit="temperature", doc="Temperature T0 kept exactly.", ge=0)

    def build(self) -> Rescale:
        """The thermostat."""
        return Rescale({"temperature": np.asarray(self.temperature)})
