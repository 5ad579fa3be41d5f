"""Which numbers of a gradient are exactly zero: the loss does not depend on them."""

from __future__ import annotations

import dataclasses

import numpy as np

from diffmd.adjoints.base import Gradient

_SHOWN = 4


@dataclasses.dataclass(frozen=True)
class Zeros:
    """The exact zeros of one parameter's gradient.

    Attributes:
        count, of: how many of its numbers.
        first: the places of the first four, an index for each axis; none of a single number.
    """

    count: int
    of: int
    first: list[list[int]]


def exact_zeros(result: Gradient) -> dict[str, Zeros]:
    """By path, of the parameters whose gradient has any."""
    found = {}
    for path, gradient in result.gradients.items():
        places = np.argwhere(np.asarray(gradient) == 0)
        if len(places):
            found[path] = Zeros(
                len(places), int(np.size(gradient)), places[:_SHOWN].tolist() if np.ndim(gradient) else []
            )
    return found


def zero_warnings(result: Gradient) -> dict[str, str]:
    """A warning for each parameter whose gradient is exactly zero, or is so in some entries."""
    return {path: _warning(path, zeros) for path, zeros in exact_zeros(result).items()}


def _warning(path: str, zeros: Zeros) -> str:
    if zeros.count < zeros.of:
        shown = ", ".join(str(place[0] if len(place) == 1 else place) for place in zeros.first)
        more = ", ..." if zeros.count > len(zeros.first) else ""
        return (
            f"the gradient with respect to {path} is exactly zero in {zeros.count} of its {zeros.of} entries "
            f"({shown}{more}): the loss does not depend on these here"
        )
    return (
        f"the gradient with respect to {path} is exactly zero: the loss does not depend on it here "
        "(a network whose ReLUs are all off, atoms out of reach, or a parameter that nothing uses); "
        "another seed or start may bring it to life"
    )
