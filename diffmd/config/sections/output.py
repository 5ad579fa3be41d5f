"""The `output` section: what a run records, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import field_validator

import diffmd.observables  # noqa: F401 - registers the observables
from diffmd.config.sections.common import Name
from diffmd.io.h5md import SPACING, STANDARD
from diffmd.spec import OBSERVABLES, Spec, quantity

if TYPE_CHECKING:
    ObservableSpec = Spec
else:
    ObservableSpec = OBSERVABLES.union()


class OutputSpec(Spec):
    """What a run records. Frames for the loss are independent of it."""

    every: int = quantity(10, doc="A frame is recorded every so many steps, step 0 included.", unit="steps", gt=0)
    observables: dict[Name, ObservableSpec] = quantity(
        {},
        doc="A name of your own -> an observable recorded with each frame, besides potential_energy, kinetic_energy, "
        "total_energy and temperature; these names and dt are taken.",
    )

    @field_validator("observables")
    @classmethod
    def _names_are_free(cls, value: dict[str, object]) -> dict[str, object]:
        for name in value:
            if name in (*STANDARD, SPACING):
                raise ValueError(f"`{name}` is recorded under this name already; give yours another one")
        return value
