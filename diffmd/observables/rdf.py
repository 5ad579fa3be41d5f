"""The radial distribution function, smooth in the positions."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from diffmd.box import Components, volume, widths
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, Observable, ObservableContext
from diffmd.observables.images import BLOCK, components, shortest, squared
from diffmd.observables.selection import ATOMS, take, two_selections
from diffmd.spec import OBSERVABLES, Spec, quantity

NotNegative = Annotated[float, Field(ge=0)]


def smoothed_shell(r: Float[np.ndarray, "bins"], width: float) -> Float[np.ndarray, "bins"]:
    """integral over s > 0 of 4 pi s^2 G(r - s) ds, G the normal density of standard deviation `width`.

    That is 4 pi [(r^2 + w^2) Phi(r/w) + r w phi(r/w)], which is 4 pi (r^2 + w^2) from a few widths on.
    """
    z = r / width
    below = np.array([(1 + math.erf(value / math.sqrt(2))) / 2 for value in z])
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return 4 * np.pi * ((r**2 + width**2) * below + r * width * density)


@dataclasses.dataclass(frozen=True, eq=False)
class RadialDistribution(Observable):
    """g(r_k) = V / (pairs of A and B) sum over pairs G(r_k - r_ij) / shell(r_k).

    G is the normal density whose standard deviation is `width`, in place of a histogram's boxes, so that g is a smooth
    function of the positions. The count of pairs is N_A N_B, or N (N - 1) ordered ones within one selection, and
    shell is the volume of a shell smoothed in the same way (`smoothed_shell`), so an ideal gas has g = 1 at every r.
    (Only the shortest image of a pair counts, so tails that reach past half the box are cut: g is low there, by about
    width / r at worst, within two widths of half the box.)
    Pairs are streamed over, and computed again on the way back: memory grows with atoms times bins, not pairs.

    Attributes:
        first, second: atoms of A and of B: the same selection, or two without an atom in common.
        centers: r_k [length].
        width: standard deviation of G [length].

    Source: M. P. Allen and D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 8.2.
    """

    first: Int[np.ndarray, "first"]
    second: Int[np.ndarray, "second"]
    centers: Float[np.ndarray, "bins"]
    width: float

    @property
    def grid(self) -> Float[Array, "bins"]:
        """r_k [length]."""
        return jnp.asarray(self.centers)

    def measure(self, frame: Frame) -> Float[Array, "bins"]:
        """g(r_k), a pure number."""
        one_selection = self.first is self.second
        others = components(take(frame.positions, self.second))
        rows = components(take(frame.positions, self.first))
        n, m = len(self.first), len(self.second)
        # Sixty widths past the end of the grid, where G is zero in either precision.
        far = float(self.centers[-1]) + 60 * self.width
        grid = self.grid / self.width

        @jax.checkpoint
        def densities(row: tuple[Components, Array]) -> Float[Array, "bins"]:
            xi, i = row
            d = tuple(a - b for a, b in zip(xi, others, strict=True))
            r2 = squared(shortest(frame.box, d))  # type: ignore[arg-type]
            r = jnp.where(r2 == 0, 0, jnp.sqrt(jnp.where(r2 == 0, 1, r2)))
            if one_selection:
                r = jnp.where(jnp.arange(m) == i, far, r)
            z = r[:, None] / self.width - grid
            return jnp.sum(jnp.exp(-z * z / 2), axis=0)

        batch = min(n, max(1, BLOCK // 2 // m))
        counts = jnp.sum(jax.lax.map(densities, (rows, jnp.arange(n)), batch_size=batch), axis=0)
        pairs = n * (n - 1) if one_selection else n * m
        density = self.width * math.sqrt(2 * math.pi)
        scale = 1 / (pairs * density * smoothed_shell(self.centers, self.width))
        return volume(frame.box) * counts * jnp.asarray(scale)


@OBSERVABLES.register
class RadialDistributionSpec(Spec):
    """g(r) between the atoms of two types (or within one selection), each pair smoothed to a Gaussian.

    1 for an ideal gas; an atom is no pair with itself. Needs a periodic box.
    """

    kind: Literal["rdf"] = "rdf"
    types: list[str] | None = Field(
        default=None,
        description="Two types, [A, B]; one type, [A], means [A, A]; null: all atoms alike.",
        min_length=1,
        max_length=2,
    )
    atoms: list[int] | None = ATOMS
    range: Annotated[float, Field(gt=0)] | Annotated[list[NotNegative], Field(min_length=2, max_length=2)] = quantity(
        doc="[first, last] distance of the grid, or the last; at most half the smallest width of the box.",
        unit="length",
    )
    bins: Annotated[int, Field(ge=1, le=100_000)] = quantity(
        100, doc="Number of grid points, at the middles of equal parts of the range."
    )
    width: Annotated[float, Field(gt=0)] | None = quantity(
        None, doc="Standard deviation of each pair's Gaussian; null: the distance of two grid points.", unit="length"
    )

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: without periodicity, for a range longer than half the smallest width of the box or that runs
                backward, for an unknown type or atom, or where there is no pair.
        """
        first, second = two_selections(context, self.atoms, self.types)
        if len(second) - (first is second) < 1:
            raise ConfigError("there is no pair of these atoms", context.name)
        if not context.box.periodic:
            raise ConfigError(
                "a radial distribution needs a periodic box, whose volume makes it 1 far away", context.name
            )
        low, high = self.range if isinstance(self.range, list) else (0.0, self.range)
        if low >= high:
            raise ConfigError(
                f"the range must run from a smaller distance to a larger, not {low} to {high}", context.path("range")
            )
        half = float(jnp.min(widths(context.box))) / 2
        if high > half * (1 + 1e-6):
            message = f"the range ends at {high:g}, beyond half the smallest width of the box, {half:g}"
            raise ConfigError(message, context.path("range"))
        spacing = (high - low) / self.bins
        centers = low + spacing * (np.arange(self.bins) + 0.5)
        return RadialDistribution(first, second, centers, self.width or spacing)
