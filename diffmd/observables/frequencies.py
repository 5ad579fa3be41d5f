"""Normal modes: the frequencies of small vibrations."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, MeasuredSpec, Observable, ObservableContext
from diffmd.spec import OBSERVABLES, quantity


@jax.custom_jvp
def eigenvalues(matrix: Float[Array, "n n"]) -> Float[Array, "n"]:
    """The eigenvalues of a symmetric matrix, ascending.

    d lambda_i = v_i^T dA v_i. Eigenvalues that meet (to sqrt(eps) of the largest) have no derivatives of their own,
    only their symmetric functions have: each gets the mean over the group, which no choice of eigenvectors changes and
    which is right for any function that does not tell them apart.
    """
    return jnp.linalg.eigvalsh(matrix)


@eigenvalues.defjvp
def _eigenvalues_derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(primals[0])
    slopes = jnp.einsum("ai,ab,bi->i", vectors, tangents[0], vectors, precision=jax.lax.Precision.HIGHEST)
    apart = jnp.finfo(values.dtype).eps ** 0.5 * jnp.max(jnp.abs(values))
    group = jnp.concatenate([jnp.zeros(1, np.int32), jnp.cumsum(jnp.diff(values) > apart, dtype=np.int32)])
    together = (group[:, None] == group[None, :]).astype(values.dtype)
    mean = jnp.sum(together * slopes, axis=1) / jnp.sum(together, axis=1)
    return values, mean


@dataclasses.dataclass(frozen=True, eq=False)
class Frequencies(Observable):
    """Angular frequencies omega_k of the normal modes: D = M^-1/2 (d2U/dx dx) M^-1/2 has the eigenvalues omega_k^2.

    The eigenvalues are sorted; the `skip` nearest to zero, which at a minimum are the motions of the whole system, are
    left out. An eigenvalue below zero, of a direction in which the energy falls, counts as omega = -sqrt(-omega^2),
    and one of exactly zero has no derivative there. Frequencies that coincide share their derivatives (see
    `eigenvalues`). They mean vibrations at a minimum of the energy only (Wilson, Decius and Cross, Molecular
    Vibrations, McGraw-Hill, 1955).
    """

    modes: Int[np.ndarray, "modes"]
    skip: int
    squared: bool

    def measure(self, frame: Frame) -> Float[Array, "modes"]:
        """omega of each mode [1/time, radians], or omega^2."""
        weights = jnp.repeat(1 / jnp.sqrt(frame.masses), 3)
        found = eigenvalues(weights[:, None] * frame.hessian() * weights)
        kept = jnp.sort(jnp.argsort(jnp.abs(found))[self.skip :])
        squares = found[kept][self.modes]
        return squares if self.squared else _signed_root(squares)


def _signed_root(x: Array) -> Array:
    """sign(x) sqrt|x|, with derivative zero at zero."""
    return jnp.sign(x) * jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, jnp.abs(x))))


@OBSERVABLES.register
class FrequenciesSpec(MeasuredSpec):
    """Angular frequencies of the normal modes of vibration, ascending [1/time].

    Measure them at a minimum (integrator: quickmin; gradient method: implicit). In md units a wavenumber in 1/cm is
    omega / (2 pi c) = 5.308837 omega. The matrix of second derivatives is dense: for systems of up to some hundred
    atoms.
    """

    kind: Literal["frequencies"] = "frequencies"
    modes: list[int] | None = quantity(
        None, doc="Which modes, counted from zero from the slowest of those that are left; null: all."
    )
    skip: int | None = quantity(
        None,
        doc="How many modes, those nearest to zero, are left out as motions of the whole. null: 3 translations in a "
        "box; without one 3 rotations, too (2 for two atoms). A linear molecule has 5, a molecule that a box does not "
        "hold 6.",
        ge=0,
    )
    squared: bool = quantity(False, doc="true: omega^2, the eigenvalues themselves; false: omega.")

    @property
    def dimension(self) -> str:
        """See `MeasuredSpec`."""
        return "1/time^2" if self.squared else "1/time"

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: if no mode is left, or one is asked for that is not there.
        """
        size = context.system.size
        rigid = {1: 3, 2: 5}.get(size, 6)
        skip = (3 if context.box.periodic else rigid) if self.skip is None else self.skip
        left = 3 * size - skip
        if left < 1:
            raise ConfigError(
                f"{size} atoms have {3 * size} modes; leaving {skip} out leaves none", context.path("skip")
            )
        if self.modes is None:
            return Frequencies(np.arange(left), skip, self.squared)
        if not self.modes:
            raise ConfigError("the list is empty", context.path("modes"))
        for number, mode in enumerate(self.modes):
            if not 0 <= mode < left:
                raise ConfigError(f"there is no mode {mode}: they are 0 to {left - 1}", context.path(f"modes.{number}"))
        return Frequencies(np.asarray(self.modes, dtype=int), skip, self.squared)
