"""The mean squared displacement."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.observables.base import Frame, MeasuredSpec, ObservableContext, SeriesObservable
from diffmd.observables.selection import ATOMS, TYPES, select, take
from diffmd.observables.series import (
    LAGS,
    REMOVE_COM,
    frames_for,
    lag_times,
    lags_of,
    over_origins,
    without_drift,
)
from diffmd.spec import OBSERVABLES


def squared_displacements(x: Float[Array, "frames atoms 3"], lags: range) -> Float[Array, "lags"]:
    """< |x(t + k dt) - x(t)|^2 > over time origins and atoms, for each lag k."""
    return over_origins(x, lags, lambda a, b: jnp.mean(jnp.sum((b - a) ** 2, axis=-1), axis=-1))


@dataclasses.dataclass(frozen=True, eq=False)
class MeanSquaredDisplacement(SeriesObservable):
    """M_k = < |x_i(t + k dt) - x_i(t)|^2 >, the mean over time origins t and selected atoms i [length^2].

    Positions are unwrapped, so an atom that leaves the box at one side goes on beyond it.

    Attributes:
        selected: the atoms.
        lags: how many lags, zero included; None: half of the frames.
        remove_com: whether positions are relative to the centre of mass of all atoms.

    Source: D. Frenkel and B. Smit, Understanding Molecular Simulation, 2nd ed. (2002), section 4.4.
    """

    selected: Int[np.ndarray, "selected"]
    lags: int | None
    remove_com: bool

    def measure(self, frame: Frame) -> dict[str, Array]:
        """Positions of the selected atoms, and the time."""
        x = without_drift(frame, frame.positions) if self.remove_com else frame.positions
        return {"positions": take(x, self.selected), "time": frame.time}

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Float[Array, "lags"]:
        """M_k."""
        x = rows["positions"]
        return squared_displacements(x, range(lags_of(x.shape[0], self.lags)))

    def abscissa(self, times: Float[np.ndarray, "frames"]) -> Float[np.ndarray, "lags"]:
        """k dt [time]."""
        return lag_times(times, self.lags)

    @property
    def least_frames(self) -> int:
        """As many as lags."""
        return frames_for(self.lags)


@OBSERVABLES.register
class MeanSquaredDisplacementSpec(MeasuredSpec):
    """< |x(t + k dt) - x(t)|^2 > over time origins and atoms, as a curve over the lags' times [length^2]."""

    measured: ClassVar[str] = "length^2"
    kind: Literal["msd"] = "msd"
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    lags: int | None = LAGS
    remove_com: bool = REMOVE_COM

    def build(self, context: ObservableContext) -> SeriesObservable:
        """The observable.

        Raises:
            ConfigError: for a selection that names what is not there.
        """
        return MeanSquaredDisplacement(select(context, self.atoms, self.types), self.lags, self.remove_com)
