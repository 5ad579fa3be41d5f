"""Shortest displacements between many atoms, as components: (n, n, 3) arrays are several times slower on CPU."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

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


def directions(d: Components) -> tuple[Array, Components]:
    """|d| and d / |d|; where |d| is zero, or too small to be divided by twice, zeros with zero derivatives."""
    r2 = squared(d)
    small = r2 <= jnp.finfo(r2.dtype).tiny ** 0.5
    r = jnp.sqrt(jnp.where(small, 1, r2))
    unit = tuple(jnp.where(small, 0, c / r) for c in d)
    return jnp.where(small, 0, r), unit  # type: ignore[return-value]


def over_rows(function: Callable[[Any], Any], rows: Any, batch: int) -> Any:
    """`function` of each row, vectorised over at most about `batch` rows at a time and computed again on the way back.

    Rows are repeated to fill the last batch, since `jax.lax.map` would compile a second program for what is left over.
    """
    n = len(jax.tree.leaves(rows)[0])
    batches = -(-n // max(1, batch))
    size = -(-n // batches)
    extra = batches * size - n
    padded = jax.tree.map(lambda a: jnp.concatenate([a, a[:extra]]), rows) if extra else rows
    found = jax.lax.map(jax.checkpoint(function), padded, batch_size=size)
    return jax.tree.map(lambda a: a[:n], found) if extra else found
