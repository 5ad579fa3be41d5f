"""Bond-orientational order: Steinhardt's invariants of the directions to an atom's neighbours."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field, model_validator

from diffmd.box import Components, widths
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, Observable, ObservableContext
from diffmd.observables.images import BLOCK, components, directions, over_rows, shortest
from diffmd.observables.selection import ATOMS, TYPES, select, take
from diffmd.spec import OBSERVABLES, Spec, quantity


def real_harmonics(l: int, u: Components) -> Float[Array, "harmonics *n"]:  # noqa: E741
    """The 2 l + 1 orthonormal real spherical harmonics of degree l at unit vectors u: Y_l0, then C_1 .. C_l, then
    S_1 .. S_l, where C_m + i S_m = sqrt(2) N_lm P_l^(m)(z) (x + i y)^m, P_l^(m) the m-th derivative of P_l.

    Polynomials in x, y, z: nothing is singular at the poles. For m > 0 the complex ones (with the Condon-Shortley
    sign) are Y_lm = (-1)^m (C_m + i S_m) / sqrt(2).
    """
    x, y, z = u
    table, square = _legendre(l), z * z
    real, imaginary = jnp.ones_like(x), jnp.zeros_like(x)
    cosines, sines = [], []
    for m in range(l + 1):
        degree = l - m
        polar = jnp.full_like(z, table[degree, m])
        for k in range(degree - 2, -1, -2):
            polar = polar * square + float(table[k, m])
        polar = polar * z if degree % 2 else polar
        if m > 0:
            real, imaginary = x * real - y * imaginary, x * imaginary + y * real
            sines.append(polar * imaginary)
        cosines.append(polar * real)
    return jnp.stack(cosines + sines)


def _legendre(l: int) -> Float[np.ndarray, "terms orders"]:  # noqa: E741
    """Coefficients of z^k (those of one parity) in N_lm P_l^(m)(z), m = 0 .. l, times sqrt(2) for m > 0."""
    series = np.polynomial.legendre.leg2poly(np.eye(l + 1)[l])
    table = np.zeros((l + 1, l + 1))
    for m in range(l + 1):
        norm = math.sqrt((2 * l + 1) / (4 * math.pi) * math.factorial(l - m) / math.factorial(l + m))
        table[: l + 1 - m, m] = np.polynomial.polynomial.polyder(series, m) * norm * (1 if m == 0 else math.sqrt(2))
    return table


def wigner_3j(l: int, m1: int, m2: int) -> float:  # noqa: E741
    """The Wigner 3-j symbol (l l l; m1 m2 -m1-m2), by Racah's formula in whole numbers."""
    m3 = -m1 - m2
    if abs(m3) > l:
        return 0.0
    factorial = math.factorial
    total = Fraction(0)
    for t in range(max(0, -m1, m2), min(l, l - m1, l + m2) + 1):
        below = factorial(t) * factorial(t + m1) * factorial(t - m2)
        below *= factorial(l - t) * factorial(l - t - m1) * factorial(l - t + m2)
        total += Fraction((-1) ** t, below)
    square = Fraction(factorial(l) ** 3, factorial(3 * l + 1))
    for m in (m1, m2, m3):
        square *= factorial(l - m) * factorial(l + m)
    return (-1) ** m3 * float(total) * math.sqrt(square)


def third_order(l: int) -> Float[np.ndarray, "n n n"]:  # noqa: E741
    """T with W_l = sum over a, b, c of T_abc v_a v_b v_c, v the components along `real_harmonics`."""
    size = 2 * l + 1
    to_complex = np.zeros((size, size), complex)
    to_complex[l, 0] = 1
    for m in range(1, l + 1):
        cosine, sine = m, l + m
        to_complex[l + m, [cosine, sine]] = np.array([1, 1j]) * (-1) ** m / math.sqrt(2)
        to_complex[l - m, [cosine, sine]] = np.array([1, -1j]) / math.sqrt(2)
    symbols = np.zeros((size, size, size))
    for m1 in range(-l, l + 1):
        for m2 in range(-l, l + 1):
            if abs(m1 + m2) <= l:
                symbols[l + m1, l + m2, l - m1 - m2] = wigner_3j(l, m1, m2)
    return np.einsum("xyz,xa,yb,zc->abc", symbols, to_complex, to_complex, to_complex, optimize=True).real


