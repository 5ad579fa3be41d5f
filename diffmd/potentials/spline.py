"""A pair potential of free form: a cubic spline of the distance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from pydantic import Field, model_validator

from diffmd.errors import ConfigError
from diffmd.potentials.base import BuildContext, PairPotential, Parameters, Potential
from diffmd.spec import POTENTIALS, Spec, quantity


@dataclasses.dataclass(frozen=True, eq=False)
class SplinePair(PairPotential):
    """u(r) = sum_k c_k B((r - r_k) / h), B the cubic B-spline of four equal pieces, r_k = start + (k - 1) h.

    The n = len(c) pieces of length h = (cutoff - start) / n lie between `start` and `cutoff`; k = 0 .. n - 1, so that
    the first knot lies one piece before `start` and the last two pieces before the cutoff: there u, u' and u'' go to
    zero. B is 2/3 at its knot, 1/6 at the next ones and zero from two away: c_k is no value of u, but pulls the curve
    towards itself at r_k, and the curve stays between the least and the greatest of four neighbouring c_k.

    Below `start` u goes on with its slope there (``linear``) or with slope and curvature (``quadratic``), plus
    wall (1 - r/start)^3, if there is a wall: finite at r = 0. Atoms on top of each other have no direction, so they
    have no force.

    Of a pair only the four coefficients of its piece matter; they are selected by comparing, one coefficient after
    the other, because gathers would have scatters as adjoints, and then make one polynomial: derivatives with respect
    to r cost no selection.

    Attributes:
        parameters: starting ``values`` (n,) [energy], and ``wall`` () if there is one.
        cutoff: distance beyond which u is zero.
        truncated: False.
        start: where the spline begins [length].
        pieces: n.
        quadratic: whether the core goes on with its curvature.
        between: which pairs of types interact; None for all.

    Source: C. de Boor, A Practical Guide to Splines (2001), chapter IX.
    """

    cutoff_key: ClassVar[str] = "cutoff"
    parameters: Mapping[str, np.ndarray]
    cutoff: float
    truncated: bool
    start: float
    pieces: int
    quadratic: bool
    between: Bool[np.ndarray, "types types"] | None

    def pair_parameters(self, p: Parameters) -> dict[str, Array]:
        """The coefficients one by one, all (), and ``on`` (types, types), 1 for pairs that interact."""
        q = {str(k): value for k, value in enumerate(jnp.unstack(p["values"]))}
        if "wall" in p:
            q["wall"] = p["wall"]
        if self.between is not None:
            q["on"] = jnp.asarray(self.between, p["values"].dtype)
        return q

    def pair_energy(self, r2: Array, q: Mapping[str, Array]) -> Array:
        """u [energy] at r2 [length^2], elementwise, cutoff included."""
        outside = r2 >= self.cutoff**2
        if "on" in q:
            outside = outside | (q["on"] == 0)
        r2 = jnp.where(outside, self.cutoff**2, r2)
        still = r2 <= jnp.finfo(r2.dtype).tiny ** 0.5
        r = jnp.where(still, 0, jnp.sqrt(jnp.where(still, 1, r2)))
        x = (r - self.start) * (self.pieces / (self.cutoff - self.start))
        piece = jnp.clip(jnp.floor(jax.lax.stop_gradient(x)), 0, self.pieces - 1)
        a, b, c, d = self._coefficients(piece, q)
        t = x - piece
        # A core that goes on with slope and curvature is the first piece's polynomial without its higher powers.
        core = t < 0
        second = t * t if self.quadratic else jnp.where(core, 0, t * t)
        third = jnp.where(core, 0, t * t * t)
        energy = (a + 4 * b + c) + 3 * (c - a) * t + 3 * (a - 2 * b + c) * second + (d - a + 3 * (b - c)) * third
        energy = energy / 6
        if "wall" in q:
            depth = jnp.maximum(1 - r / self.start, 0)
            energy = energy + q["wall"] * depth * depth * depth
        return jnp.where(outside, 0, energy)

    def _coefficients(self, piece: Array, q: Mapping[str, Array]) -> list[Array]:
        """The four coefficients of each pair's piece; the three past the last are zero."""
        found = [jnp.zeros_like(piece)] * 4
        for k in range(self.pieces):
            here = piece == k
            found = [jnp.where(here, q[str(k + m)], one) if k + m < self.pieces else one for m, one in enumerate(found)]
        return found


def basis(r: Float[np.ndarray, "points"], start: float, cutoff: float, pieces: int) -> Float[np.ndarray, "points n"]:
    """B((r - r_k) / h) of every coefficient, in NumPy, for start <= r <= cutoff."""
    h = (cutoff - start) / pieces
    x = np.abs((r[:, None] - start) / h - (np.arange(pieces) - 1))
    return (np.maximum(2 - x, 0) ** 3 - 4 * np.maximum(1 - x, 0) ** 3) / 6


