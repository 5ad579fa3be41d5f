"""Vectors between atoms and what is made of them, with derivatives that stay finite where a direction is lost."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import Box
from diffmd.observables.base import Frame
from diffmd.observables.images import components, shortest
from diffmd.potentials.elementwise import safe_norm

GRID = 2.0**-38
"""Relative size of what is left of equal positions that were rounded to multiples of 2^-40, as reversible runs do."""


def rounding(x: Array) -> float:
    """Relative size of what rounding leaves of numbers that cancel: 64 units in the last place."""
    return 64 * float(jnp.finfo(x.dtype).eps)


def displacements(frame: Frame, ends: Int[np.ndarray, "pairs 2"]) -> Float[Array, "pairs 3"]:
    """The shortest image of x_j - x_i of each pair (i, j) [length]."""
    return shortest_images(frame.box, frame.positions[ends[:, 1]] - frame.positions[ends[:, 0]])


def shortest_images(box: Box, d: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """The shortest image of each displacement."""
    return jnp.stack(shortest(box, components(d)), axis=-1)


def dot(a: Float[Array, "*n 3"], b: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """a . b along the last axis."""
    return jnp.sum(a * b, axis=-1)


def cosine(a: Float[Array, "*n 3"], b: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """a . b / (|a| |b|); zero, with zero derivatives, where a vector has no length."""
    lengths = safe_norm(a) * safe_norm(b)
    return jnp.where(lengths == 0, 0, dot(a, b) / jnp.where(lengths == 0, 1, lengths))


def root(x: Float[Array, "*n"], scale: Float[Array, "*#n"]) -> Float[Array, "*n"]:
    """sqrt(x) of a mean of squares; zero, with derivative zero, where x is but the rounding of numbers like `scale`.

    The root of a sum of squares has a cusp at zero, where it has no derivative; zero is the mean of its slopes. What
    counts as rounding includes that to the `GRID` of reversible runs.
    """
    nothing = x <= max(rounding(x), GRID) ** 2 * jax.lax.stop_gradient(scale)
    return jnp.where(nothing, 0, jnp.sqrt(jnp.where(nothing, 1, x)))


def whole(box: Box, x: Float[Array, "*m atoms 3"]) -> Float[Array, "*m atoms 3"]:
    """The first atom as it is, each other one in the image nearest to the one before it."""
    if not box.periodic or x.shape[-2] < 2:
        return x
    steps = shortest_images(box, jnp.diff(x, axis=-2))
    return jnp.concatenate([x[..., :1, :], x[..., :1, :] + jnp.cumsum(steps, axis=-2)], axis=-2)