@dataclasses.dataclass(frozen=True, eq=False)
class Steinhardt(Observable):
    """q_l, or the normalised w_l, of the directions u_ij to neighbours, weighted smoothly by distance.

    q_lm(i) = sum_j w(r_ij) Y_lm(u_ij) / sum_j w(r_ij), w = 1 up to `inner`, 0 from `outer` on, and between them
    1 - 10 t^3 + 15 t^4 - 6 t^5, t = (r - inner) / (outer - inner) (continuous with two derivatives). Then

        q_l = sqrt(4 pi / (2 l + 1) sum_m |q_lm|^2)
        w_l = sum over m1 + m2 + m3 = 0 of (l l l; m1 m2 m3) q_lm1 q_lm2 q_lm3 / (sum_m |q_lm|^2)^(3/2)

    with Wigner's 3-j symbol. ``local``: of each atom, then the mean over atoms. ``global``: of the sums over all bonds,
    sum_ij w Y / sum_ij w, which vanishes in a liquid like 1 / sqrt(bonds). FCC's twelve neighbours have
    q_4 = 0.19094, q_6 = 0.57452, w_4 = -0.15932, w_6 = -0.01316.

    An atom without neighbours has q = w = 0; so does one whose last neighbour leaves, with a jump. Where q_l is zero
    it has a cusp, and w_l no limit; the value is zero there and so are the derivatives.
    Atoms are streamed over and their harmonics computed again on the way back: memory grows with atoms, not pairs.

    Attributes:
        selected: the atoms, which are neighbours of each other only.
        l: the degree.
        third: the tensor of `third_order` for w_l; None for q_l.
        inner, outer: where the weight begins to fall and where it is zero [length].
        together: whether it is the global one.

    Source: P. J. Steinhardt, D. R. Nelson and M. Ronchetti, Phys. Rev. B 28, 784 (1983), equations 1.2 to 1.6.
    """

    selected: Int[np.ndarray, "selected"]
    l: int  # noqa: E741
    third: Float[np.ndarray, "n n n"] | None
    inner: float
    outer: float
    together: bool

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """q_l or w_l, a pure number."""
        columns = components(take(frame.positions, self.selected))
        n = len(self.selected)

        def bonds(row: tuple[Components, Array]) -> tuple[Float[Array, "harmonics"], Array]:
            xi, i = row
            d = tuple(b - a for a, b in zip(xi, columns, strict=True))
            r, unit = directions(shortest(frame.box, d))  # type: ignore[arg-type]
            # Atoms on top of each other have no direction, so they are no neighbours.
            weight = jnp.where((jnp.arange(n) == i) | (r == 0), 0, self._weight(r))
            sums = jnp.sum(weight * real_harmonics(self.l, unit), axis=-1)
            return sums, jnp.sum(weight)

        def of_one(row: tuple[Components, Array]) -> Array:
            return self._invariant(*bonds(row))

        rows, batch = (columns, jnp.arange(n)), BLOCK // 4 // n
        if self.together:
            sums, weights = over_rows(bonds, rows, batch)
            return self._invariant(jnp.sum(sums, axis=0), jnp.sum(weights))
        return jnp.mean(over_rows(of_one, rows, batch))

    def _weight(self, r: Array) -> Array:
        t = jnp.clip((r - self.inner) / (self.outer - self.inner), 0, 1)
        return 1 - t * t * t * (10 - t * (15 - 6 * t))

    def _invariant(self, sums: Float[Array, "harmonics"], weight: Array) -> Array:
        """q_l or w_l of the weighted sums over neighbours of the real harmonics."""
        alone = weight <= jnp.finfo(weight.dtype).tiny ** 0.5
        v = jnp.where(alone, 0, sums / jnp.where(alone, 1, weight))
        square = jnp.sum(v * v)
        # Far below this the directions cancel, and what is left is rounding.
        none = square <= jnp.finfo(square.dtype).eps ** 2
        length = jnp.sqrt(jnp.where(none, 1, square))
        if self.third is None:
            return jnp.where(none, 0, math.sqrt(4 * math.pi / (2 * self.l + 1)) * length)
        u = jnp.where(none, 0, v / length)
        return jnp.sum(jnp.asarray(self.third, u.dtype) * u[:, None, None] * u[:, None] * u)


class SmoothNeighbors(Spec):
    """Neighbours by distance: each counts fully up to distance - width/2, not at all from distance + width/2 on."""

    distance: float = quantity(doc="Where a neighbour counts half: the first minimum of g(r).", unit="length", gt=0)
    width: float = quantity(doc="Over which the count falls from one to zero.", unit="length", gt=0)

    @model_validator(mode="after")
    def _positive(self) -> SmoothNeighbors:
        if self.width > 2 * self.distance:
            raise ValueError(f"width ({self.width}) must be at most twice the distance ({self.distance})")
        return self


@OBSERVABLES.register
class SteinhardtSpec(Spec):
    """Steinhardt's bond-orientational order q_l, or w_l (normalised), of smoothly weighted neighbours.

    FCC: q4 0.19094, q6 0.57452, w6 -0.01316; HCP: 0.09722, 0.48476, -0.01244; BCC with 14 neighbours: 0.03637,
    0.51069, 0.01316.
    """

    kind: Literal["steinhardt"] = "steinhardt"
    l: Literal[4, 6] = Field(6, description="Degree of the spherical harmonics.", json_schema_extra={"unit": "1"})  # noqa: E741
    order: Literal["q", "w"] = quantity(
        "q", doc="q: the length of the harmonics' mean; w: its third-order invariant, normalised."
    )
    neighbors: SmoothNeighbors = Field(description="Which atoms are neighbours, smoothly.")
    average: Literal["local", "global"] = quantity(
        "local", doc="local: the mean over atoms of each one's own; global: of the harmonics' mean over all bonds."
    )
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for a selection that names what is not there or fewer than two atoms, or for neighbours beyond
                half the smallest width of the box.
        """
        selected = select(context, self.atoms, self.types)
        if len(selected) < 2:
            raise ConfigError("a neighbour takes at least two atoms; one is selected", context.name)
        inner = self.neighbors.distance - self.neighbors.width / 2
        outer = self.neighbors.distance + self.neighbors.width / 2
        half = float(jnp.min(widths(context.box))) / 2
        if context.box.periodic and outer > half * (1 + 1e-6):
            message = f"neighbours count up to {outer:g}, beyond half the smallest width of the box, {half:g}"
            raise ConfigError(message, context.path("neighbors.distance"))
        third = third_order(self.l) if self.order == "w" else None
        return Steinhardt(selected, self.l, third, inner, outer, self.average == "global")
