"""Response functions from fluctuations: the heat capacity and the isothermal compressibility.

Both hold in the canonical ensemble (dynamics that sample a temperature, such as Langevin's). Variances are those of the
population, (1/F) sum (x - mean)^2, over the frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import volume
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, MeasuredSpec, ObservableContext, SeriesObservable
from diffmd.observables.cells import CELLS, SOFTNESS, Cells, Counts
from diffmd.observables.energies import kinetic_energy, temperature
from diffmd.observables.given_temperature import Given, Temperature, given_temperature
from diffmd.observables.selection import take
from diffmd.spec import OBSERVABLES, quantity

TEMPERATURE = quantity(
    None,
    doc="T: a number; dynamics: that of the integrator or thermostat, also where it is learned; null: the mean of "
    "2 E_kin / (n_f k_B) over the frames.",
    unit="temperature",
)


def _kept_temperature(frame: Frame, given: Temperature | None, boltzmann: float) -> Float[Array, ""]:
    """The temperature given, or the frame's."""
    return temperature(frame, boltzmann) if given is None else given_temperature(given, frame)


@dataclasses.dataclass(frozen=True)
class HeatCapacity(SeriesObservable):
    """C_V = <(E - <E>)^2> / (k_B T^2), E = U + E_kin [energy/temperature].

    At constant volume in the canonical ensemble. In the microcanonical one E does not fluctuate, and this is zero.

    Attributes:
        boltzmann: k_B.
        temperature: T, or that of the dynamics; None: the mean over the frames.
        share: factor: 1, or one over the number of atoms.

    Source: M. P. Allen and D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), equation 2.79.
    """

    boltzmann: float
    temperature: Temperature | None
    share: float

    def measure(self, frame: Frame) -> dict[str, Array]:
        """The energy and the temperature."""
        return {
            "energy": frame.potential_energy() + kinetic_energy(frame),
            "temperature": _kept_temperature(frame, self.temperature, self.boltzmann),
        }

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Float[Array, ""]:
        """C_V."""
        return self.share * jnp.var(rows["energy"]) / (self.boltzmann * jnp.mean(rows["temperature"]) ** 2)


@dataclasses.dataclass(frozen=True, eq=False)
class NumberCompressibility(SeriesObservable):
    """kappa_T from how the number N_c of atoms in the cells of a box of constant volume varies.

    In an open volume var(N) / <N> = rho k_B T kappa_T, which is 1 for an ideal gas. Cells of a box with N atoms fall
    short of that even for an ideal gas: what is in one cell is in no other, and boundaries are soft. So the variance is
    taken relative to that of an ideal gas in the same cells,

        kappa_T = V / (N k_B T) * <(N_c - <N_c>)^2> / (N (<w^2> - <w>^2)),

    over frames and cells, with <w> = 1 / cells and <w^2> the mean squared weight (sharp cells: 1 / cells, which makes
    it V_c var(N_c) / (<N_c>^2 k_B T) / (1 - V_c/V)). Exact for an ideal gas; for a liquid up to terms of order
    (correlation length / width of a cell).

    Attributes:
        selected: the atoms, all of one kind or of a mixture of constant composition.
        cells: the parts of the box.
        boltzmann: k_B.
        temperature: T, or that of the dynamics; None: the mean over the frames.

    Source: J. L. Lebowitz and J. K. Percus, Phys. Rev. 122, 1675 (1961); M. Rovere, D. W. Heermann and K. Binder,
        J. Phys.: Condens. Matter 2, 7009 (1990).
    """

    selected: Int[np.ndarray, "selected"]
    cells: Cells
    boltzmann: float
    temperature: Temperature | None

    def measure(self, frame: Frame) -> dict[str, Array]:
        """The numbers in the cells, the volume and the temperature."""
        return {
            "numbers": self.cells.numbers(frame.box, take(frame.positions, self.selected)),
            "volume": volume(frame.box),
            "temperature": _kept_temperature(frame, self.temperature, self.boltzmann),
        }

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Float[Array, ""]:
        """kappa_T [length^3/energy]."""
        n = len(self.selected)
        excess = jnp.mean((rows["numbers"] - n / self.cells.total) ** 2) / (n * self.cells.ideal_variance)
        return jnp.mean(rows["volume"]) * excess / (n * self.boltzmann * jnp.mean(rows["temperature"]))


@dataclasses.dataclass(frozen=True)
class VolumeCompressibility(SeriesObservable):
    """kappa_T = <(V - <V>)^2> / (k_B T <V>), at constant pressure; zero where the volume is constant.

    Attributes:
        boltzmann: k_B.
        temperature: T, or that of the dynamics; None: the mean over the frames.

    Source: M. P. Allen and D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), equation 2.88.
    """

    boltzmann: float
    temperature: Temperature | None

    def measure(self, frame: Frame) -> dict[str, Array]:
        """The volume and the temperature."""
        return {
            "volume": volume(frame.box),
            "temperature": _kept_temperature(frame, self.temperature, self.boltzmann),
        }

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Float[Array, ""]:
        """kappa_T [length^3/energy]."""
        v = rows["volume"]
        return jnp.var(v) / (self.boltzmann * jnp.mean(rows["temperature"]) * jnp.mean(v))


@OBSERVABLES.register
class HeatCapacitySpec(MeasuredSpec):
    """C_V = var(E) / (k_B T^2) over the frames of a canonical run [energy/temperature]."""

    measured: ClassVar[str] = "energy/temperature"
    kind: Literal["heat_capacity"] = "heat_capacity"
    temperature: Given = TEMPERATURE
    per_atom: bool = quantity(False, doc="Whether it is divided by the number of atoms.")

    def build(self, context: ObservableContext) -> SeriesObservable:
        """The observable."""
        share = 1 / context.system.size if self.per_atom else 1.0
        return HeatCapacity(context.system.units.boltzmann, self.temperature, share)


@OBSERVABLES.register
class CompressibilitySpec(MeasuredSpec):
    """The isothermal compressibility kappa_T = -(1/V) dV/dP from fluctuations over the frames [length^3/energy].

    Of the number of atoms in cells of a box of constant volume, or of the volume at constant pressure.
    """

    measured: ClassVar[str] = "length^3/energy"
    kind: Literal["compressibility"] = "compressibility"
    ensemble: Literal["number", "volume"] = quantity(
        "number",
        doc="number: from the variance of the number of atoms in the cells of the box, relative to an ideal gas's; "
        "volume: var(V) / (k_B T <V>), which is zero at constant volume.",
    )
    temperature: Given = TEMPERATURE
    cells: Counts = CELLS
    softness: float = SOFTNESS

    def build(self, context: ObservableContext) -> SeriesObservable:
        """The observable.

        Raises:
            ConfigError: without periodicity, or with one cell alone.
        """
        boltzmann = context.system.units.boltzmann
        if not context.box.periodic:
            raise ConfigError("a compressibility needs a periodic box", context.name)
        if self.ensemble == "volume":
            return VolumeCompressibility(boltzmann, self.temperature)
        cells = Cells.create(context, self.cells, self.softness)
        return NumberCompressibility(np.arange(context.system.size), cells, boltzmann, self.temperature)
