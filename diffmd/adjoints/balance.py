"""Terms of one loss brought to the same slope, so that a check of their sum is a check of each."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from diffmd.adjoints.base import P, Progress, Ready, Say
from diffmd.adjoints.evaluate import Evaluator
from diffmd.objective import Objective

_STEP = 1e-5
"""Relative; slopes to a few digits are enough."""
_NONE = 1e-10
"""Of the largest slope: less is the rounding of a term that does not change, such as the variance of a constant."""


def balanced(objective: Objective, ready: Ready, p: P, tangents: P, say: Say, progress: Progress) -> Objective:
    """The objective with the weight of each term divided by that term's own slope.

    The slope is the root mean square, over the tangents, of the derivative by central differences, each relative to
    the largest that any term has along that tangent: a tangent in other units weighs no more than the others. A term
    without slope keeps its weight.

    Args:
        tangents: the directions (stacked first) in which the objective is going to be checked.
    """
    evaluator = Evaluator(objective.with_mode("forward"))
    rows = []
    for sign in (1, -1):
        moved = {path: jnp.asarray(value) + sign * _STEP * jnp.asarray(tangents[path]) for path, value in p.items()}
        rows.append(evaluator.many(ready, moved, say, progress)[1])
    slopes = np.abs(rows[0] - rows[1]) / (2 * _STEP)
    largest = slopes.max(axis=1, keepdims=True)
    shares = np.sqrt(np.mean((slopes / np.where(largest > 0, largest, 1)) ** 2, axis=0))
    factors = iter(1 / np.where(shares > _NONE, shares, 1))
    problems = tuple(
        dataclasses.replace(
            problem,
            terms=tuple(dataclasses.replace(term, weight=term.weight * float(next(factors))) for term in problem.terms),
        )
        for problem in objective.problems
    )
    return dataclasses.replace(objective, problems=problems)
