"""Atoms as one molecule, or as several alike: their positions, made whole, and their weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import Box
from diffmd.connectivity import made_whole, molecules_of
from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, ObservableContext
from diffmd.observables.selection import select
from diffmd.observables.vectors import whole
from diffmd.spec import quantity

UNWRAP = quantity(
    None,
    doc="null: as the potentials' bonds have them, along which every start is made whole and which a run never wraps; "
    "atoms that no bonds join must start within half the box of each other. true: each atom in the image nearest to "
    "the one listed before it; false: positions as they are.",
)
MOLECULES = quantity(
    1, doc="The selected atoms are this many molecules alike, one after the other; the value is their mean.", ge=1
)
_REMEDY = (
    "write unwrap: true (each atom in the image nearest to the one listed before it) or unwrap: false (positions as "
    "they are)"
)
_HALF = 0.5 + 1e-6
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
    unwrap: bool | None,
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
    groups = selected.reshape(count, -1)
    check_whole(context, groups, unwrap)
    return Molecules(groups, masses, unwrap is True)


def check_whole(
    context: ObservableContext,
    groups: Iterable[Int[np.ndarray, "..."]],
    unwrap: bool | None,
    remedy: str = _REMEDY,
) -> None:
    """Raises ConfigError where nothing tells which images of a group's atoms belong together.

    Args:
        groups: the atoms of each molecule.
        unwrap: what the user says of it; None: nothing.
        remedy: what to do.
    """
    if unwrap is not None or context.start is None or not context.box.periodic:
        return
    vectors = np.asarray(context.box.vectors, float)
    endless = made_whole(context.start, context.bonds, vectors).endless
    molecule = molecules_of(context.bonds, len(context.start))
    places = context.start @ np.linalg.inv(vectors)
    for group in groups:
        if len(group) < 2:
            continue
        if endless[group].any():
            atom = group[endless[group]][0]
            raise ConfigError(
                f"atom {atom} is of a molecule that is bonded to its own image across the box (an endless chain or "
                f"network), which has no size or shape of its own; {remedy}",
                context.name,
            )
        apart = _apart(places[group], molecule[group])
        if apart is not None:
            i, j, axis, share = apart
            raise ConfigError(
                f"atoms {group[i]} and {group[j]} start {share:.2f} of the box apart along its vector {'abc'[axis]}, "
                "and no bonds of a potential join them: they may be one molecule that the box tore apart; "
                f"{remedy}, or give the bonds",
                context.name,
            )


def check_reference(
    context: ObservableContext,
    selected: Int[np.ndarray, "selected"],
    reference: Float[np.ndarray, "selected 3"],
    box: Box,
    unwrap: bool | None,
) -> None:
    """Raises ConfigError where nothing tells which images of a reference's atoms, in its box, belong together."""
    if unwrap is not None or context.start is None or not box.periodic:
        return
    molecule = molecules_of(context.bonds, context.system.size)[selected]
    apart = _apart(reference @ np.linalg.inv(np.asarray(box.vectors, float)), molecule)
    if apart is not None:
        i, j, axis, share = apart
        raise ConfigError(
            f"atoms {selected[i]} and {selected[j]} are {share:.2f} of the box apart along its vector {'abc'[axis]} "
            f"here, and no bonds of a potential join them: the box may have torn the structure apart; {_REMEDY}, or "
            "give the bonds",
            context.path("reference"),
        )


def _apart(
    places: Float[np.ndarray, "atoms 3"], molecule: Int[np.ndarray, "atoms"]
) -> tuple[int, int, int, float] | None:
    """Two atoms that no bonds join and that are over half the box apart along an axis: these, the axis, how far."""
    for axis in range(3):
        order = np.argsort(places[:, axis], kind="stable")
        for low, high in ((order, order[-1:]), (order[:1], order[::-1])):
            # The outermost atom against the furthest one of another molecule.
            for i, j in ((i, j) for i in low for j in high):
                if molecule[i] != molecule[j]:
                    share = float(places[j, axis] - places[i, axis])
                    if share > _HALF:
                        return int(i), int(j), axis, share
                    break
    return None
