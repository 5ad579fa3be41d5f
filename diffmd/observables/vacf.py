"""The velocity autocorrelation function."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

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
from diffmd.spec import OBSERVABLES, quantity


@dataclasses.dataclass(frozen=True, eq=False)
class VelocityAutocorrelation(SeriesObservable):
    """C_k = < v_i(t) . v_i(t + k dt) >, the mean over time origins t and selected atoms i [length^2/time^2].

    With all three components summed, C_0 = 3 k_B T / m. `normalized` divides by C_0.

    Attributes:
        selected: the atoms.
        lags: how many lags, zero included; None: half of the frames.
        normalized: whether it is divided by C_0.
        remove_com: whether velocities are relative to the centre of mass of all atoms.
        mass_weighted: whether each atom's term is multiplied by its mass: m v . v [energy].

    Source: M. P. Allen and D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 2.7.
    """

    selected: Int[np.ndarray, "selected"]
    lags: int | None
    normalized: bool
    remove_com: bool
    mass_weighted: bool = False

    def measure(self, frame: Frame) -> dict[str, Array]:
        """Velocities of the selected atoms, and the time."""
        v = without_drift(frame, frame.velocities) if self.remove_com else frame.velocities
        if self.mass_weighted:
            v = jnp.sqrt(frame.masses)[:, None] * v
        return {"velocities": take(v, self.selected), "time": frame.time}

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Float[Array, "lags"]:
        """C_k."""
        v = rows["velocities"]
        found = over_origins(
            v, range(lags_of(v.shape[0], self.lags)), lambda a, b: jnp.mean(jnp.sum(a * b, axis=-1), axis=-1)
        )
        return found / found[0] if self.normalized else found

    def abscissa(self, times: Float[np.ndarray, "frames"]) -> Float[np.ndarray, "lags"]:
        """k dt [time]."""
        return lag_times(times, self.lags)

    @property
    def least_frames(self) -> int:
        """As many as lags."""
        return frames_for(self.lags)


@OBSERVABLES.register
class VelocityAutocorrelationSpec(MeasuredSpec):
    """C_k = < v(t) . v(t + k dt) > over time origins and atoms, as a curve over the lags' times [length^2/time^2]."""

    kind: Literal["vacf"] = "vacf"
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    lags: int | None = LAGS
    normalized: bool = quantity(False, doc="Whether it is divided by its value at lag 0.")
    remove_com: bool = REMOVE_COM

    @property
    def dimension(self) -> str:
        """See `MeasuredSpec`."""
        return "1" if self.normalized else "length^2/time^2"

    def build(self, context: ObservableContext) -> SeriesObservable:
        """The observable.

        Raises:
            ConfigError: for a selection that names what is not there.
        """
        selected = select(context, self.atoms, self.types)
        return VelocityAutocorrelation(selected, self.lags, self.normalized, self.remove_com)
