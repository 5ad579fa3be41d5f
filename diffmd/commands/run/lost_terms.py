"""Which terms made a loss that is not finite, of a trajectory that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.config.build import BuiltSystem, Experiment
from diffmd.losses import LossTerm
from diffmd.observables.python_function import PythonObservable
from diffmd.system import State

_ZERO = (
    "as a rule it divides by what is zero, such as velocities at rest, or a fluctuation of frames that are all alike; "
    "take frames further on, or atoms that move"
)
_MOVING = (
    "its function reads velocities, although configurational: true says that it does not, and a method that looks at "
    "configurations alone has none; leave configurational out, and take a method that follows the trajectory, such as "
    "reverse"
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
            why = _MOVING if _reads_velocities(one, term) else why
            return f"{term.name} ({kind}){where} is not finite although the trajectory is: {why}"
    return "the loss is not finite although each of its terms is: look at their weights"


def _reads_velocities(one: BuiltSystem, term: LossTerm) -> bool:
    """Whether a user's function of configurations alone is lost where velocities are no numbers, and only there."""
    observable = term.observable
    if not (isinstance(observable, PythonObservable) and observable.configurational):
        return False
    problem, values = one.problem, one.values
    x, box = values["system.positions"], problem.box(values)
    neighbors = problem.dynamics.forcefield.neighbors(one.control(values).plan, x, box)

    def lost(v: Array) -> Array:
        state = State(x, v, jnp.zeros_like(x), box, jnp.asarray(0))
        return jnp.isnan(observable.measure(problem.dynamics.frame(values, state, neighbors)))

    return bool(jnp.any(lost(jnp.full_like(x, jnp.nan)) & ~lost(jnp.ones_like(x))))


def _terms(experiment: Experiment) -> Iterator[tuple[BuiltSystem, int, LossTerm]]:
    for one in experiment.systems:
        for number, term in enumerate(one.problem.terms):
            yield one, number, term
