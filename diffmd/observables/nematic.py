"""Nematic order: how far the axes of molecules point one way."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, Observable, ObservableContext
from diffmd.observables.eigenvalues import largest_eigenvalue
from diffmd.observables.listed import listed
from diffmd.observables.vectors import displacements
from diffmd.potentials.elementwise import safe_norm
from diffmd.spec import OBSERVABLES, Spec, quantity


@dataclasses.dataclass(frozen=True, eq=False)
class NematicOrder(Observable):
    """S, the largest eigenvalue of Q = (1/N) sum_i (3/2 u_i u_i^T - 1/2), u_i the unit vector of axis i.

    1 where all axes are parallel (heads and tails alike), 0 without order (about N^-1/2 of N random axes), 1/4 of axes
    evenly about in a plane. With a director n in place of the eigenvector, S = (1/N) sum_i (3/2 (u_i . n)^2 - 1/2),
    which is -1/2 where all are perpendicular to it. Where the largest eigenvalues meet (isotropic, or flat) S has a
    cusp, and its derivative is the mean over the directions that tie. An axis without length has no direction and
    counts as nothing, with derivative zero.

    Attributes:
        axes: i, j: the axis points from i to j, by the shortest image.
        director: n, of length one, or None.

    Source: R. Eppenga and D. Frenkel, Mol. Phys. 52, 1303 (1984).
    """

    axes: Int[np.ndarray, "axes 2"]
    director: Float[np.ndarray, "3"] | None

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """S, from -1/2 to 1."""
        d = displacements(frame, self.axes)
        length = safe_norm(d)[:, None]
        u = jnp.where(length == 0, 0, d / jnp.where(length == 0, 1, length))
        if self.director is not None:
            along = jnp.sum(u * jnp.asarray(self.director, u.dtype), axis=-1)
            return jnp.mean(jnp.where(length[:, 0] == 0, 0, (3 * along**2 - 1) / 2))
        # The trace of u u^T, one, is written as that of an axis with a length.
        square = jnp.sum(u * u, axis=-1)[:, None, None]
        q = jnp.mean(3 * u[:, :, None] * u[:, None, :] - square * jnp.eye(3), axis=0) / 2
        return largest_eigenvalue(q, jnp.ones(()))


@OBSERVABLES.register
class NematicOrderSpec(Spec):
    """Nematic order parameter S of the listed axes, from 0 (none) to 1 (all parallel), or along a given director."""

    kind: Literal["nematic_order"] = "nematic_order"
    axes: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = quantity(
        doc="The axis of each molecule: pairs of its atoms, counted from zero: [[0, 2], [3, 5]]."
    )
    director: Annotated[list[float], Field(min_length=3, max_length=3)] | None = quantity(
        None, doc="[x, y, z]: order along this direction, of any length; null: along the best one."
    )

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for an empty list, an axis that names an atom that is not there or the same twice, or a
                director of length zero.
        """
        axes = listed(self.axes, 2, context, "axes")
        if self.director is None:
            return NematicOrder(axes, None)
        director = np.asarray(self.director, dtype=float)
        if not np.any(director):
            raise ConfigError("a director of length zero points nowhere", context.path("director"))
        return NematicOrder(axes, director / np.linalg.norm(director))
