"""Elementwise functions whose derivatives are cheap, or stay finite where those of the plain ones do not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_norm(v: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """|v| along the last axis; where |v| is zero, or too small to be divided by twice, zero with zero derivatives."""
    squared = jnp.sum(v * v, axis=-1)
    small = squared <= jnp.finfo(squared.dtype).tiny ** 0.5
    return jnp.where(small, 0, jnp.sqrt(jnp.where(small, 1, squared)))


@jax.custom_jvp
def reciprocal(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """1 / x, whose derivatives of every order are powers of itself: a pair sweep divides once a pair."""
    return 1 / x


@reciprocal.defjvp
def _reciprocal_rule(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    y = reciprocal(primals[0])
    return y, -(y * y) * tangents[0]


@jax.custom_jvp
def root(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """sqrt(x) of x > 0, whose derivatives of every order are products of itself and 1 / x."""
    return jnp.sqrt(x)


@root.defjvp
def _root_rule(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    y = root(x)
    return y, y * reciprocal(x) * (dx / 2)


@jax.custom_jvp
def scale_root(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """sqrt(x), whose infinite derivative at zero is left out; nan of what is negative."""
    return jnp.sqrt(x)


@scale_root.defjvp
def _scale_root_rule(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    y = scale_root(primals[0])
    zero = y == 0
    return y, jnp.where(zero, 0, tangents[0] / (2 * jnp.where(zero, 1, y)))
