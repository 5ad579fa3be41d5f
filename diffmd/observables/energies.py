"""Energies and the temperature."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, MeasuredSpec, Observable, ObservableContext
from diffmd.spec import OBSERVABLES, quantity


def kinetic_energy(frame: Frame) -> Float[Array, ""]:
    """(1/2) sum_i m_i v_i^2 [energy]."""
    return jnp.sum(frame.masses * jnp.sum(frame.velocities**2, axis=-1)) / 2


def temperature(frame: Frame, boltzmann: float) -> Float[Array, ""]:
    """T = 2 E_kin / (n_f k_B) [temperature]."""
    return 2 * kinetic_energy(frame) / (frame.degrees_of_freedom * boltzmann)


@dataclasses.dataclass(frozen=True)
class PotentialEnergy(Observable):
    """The sum of all potentials, or one of them.

    Attributes:
        potential: its name; None: all.
    """

    potential: str | None = None

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """U [energy]."""
        return frame.potential_energy() if self.potential is None else frame.potential_energies()[self.potential]


@dataclasses.dataclass(frozen=True)
class KineticEnergy(Observable):
    """(1/2) sum_i m_i v_i^2."""

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """E_kin [energy]."""
        return kinetic_energy(frame)

    @property
    def configurational(self) -> bool:
        """False: it is made of velocities."""
        return False


@dataclasses.dataclass(frozen=True)
class TotalEnergy(Observable):
    """Potential plus kinetic energy."""

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """U + E_kin [energy]."""
        return frame.potential_energy() + kinetic_energy(frame)

    @property
    def configurational(self) -> bool:
        """False: it has the kinetic energy in it."""
        return False


@dataclasses.dataclass(frozen=True)
class Temperature(Observable):
    """T = 2 E_kin / (n_f k_B), n_f the degrees of freedom that share the kinetic energy."""

    boltzmann: float

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """T [temperature]."""
        return temperature(frame, self.boltzmann)

    @property
    def configurational(self) -> bool:
        """False: it is made of velocities."""
        return False


@OBSERVABLES.register
class PotentialEnergySpec(MeasuredSpec):
    """The potential energy [energy]: of all potentials, or of one."""

    measured: ClassVar[str] = "energy"
    kind: Literal["potential_energy"] = "potential_energy"
    potential: str | None = quantity(None, doc="Name of the one potential whose energy is meant; null: all of them.")

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for a potential that is not there.
        """
        if self.potential is not None and self.potential not in context.potentials:
            known = ", ".join(context.potentials) or "none"
            raise ConfigError(
                f"there is no potential '{self.potential}' (potentials: {known})", context.path("potential")
            )
        return PotentialEnergy(self.potential)


@OBSERVABLES.register
class KineticEnergySpec(MeasuredSpec):
    """The kinetic energy (1/2) sum_i m_i v_i^2 [energy]."""

    measured: ClassVar[str] = "energy"
    kind: Literal["kinetic_energy"] = "kinetic_energy"

    def build(self, context: ObservableContext) -> Observable:
        """The observable."""
        return KineticEnergy()


@OBSERVABLES.register
class TotalEnergySpec(MeasuredSpec):
    """Potential plus kinetic energy [energy]."""

    measured: ClassVar[str] = "energy"
    kind: Literal["total_energy"] = "total_energy"

    def build(self, context: ObservableContext) -> Observable:
        """The observable."""
        return TotalEnergy()


@OBSERVABLES.register
class TemperatureSpec(MeasuredSpec):
    """T = 2 E_kin / (n_f k_B) [temperature], n_f = 3N - 3 where momentum is conserved, else 3N."""

    measured: ClassVar[str] = "temperature"
    kind: Literal["temperature"] = "temperature"

    def build(self, context: ObservableContext) -> Observable:
        """The observable."""
        return Temperature(context.system.units.boltzmann)
