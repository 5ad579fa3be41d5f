"""Reference structures that observables compare with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from diffmd.box import Box
from diffmd.connectivity import among, made_whole
from diffmd.errors import ConfigError
from diffmd.observables.base import ObservableContext
from diffmd.spec import Spec, quantity

Point = Annotated[list[float], Field(min_length=3, max_length=3)]


class StartReference(Spec):
    """The positions that the system starts from, as the config gives or draws them, before any equilibration."""

    kind: Literal["start"] = "start"


class FileReference(Spec):
    """A frame of a structure file with as many atoms as the system, in its order."""

    kind: Literal["file"] = "file"
    path: str = Field(description="extxyz, xyz, PDB, mmCIF, GRO, or a trajectory.h5md.", min_length=1)
    frame: int = quantity(-1, doc="Frame of the file, from 0; negative counts from the end.")


class InlineReference(Spec):
    """Positions of all atoms of the system, or of those that the observable looks at, in their order."""

    kind: Literal["inline"] = "inline"
    values: Annotated[list[Point], Field(min_length=1)] = quantity(doc="[[x, y, z], ...].", unit="length")


Reference = Annotated[StartReference | FileReference | InlineReference, Field(discriminator="kind")]

REFERENCE = quantity(
    doc="The structure compared with: {kind: start}, {kind: file, path, frame} or {kind: inline, values}.",
    unit="length",
)


def known(reference: StartReference | FileReference | InlineReference, context: ObservableContext) -> bool:
    """Whether its numbers are there: where a config is only checked, nothing is drawn or read."""
    return isinstance(reference, InlineReference) or context.start is not None


def reference_structure(
    reference: StartReference | FileReference | InlineReference,
    context: ObservableContext,
    selected: Int[np.ndarray, "selected"],
) -> tuple[Float[np.ndarray, "selected 3"], Box]:
    """The reference positions of the selected atoms [length], zeros where they are not `known`, and their box.

    That is the one of the start; of a file its own, where both it and the system have one. Bonds that the box tore are
    whole.

    Raises:
        ConfigError: for a file that cannot be read or has another number of atoms, or values of another number.
    """
    size = context.system.size
    if isinstance(reference, StartReference):
        every = np.zeros((size, 3)) if context.start is None else np.asarray(context.start, dtype=float)
        return every[selected], context.box
    if isinstance(reference, FileReference):
        every, box = context.read_structure(reference.path, reference.frame, context.path("reference"))
        return every[selected], context.box if box is None or not context.box.periodic else box
    values = np.asarray(reference.values, dtype=float)
    vectors = np.asarray(context.box.vectors, float) if context.box.periodic else None
    if len(values) == size:
        return made_whole(values, context.bonds, vectors).positions[selected], context.box
    if len(values) == len(selected):
        return made_whole(values, among(context.bonds, selected), vectors).positions, context.box
    counts = f"{size}" if size == len(selected) else f"{size}, or those of the {len(selected)} selected"
    message = f"has positions of {len(values)} atoms; the system has {counts}"
    raise ConfigError(message, context.path("reference.values"))


def of_the_start(section: Spec) -> Iterator[str]:
    """Where an observable's section, or one within it, compares with the start."""
    for name, value in section:
        if isinstance(value, StartReference):
            yield name
        elif isinstance(value, Spec):
            yield from (f"{name}.{below}" for below in of_the_start(value))
