"""Angles between three atoms and dihedral angles of four."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from diffmd.observables.base import Frame, MeasuredSpec, Observable, ObservableContext
from diffmd.observables.listed import EACH, listed
from diffmd.observables.vectors import cosine, displacements, dot, rounding
from diffmd.potentials.elementwise import safe_norm
from diffmd.potentials.term_lists import Chain
from diffmd.spec import OBSERVABLES, quantity


@dataclasses.dataclass(frozen=True, eq=False)
class Angle(Observable):
    """theta = atan2(|a x b|, a . b), a = x_i - x_j, b = x_k - x_j; or its cosine a . b / (|a| |b|).

    theta is in [0, pi], exact at every angle. It has a cusp where it is straight or folded, where its derivative is
    taken to be zero (the mean of its slopes); the cosine is smooth there. Atoms on top of each other: theta and its
    cosine are zero, with zero derivatives. By the shortest images of a and b.

    Attributes:
        triples: i, j, k, with the vertex j in the middle.
        cosines: the cosine in place of the angle.
        each: an array of all in place of their mean.
    """

    triples: Int[np.ndarray, "triples 3"]
    cosines: bool
    each: bool

    def measure(self, frame: Frame) -> Array:
        """The angle [radians] or its cosine: the mean (), or (triples,)."""
        a = displacements(frame, self.triples[:, [1, 0]])
        b = displacements(frame, self.triples[:, [1, 2]])
        values = cosine(a, b) if self.cosines else _angle(a, b)
        return values if self.each else jnp.mean(values)


def _angle(a: Float[Array, "*n 3"], b: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    sine, along = safe_norm(jnp.cross(a, b)), dot(a, b)
    return jnp.arctan2(sine, jnp.where((sine == 0) & (along == 0), 1, along))


def _within_half_a_turn(y: Array, x: Array, center: float) -> Array:
    """atan2(y, x) in (center - pi, center + pi]: the angle from `center` on, plus center."""
    c, s = float(np.cos(center)), float(np.sin(center))
    return center + jnp.arctan2(y * c - x * s, x * c + y * s)


def _cosines(y: Array, x: Array, center: float) -> Array:
    return x


def _vectors(y: Array, x: Array, center: float) -> Array:
    return jnp.stack([x, y], axis=-1)


_OUTPUTS: Mapping[str, Callable[[Array, Array, float], Array]] = {
    "angle": _within_half_a_turn,
    "cosine": _cosines,
    "vector": _vectors,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Dihedral(Observable):
    """phi = atan2(|b| a . (b x c), (a x b) . (b x c)), a = x_j - x_i, b = x_k - x_j, c = x_l - x_k.

    IUPAC's sign: cis is 0, trans is pi, and phi is positive where, seen from j to k, the bond in front must be turned
    clockwise to cover the one behind. An angle is periodic and its mean is not: phi is given in (center - pi,
    center + pi], so that its jump lies opposite `center`; (cos phi, sin phi) has no jump at all, and the squared
    distance of two such is 2 - 2 cos(phi - phi0). Where three atoms in a row are collinear there is no dihedral: it
    counts as `center` (cosine and vector as those of it), with zero derivatives. By the shortest images of a, b and c.

    Attributes:
        quadruples: i, j, k, l.
        output: ``angle``, ``cosine`` or ``vector``, which is (cos phi, sin phi).
        center: of the interval of angles [radians].
        each: an array of all in place of their mean.

    Source: IUPAC-IUB Commission on Biochemical Nomenclature, Eur. J. Biochem. 17, 193 (1970), for the sign;
    A. Blondel and M. Karplus, J. Comput. Chem. 17, 1132 (1996), for the formula.
    """

    quadruples: Int[np.ndarray, "quadruples 4"]
    output: str
    center: float
    each: bool

    def measure(self, frame: Frame) -> Array:
        """The angle [radians], its cosine, or (cos, sin) along a last axis of 2: the mean, or (quadruples, ...)."""
        a, b, c = (displacements(frame, self.quadruples[:, k : k + 2]) for k in range(3))
        length = safe_norm(b)
        normal = jnp.cross(b, c)
        y, x = length * dot(a, normal), dot(jnp.cross(a, b), normal)
        # |y, x| = |a| |b|^2 |c| sin sin: relative to the lengths, it is the sines' product that rounding can swallow.
        squared = y * y + x * x
        lengths = safe_norm(a) * length**2 * safe_norm(c)
        lost = squared <= (rounding(x) * lengths) ** 2
        radius = jnp.sqrt(jnp.where(lost, 1, squared))
        y = jnp.where(lost, float(np.sin(self.center)), y / radius)
        x = jnp.where(lost, float(np.cos(self.center)), x / radius)
        values = _OUTPUTS[self.output](y, x, self.center)
        return values if self.each else jnp.mean(values, axis=0)


@OBSERVABLES.register
class AngleSpec(MeasuredSpec):
    """Mean over the listed triples of atoms of the angle at the middle one (0 to pi), or of its cosine."""

    kind: Literal["angle"] = "angle"
    triples: list[Annotated[list[int], Field(min_length=3, max_length=3)]] | Chain = quantity(
        doc="Triples of atoms, counted from zero, vertex in the middle; or {chain: [first, last]}, each three in a row."
    )
    output: Literal["angle", "cosine"] = quantity(
        "angle", doc="angle: in radians; cosine: smooth also where an angle is straight."
    )
    each: bool = EACH

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for a list that is empty, or names an atom that is not there or one twice in a triple.
        """
        return Angle(listed(self.triples, 3, context, "triples"), self.output == "cosine", self.each)

    @property
    def dimension(self) -> str:
        """See `MeasuredSpec`."""
        return "angle" if self.output == "angle" else "1"


@OBSERVABLES.register
class DihedralSpec(MeasuredSpec):
    """Mean over the listed quadruples of the dihedral angle about the middle bond: IUPAC's sign, cis 0, trans pi."""

    kind: Literal["dihedral"] = "dihedral"
    quadruples: list[Annotated[list[int], Field(min_length=4, max_length=4)]] | Chain = quantity(
        doc="Quadruples of atoms i, j, k, l, counted from zero; or {chain: [first, last]}, each four in a row."
    )
    output: Literal["angle", "cosine", "vector"] = quantity(
        "angle",
        doc="angle: in radians, within pi of `center`; cosine; vector: [cos, sin], which jumps nowhere.",
    )
    center: float = quantity(
        0.0, doc="Angles are given from center - pi to center + pi: the jump lies opposite.", unit="angle"
    )
    each: bool = EACH

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for a list that is empty, or names an atom that is not there or one twice in a quadruple.
        """
        return Dihedral(listed(self.quadruples, 4, context, "quadruples"), self.output, self.center, self.each)

    @property
    def dimension(self) -> str:
        """See `MeasuredSpec`."""
        return "angle" if self.output == "angle" else "1"
