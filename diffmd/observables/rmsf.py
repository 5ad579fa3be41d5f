"""How much atoms move about their mean positions: flexibility."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.box import transform
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, MeasuredSpec, ObservableContext, SeriesObservable
from diffmd.observables.molecules import UNWRAP, Molecules, check_whole
from diffmd.observables.selection import ATOMS, TYPES, select
from diffmd.observables.superposition import covariance, optimal_rotation
from diffmd.observables.vectors import root
from diffmd.spec import OBSERVABLES, quantity


@dataclasses.dataclass(frozen=True, eq=False)
class Fluctuation(SeriesObservable):
    """sqrt(mean over frames of |x_i - <x_i>|^2) of each atom, the frames first superposed on the first of them.

    Each frame is moved and turned (`optimal_rotation`, all atoms alike) so that it lies best on the first, which takes
    the molecule's own drift and tumbling out; the derivative goes through the rotations. An atom that stands still has
    a cusp there, and derivative zero.

    Attributes:
        atoms: one molecule.
        superpose: False: frames as they are.
        each: the array of all atoms in place of their mean.

    Source: MDAnalysis.analysis.rms.RMSF, of frames that AlignTraj laid on the first.
    """

    atoms: Molecules
    superpose: bool
    each: bool

    def measure(self, frame: Frame) -> dict[str, Array]:
        """The atoms' positions [length]."""
        return {"positions": self.atoms.positions(frame)[0]}

    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Array:
        """The fluctuations [length]: (atoms,), or their mean ()."""
        x = rows["positions"]
        size = jnp.mean(jnp.sum(x * x, axis=-1))
        if self.superpose:
            x = jax.vmap(_laid_on, in_axes=(0, None))(x, x[0])
        values = root(jnp.mean(jnp.sum((x - jnp.mean(x, axis=0)) ** 2, axis=-1), axis=0), size)
        return values if self.each else jnp.mean(values)


def _laid_on(x: Float[Array, "atoms 3"], first: Float[Array, "atoms 3"]) -> Float[Array, "atoms 3"]:
    x, y = (z - jnp.mean(z, axis=0) for z in (x, first))
    weights = jnp.full(len(x), 1 / len(x))
    return transform(x, optimal_rotation(covariance(y, x, weights)).T)


@OBSERVABLES.register
class FluctuationSpec(MeasuredSpec):
    """RMSF of the selected atoms over the frames [length]: an array, one number an atom, or their mean.

    Positions are unwrapped. With `superpose` the selection should be a molecule, or what moves together.
    """

    measured: ClassVar[str] = "length"
    kind: Literal["rmsf"] = "rmsf"
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    superpose: bool = quantity(
        True, doc="true: each frame is first laid on the first one (translation and rotation); false: as it is."
    )
    each: bool = quantity(True, doc="true: the value of each atom, as an array; false: their mean.")
    unwrap: bool | None = UNWRAP

    def build(self, context: ObservableContext) -> SeriesObservable:
        """The observable.

        Raises:
            ConfigError: for a selection that names what is not there, or one atom alone to superpose.
        """
        selected = select(context, self.atoms, self.types)
        if self.superpose and len(selected) < 2:
            raise ConfigError("one atom superposes on any other; select at least two", context.name)
        if self.superpose:
            check_whole(context, [selected], self.unwrap)
        return Fluctuation(Molecules(selected[None], False, self.unwrap is True), self.superpose, self.each)
