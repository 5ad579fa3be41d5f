"""The root-mean-square deviation of distances from those of a reference structure."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import Box, Components
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, MeasuredSpec, Observable, ObservableContext
from diffmd.observables.images import BLOCK, components, shortest, squared
from diffmd.observables.reference import REFERENCE, Reference, reference_structure
from diffmd.observables.selection import ATOMS, TYPES, select, take
from diffmd.observables.vectors import root
from diffmd.spec import OBSERVABLES


@dataclasses.dataclass(frozen=True, eq=False)
class DistanceDeviation(Observable):
    """sqrt(2 / (N (N - 1)) sum_{i<j} (r_ij - s_ij)^2), r the distances in the frame and s those of the reference.

    By shortest images: those of s in the box of the reference. It needs no superposition, and does not tell mirror
    images apart. Where all distances are the reference's it has a cusp, and derivative zero. Pairs are streamed over.

    Attributes:
        selected: the atoms.
        reference: their reference positions [length].
        box: the box of the reference.
    """

    selected: Int[np.ndarray, "selected"]
    reference: Float[np.ndarray, "selected 3"]
    box: Box

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """The deviation [length]."""
        x = components(take(frame.positions, self.selected))
        y = components(jnp.asarray(self.reference, x[0].dtype))
        n = len(self.selected)

        @jax.checkpoint
        def row(atom: tuple[Components, Components]) -> tuple[Array, Array]:
            r, s = _distances(frame.box, atom[0], x), _distances(self.box, atom[1], y)
            return jnp.sum((r - s) ** 2), jnp.sum(s**2)

        deviations, sizes = jax.lax.map(row, (x, y), batch_size=min(n, max(1, BLOCK // n)))
        pairs = n * (n - 1)
        return root(jnp.sum(deviations) / pairs, jnp.sum(sizes) / pairs)


def _distances(box: Box, one: Components, all_of_them: Components) -> Float[Array, "selected"]:
    """Zero of an atom with itself, and with another on top of it, with derivative zero."""
    r2 = squared(shortest(box, tuple(a - b for a, b in zip(one, all_of_them, strict=True))))  # type: ignore[arg-type]
    return jnp.where(r2 == 0, 0, jnp.sqrt(jnp.where(r2 == 0, 1, r2)))


@OBSERVABLES.register
class DistanceDeviationSpec(MeasuredSpec):
    """dRMSD: the root-mean-square deviation of the selected atoms' distances from those of a reference [length]."""

    measured: ClassVar[str] = "length"
    kind: Literal["drmsd"] = "drmsd"
    reference: Reference = REFERENCE
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for a selection or a reference that does not fit the system, or fewer than two atoms.
        """
        selected = select(context, self.atoms, self.types)
        if len(selected) < 2:
            raise ConfigError("a distance takes at least two atoms; one is selected", context.name)
        return DistanceDeviation(selected, *reference_structure(self.reference, context, selected))
