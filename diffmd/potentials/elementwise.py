"""Elementwise functions that stay finite, with their derivatives, where the plain ones do not."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_norm(v: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """|v| along the last axis; where |v| is zero, or too small to be divided by twice, zero with zero derivatives."""
    squared = jnp.sum(v * v, axis=-1)
    small = squared <= jnp.finfo(squared.dtype).tiny ** 0.5
    return jnp.where(small, 0, jnp.sqrt(jnp.where(small, 1, squared)))
