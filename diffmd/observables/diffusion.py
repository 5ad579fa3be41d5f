"""The diffusion coefficient, from displacements (Einstein) and from velocities (Green and Kubo)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, MeasuredSpec, ObservableContext, SeriesObservable
from diffmd.observables.msd import MeanSquaredDisplacement, squared_displacements
from diffmd.observables.selection import ATOMS, TYPES, select
from diffmd.observables.series import LAGS, REMOVE_COM, lags_of, spacing
from diffmd.observables.vacf import VelocityAutocorrelation
from diffmd.spec import OBSERVABLES, quantity


@dataclasses.dataclass(frozen=True, eq=False)
class EinsteinDiffusion(SeriesObservable):
    """D = slope / 6 of the mean squared displacement: the straight line of least squares through lags first ... last.

    M(t) = 6 D t + const holds beyond the ballistic start, so `first` should lie past it.

    Attributes:
        displacement: keeps the positions.
        first, last: lags of the fit, both included; a last of None is that of half the frames.

    Source: D. Frenkel and B. Smit, Understanding Molecular Simulation, 2nd ed. (2002), equation 4.4.9.
    """

    displacement: MeanSquaredDisplacement
    first: int
    last: int | None

    def measure(self, frame: Frame) -> dict[str, Array]:
        """As the displacement's."""
        return self.displacement.measure(frame)

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Float[Array, ""]:
        """D [length^2/time]."""
        x = rows["positions"]
        last = lags_of(x.shape[0], None) - 1 if self.last is None else self.last
        lags = range(self.first, last + 1)
        offset = np.asarray(lags) - (self.first + last) / 2
        slope = jnp.sum(jnp.asarray(offset, x.dtype) * squared_displacements(x, lags)) / float(np.sum(offset**2))
        return slope / (6 * spacing(rows["time"]))

    @property
    def least_frames(self) -> int:
        """One more than the last lag of the fit."""
        return 2 * (self.first + 2) if self.last is None else self.last + 1


@dataclasses.dataclass(frozen=True, eq=False)
class GreenKuboDiffusion(SeriesObservable):
    """D = (1/3) integral of C(t) dt over the lags, C the velocity autocorrelation, by the trapezoidal rule.

    The lags must reach to where C has decayed.

    Attributes:
        correlation: C, not normalized.

    Source: D. Frenkel and B. Smit, Understanding Molecular Simulation, 2nd ed. (2002), equation 4.4.11.
    """

    correlation: VelocityAutocorrelation

    def measure(self, frame: Frame) -> dict[str, Array]:
        """As the correlation's."""
        return self.correlation.measure(frame)

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Float[Array, ""]:
        """D [length^2/time]."""
        c = self.correlation.over(rows)
        return spacing(rows["time"]) * (jnp.sum(c) - (c[0] + c[-1]) / 2) / 3

    @property
    def least_frames(self) -> int:
        """As many as lags."""
        return self.correlation.least_frames


@OBSERVABLES.register
class EinsteinDiffusionSpec(MeasuredSpec):
    """D = slope / 6 of the mean squared displacement, fitted between two lags [length^2/time]."""

    measured: ClassVar[str] = "length^2/time"
    kind: Literal["diffusion_einstein"] = "diffusion_einstein"
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    from_: int = Field(
        1, alias="from", description="First lag of the fit, in frames.", json_schema_extra={"unit": "frames"}, ge=0
    )
    to: int | None = quantity(
        None, doc="Last lag of the fit, in frames, included; null: that of half the frames.", unit="frames", ge=1
    )
    remove_com: bool = REMOVE_COM

    def build(self, context: ObservableContext) -> SeriesObservable:
        """The observable.

        Raises:
            ConfigError: for a selection that names what is not there, or a fit that ends where it begins.
        """
        if self.to is not None and self.to <= self.from_:
            raise ConfigError(f"a line takes two lags, and `from` is {self.from_}", context.path("to"))
        selected = select(context, self.atoms, self.types)
        return EinsteinDiffusion(MeanSquaredDisplacement(selected, None, self.remove_com), self.from_, self.to)


@OBSERVABLES.register
class GreenKuboDiffusionSpec(MeasuredSpec):
    """D = (1/3) integral of the velocity autocorrelation over the lags [length^2/time]."""

    measured: ClassVar[str] = "length^2/time"
    kind: Literal["diffusion_green_kubo"] = "diffusion_green_kubo"
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    lags: int | None = LAGS
    remove_com: bool = REMOVE_COM

    def build(self, context: ObservableContext) -> SeriesObservable:
        """The observable.

        Raises:
            ConfigError: for a selection that names what is not there.
        """
        selected = select(context, self.atoms, self.types)
        return GreenKuboDiffusion(VelocityAutocorrelation(selected, self.lags, False, self.remove_com))
