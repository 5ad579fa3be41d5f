"""Counting atoms in parts of the box, smoothly: the number in a part is a differentiable function of the positions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from diffmd.box import Box, fractional
from diffmd.errors import ConfigError
from diffmd.observables.base import ObservableContext
from diffmd.spec import quantity

_IMAGES = (-1, 0, 1)
_MOST = 100_000

Counts = Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(min_length=3, max_length=3)]
CELLS = quantity(
    [2, 2, 2], doc="How many equal cells the box is cut into along each box vector; [1, 1, 8] makes eight slabs."
)
SOFTNESS = quantity(
    0.1,
    doc="Standard deviation of the Gaussian that rounds the boundaries, as a fraction of a cell's width on each axis.",
    gt=0,
    le=0.25,
)


@dataclasses.dataclass(frozen=True)
class Cells:
    """A box cut into equal cells with soft boundaries.

    The weight of an atom in a cell is the product over axes of the interval's indicator function, convolved with a
    Gaussian: with s the fractional coordinate and a = 1/n the interval's length,

        w_c(s) = sum over images of Phi((s - c a) / delta) - Phi((s - (c + 1) a) / delta),     delta = softness a.

    The weights of an atom over all cells add up to 1, and the mean of a weight over the box is 1 / cells.

    Attributes:
        counts: n along each box vector.
        softness: delta / a, at most 1/4, so that no boundary reaches beyond the neighbouring images.
    """

    counts: tuple[int, int, int]
    softness: float

    @staticmethod
    def create(context: ObservableContext, counts: Sequence[int], softness: float) -> Cells:
        """The cells of a config.

        Raises:
            ConfigError: without periodicity, with a single cell, or with too many.
        """
        if not context.box.periodic:
            raise ConfigError("cells are parts of a periodic box, and there is none", context.name)
        total = math.prod(counts)
        if not 1 < total <= _MOST:
            raise ConfigError(f"the box is cut into {total} cells; 2 to {_MOST} will do", context.path("cells"))
        return Cells((counts[0], counts[1], counts[2]), softness)

    @property
    def total(self) -> int:
        """Number of cells."""
        return math.prod(self.counts)

    def numbers(self, box: Box, positions: Float[Array, "atoms 3"]) -> Float[Array, "cells"]:
        """N_c = sum over atoms of w_c."""
        s = fractional(box, positions)
        s = s - jnp.floor(s)
        weights = [self._along(s[:, axis], n) for axis, n in enumerate(self.counts)]
        return jnp.einsum("ia,ib,ic->abc", *weights, precision=jax.lax.Precision.HIGHEST).reshape(-1)

    def _along(self, s: Float[Array, "atoms"], n: int) -> Float[Array, "atoms n"]:
        if n == 1:
            return jnp.ones((s.shape[0], 1), s.dtype)
        low = jnp.asarray(np.arange(n) / n, s.dtype)
        scale = n / (self.softness * math.sqrt(2))
        total = jnp.zeros((s.shape[0], n), s.dtype)
        for image in _IMAGES:
            at = s[:, None] + image - low
            total = total + (jax.lax.erf(at * scale) - jax.lax.erf((at - 1 / n) * scale)) / 2
        return total

    @property
    def mean_square_weight(self) -> float:
        """The mean of w_c^2 over the box: 1 / cells if the boundaries were sharp.

        Along an axis it is the overlap of the interval with its images, F(m + a) - 2 F(m) + F(m - a) summed over m,
        with F(u) = u Phi(u/t) + t phi(u/t) and t = sqrt(2) delta, the second integral of a Gaussian.
        """
        return math.prod(self._square_along(n) for n in self.counts)

    def _square_along(self, n: int) -> float:
        if n == 1:
            return 1.0
        a, t = 1 / n, math.sqrt(2) * self.softness / n

        def twice(u: float) -> float:
            normal = math.exp(-((u / t) ** 2) / 2) / math.sqrt(2 * math.pi)
            return u * (1 + math.erf(u / (t * math.sqrt(2)))) / 2 + t * normal

        return sum(twice(m + a) - 2 * twice(m) + twice(m - a) for m in _IMAGES)

    @property
    def ideal_variance(self) -> float:
        """The variance of N_c over the number of atoms for atoms that are placed independently of each other in this
        box: <w^2> - <w>^2."""
        return self.mean_square_weight - self.total**-2