def fitted(
    curve: Float[np.ndarray, "points 2"], start: float, cutoff: float, pieces: int, path: str
) -> Float[np.ndarray, "n"]:
    """Coefficients whose spline is nearest to the curve's points from `start` to the cutoff, by least squares.

    Raises:
        ConfigError: at `path`, if these points do not determine them.
    """
    inside = (curve[:, 0] >= start) & (curve[:, 0] <= cutoff)
    r, u = curve[inside].T
    table = basis(r, start, cutoff, pieces)
    found, _, rank, _ = np.linalg.lstsq(table, u, rcond=1e-10)
    if rank < pieces:
        message = (
            f"the file's {len(r)} points from {start:g} to {cutoff:g} do not determine {pieces} values; "
            "give more points or fewer knots"
        )
        raise ConfigError(message, path)
    return found


class CurveFile(Spec):
    """Energies from a CSV file with a header and two columns, distance and energy; the spline is fitted to them."""

    kind: Literal["file"] = "file"
    path: str = Field(description="The file; relative paths start at the config's folder.")


@POTENTIALS.register
class SplinePairSpec(Spec):
    """u(r) of free form: a cubic B-spline on evenly spaced knots, zero with two derivatives at the cutoff.

    Its parameter is ``values``, an array of one height per knot r_k = from + (k - 1) h, h = (cutoff - from) / knots,
    k = 0 .. knots - 1; the curve follows them smoothly and passes between them. Potentials add up, so it may also
    correct another one, such as a ``lennard_jones`` whose repulsion keeps atoms apart.
    """

    kind: Literal["spline_pair"] = "spline_pair"
    start: float = Field(
        alias="from",
        ge=0,
        description="Distance at which the spline begins: about the shortest that pairs reach.",
        json_schema_extra={"unit": "length"},
    )
    cutoff: float = quantity(
        doc="The energy is zero from here on. At most half the smallest perpendicular width of the box.",
        unit="length",
        gt=0,
    )
    knots: Annotated[int, Field(ge=4, le=100)] | None = quantity(
        None, doc="Number of values, and of equal pieces between `from` and the cutoff; null: as many as values listed."
    )
    values: float | list[float] | CurveFile = quantity(
        0.0, doc="Heights at the knots: one for all, a list, or a curve's file to fit.", unit="energy"
    )
    core: Literal["quadratic", "linear"] = quantity(
        "quadratic", doc="Below `from`: goes on with slope and curvature, or with its slope alone (a constant force)."
    )
    wall: Annotated[float, Field(ge=0)] | None = quantity(
        None, doc="Height at r = 0 of a soft wall below `from`, wall (1 - r/from)^3; null: none.", unit="energy"
    )
    types: list[str] | None = Field(
        default=None,
        description="Two types, [A, B]: acts between A and B alone; one, [A]: among A alone; null: on all pairs.",
        min_length=1,
        max_length=2,
    )

    @model_validator(mode="after")
    def _fits(self) -> SplinePairSpec:
        if self.start >= self.cutoff:
            raise ValueError(f"from ({self.start}) must be smaller than the cutoff ({self.cutoff})")
        if self.wall is not None and self.start == 0:
            raise ValueError("a wall stands below `from`, so `from` must be more than 0")
        if isinstance(self.values, list):
            count = len(self.values)
            if self.knots is not None and count != self.knots:
                raise ValueError(f"{count} values are listed for {self.knots} knots")
            if count < 4:
                raise ValueError(f"a spline takes at least 4 values, not {count}")
        elif self.knots is None:
            raise ValueError("say how many `knots` the spline has")
        return self

    def build(self, context: BuildContext) -> Potential:
        """The potential; `context.read_curve` reads a file.

        Raises:
            ConfigError: for an unknown type, or a file whose points do not determine the values.
        """
        parameters = {"values": self._values(context)}
        if self.wall is not None:
            parameters["wall"] = np.asarray(self.wall, dtype=float)
        pieces = len(parameters["values"])
        quadratic = self.core == "quadratic"
        between = self._between(context)
        return SplinePair(parameters, self.cutoff, False, self.start, pieces, quadratic, between)

    def _values(self, context: BuildContext) -> Float[np.ndarray, "n"]:
        if isinstance(self.values, list):
            return np.asarray(self.values, dtype=float)
        assert self.knots is not None
        if isinstance(self.values, CurveFile):
            curve = context.read_curve(self.values.path)
            return fitted(curve, self.start, self.cutoff, self.knots, context.path("values.path"))
        return np.full(self.knots, self.values, dtype=float)

    def _between(self, context: BuildContext) -> Bool[np.ndarray, "types types"] | None:
        if self.types is None:
            return None
        names = context.type_names
        for number, name in enumerate(self.types):
            if name not in names:
                message = f"'{name}' is not a type of this system (types: {', '.join(names)})"
                raise ConfigError(message, context.path(f"types.{number}"))
        one, other = names.index(self.types[0]), names.index(self.types[-1])
        table = np.zeros((len(names), len(names)), bool)
        table[one, other] = table[other, one] = True
        return table
