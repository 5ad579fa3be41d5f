"""The losses of replicas apart: how much the gradient owes to each, and so how far it is from the mean of many more.

With the reduced observables y_r of R replicas, ybar their mean, the loss is a sum over terms of

    (1/R) sum_r c(y_r)   (average: loss)      or      c(ybar)   (average: observable).

A replica's own loss l_r is c(y_r), or s_r y_r with a slope s_r that is held:

    s_r = c'(ybar) + sqrt(R) (c'(ybar + (y_r - ybar) / sqrt(R)) - c'(ybar)).

The second part is what the noise of ybar does to the gradient, which rules it near the target, where c' itself is
small: one replica moves c' by c'' (y_r - ybar) / R. It is taken over the distance by which ybar scatters, so that a
kink within it (compare: absolute) counts, and between ybar and y_r, so that nothing is compared that no average could
be. The spread of dl_r/dp over the replicas, divided by sqrt(R), is the standard error of the gradient; that of an
average of observables errs upwards where the derivatives of y_r scatter by more than their mean.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.adjoints.base import Choice, chosen_rows
from diffmd.adjoints.propagator import Average
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
        if average == "loss":
            return jax.vmap(functools.partial(compared, term))(y)
        return jnp.sum((_own_slopes(term, y0) * y).reshape(len(y), -1), axis=1)

    parts = [own(term, y, y0) for term, y, y0 in zip(problem.terms, observables, about, strict=True)]
    return problem.weight * jnp.sum(jnp.stack(parts), axis=0)


def own_factors(problem: Problem, observables: list[Array]) -> Float[Array, "replicas"] | None:
    """s_r / c'(ybar), where a problem's loss is of one number: times it, a replica's share of the gradient is its own.

    None where it is of several; infinite where c'(ybar) is zero.
    """
    if len(observables) != 1 or observables[0][0].size != 1:
        return None
    (term,), (y,) = problem.terms, observables
    slope = jax.grad(functools.partial(compared, term))(jnp.mean(y, axis=0))
    return jnp.reshape(_own_slopes(term, y) / slope, (len(y),))


def _own_slopes(term: LossTerm, y: Float[Array, "replicas *shape"]) -> Float[Array, "replicas *shape"]:
    """s_r of each replica."""
    slope = jax.grad(functools.partial(compared, term))
    mean, root = jnp.mean(y, axis=0), jnp.sqrt(jnp.asarray(len(y), y.dtype))
    noise = jax.vmap(lambda one: slope(mean + (one - mean) / root) - slope(mean))(y)
    slopes: Array = slope(mean) + root * noise
    return slopes
