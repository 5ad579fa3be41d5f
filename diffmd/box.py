"""Periodic boxes: minimum image, wrapping, volume.

The box vectors a, b, c are the rows of the matrix H (3, 3), lower triangular: a along x, b in the xy plane. A point x
has fractional coordinates s with x = s H. Rounding s to the nearest integers gives the nearest image of every
displacement shorter than half the smallest perpendicular width, whatever the angles: |s_k| = |d . h_k| <= |d| / w_k
(h_k a column of H^-1, w_k = 1 / |h_k| the width across face k), so such a displacement has every |s_k| <= 1/2. That is
why cutoffs may not exceed half the smallest width; `shortest_displacement` has no such limit.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Components = tuple[Array, Array, Array]
BoxShape = Literal["none", "orthorhombic", "triclinic"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Box:
    """A simulation box.

    Attributes:
        vectors: H (3, 3), rows a, b, c, in units of length; the identity where there is no periodicity.
        shape: ``none`` (no periodicity), ``orthorhombic`` (diagonal H) or ``triclinic``. Static.
    """

    vectors: Float[Array, "3 3"]
    shape: BoxShape = dataclasses.field(metadata={"static": True})

    @property
    def periodic(self) -> bool:
        """Whether there are images at all."""
        return self.shape != "none"


def transform(x: Float[Array, "*n 3"], matrix: Float[Array, "3 3"]) -> Float[Array, "*n 3"]:
    """x M, row by row. Written out, because a matrix product in single precision may have 10 bits on a GPU."""
    return x[..., 0, None] * matrix[0] + x[..., 1, None] * matrix[1] + x[..., 2, None] * matrix[2]


def inverse(box: Box) -> Float[Array, "3 3"]:
    """H^-1 in closed form (adjugate over determinant); columns are the reciprocal vectors (without 2 pi)."""
    a, b, c = box.vectors
    rows = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)])
    return (rows / jnp.sum(a * rows[0])).T


def volume(box: Box) -> Array:
    """|det H|."""
    a, b, c = box.vectors
    return jnp.abs(jnp.sum(a * jnp.cross(b, c)))


def widths(box: Box) -> Float[Array, "3"]:
    """Perpendicular widths w_k = 1 / |column k of H^-1|."""
    return 1 / jnp.linalg.norm(inverse(box), axis=0)


def fractional(box: Box, positions: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """s = x H^-1."""
    return transform(positions, inverse(box))


def wrap(box: Box, positions: Float[Array, "atoms 3"]) -> Float[Array, "atoms 3"]:
    """The image of each atom inside the box, 0 <= s < 1; unchanged where there is no periodicity."""
    if not box.periodic:
        return positions
    s = fractional(box, positions)
    s = s - jnp.floor(s)
    # A tiny negative s rounds to exactly 1.
    return transform(jnp.where(s >= 1, 0, s), box.vectors)


def image_shifts(box: Box, d: Components) -> Components:
    """The integers n for which d - n H is the minimum image (zero without periodicity). They carry no gradient."""
    if not box.periodic:
        return (jnp.zeros_like(d[0]),) * 3
    h = jax.lax.stop_gradient(box.vectors)
    d = jax.lax.stop_gradient(d)
    if box.shape == "orthorhombic":
        # Division once a box, not once a pair.
        return jnp.round(d[0] * (1 / h[0, 0])), jnp.round(d[1] * (1 / h[1, 1])), jnp.round(d[2] * (1 / h[2, 2]))
    g = jax.lax.stop_gradient(inverse(box))
    return tuple(jnp.round(d[0] * g[0, k] + d[1] * g[1, k] + d[2] * g[2, k]) for k in range(3))  # type: ignore[return-value]


def apply_shifts(box: Box, d: Components, n: Components) -> Components:
    """d - n H."""
    if not box.periodic:
        return d
    h = box.vectors
    if box.shape == "orthorhombic":
        return d[0] - n[0] * h[0, 0], d[1] - n[1] * h[1, 1], d[2] - n[2] * h[2, 2]
    return tuple(d[k] - (n[0] * h[0, k] + n[1] * h[1, k] + n[2] * h[2, k]) for k in range(3))  # type: ignore[return-value]


def minimum_image(box: Box, d: Components) -> Components:
    """The minimum image of displacements given as components; exact up to half the smallest perpendicular width."""
    return apply_shifts(box, d, image_shifts(box, d))


def displacement(box: Box, xi: Float[Array, "*#n 3"], xj: Float[Array, "*#n 3"]) -> Float[Array, "*#n 3"]:
    """x_i - x_j under the minimum image."""
    d = xi - xj
    return jnp.stack(minimum_image(box, (d[..., 0], d[..., 1], d[..., 2])), axis=-1)


def shortest_displacement(box: Box, xi: Float[Array, "*n 3"], xj: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """The shortest image of x_i - x_j at any distance; a triclinic box must be reduced (|b_x| <= a_x / 2, ...)."""
    d = displacement(box, xi, xj)
    if box.shape != "triclinic":
        return d
    shifts = transform(jnp.asarray(list(itertools.product((-1, 0, 1), repeat=3)), d.dtype), box.vectors)
    images = d[..., None, :] + shifts
    nearest = jnp.argmin(jnp.sum(images**2, axis=-1), axis=-1)
    return jnp.take_along_axis(images, nearest[..., None, None], axis=-2)[..., 0, :]
