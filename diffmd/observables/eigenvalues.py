"""The largest eigenvalue of a symmetric matrix, differentiable where eigenvalues meet."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.observables.vectors import rounding


@jax.custom_jvp
def largest_eigenvalue(matrix: Float[Array, "3 3"], scale: Float[Array, ""]) -> Float[Array, ""]:
    """The largest eigenvalue.

    Its derivative is v^T dA v, v the eigenvector. Where eigenvalues meet the largest has a cusp; there (closer than
    rounding on the `scale` of what the matrix is made of) the derivative is the mean over their common space, which no
    choice of axes changes: tr(dA) / 3 for an isotropic matrix.
    """
    return jnp.linalg.eigvalsh(matrix)[-1]


@largest_eigenvalue.defjvp
def _derivative(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    matrix, scale = primals
    values, vectors = jnp.linalg.eigh(matrix)
    top = values >= values[-1] - rounding(matrix) * scale
    share = top / jnp.sum(top)
    space = jnp.sum(share * vectors[:, None, :] * vectors[None, :, :], axis=-1)
    return values[-1], jnp.sum(space * tangents[0])
