"""The power spectrum of the velocities: the vibrational density of states."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.observables.base import Frame, MeasuredSpec, ObservableContext, SeriesObservable
from diffmd.observables.selection import ATOMS, TYPES, select
from diffmd.observables.series import LAGS, REMOVE_COM, lags_of, spacing
from diffmd.observables.vacf import VelocityAutocorrelation
from diffmd.spec import OBSERVABLES, quantity

Window = Literal["hann", "none"]


def window_of(kind: Window, lags: int) -> Float[np.ndarray, "lags"]:
    """w_k, from 1 at lag 0: cos^2(pi k / (2 (lags - 1))), which falls to 0 at the last lag, or 1 throughout."""
    if kind == "none":
        return np.ones(lags)
    return np.cos(np.pi * np.arange(lags) / (2 * (lags - 1))) ** 2


@dataclasses.dataclass(frozen=True, eq=False)
class VelocitySpectrum(SeriesObservable):
    """S(f) = 4 integral from 0 to infinity of C(t) w(t) cos(2 pi f t) dt, C the velocity autocorrelation.

    The integral over f > 0 is C(0) (1 where C is normalized), and S(0) = 12 D. With L lags dt apart it is the cosine
    transform by the trapezoidal rule on f_j = j / (2 (L - 1) dt), j = 0 ... L - 1,

        S_j = 4 dt [ C_0 / 2 + sum over 0 < k < L - 1 of w_k C_k cos(pi j k / (L - 1)) + (-1)^j w_{L-1} C_{L-1} / 2 ],

    for which the trapezoidal rule over the f_j gives C_0 exactly. The window w takes out the ripples that cutting C
    short would make, and widens lines to about 1 / ((L - 1) dt).

    Attributes:
        correlation: C, mass-weighted for a density of states.
        window: w.

    Source: S.-T. Lin, M. Blanco and W. A. Goddard, J. Chem. Phys. 119, 11792 (2003), equations 3 to 7.
    """

    correlation: VelocityAutocorrelation
    window: Window

    def measure(self, frame: Frame) -> dict[str, Array]:
        """As the correlation's."""
        return self.correlation.measure(frame)

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Float[Array, "lags"]:
        """S_j [length^2/time, or energy time where mass-weighted, or time where normalized]."""
        c = self.correlation.over(rows)
        c = c * jnp.asarray(window_of(self.window, c.shape[0]), c.dtype)
        even = jnp.concatenate([c, c[-2:0:-1]])
        return 2 * spacing(rows["time"]) * jnp.real(jnp.fft.rfft(even))

    def abscissa(self, times: Float[np.ndarray, "frames"]) -> Float[np.ndarray, "lags"]:
        """f_j [1/time]."""
        lags = lags_of(len(times), self.correlation.lags)
        return np.arange(lags) / (2 * (lags - 1) * (times[1] - times[0]))

    @property
    def least_frames(self) -> int:
        """As many as lags."""
        return self.correlation.least_frames


@OBSERVABLES.register
class VelocitySpectrumSpec(MeasuredSpec):
    """Cosine transform of the velocity autocorrelation: S(f) = 4 integral C(t) cos(2 pi f t) dt over t > 0.

    Its integral over f > 0 is C(0). Mass-weighted and not normalized it is k_B T times the vibrational density of
    states per atom, whose integral is 3.
    """

    kind: Literal["vacf_spectrum"] = "vacf_spectrum"
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    lags: int | None = LAGS
    normalized: bool = quantity(True, doc="Whether the correlation is divided by C(0), so that the integral is 1.")
    mass_weighted: bool = quantity(False, doc="Whether each atom's correlation is multiplied by its mass.")
    remove_com: bool = REMOVE_COM
    window: Window = quantity("hann", doc="hann: w_k = cos^2(pi k / (2 (lags - 1))); none: 1.")

    @property
    def dimension(self) -> str:
        """See `MeasuredSpec`."""
        if self.normalized:
            return "time"
        return "energy*time" if self.mass_weighted else "length^2/time"

    def build(self, context: ObservableContext) -> SeriesObservable:
        """The observable.

        Raises:
            ConfigError: for a selection that names what is not there.
        """
        selected = select(context, self.atoms, self.types)
        correlation = VelocityAutocorrelation(selected, self.lags, self.normalized, self.remove_com, self.mass_weighted)
        return VelocitySpectrum(correlation, self.window)
