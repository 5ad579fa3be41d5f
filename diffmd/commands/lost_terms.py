"""Which terms made a loss that is not finite, of a trajectory that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from diffmd.config.build import BuiltSystem, Experiment
from diffmd.losses import LossTerm

_ZERO = (
    "as a rule it divides by what is zero, such as velocities at rest, or a fluctuation of frames that are all alike; "
    "take frames further on, or atoms that move"
)
_NEGATIVE = "the curve that it measures has negative values or is zero everywhere, so it is no distribution"


def lost_terms(experiment: Experiment, terms: Sequence[float]) -> str:
    """A sentence that names the first term that is not finite; that the loss itself is, where every term is.

    Args:
        terms: of all systems, one after the other, as `Gradient` has them.
    """
    for (one, number, term), value in zip(_terms(experiment), terms, strict=True):
        if not np.isfinite(value):
            kind = vars(one.effective.loss[number].observable)["kind"]
            where = "" if one.name == "default" else f" in system {one.name}"
            why = _NEGATIVE if term.compare == "kullback_leibler" else _ZERO
            return f"{term.name} ({kind}){where} is not finite although the trajectory is: {why}"
    return "the loss is not finite although each of its terms is: look at their weights"


def _terms(experiment: Experiment) -> Iterator[tuple[BuiltSystem, int, LossTerm]]:
    for one in experiment.systems:
        for number, term in enumerate(one.problem.terms):
            yield one, number, term
