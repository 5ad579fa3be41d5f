"""The `gradient` section of a config: which method differentiates, with its own options."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from diffmd.spec import METHODS, Spec, quantity


@METHODS.register
class ReverseSpec(Spec):
    """Reverse mode through the trajectory: one backward pass, whatever the number of parameters."""

    method: Literal["reverse"] = "reverse"
    memory: Literal["auto"] | Annotated[int, Field(gt=0)] = quantity(
        "auto",
        doc="Bytes that stored states may take; beyond it segments are recomputed in the backward pass. "
        "auto: half of the memory that the device has.",
        unit="bytes",
    )


@METHODS.register
class ForwardSpec(Spec):
    """Forward mode: tangents carried along with the trajectory; memory does not grow with its length."""

    method: Literal["forward"] = "forward"
    batch: int = quantity(16, doc="How many tangents are carried at once.", gt=0)


@METHODS.register
class FiniteDifferenceSpec(Spec):
    """Central differences (f(p + h) - f(p - h)) / 2h, each parameter in turn; the step is chosen on a plateau."""

    method: Literal["finite-difference", "finite_difference"] = "finite-difference"
    step: Literal["auto"] | Annotated[float, Field(gt=0)] = quantity(
        "auto",
        doc="h relative to the largest number of what is displaced (1 if that is zero); auto: a sweep of steps, and "
        "the plateau between truncation and rounding.",
    )
    batch: int = quantity(16, doc="How many displaced trajectories run at once.", gt=0)
