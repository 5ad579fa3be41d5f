"""The root-mean-square deviation from a reference structure."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.box import transform
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, MeasuredSpec, Observable, ObservableContext
from diffmd.observables.molecules import UNWRAP, Molecules, check_reference, check_whole
from diffmd.observables.reference import REFERENCE, Reference, known, reference_structure
from diffmd.observables.selection import ATOMS, TYPES, select
from diffmd.observables.superposition import covariance, optimal_rotation
from diffmd.observables.vectors import root, whole
from diffmd.spec import OBSERVABLES, quantity


@dataclasses.dataclass(frozen=True, eq=False)
class Deviation(Observable):
    """min over R, t of sqrt(sum_i w_i |x_i - R y_i - t|^2), y the reference, R a proper rotation, w adding up to one.

    The optimal t lays centroid on centroid, R is `optimal_rotation`. Both are stationary there, so the first derivative
    is that of the expression with R and t held: finite at symmetric and degenerate structures (a flat or a linear one,
    mirror images), and zero where the structures are the same, which is a cusp. Further derivatives are not to be taken
    through it. Positions are unwrapped: atoms of one molecule, or of what moves together.

    Attributes:
        atoms: one molecule.
        reference: y [length].
        superpose: False: neither rotation nor translation, the plain deviation.

    Source: W. Kabsch, Acta Cryst. A 32, 922 (1976).
    """

    atoms: Molecules
    reference: Float[np.ndarray, "atoms 3"]
    superpose: bool

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """The deviation [length]."""
        x, w = self.atoms.positions(frame)[0], self.atoms.weights(frame)[0]
        y = jnp.asarray(self.reference, x.dtype)
        size = jnp.sum(w * jnp.sum(x * x + y * y, axis=-1))
        if self.superpose:
            x, y = (z - jnp.sum(w[:, None] * z, axis=0) for z in (x, y))
            rotation = optimal_rotation(jax.lax.stop_gradient(covariance(x, y, w)))
            y = transform(y, rotation.T)
        return root(jnp.sum(w * jnp.sum((x - y) ** 2, axis=-1)), size)


@OBSERVABLES.register
class DeviationSpec(MeasuredSpec):
    """RMSD of the selected atoms from a reference structure [length], after optimal translation and rotation (Kabsch).

    Never a reflection. Positions are unwrapped, so the selection should be a molecule, or what moves together.
    """

    measured: ClassVar[str] = "length"
    kind: Literal["rmsd"] = "rmsd"
    reference: Reference = REFERENCE
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    masses: bool = quantity(False, doc="true: atoms weigh by their masses; false: all the same.")
    superpose: bool = quantity(True, doc="false: no translation or rotation, the deviation as the structures stand.")
    unwrap: bool | None = UNWRAP

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for a selection or a reference that does not fit the system, or one atom alone to superpose.
        """
        selected = select(context, self.atoms, self.types)
        if self.superpose and len(selected) < 2:
            raise ConfigError("one atom superposes on any other; select at least two", context.name)
        if self.superpose:
            check_whole(context, [selected], self.unwrap)
        reference, box = reference_structure(self.reference, context, selected)
        if self.superpose and known(self.reference, context):
            check_reference(context, selected, reference, box, self.unwrap)
        if self.unwrap:
            reference = np.asarray(whole(box, jnp.asarray(reference, dtype=float)))
        return Deviation(Molecules(selected[None], self.masses, self.unwrap is True), reference, self.superpose)
