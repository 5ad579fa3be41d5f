"""The fraction of listed pairs that are in contact, and of the contacts of a native structure."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, Observable, ObservableContext
from diffmd.observables.coordination import check_reach, within
from diffmd.observables.listed import listed
from diffmd.observables.reference import REFERENCE, Reference, known, reference_structure
from diffmd.observables.selection import ATOMS, TYPES, select
from diffmd.observables.vectors import displacements, shortest_images
from diffmd.potentials.elementwise import safe_norm
from diffmd.spec import OBSERVABLES, Spec, quantity

Positive = Annotated[float, Field(gt=0)]


@dataclasses.dataclass(frozen=True, eq=False)
class Contacts(Observable):
    """Q = (1/P) sum over P pairs of 1 / (1 + exp((r_ij - d_ij) / w)), by shortest images.

    Attributes:
        pairs: i, j.
        distances: d_ij, where a contact counts a half [length].
        width: w [length].

    Source: R. B. Best, G. Hummer and W. A. Eaton, PNAS 110, 17874 (2013), with 1/w for their beta and d_ij for their
    lambda r_ij^0.
    """

    pairs: Int[np.ndarray, "pairs 2"]
    distances: Float[np.ndarray, "pairs"]
    width: float

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """Q, from 0 to 1."""
        r = safe_norm(displacements(frame, self.pairs))
        return jnp.mean(within(r, jnp.asarray(self.distances, r.dtype), self.width))


@OBSERVABLES.register
class ContactsSpec(Spec):
    """Fraction of the listed pairs that are nearer than a distance, each counted smoothly."""

    kind: Literal["contacts"] = "contacts"
    pairs: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = quantity(
        doc="Pairs of atoms, counted from zero: [[0, 2], [3, 5]]."
    )
    distance: Positive | list[Positive] = quantity(
        doc="Where a contact counts a half: one for all pairs, or one per pair.", unit="length"
    )
    width: float = quantity(
        doc="w in 1 / (1 + exp((r - distance) / w)): how smoothly a contact breaks.", unit="length", gt=0
    )

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for an empty list, a pair that names an atom that is not there or the same twice, distances
                that are not as many as the pairs, or that reach beyond half the box.
        """
        pairs = listed(self.pairs, 2, context, "pairs")
        path = context.path("distance")
        if isinstance(self.distance, list) and len(self.distance) != len(pairs):
            raise ConfigError(f"has {len(self.distance)} numbers for {len(pairs)} pairs", path)
        distances = np.broadcast_to(np.asarray(self.distance, dtype=float), (len(pairs),))
        check_reach(context.box, float(distances.max()), path)
        return Contacts(pairs, distances, self.width)


@OBSERVABLES.register
class NativeContactsSpec(Spec):
    """Fraction Q of native contacts: the pairs that are close in a reference structure and still are, smoothly."""

    kind: Literal["native_contacts"] = "native_contacts"
    reference: Reference = REFERENCE
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    cutoff: float = quantity(doc="Pairs nearer than this in the reference are native contacts.", unit="length", gt=0)
    separation: int = quantity(
        3, doc="Leaves out pairs that stand no more than this many places apart in the selection.", ge=0
    )
    factor: float = quantity(
        1.8,
        doc="A contact counts a half at its reference distance times this (1.8 for all atoms, 1.2 for beads).",
        gt=0,
    )
    width: float = quantity(doc="w in 1 / (1 + exp((r - factor r0) / w)).", unit="length", gt=0)

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for a selection or a reference that does not fit the system, or where there is no contact, or
                none that is within half the box.
        """
        selected = select(context, self.atoms, self.types)
        first, second = np.triu_indices(len(selected), self.separation + 1)
        if not len(first):
            raise ConfigError(f"{len(selected)} atoms have no pair more than {self.separation} apart", context.name)
        pairs = np.stack([selected[first], selected[second]], axis=-1)
        check_reach(context.box, self.cutoff * self.factor, context.path("cutoff"))
        reference, box = reference_structure(self.reference, context, selected)
        y = jnp.asarray(reference, dtype=float)
        distances = np.linalg.norm(np.asarray(shortest_images(box, y[second] - y[first])), axis=-1)
        native = distances < self.cutoff
        if not np.any(native) and known(self.reference, context):
            raise ConfigError("no pair of the reference is nearer than this", context.path("cutoff"))
        return Contacts(pairs[native], self.factor * distances[native], self.width)
