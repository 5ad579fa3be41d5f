"""The `output` section: what a run records, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import diffmd.observables  # noqa: F401 - registers the observables
from diffmd.config.sections.common import Name
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
        "total_energy and temperature.",
    )
