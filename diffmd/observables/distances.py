"""Distances: of each atom to its nearest neighbour, and between listed atoms."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int
from pydantic import Field

from diffmd.box import Components
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, MeasuredSpec, Observable, ObservableContext
from diffmd.observables.images import BLOCK, components, shortest, squared
from diffmd.observables.selection import ATOMS, TYPES, select, take
from diffmd.spec import OBSERVABLES, quantity


def _root(x: Array) -> Array:
    """sqrt(x), with derivative zero at zero: coincident atoms have no direction."""
    return jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, x)))


def _smallest(r2: Float[Array, "others"], allowed: Bool[Array, "others"], extent: Array) -> Float[Array, ""]:
    """The smallest of the allowed; the ones that tie share its derivative.

    A tie is one to within rounding. Compiled once more for the derivative, r2 may differ in its last bits (a product
    and a sum contracted or not), and where `jnp.min` then compares for equality it finds nobody to give it to. What
    x - n L loses is a few units in the last place of the coordinates, so r counts as known to 32 of itself and of
    `extent`, the largest of them: of atoms boxes away the latter is the larger.
    """
    fixed, extent = lax.stop_gradient((jnp.where(allowed, r2, jnp.inf), extent))
    r = jnp.sqrt(jnp.min(fixed))
    limit = (r + 32 * jnp.finfo(r2.dtype).eps * (r + extent)) ** 2
    tied = fixed <= limit
    return jnp.sum(jnp.where(tied, r2, 0)) / jnp.sum(tied)


@dataclasses.dataclass(frozen=True, eq=False)
class NearestDistance(Observable):
    """(1/N) sum_i min_{j != i} |x_i - x_j|, over the selected atoms, with the shortest image of each displacement.

    Its derivative is that of the nearest pair; nearest neighbours that tie share it equally.
    """

    selected: Int[np.ndarray, "selected"]

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """The mean distance to the nearest neighbour [length]."""
        x = take(frame.positions, self.selected)
        columns = components(x)
        n, extent = len(self.selected), jnp.max(jnp.abs(x))

        @jax.checkpoint
        def nearest(row: tuple[Components, Array]) -> Array:
            xi, i = row
            d = tuple(a - b for a, b in zip(xi, columns, strict=True))
            r2 = squared(shortest(frame.box, d))  # type: ignore[arg-type]
            return _smallest(r2, jnp.arange(n) != i, extent)

        r2 = lax.map(nearest, (columns, jnp.arange(n)), batch_size=min(n, max(1, BLOCK // n)))
        return jnp.mean(_root(r2))


@dataclasses.dataclass(frozen=True, eq=False)
class Distance(Observable):
    """(1/P) sum over P pairs of |x_i - x_j|, with the shortest image of each displacement."""

    pairs: Int[np.ndarray, "pairs 2"]

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """The mean distance [length]."""
        d = components(frame.positions[self.pairs[:, 1]] - frame.positions[self.pairs[:, 0]])
        return jnp.mean(_root(squared(shortest(frame.box, d))))


@OBSERVABLES.register
class NearestDistanceSpec(MeasuredSpec):
    """Mean over the selected atoms of the distance to the nearest other selected atom, periodic images included."""

    measured: ClassVar[str] = "length"
    kind: Literal["nearest_distance"] = "nearest_distance"
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for a selection that names what is not there, or fewer than two atoms.
        """
        selected = select(context, self.atoms, self.types)
        if len(selected) < 2:
            raise ConfigError("a nearest neighbour takes at least two atoms; one is selected", context.name)
        return NearestDistance(selected)


@OBSERVABLES.register
class DistanceSpec(MeasuredSpec):
    """Mean over the listed pairs of atoms of their distance, by the shortest periodic image."""

    measured: ClassVar[str] = "length"
    kind: Literal["distance"] = "distance"
    pairs: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = quantity(
        doc="Pairs of atoms, counted from zero: [[0, 2], [3, 5]]."
    )

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for an empty list, or a pair that names an atom that is not there or the same atom twice.
        """
        size = context.system.size
        if not self.pairs:
            raise ConfigError("the list is empty", context.path("pairs"))
        for number, (i, j) in enumerate(self.pairs):
            path = context.path(f"pairs.{number}")
            if not (0 <= i < size and 0 <= j < size):
                raise ConfigError(f"[{i}, {j}] names an atom that is not there: they are 0 to {size - 1}", path)
            if i == j:
                raise ConfigError(f"[{i}, {j}] names the same atom twice", path)
        return Distance(np.asarray(self.pairs, dtype=int))
