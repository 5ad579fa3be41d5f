"""The pressure and the stress tensor, from the virial.

With the strain e of box and positions, x -> x + x e, the virial is W = -dU/de (of pair forces, the sum over pairs of
d_a f_b), and

    stress  sigma = -(sum_i m_i v_i (x) v_i + W) / V,      pressure  P = -tr sigma / 3 = (2 E_kin + tr W) / (3 V).

Tension is a positive stress and a negative pressure, so that without motion sigma = (1/V) dU/de. Where a temperature
is given, the kinetic part is its mean in the canonical ensemble, N k_B T / V on the diagonal, and the observable is one
of the configuration alone; dP/dT has its N k_B / V where the temperature is that of the dynamics, not a number.
Units: energy/length^3; 1 kJ/mol/nm^3 = 16.6054 bar.

Source: M. P. Allen and D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 2.4.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.box import volume
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, MeasuredSpec, Observable, ObservableContext
from diffmd.observables.energies import kinetic_energy
from diffmd.observables.given_temperature import Given, Temperature, given_temperature
from diffmd.spec import OBSERVABLES, quantity

TEMPERATURE = quantity(
    None,
    doc="Given, the kinetic part is N k_B T / V instead of the velocities', and the observable is configurational: a "
    "number, or dynamics: that of the integrator or thermostat, also where it is learned.",
    unit="temperature",
)


@dataclasses.dataclass(frozen=True)
class Pressure(Observable):
    """P = (2 E_kin + tr W) / (3 V), or N k_B T / V + tr W / (3 V) at a given temperature.

    Attributes:
        temperature: T, or that of the dynamics; None: from the velocities.
        boltzmann: k_B.
    """

    temperature: Temperature | None
    boltzmann: float

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """P [energy/length^3]."""
        if self.temperature is None:
            kinetic = 2 * kinetic_energy(frame)
        else:
            kinetic = 3 * len(frame.masses) * self.boltzmann * given_temperature(self.temperature, frame)
        return (kinetic + jnp.trace(frame.virial())) / (3 * volume(frame.box))

    made_configurational: ClassVar[str] = "give it a temperature, in place of that of the velocities"

    @property
    def configurational(self) -> bool:
        """Whether a temperature is given."""
        return self.temperature is not None


@dataclasses.dataclass(frozen=True)
class StressTensor(Observable):
    """sigma_ab = -(sum_i m_i v_ia v_ib + W_ab) / V, or with N k_B T delta_ab at a given temperature.

    Attributes:
        temperature: T, or that of the dynamics; None: from the velocities.
        boltzmann: k_B.
    """

    temperature: Temperature | None
    boltzmann: float

    def measure(self, frame: Frame) -> Float[Array, "3 3"]:
        """sigma [energy/length^3]."""
        if self.temperature is None:
            v = frame.velocities
            kinetic = jnp.sum(frame.masses[:, None, None] * v[:, :, None] * v[:, None, :], axis=0)
        else:
            each = self.boltzmann * given_temperature(self.temperature, frame)
            kinetic = len(frame.masses) * each * jnp.eye(3)
        return -(kinetic + frame.virial()) / volume(frame.box)

    made_configurational: ClassVar[str] = "give it a temperature, in place of that of the velocities"

    @property
    def configurational(self) -> bool:
        """Whether a temperature is given."""
        return self.temperature is not None


def _boltzmann(context: ObservableContext) -> float:
    """k_B. Raises ConfigError without periodicity."""
    if not context.box.periodic:
        raise ConfigError("a pressure needs a periodic box, whose volume it is of", context.name)
    return context.system.units.boltzmann


@OBSERVABLES.register
class PressureSpec(MeasuredSpec):
    """P = (2 E_kin + tr W) / (3 V), W the virial [energy/length^3]. Needs a periodic box."""

    measured: ClassVar[str] = "energy/length^3"
    kind: Literal["pressure"] = "pressure"
    temperature: Given = TEMPERATURE

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: without periodicity.
        """
        return Pressure(self.temperature, _boltzmann(context))


@OBSERVABLES.register
class StressTensorSpec(MeasuredSpec):
    """sigma = -(sum m v (x) v + W) / V, W the virial [energy/length^3]; tension is positive. Needs a periodic box."""

    measured: ClassVar[str] = "energy/length^3"
    kind: Literal["stress_tensor"] = "stress_tensor"
    temperature: Given = TEMPERATURE

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: without periodicity.
        """
        return StressTensor(self.temperature, _boltzmann(context))
