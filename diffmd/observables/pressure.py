"""The pressure and the stress tensor, from the virial.

With the strain e of box and positions, x -> x + x e, the virial is W = -dU/de (of pair forces, the sum over pairs of
d_a f_b), and

    stress  sigma = -(sum_i m_i v_i (x) v_i + W) / V,      pressure  P = -tr sigma / 3 = (2 E_kin + tr W) / (3 V).

Tension is a positive stress and a negative pressure, so that without motion sigma = (1/V) dU/de. Where a temperature
is given, the kinetic part is its mean in the canonical ensemble, N k_B T / V on the diagonal, and the observable is one
of the configuration alone. Units: energy/length^3; 1 kJ/mol/nm^3 = 16.6054 bar.

Source: M. P. Allen and D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 2.4.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from diffmd.box import volume
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, Observable, ObservableContext
from diffmd.observables.energies import kinetic_energy
from diffmd.spec import OBSERVABLES, Spec, quantity

Temperature = Annotated[float, Field(gt=0)]
TEMPERATURE = quantity(
    None,
    doc="Given, the kinetic part is N k_B T / V instead of the velocities', and the observable is configurational.",
    unit="temperature",
)


@dataclasses.dataclass(frozen=True)
class Pressure(Observable):
    """P = (2 E_kin + tr W) / (3 V), or N k_B T / V + tr W / (3 V) at a given temperature.

    Attributes:
        thermal: k_B T [energy]; None: from the velocities.
    """

    thermal: float | None

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """P [energy/length^3]."""
        kinetic = 2 * kinetic_energy(frame) if self.thermal is None else 3 * len(frame.masses) * self.thermal
        return (kinetic + jnp.trace(frame.virial())) / (3 * volume(frame.box))

    @property
    def configurational(self) -> bool:
        """Whether a temperature is given."""
        return self.thermal is not None


@dataclasses.dataclass(frozen=True)
class StressTensor(Observable):
    """sigma_ab = -(sum_i m_i v_ia v_ib + W_ab) / V, or with N k_B T delta_ab at a given temperature.

    Attributes:
        thermal: k_B T [energy]; None: from the velocities.
    """

    thermal: float | None

    def measure(self, frame: Frame) -> Float[Array, "3 3"]:
        """sigma [energy/length^3]."""
        if self.thermal is None:
            v = frame.velocities
            kinetic = jnp.sum(frame.masses[:, None, None] * v[:, :, None] * v[:, None, :], axis=0)
        else:
            kinetic = len(frame.masses) * self.thermal * jnp.eye(3)
        return -(kinetic + frame.virial()) / volume(frame.box)

    @property
    def configurational(self) -> bool:
        """Whether a temperature is given."""
        return self.thermal is not None


def _thermal(temperature: float | None, context: ObservableContext) -> float | None:
    """k_B T. Raises ConfigError without periodicity."""
    if not context.box.periodic:
        raise ConfigError("a pressure needs a periodic box, whose volume it is of", context.name)
    return None if temperature is None else context.system.units.boltzmann * temperature


@OBSERVABLES.register
class PressureSpec(Spec):
    """P = (2 E_kin + tr W) / (3 V), W the virial [energy/length^3]. Needs a periodic box."""

    kind: Literal["pressure"] = "pressure"
    temperature: Temperature | None = TEMPERATURE

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: without periodicity.
        """
        return Pressure(_thermal(self.temperature, context))


@OBSERVABLES.register
class StressTensorSpec(Spec):
    """sigma = -(sum m v (x) v + W) / V, W the virial [energy/length^3]; tension is positive. Needs a periodic box."""

    kind: Literal["stress_tensor"] = "stress_tensor"
    temperature: Temperature | None = TEMPERATURE

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: without periodicity.
        """
        return StressTensor(_thermal(self.temperature, context))
