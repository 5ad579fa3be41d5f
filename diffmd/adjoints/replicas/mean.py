"""What the shares of replicas add up to: a gradient, its standard error, and the agreement of their signs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from diffmd.adjoints.base import Gradient, Health
from diffmd.adjoints.propagator import Replicas
from diffmd.adjoints.reverse.programs import Programs
from diffmd.adjoints.storage.measurements import Measurements
from diffmd.objective import P


@dataclasses.dataclass(frozen=True)
class Contributions:
    """A gradient, the standard error of it, how many replicas agree on its sign and how many there are; None without
    replicas."""

    gradients: dict[str, np.ndarray]
    standard_error: dict[str, np.ndarray] | None
    sign_agreement: dict[str, np.ndarray] | None
    samples: int | None

    def of(self, loss: float, terms: list[float], health: Health) -> Gradient:
        """With what else is known."""
        return Gradient(loss, terms, self.gradients, health, self.standard_error, self.sign_agreement, self.samples)


def gathered(
    contributions: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray], replicas: Replicas | None
) -> Contributions:
    """The sum of shares of the gradient (replicas first; without replicas the gradient itself) and how sure it is.

    Args:
        own: the derivatives of each replica's own loss (see `replicas.own_losses`), divided by R.
    """
    if replicas is None:
        return Contributions({path: np.asarray(value) for path, value in contributions.items()}, None, None, None)
    gradients = {path: np.asarray(np.asarray(value).sum(axis=0)) for path, value in contributions.items()}
    return scattered(gradients, {path: replicas.count * np.asarray(value) for path, value in own.items()})


def scattered(gradients: dict[str, np.ndarray], own: Mapping[str, np.ndarray]) -> Contributions:
    """A gradient with its standard error sqrt(var(g_r) / R) (with R - 1), and its sign agreement: the fraction of g_r,
    the derivatives of the R replicas' own losses (replicas first), that have its sign."""
    errors, signs, count = {}, {}, None
    for path, each in own.items():
        count = len(each)
        errors[path] = np.asarray(each.std(axis=0, ddof=1) / np.sqrt(count))
        signs[path] = np.asarray(np.mean(np.sign(each) == np.sign(gradients[path]), axis=0))
    return Contributions(gradients, errors, signs, count)


def own_contributions(
    replicas: Replicas | None, programs: Programs, rows: Measurements, contributions: P, back: Callable[[Any], P]
) -> P:
    """The derivatives of replicas' own losses, divided by their count, from the shares of a gradient in reverse.

    Where losses are averaged they are the shares; where an observable of one number is, a factor away; where there are
    more numbers, one more walk back.

    Args:
        back: the walk back from cotangents of the rows' pieces.
    """
    if replicas is None or replicas.average == "loss":
        return contributions
    factors, cotangents = programs.own(rows.choice)(rows.pieces)
    if factors is None or not np.isfinite(factors).all():
        return back(cotangents)
    return {
        path: value * np.reshape(factors, (-1,) + (1,) * (np.ndim(value) - 1)) for path, value in contributions.items()
    }
