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


class TargetStructureSpec(Spec):
    """A reference structure: the target is the observable's value on it.

    In a periodic system it is measured in the file's own box, where it has one.
    """

    kind: Literal["structure"] = "structure"
    path: str = quantity(doc="extxyz, xyz, PDB, mmCIF, GRO or trajectory.h5md file; relative to the config.")
    frame: int = quantity(-1, doc="Which frame of it, from 0; negative counts from the end.")


class LossTermSpec(Spec):
    """weight * mean over elements of compare(reduce over frames of the observable, target)."""

    observable: ObservableSpec = quantity(doc="What is measured.")
    frames: Literal["end", "all"] | FramesSpec = quantity(
        "end", doc="end: after the last step; all: steps 0 to n; or {from, to, every} in steps, ends included."
    )
    reduce: Literal["mean", "none", "variance", "max", "correlation"] = quantity(
        "mean",
        doc="mean: the observable averaged over frames, then compared; none: each frame compared, then averaged; "
        "variance: its population variance over frames (1/n), then compared; max: its largest value over frames, then "
        "compared; correlation: its autocovariance 1/(F - k) sum_f dx_f dx_{f+k} over lags of k frames, then compared. "
        "An observable of the whole series (msd, vacf, rmsf, ...) takes none.",
    )
    lags: int | None = quantity(
        None, doc="Lags of reduce: correlation, zero included; null: half of the frames.", unit="frames", gt=0
    )
    target: (
        float | list[float] | list[list[float]] | list[list[list[float]]] | TargetFileSpec | TargetStructureSpec | None
    ) = quantity(
        None,
        doc="A number, an array, {kind: file, path} with a curve, or {kind: structure, path} with a structure to "
        "measure, in the observable's unit (angles: radians, or 110 deg); null only with compare: none.",
        unit="of the observable",
    )
    compare: Literal["absolute", "squared", "relative", "huber", "log1p", "kullback_leibler", "none"] = quantity(
        "squared",
        doc="absolute |x - t|; squared (x - t)^2; relative ((x - t)/t)^2; huber (x - t)^2/2 up to |x - t| = 1, then "
        "|x - t| - 1/2; log1p ln(1 + |x - t|); kullback_leibler sum t ln(t/x), both normalised to distributions (and "
        "raised by 1e-6 of their mean); none: x itself. Averaged over elements.",
    )
    weight: float = quantity(1.0, doc="Factor of this term in the sum.")
