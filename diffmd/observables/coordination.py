"""The number of neighbours within a distance, counted smoothly."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from diffmd.box import Box, Components, widths
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, Observable, ObservableContext
from diffmd.observables.images import BLOCK, components, shortest, squared
from diffmd.observables.selection import ATOMS, take, two_selections
from diffmd.spec import OBSERVABLES, Spec, quantity


def within(r: Float[Array, "*n"], distance: Float[Array, "*#n"] | float, width: float) -> Float[Array, "*n"]:
    """1 / (1 + exp((r - distance) / width)): one well within `distance`, a half at it, zero beyond; a Fermi function.

    From 0.88 to 0.12 it falls over four widths around `distance`.
    """
    return jax.nn.sigmoid((distance - r) / width)


@dataclasses.dataclass(frozen=True, eq=False)
class Coordination(Observable):
    """(1/N_A) sum over i in A, j in B, j != i, of 1 / (1 + exp((r_ij - d) / w)), by shortest images.

    The mean number of atoms B around an atom A within d. As w goes to zero it is the running integral of the radial
    distribution, 4 pi rho_B integral from 0 to d of g_AB(r) r^2 dr. Pairs are streamed over.

    Attributes:
        first, second: atoms of A and of B: the same selection, or two without an atom in common.
        distance: d [length].
        width: w [length].
    """

    first: Int[np.ndarray, "first"]
    second: Int[np.ndarray, "second"]
    distance: float
    width: float

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """The mean number of neighbours."""
        one_selection = self.first is self.second
        others = components(take(frame.positions, self.second))
        rows = components(take(frame.positions, self.first))
        n, m = len(self.first), len(self.second)

        @jax.checkpoint
        def neighbours(row: tuple[Components, Array]) -> Float[Array, ""]:
            xi, i = row
            r2 = squared(shortest(frame.box, tuple(a - b for a, b in zip(xi, others, strict=True))))  # type: ignore[arg-type]
            r = jnp.where(r2 == 0, 0, jnp.sqrt(jnp.where(r2 == 0, 1, r2)))
            counted = within(r, self.distance, self.width)
            return jnp.sum(jnp.where(jnp.arange(m) == i, 0, counted) if one_selection else counted)

        counts = jax.lax.map(neighbours, (rows, jnp.arange(n)), batch_size=min(n, max(1, BLOCK // m)))
        return jnp.mean(counts)


def check_reach(box: Box, distance: float, path: str) -> None:
    """Raises ConfigError at `path` for a distance beyond half the box, where a pair has more than one image."""
    if not box.periodic:
        return
    half = float(jnp.min(widths(box))) / 2
    if distance > half * (1 + 1e-6):
        raise ConfigError(f"{distance:g} is beyond half the smallest width of the box, {half:g}", path)


@OBSERVABLES.register
class CoordinationSpec(Spec):
    """Coordination number: atoms of B within a distance of an atom of A (or of one selection), on average, smooth."""

    kind: Literal["coordination"] = "coordination"
    types: list[str] | None = Field(
        default=None,
        description="Two types, [A, B]: how many B around an A; one type, [A], means [A, A]; null: all atoms alike.",
        min_length=1,
        max_length=2,
    )
    atoms: list[int] | None = ATOMS
    distance: float = quantity(
        doc="Where a neighbour counts a half; at most half the smallest width of the box.", unit="length", gt=0
    )
    width: float = quantity(
        doc="w in 1 / (1 + exp((r - distance) / w)): how smoothly neighbours are counted.", unit="length", gt=0
    )

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for an unknown type or atom, where there is no pair, or a distance beyond half the box.
        """
        first, second = two_selections(context, self.atoms, self.types)
        if len(second) - (first is second) < 1:
            raise ConfigError("there is no pair of these atoms", context.name)
        check_reach(context.box, self.distance, context.path("distance"))
        return Coordination(first, second, self.distance, self.width)
