"""Atoms as one molecule, or as several alike: their positions, made whole, and their weights."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, ObservableContext
from diffmd.observables.selection import select
from diffmd.observables.vectors import whole
from diffmd.spec import quantity

UNWRAP = quantity(
    False,
    doc="true: each atom in the image nearest to the one listed before it, for molecules that start torn apart by the "
    "box; false: positions as they are, which a run never wraps.",
)
MOLECULES = quantity(
    1, doc="The selected atoms are this many molecules alike, one after the other; the value is their mean.", ge=1
)
MASSES = quantity(True, doc="true: atoms weigh by their masses; false: all the same.")


@dataclasses.dataclass(frozen=True, eq=False)
class Molecules:
    """Molecules of equally many atoms.

    Attributes:
        atoms: of each molecule.
        masses: whether atoms weigh by their masses.
        unwrap: whether each atom takes the image nearest to the one before it.
    """

    atoms: Int[np.ndarray, "molecules atoms"]
    masses: bool
    unwrap: bool

    def positions(self, frame: Frame) -> Float[Array, "molecules atoms 3"]:
        """Of each atom of each molecule [length]."""
        x = frame.positions[self.atoms]
        return whole(frame.box, x) if self.unwrap else x

    def weights(self, frame: Frame) -> Float[Array, "molecules atoms"]:
        """Of each atom; those of a molecule add up to one."""
        if not self.masses:
            return jnp.full(self.atoms.shape, 1 / self.atoms.shape[1])
        m = frame.masses[self.atoms]
        return m / jnp.sum(m, axis=-1, keepdims=True)


def molecules(
    context: ObservableContext,
    atoms: list[int] | None,
    types: list[str] | None,
    count: int,
    *,
    masses: bool,
    unwrap: bool,
) -> Molecules:
    """The selected atoms as `count` molecules.

    Raises:
        ConfigError: for a selection that names what is not there, that does not split into `count` equal parts, or
            molecules of one atom, which have no shape.
    """
    selected = select(context, atoms, types)
    n = len(selected)
    if n % count:
        raise ConfigError(f"{n} atoms do not make {count} molecules of equally many", context.path("molecules"))
    if n // count < 2:
        raise ConfigError("a molecule of one atom has no shape; it takes at least two", context.name)
    return Molecules(selected.reshape(count, -1), masses, unwrap)
