"""Cutoffs: how a pair energy u(r) ends at a distance r_c.

====================  ==========================================  ===================================================
kind                  energy inside r_c                           continuous at r_c
====================  ==========================================  ===================================================
none                  u(r)                                        (no end)
truncated             u(r)                                        nothing: forces jump
shifted_potential     u(r) - u(r_c)                               energy; forces jump
shifted_force         u(r) - u(r_c) - (r - r_c) u'(r_c)           energy and force
switch                u(r) S(x), x = (r - from) / (r_c - from)    energy, force and its first derivative
====================  ==========================================  ===================================================

S(x) = 1 - 10 x^3 + 15 x^4 - 6 x^5 for 0 <= x <= 1, and 1 below: the quintic of OpenMM (NonbondedForce, "switching
function"). From r = r_c on, u and its derivatives of every order, with respect to r^2 and to the parameters, are
exactly zero: the distance is replaced by r_c before u sees it, so nothing overflows behind the mask. u(r_c) and u'(r_c)
are functions of the parameters and are differentiated as such.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array
from pydantic import BeforeValidator, Field, model_validator

from diffmd.potentials.elementwise import root
from diffmd.spec import CUTOFFS, Spec, quantity

PairFunction = Callable[[Array, Mapping[str, Array]], Array]
"""u(r^2, parameters), elementwise."""


class Cutoff(abc.ABC):
    """Ends a pair energy.

    Attributes:
        distance: r_c, or None.
        truncated: whether the force jumps at r_c, so that a crossing trajectory is not differentiable.
    """

    distance: float | None
    truncated: bool

    @abc.abstractmethod
    def apply(self, u: PairFunction, r2: Array, q: Mapping[str, Array]) -> Array:
        """The cut energy at `r2`, elementwise."""


@dataclasses.dataclass(frozen=True)
class NoCutoff(Cutoff):
    """u(r) at every distance. In a periodic box a pair interacts by its minimum image alone, which in a triclinic box
    is the nearest image up to half the smallest perpendicular width."""

    distance: None = None
    truncated: bool = False

    def apply(self, u: PairFunction, r2: Array, q: Mapping[str, Array]) -> Array:
        return u(r2, q)


@dataclasses.dataclass(frozen=True)
class Truncated(Cutoff):
    """u(r) inside r_c, zero outside."""

    distance: float
    truncated: bool = True

    def apply(self, u: PairFunction, r2: Array, q: Mapping[str, Array]) -> Array:
        return _inside(self.distance, lambda x: u(x, q), r2)


@dataclasses.dataclass(frozen=True)
class ShiftedPotential(Cutoff):
    """u(r) - u(r_c) inside r_c."""

    distance: float
    truncated: bool = True

    def apply(self, u: PairFunction, r2: Array, q: Mapping[str, Array]) -> Array:
        at_cutoff = u(jnp.asarray(self.distance**2, r2.dtype), q)
        return _inside(self.distance, lambda x: u(x, q) - at_cutoff, r2)


@dataclasses.dataclass(frozen=True)
class ShiftedForce(Cutoff):
    """u(r) - u(r_c) - (r - r_c) u'(r_c) inside r_c."""

    distance: float
    truncated: bool = False

    def apply(self, u: PairFunction, r2: Array, q: Mapping[str, Array]) -> Array:
        squared = jnp.asarray(self.distance**2, r2.dtype)
        # The tangent of r^2 for a unit change of r is 2 r; scalar parameters make both of these scalars.
        at_cutoff, slope = jax.jvp(lambda x: u(x, q), (squared,), (jnp.asarray(2 * self.distance, r2.dtype),))
        return _inside(self.distance, lambda x: u(x, q) - at_cutoff - (root(x) - self.distance) * slope, r2)


@dataclasses.dataclass(frozen=True)
class Switch(Cutoff):
    """u(r) S((r - start) / (r_c - start)) inside r_c."""

    distance: float
    start: float
    truncated: bool = False

    def apply(self, u: PairFunction, r2: Array, q: Mapping[str, Array]) -> Array:
        def switched(x: Array) -> Array:
            switching = x > self.start**2
            r = root(jnp.where(switching, x, self.distance**2))
            t = jnp.where(switching, (r - self.start) * (1 / (self.distance - self.start)), 0)
            return u(x, q) * (1 - t * t * t * (10 - t * (15 - 6 * t)))

        return _inside(self.distance, switched, r2)


def _inside(distance: float, u: Callable[[Array], Array], r2: Array) -> Array:
    """u(r2) where r2 < distance^2, zero elsewhere. Not "where inside": a nan must stay a nan, never become zero."""
    outside = r2 >= distance**2
    return jnp.where(outside, 0, u(jnp.where(outside, distance**2, r2)))


_DISTANCE = quantity(
    doc="r_c: the energy is zero from here on. At most half the smallest perpendicular width of the box.",
    unit="length",
    gt=0,
)


@CUTOFFS.register
class NoCutoffSpec(Spec):
    """No cutoff: every pair interacts (each with the nearest image of the other)."""

    kind: Literal["none"] = "none"

    def build(self) -> Cutoff:
        """The cutoff."""
        return NoCutoff()


@CUTOFFS.register
class TruncatedSpec(Spec):
    """Plain truncation: u(r) inside. The force jumps, so a trajectory that crosses has no derivative there."""

    kind: Literal["truncated"] = "truncated"
    distance: float = _DISTANCE

    def build(self) -> Cutoff:
        """The cutoff."""
        return Truncated(self.distance)


@CUTOFFS.register
class ShiftedPotentialSpec(Spec):
    """u(r) - u(r_c): the energy is continuous; the force still jumps."""

    kind: Literal["shifted_potential"] = "shifted_potential"
    distance: float = _DISTANCE

    def build(self) -> Cutoff:
        """The cutoff."""
        return ShiftedPotential(self.distance)


@CUTOFFS.register
class ShiftedForceSpec(Spec):
    """u(r) - u(r_c) - (r - r_c) u'(r_c): energy and force are continuous."""

    kind: Literal["shifted_force"] = "shifted_force"
    distance: float = _DISTANCE

    def build(self) -> Cutoff:
        """The cutoff."""
        return ShiftedForce(self.distance)


@CUTOFFS.register
class SwitchSpec(Spec):
    """u(r) S(x) with x = (r - from) / (r_c - from) and OpenMM's quintic S = 1 - 10 x^3 + 15 x^4 - 6 x^5 (C2)."""

    kind: Literal["switch"] = "switch"
    distance: float = _DISTANCE
    start: float = Field(
        alias="from",
        ge=0,
        description="Distance at which switching begins; below the cutoff's distance.",
        json_schema_extra={"unit": "length"},
    )

    @model_validator(mode="after")
    def _ordered(self) -> SwitchSpec:
        if self.start >= self.distance:
            raise ValueError(f"from ({self.start}) must be smaller than distance ({self.distance})")
        return self

    def build(self) -> Cutoff:
        """The cutoff."""
        return Switch(self.distance, self.start)


def _written_out(value: Any) -> Any:
    if value is None:
        return {"kind": "none"}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"kind": "truncated", "distance": value}
    return value


_AnyCutoff = Annotated[
    NoCutoffSpec | TruncatedSpec | ShiftedPotentialSpec | ShiftedForceSpec | SwitchSpec, Field(discriminator="kind")
]
CutoffSpec = Annotated[_AnyCutoff, BeforeValidator(_written_out, json_schema_input_type=_AnyCutoff | float | None)]
"""A cutoff section; a bare number is ``{kind: truncated, distance: number}`` and null ``{kind: none}``."""
