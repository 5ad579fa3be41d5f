"""Shortest displacements between many atoms, as components: (n, n, 3) arrays are several times slower on CPU."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.box import Box, Components, minimum_image

BLOCK = 2**14
"""Pairs that are looked at together where an observable streams over all of them: about what a cache holds."""


def components(x: Float[Array, "*n 3"]) -> Components:
    """x, y and z apart."""
    return x[..., 0], x[..., 1], x[..., 2]


def squared(d: Components) -> Array:
    """d . d."""
    return d[0] * d[0] + d[1] * d[1] + d[2] * d[2]


def shortest(box: Box, d: Components) -> Components:
    """The shortest image of each displacement, at any distance; as `box.shortest_displacement`.

    In a triclinic box (reduced) it is among the 27 around the minimum image. Which one carries no gradient.
    """
    d = minimum_image(box, d)
    if box.shape != "triclinic":
        return d
    still, h = jax.lax.stop_gradient((d, box.vectors))
    least = squared(still)
    chosen = (jnp.zeros_like(least),) * 3
    for n in itertools.product((-1, 0, 1), repeat=3):
        image = squared(_shifted(still, h, n))
        nearer = image < least
        least = jnp.where(nearer, image, least)
        chosen = tuple(jnp.where(nearer, k, c) for k, c in zip(n, chosen, strict=True))  # type: ignore[assignment]
    return _shifted(d, box.vectors, chosen)


def _shifted(d: Components, h: Array, n: tuple[Array | int, ...]) -> Components:
    return tuple(d[k] + n[0] * h[0, k] + n[1] * h[1, k] + n[2] * h[2, k] for k in range(3))  # type: ignore[return-value]
