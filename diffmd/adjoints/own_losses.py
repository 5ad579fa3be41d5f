"""The losses of replicas apart: what each one's own share of the gradient is the derivative of.

With the reduced observables y_r of R replicas the loss is a sum over terms of

    (1/R) sum_r c(y_r)   (average: loss)      or      c((1/R) sum_r y_r)   (average: observable),

and the derivative of l_r, with l_r = c(y_r) or l_r = c'(mean) y_r (c' at the parameters where the gradient is taken),
is R times the share of replica r.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.adjoints.base import Choice, chosen_rows
from diffmd.adjoints.flow import Average
from diffmd.losses import LossTerm, compared, reduced
from diffmd.objective import Problem


def reduced_observables(problem: Problem, choice: Choice, pieces: list[list[Any]]) -> list[Array]:
    """Each term's reduced observable, of each replica: they come first in the pieces."""

    def values(pieces: list[list[Any]]) -> list[Array]:
        rows = chosen_rows(choice, pieces, start=problem.measures_start)
        return [reduced(term, row) for term, row in zip(problem.terms, rows, strict=True)]

    observables: list[Array] = jax.vmap(values)(pieces)
    return observables


def own_losses(
    problem: Problem, average: Average, observables: list[Array], about: list[Array]
) -> Float[Array, "replicas"]:
    """l_r of each replica.

    Args:
        observables: as `reduced_observables` gives them.
        about: the same at the parameters where the gradient is taken.
    """

    def own(term: LossTerm, y: Array, y0: Array) -> Array:
        loss = functools.partial(compared, term)
        if average == "loss":
            return jax.vmap(loss)(y)
        slope = jax.grad(loss)(jnp.mean(y0, axis=0))
        return jnp.sum((slope * y).reshape(len(y), -1), axis=1)

    parts = [own(term, y, y0) for term, y, y0 in zip(problem.terms, observables, about, strict=True)]
    return problem.weight * jnp.sum(jnp.stack(parts), axis=0)
