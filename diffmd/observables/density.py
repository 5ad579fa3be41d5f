"""The density, and how it varies over the box."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import volume
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, MeasuredSpec, Observable, ObservableContext
from diffmd.observables.cells import CELLS, SOFTNESS, Cells, Counts
from diffmd.observables.selection import ATOMS, TYPES, select, take
from diffmd.spec import OBSERVABLES, Spec, quantity


@dataclasses.dataclass(frozen=True, eq=False)
class Density(Observable):
    """N / V, or sum_i m_i / V, of the selected atoms."""

    selected: Int[np.ndarray, "selected"]
    by_mass: bool

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """The density [1/length^3 or mass/length^3]."""
        amount = jnp.sum(frame.masses[self.selected]) if self.by_mass else len(self.selected)
        return amount / volume(frame.box)


@dataclasses.dataclass(frozen=True, eq=False)
class DensityFluctuation(Observable):
    """<(N_c - <N_c>)^2> / <N_c>^2 over the cells c of a box, N_c their smooth numbers of selected atoms.

    A pure number: zero for a uniform density, <w^2> cells^2 / N - 1 / N on average for an ideal gas of N atoms (about
    one over the atoms in a cell; `Cells.ideal_variance`), and larger where phases separate.
    """

    selected: Int[np.ndarray, "selected"]
    cells: Cells

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """The relative variance."""
        numbers = self.cells.numbers(frame.box, take(frame.positions, self.selected))
        mean = len(self.selected) / self.cells.total
        return jnp.mean((numbers / mean - 1) ** 2)


@OBSERVABLES.register
class DensitySpec(MeasuredSpec):
    """N / V [1/length^3], or the mass per volume [mass/length^3]. 1 g/mol/nm^3 = 1.66054 kg/m^3."""

    kind: Literal["density"] = "density"
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    of: Literal["number", "mass"] = quantity("number", doc="number: atoms per volume; mass: their mass per volume.")

    @property
    def dimension(self) -> str:
        """See `MeasuredSpec`."""
        return "1/length^3" if self.of == "number" else "mass/length^3"

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: without periodicity, or for a selection that names what is not there.
        """
        if not context.box.periodic:
            raise ConfigError("a density needs a periodic box, whose volume it is over", context.name)
        return Density(select(context, self.atoms, self.types), self.of == "mass")


@OBSERVABLES.register
class DensityFluctuationSpec(Spec):
    """Variance over mean squared of the number of atoms in the cells of the box, with soft boundaries; a number."""

    kind: Literal["density_fluctuation"] = "density_fluctuation"
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    cells: Counts = CELLS
    softness: float = SOFTNESS

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: without periodicity, for a selection that names what is not there, or with one cell alone.
        """
        cells = Cells.create(context, self.cells, self.softness)
        return DensityFluctuation(select(context, self.atoms, self.types), cells)
