"""Terms of one loss brought to the same slope, so that a check of their sum is a check of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from diffmd.objective import Objective

STEP = 1e-5
"""Relative; slopes to a few digits are enough."""
_NONE = 1e-10
"""Of the largest slope: less is the rounding of a term that does not change, such as the variance of a constant."""


def balance(slopes: Float[np.ndarray, "tangents terms"]) -> Float[np.ndarray, "terms"]:
    """A factor for each term of a loss: one over the term's own slope.

    The slope is the root mean square, over the tangents, of the term's derivatives, each relative to the largest that
    any term has along that tangent: a tangent in other units weighs no more than the others. A term without slope
    keeps its weight.

    Args:
        slopes: the derivative of each term along the directions in which the loss is going to be checked.
    """
    size = np.abs(slopes)
    largest = size.max(axis=1, keepdims=True)
    shares = np.sqrt(np.mean((size / np.where(largest > 0, largest, 1)) ** 2, axis=0))
    return 1 / np.where(shares > _NONE, shares, 1)


def weighted(objective: Objective, factors: Sequence[float]) -> Objective:
    """The objective with the weight of each term times a factor."""
    each = iter(factors)
    problems = tuple(
        dataclasses.replace(
            problem,
            terms=tuple(dataclasses.replace(term, weight=term.weight * float(next(each))) for term in problem.terms),
        )
        for problem in objective.problems
    )
    return dataclasses.replace(objective, problems=problems)
