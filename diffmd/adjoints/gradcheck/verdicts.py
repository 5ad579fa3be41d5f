"""What is made of a derivative and its finite difference: a row, and the verdict on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from diffmd.adjoints.finite_difference import Difference

Verdict = Literal["agrees", "disagrees", "not_smooth", "unresolved"]

_AMPLIFIED = 1e4
"""How much of a difference's error a trajectory may make of rounding."""


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """|ad - fd| <= relative max(|ad|, |fd|) + absolute max|gradient|, and never below the finite difference's error.

    A finite difference whose own error is over `resolved` of the derivative decides nothing.
    """

    relative: float
    absolute: float
    resolved: float

    @staticmethod
    def of(dtype: np.dtype, relative: float | None) -> Tolerance:
        """The defaults of a precision: 1e-6 in double, 1e-2 in single."""
        double = jnp.finfo(dtype).eps < 1e-12
        standard = Tolerance(1e-6, 1e-9, 1e-3) if double else Tolerance(1e-2, 1e-4, 5e-2)
        return standard if relative is None else dataclasses.replace(standard, relative=relative)


@dataclasses.dataclass(frozen=True)
class Row:
    """One derivative by one method, and the verdict on it."""

    case: str
    parameter: str
    method: str
    ad: float
    fd: float
    fd_error: float
    relative_error: float
    verdict: Verdict
    reason: str
    suggestion: str


def compared_rows(
    case: str,
    method: str,
    names: Sequence[str],
    leaves: Sequence[str],
    values: Float[np.ndarray, "rows"],
    found: Sequence[Difference],
    tolerance: Tolerance,
) -> list[Row]:
    """The rows of one method, from its derivatives and the differences."""
    rows = []
    for k, name in enumerate(names):
        largest = max(abs(v) for leaf, v in zip(leaves, values, strict=True) if leaf == leaves[k])
        verdict, reason, suggestion = _judge(float(values[k]), found[k], largest, tolerance)
        ad, fd = float(values[k]), found[k].value
        scale = max(abs(ad), abs(fd))
        error = abs(ad - fd) / scale if scale > 0 else 0.0
        rows.append(Row(case, name, method, ad, fd, found[k].error, error, verdict, reason, suggestion))
    return rows


def _judge(ad: float, fd: Difference, largest: float, tolerance: Tolerance) -> tuple[Verdict, str, str]:
    if not np.isfinite(ad):
        return "disagrees", "the gradient is not finite", "run diffmd simulate: it says which atoms and potential"
    if not np.isfinite(fd.value):
        return "unresolved", "no displaced run stayed finite", "use a smaller dynamics.integrator.dt"
    if ad == 0 and fd.value == 0:
        return "agrees", "exactly zero on both sides: the loss does not depend on it", ""
    scale = max(abs(ad), abs(fd.value))
    floor = tolerance.relative * scale + tolerance.absolute * largest
    difference = abs(ad - fd.value)
    resolved = fd.error <= tolerance.resolved * scale + tolerance.absolute * largest
    if difference <= max(floor, fd.error) and resolved:
        return "agrees", "", ""
    jump = _kink(fd)
    if jump is not None:
        reason = (
            f"the one-sided derivatives differ ({jump[0]:.6g} above, {jump[1]:.6g} below): the loss has a kink here"
        )
        suggestion = "move off the kink: another target, start or seed, or compare: squared"
        return "not_smooth", reason, suggestion
    # Beside a gradient that chaos blew up any difference looks sharp: it must be sharp by its own measure, too.
    own = tolerance.resolved * abs(fd.value)
    if not resolved or fd.error > max(own, _AMPLIFIED * fd.rounding):
        reason = f"finite differences agree with each other to {fd.error / (abs(fd.value) or scale):.1e} only"
        return "unresolved", reason, "use fewer dynamics.steps: the trajectory may be chaotic; or precision: double"
    reason = f"off by {difference / scale:.1e}, finite differences are sure to {fd.error / scale:.1e}"
    return "disagrees", reason, "report it: the gradient is wrong"


def _kink(fd: Difference) -> tuple[float, float] | None:
    """One-sided derivatives, if they stay apart however small the step."""
    gaps = np.abs(fd.one_sided[0] - fd.one_sided[1])
    middle = len(gaps) // 2
    small = gaps[middle : middle + 3]
    if len(small) < 3 or not np.isfinite(small).all():
        return None
    # A smooth function's gap falls with h, threefold a rung.
    stays = small.max() < 1.5 * small.min() and small.min() > 1e-3 * np.abs(fd.one_sided[:, middle]).max()
    return (float(fd.one_sided[0, middle + 1]), float(fd.one_sided[1, middle + 1])) if stays else None
