"""The rotation that lays one structure on another, and its derivative."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.observables.vectors import rounding


def covariance(
    x: Float[Array, "*n atoms 3"], y: Float[Array, "*#n atoms 3"], weights: Float[Array, "*#n atoms"]
) -> Float[Array, "*n 3 3"]:
    """M_ab = sum_i w_i x_ia y_ib. Written out, because a matrix product in single precision may have 10 bits."""
    return jnp.sum(weights[..., None, None] * x[..., :, None] * y[..., None, :], axis=-3)


@jax.custom_jvp
def optimal_rotation(m: Float[Array, "3 3"]) -> Float[Array, "3 3"]:
    """The proper rotation R (det R = 1: no reflections) that makes sum_ab R_ab M_ab greatest.

    With M = sum_i w_i x_i y_i^T of centered structures, sum_i w_i |x_i - R y_i|^2 is least. R is the unit quaternion
    of the largest eigenvalue of a symmetric 4 x 4 matrix; where several rotations are equally good (linear structures,
    mirror images) it is one of them.

    Derivative: R^T M stays symmetric, so dR = R [w]x with (tr(S) - S) w = axial(G - G^T), S = R^T M, G = R^T dM. Turns
    about which nothing holds the structure, such as that of a line about itself, do not move: always finite.

    Source: B. K. P. Horn, J. Opt. Soc. Am. A 4, 629 (1987); W. Kabsch, Acta Cryst. A 32, 922 (1976).
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = m.T
    key = _matrix(
        [
            [xx + yy + zz, yz - zy, zx - xz, xy - yx],
            [yz - zy, xx - yy - zz, xy + yx, zx + xz],
            [zx - xz, xy + yx, yy - xx - zz, yz + zy],
            [xy - yx, zx + xz, yz + zy, zz - xx - yy],
        ]
    )
    a, b, c, d = jnp.linalg.eigh(key)[1][:, -1]
    return _matrix(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a - b * b + c * c - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a - b * b - c * c + d * d],
        ]
    )


@optimal_rotation.defjvp
def _derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (m,), (dm,) = primals, tangents
    r = optimal_rotation(m)
    s, g = _product(r.T, m), _product(r.T, dm)
    held = jnp.trace(s) * jnp.eye(3) - (s + s.T) / 2
    stiffness, axes = jnp.linalg.eigh(held)
    free = stiffness <= rounding(m) * jnp.max(jnp.abs(stiffness))
    turn = _product(jnp.stack([g[2, 1] - g[1, 2], g[0, 2] - g[2, 0], g[1, 0] - g[0, 1]])[None], axes)
    x, y, z = _product(jnp.where(free, 0, turn / jnp.where(free, 1, stiffness)), axes.T)[0]
    zero = jnp.zeros_like(x)
    return r, _product(r, _matrix([[zero, -z, y], [z, zero, -x], [-y, x, zero]]))


def _matrix(rows: Sequence[Sequence[Array]]) -> Array:
    return jnp.stack([jnp.stack(row) for row in rows])


def _product(a: Float[Array, "n 3"], b: Float[Array, "3 3"]) -> Float[Array, "n 3"]:
    return jnp.matmul(a, b, precision="highest")
