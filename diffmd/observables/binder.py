"""Binder's cumulant of any observable of a frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, Observable, ObservableContext, SeriesObservable
from diffmd.spec import OBSERVABLES, Spec, quantity

if TYPE_CHECKING:
    AnyObservable = Any


@dataclasses.dataclass(frozen=True)
class BinderCumulant(SeriesObservable):
    """U = 1 - <m^4> / (3 <m^2>^2) over the frames, m an order parameter.

    A pure number: 2/3 where |m| is the same in every frame (ordered), 0 where m is a normal variable about zero
    (disordered), negative where phases coexist. Of an m with several components m^2 is m . m, and the disordered value
    (for n components) is 1 - (n + 2) / (3 n).

    Attributes:
        parameter: m.
        centered: whether m - <m> is taken instead of m.

    Source: K. Binder, Z. Phys. B 43, 119 (1981).
    """

    parameter: Observable
    centered: bool

    def measure(self, frame: Frame) -> dict[str, Array]:
        """m of a frame."""
        return {"parameter": self.parameter.measure(frame)}

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Float[Array, ""]:
        """U."""
        m = rows["parameter"].reshape(rows["parameter"].shape[0], -1)
        if self.centered:
            m = m - jnp.mean(m, axis=0)
        squared = jnp.sum(m * m, axis=1)
        return 1 - jnp.mean(squared**2) / (3 * jnp.mean(squared) ** 2)


@OBSERVABLES.register
class BinderCumulantSpec(Spec):
    """U = 1 - <m^4> / (3 <m^2>^2) over the frames, m another observable; a pure number."""

    kind: Literal["binder_cumulant"] = "binder_cumulant"
    observable: AnyObservable = quantity(doc="The order parameter m, an observable of one frame.")
    centered: bool = quantity(False, doc="Whether m - <m> is taken instead of m.")

    def build(self, context: ObservableContext) -> SeriesObservable:
        """The observable.

        Raises:
            ConfigError: for an order parameter that is of a series of frames, or that refuses itself.
        """
        inner = dataclasses.replace(context, name=context.path("observable"))
        parameter = self.observable.build(inner)
        if not isinstance(parameter, Observable):
            raise ConfigError("is of a whole series of frames; an order parameter is of one", inner.name)
        return BinderCumulant(parameter, self.centered)
