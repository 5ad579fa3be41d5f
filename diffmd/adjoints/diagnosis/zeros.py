"""Which numbers of a gradient are exactly zero, or leave out what is infinite, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from diffmd.adjoints.base import Gradient
from diffmd.dynamics.slopes import odd_slopes
from diffmd.objective import Objective, P
from diffmd.slopes import Slope
from diffmd.system import Values

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


def parameter_slopes(objective: Objective, p: P, held: Mapping[str, Values]) -> dict[str, Slope]:
    """By path, the parameters whose derivative at `p` is infinite, or zero wherever the atoms are, as potentials and
    dynamics declare it.

    Args:
        held: the values of each system.
    """
    found: dict[str, Slope] = {}
    for problem in objective.problems:
        values = objective.parameters.bind(problem.name, p, held[problem.name])
        dynamics = problem.dynamics
        odd = odd_slopes(dynamics.forcefield.potentials, dynamics.integrator, dynamics.thermostat, values)
        for leaf in objective.parameters.leaves:
            for place in leaf.places:
                if place.system == problem.name and place.key in odd:
                    found[leaf.path] = odd[place.key]
    return found


def slope_sentence(path: str, slope: Slope) -> str:
    """What is odd about a parameter's derivative, and what to do."""
    return f"{path} {slope.why}; {slope.remedy}"


def zero_warnings(result: Gradient, slopes: Mapping[str, Slope] = MappingProxyType({})) -> dict[str, str]:
    """A warning for each parameter whose gradient leaves out what is infinite, is exactly zero, or is so in some
    entries.

    Args:
        slopes: as `parameter_slopes` gives them.
    """
    zeros = exact_zeros(result)
    infinite = {path for path, slope in slopes.items() if slope.infinite and path in result.gradients}
    return {
        path: f"the gradient means nothing: {slope_sentence(path, slopes[path])}"
        if path in infinite
        else _warning(path, zeros[path], slopes.get(path))
        for path in result.gradients
        if path in zeros or path in infinite
    }


def _warning(path: str, zeros: Zeros, slope: Slope | None) -> str:
    if zeros.count < zeros.of:
        shown = ", ".join(str(place[0] if len(place) == 1 else place) for place in zeros.first)
        more = ", ..." if zeros.count > len(zeros.first) else ""
        return (
            f"the gradient with respect to {path} is exactly zero in {zeros.count} of its {zeros.of} entries "
            f"({shown}{more}): the loss does not depend on these here"
        )
    if slope is not None:
        return f"the gradient with respect to {path} is exactly zero: it {slope.why}; {slope.remedy}"
    return (
        f"the gradient with respect to {path} is exactly zero: the loss does not depend on it here "
        "(a network whose ReLUs are all off, atoms out of reach, or a parameter that nothing uses); "
        "another seed or start may bring it to life"
    )
