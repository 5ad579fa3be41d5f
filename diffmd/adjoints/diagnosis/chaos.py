"""Whether a run is too chaotic for finite differences, and how much of it is not.

A finite difference of the relative step h moves an atom by h G, with G the derivative of its position by the
parameter, both in units of their own size. Rounding alone wants an h of the root of eps at least, and h G must stay
small: where G sqrt(eps) passes the error that a difference may have, its runs have nothing in common any more. How G
grows is seen along one tangent in the first steps of the run, and goes on as it did in their second half where it grew
exponentially there.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from diffmd.adjoints.base import P, Progress, Ready, Say
from diffmd.adjoints.finite_difference import scale
from diffmd.adjoints.forward import Forward
from diffmd.losses import LossTerm
from diffmd.objective import Objective, Problem
from diffmd.observables.energies import PotentialEnergy

_SHORT = 500
"""Steps of a run that is checked without a look."""
_LOOKED_AT = 2000
"""Steps in which growth is looked at."""
_EXPONENTIAL = 100.0
"""Growth in the second half of these steps which no power of the time gives."""
_SAFE = 0.7
"""Of the logarithm of what finite differences bear: so much of it they bear well."""
_LARGEST = 700.0


@dataclasses.dataclass(frozen=True)
class Chaos:
    """How much a run makes of a displacement.

    Attributes:
        growth: the natural logarithm of G at the end of the run.
        steps: of the run.
        checkable: after so many steps finite differences still bear it well.
    """

    growth: float
    steps: int
    checkable: int


def chaos(
    objective: Objective, ready: Ready, p: P, tangents: P, resolved: float, say: Say, progress: Progress
) -> Chaos | None:
    """Of the system that is the worst; None where finite differences bear all of them.

    Args:
        tangents: directions, stacked first; all are looked at together.
        resolved: the relative error that a finite difference may have.
    """
    if all(problem.steps < _SHORT for problem in objective.problems):
        return None
    each = {path: np.asarray(t) for path, t in tangents.items()}
    count = len(next(iter(each.values())))
    sizes = np.array([scale(p, {path: t[k] for path, t in each.items()}) for k in range(count)])
    together = {path: jnp.asarray(np.tensordot(sizes, t, 1)[None], t.dtype) for path, t in each.items()}
    epsilon = float(jnp.finfo(jax.tree.leaves(dict(p))[0].dtype).eps)
    borne = float(np.log(resolved / np.sqrt(epsilon)))
    found = []
    for problem in objective.problems:
        if problem.steps >= _SHORT:
            probe = Objective((_shortened(problem),), objective.parameters)
            health = Forward(probe, 1).directional(ready, p, together, say, progress)[3]
            x = np.asarray(problem.values(p, ready.values[problem.name])["system.positions"])
            norm = np.asarray(health.norm) / (_nearest(x) * np.sqrt(len(x)))
            found.append(_judged(np.asarray(health.steps), norm, problem.steps, borne))
    return max((one for one in found if one is not None), key=lambda one: one.growth, default=None)


def _shortened(problem: Problem) -> Problem:
    """The first steps, with a loss of the last of them alone: what is looked at is the state."""
    term = LossTerm.create("probe", PotentialEnergy(), compare="none")
    return dataclasses.replace(problem, steps=min(problem.steps, _LOOKED_AT), terms=(term,))


def _nearest(x: Float[np.ndarray, "atoms 3"]) -> float:
    """How far apart neighbours are: the median over atoms."""
    from scipy.spatial import cKDTree

    return float(np.median(np.asarray(cKDTree(x).query(x, 2)[0])[:, 1])) if len(x) > 1 else 1.0


def _judged(at: np.ndarray, norm: np.ndarray, steps: int, borne: float) -> Chaos | None:
    alive = np.isfinite(norm) & (norm > 0)
    at, log = at[alive], np.log(norm[alive])
    if len(at) < 4:
        return None
    half = int(np.searchsorted(at, at[-1] / 2))
    rate = (log[-1] - log[half]) / (at[-1] - at[half])
    growth = float(log[-1] + rate * (steps - at[-1]))
    if log[-1] - log[half] < np.log(_EXPONENTIAL) or growth <= borne:
        return None
    passed = np.flatnonzero(log > _SAFE * borne)
    checkable = at[passed[0]] if len(passed) else at[-1] + (_SAFE * borne - log[-1]) / rate
    return Chaos(min(growth, _LARGEST), steps, _rounded(float(checkable)))


def _rounded(steps: float) -> int:
    """Down to two digits."""
    digits = 10 ** max(0, int(np.floor(np.log10(max(steps, 1)))) - 1)
    return max(1, int(steps // digits) * digits)
