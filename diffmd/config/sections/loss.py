"""The `loss` section: a weighted sum of terms, each an observable compared with a target."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from diffmd.config.sections.output import ObservableSpec
from diffmd.spec import Spec, quantity


class FramesSpec(Spec):
    """Frames from one step to another, both included."""

    from_: int = Field(
        0, alias="from", description="First step.", json_schema_extra={"unit": "steps"}, ge=0, le=10_000_000_000
    )
    to: int | None = quantity(None, doc="Last step, included; null: the last of the run.", unit="steps", ge=0)
    every: int = quantity(1, doc="Steps between two frames.", unit="steps", gt=0)


class TargetFileSpec(Spec):
    """A target curve in a file: two columns with a header, interpolated linearly onto the observable's grid."""

    kind: Literal["file"] = "file"
    path: str = quantity(doc="CSV file with a header and two columns, abscissa and value; relative to the config.")


class LossTermSpec(Spec):
    """weight * mean over elements of compare(reduce over frames of the observable, target)."""

    observable: ObservableSpec = quantity(doc="What is measured.")
    frames: Literal["end", "all"] | FramesSpec = quantity(
        "end", doc="end: after the last step; all: steps 0 to n; or {from, to, every} in steps, ends included."
    )
    reduce: Literal["mean", "none", "variance", "max"] = quantity(
        "mean",
        doc="mean: the observable averaged over frames, then compared; none: each frame compared, then averaged; "
        "variance: its population variance over frames (1/n), then compared; max: its largest value over frames, then "
        "compared.",
    )
    target: float | list[float] | list[list[float]] | list[list[list[float]]] | TargetFileSpec | None = quantity(
        None, doc="A number, an array, or a file with a curve, in the observable's unit; null only with compare: none."
    )
    compare: Literal["absolute", "squared", "relative", "huber", "none"] = quantity(
        "squared",
        doc="absolute |x - t|; squared (x - t)^2; relative ((x - t)/t)^2; huber (x - t)^2/2 up to |x - t| = 1, then "
        "|x - t| - 1/2; none: x itself. Averaged over elements.",
    )
    weight: float = quantity(1.0, doc="Factor of this term in the sum.")
