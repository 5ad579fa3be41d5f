"""The golden rule: every gradient method against finite differences, number by number."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.adjoints.base import Adjoint, P, Progress, Ready, Say
from diffmd.adjoints.diagnosis.chaos import Chaos, chaos
from diffmd.adjoints.diagnosis.smoothness import first_crossing
from diffmd.adjoints.finite_difference import FiniteDifference, displaced
from diffmd.adjoints.forward import Forward
from diffmd.adjoints.gradcheck.term_weights import STEP, balance, weighted
from diffmd.adjoints.gradcheck.verdicts import Row, Tolerance, compared_rows
from diffmd.adjoints.implicit.implicit import Implicit
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.adjoints.reversible.reversible import Reversible
from diffmd.adjoints.reweight.reweight import Reweight
from diffmd.objective import Objective
from diffmd.slopes import Slope

FEW = 6
"""Arrays of up to so many numbers are checked number by number, larger ones along random directions."""
DIRECTIONS = 2
_BATCH = 8
_WHOLE: Mapping[str, Callable[[Objective, int], Adjoint]] = {
    "reverse": Reverse,
    "reversible": lambda objective, memory: Reversible(objective),
    "implicit": lambda objective, memory: Implicit(objective, None),
}
"""Methods that give all derivatives at once, from the objective and the bytes that they may store."""


def check(
    losses: Mapping[str, Sequence[int] | None],
    objective: Objective,
    ready: Callable[[], Ready],
    p: P,
    methods: Sequence[str],
    memory: int,
    relative: float | None,
    say: Say,
    progress: Progress,
    *,
    balanced: bool = False,
    odd: Mapping[str, Slope] = MappingProxyType({}),
    only: Callable[[str], bool] = lambda name: True,
) -> list[Row]:
    """Rows of one objective: every parameter (or directions in it) by every method.

    Args:
        losses: cases, and which of the objective's terms, counted through its systems, are the loss of each; None: all
            of them. Cases share the displaced runs, and every compiled program.
        ready: makes what a run starts from; each method gets its own, so that none sees what another adapted.
        methods: of ``reverse``, ``forward``, ``reversible``, ``implicit``, ``reweight``.
        relative: relative tolerance; None: the precision's.
        balanced: whether the terms of a loss are first given weights with which none is lost in another's (but of
            reweight, which is of no single run).
        odd: what potentials and dynamics say of their parameters' derivatives (see `parameter_slopes`).
        only: which of the names that `directions` gives are checked.
    """
    names, leaves, tangents = directions(p, only)
    if not names:
        return []
    dtype = jnp.result_type(next(iter(p.values())))
    tolerance = Tolerance.of(dtype, relative)
    every = range(sum(len(problem.terms) for problem in objective.problems))
    parts = {case: every if terms is None else terms for case, terms in losses.items()}
    rows: list[Row] = []
    if "reweight" in methods:
        for case, terms in parts.items():
            own = weighted(objective, [float(k in terms) for k in every])
            rows += _reweighted(case, own, ready(), p, names, leaves, tangents, tolerance, say, progress)
    methods = [method for method in methods if method != "reweight"]
    if not methods:
        return rows
    wild = chaos(objective, ready(), p, tangents, tolerance.resolved, say, progress)
    if wild is not None:
        chaotic = [(case, method, name) for case in losses for method in methods for name in names]
        return rows + [_chaotic(case, name, method, wild, objective) for case, method, name in chaotic]
    moved = FiniteDifference(objective, None, _BATCH).terms(ready(), p, tangents, say, progress)
    derivatives = {method: _derivatives(method, objective, memory, p, tangents, say, progress) for method in methods}
    crossing: str | None = None
    for case, terms in parts.items():
        factors = balance(moved.slopes(STEP)[:, list(terms)]) if balanced else np.ones(len(terms))
        found = [row[0] for row in moved.summed(terms, factors).differences()]
        another = balanced or terms != every
        chosen = _by_system(objective, terms, factors, dtype) if another else {}

        def start(chosen: Mapping[str, Array] = chosen) -> Ready:
            return dataclasses.replace(ready(), factors=chosen)

        for method, derive in derivatives.items():
            compared = compared_rows(case, method, names, leaves, derive(start), found, tolerance)
            for row, leaf in zip(compared, leaves, strict=True):
                known = odd.get(leaf)
                if known is not None and known.infinite:
                    row = dataclasses.replace(
                        row, verdict="not_smooth", reason=f"{leaf} {known.why}", suggestion=known.remedy
                    )
                elif row.verdict in ("disagrees", "unresolved"):
                    crossing = first_crossing(objective, ready(), p, say) if crossing is None else crossing
                    if crossing:
                        suggestion = "try cutoff: {kind: shifted_force, ...} or {kind: switch, ...}"
                        row = dataclasses.replace(row, verdict="not_smooth", reason=crossing, suggestion=suggestion)
                rows.append(row)
    return rows


def _derivatives(
    method: str, objective: Objective, memory: int, p: P, tangents: Mapping[str, Array], say: Say, progress: Progress
) -> Callable[[Callable[[], Ready]], Float[np.ndarray, "rows"]]:
    """What gives the derivative along each tangent of the loss that a start asks for; it compiles its programs once."""
    count = len(next(iter(tangents.values())))
    if method in _WHOLE:
        adjoint = _WHOLE[method](objective, memory)

        def pulled(start: Callable[[], Ready]) -> Float[np.ndarray, "rows"]:
            gradients = adjoint.gradient(start(), p, say, progress).gradients
            return np.array([_dot(gradients, tangents, k) for k in range(count)])

        return pulled
    # Batches of one size, the last filled up, and two segments alike, so that few programs serve.
    carried = Forward(objective, _BATCH, points=2)
    size = -(-count // -(-count // _BATCH))

    def pushed(start: Callable[[], Ready]) -> Float[np.ndarray, "rows"]:
        slopes = []
        for first in range(0, count, size):
            places = np.minimum(np.arange(first, first + size), count - 1)
            chosen = {path: jnp.asarray(np.asarray(t)[places]) for path, t in tangents.items()}
            slopes.append(carried.directional(start(), p, chosen, say, progress)[2])
        return np.concatenate(slopes)[:count]

    return pushed


def _by_system(
    objective: Objective, terms: Sequence[int], factors: Float[np.ndarray, "chosen"], dtype: np.dtype
) -> dict[str, Array]:
    """`Ready.factors` with which some of an objective's terms are the loss."""
    each = np.zeros(sum(len(problem.terms) for problem in objective.problems))
    each[list(terms)] = factors
    ends = np.cumsum([len(problem.terms) for problem in objective.problems])
    parts = np.split(each, ends[:-1])
    return {problem.name: jnp.asarray(part, dtype) for problem, part in zip(objective.problems, parts, strict=True)}


def _reweighted(
    case: str,
    objective: Objective,
    ready: Ready,
    p: P,
    names: Sequence[str],
    leaves: Sequence[str],
    tangents: Mapping[str, Array],
    tolerance: Tolerance,
    say: Say,
    progress: Progress,
) -> list[Row]:
    """Rows of reweighting: the loss of displaced parameters on the same frames is a smooth function of them."""
    adjoint = Reweight(objective, 0.0)
    result = adjoint.gradient(ready, p, say, progress)
    values = np.array([_dot(result.gradients, tangents, k) for k in range(len(names))])

    def losses(batch: P) -> Float[np.ndarray, "batch one"]:
        progress(0)
        return adjoint.losses(ready, batch, say)[:, None]

    found = displaced(losses, p, tangents, np.array([result.loss]), _BATCH).differences()
    return compared_rows(case, "reweight", names, leaves, values, [row[0] for row in found], tolerance)


def _chaotic(case: str, name: str, method: str, wild: Chaos, objective: Objective) -> Row:
    """What is not checked, and which run would be."""
    late = [
        f" --set {term.name}.frames=end"
        for problem in objective.problems
        for term, steps in zip(problem.terms, problem.frames, strict=True)
        if steps[-1] != problem.steps or (len(steps) > 1 and steps[1] > wild.checkable)
    ]
    reason = (
        f"chaos: the run makes 10^{wild.growth / np.log(10):.0f} of any change in {wild.steps} steps, so that finite "
        "differences mean nothing; nothing was compared"
    )
    suggestion = f"check a shorter run: --set dynamics.steps={wild.checkable}{''.join(late)}"
    nan = float("nan")
    return Row(case, name, method, nan, nan, nan, nan, "unresolved", reason, suggestion)


def directions(p: P, only: Callable[[str], bool] = lambda name: True) -> tuple[list[str], list[str], dict[str, Array]]:
    """Names, paths and tangents (stacked first) of what is checked: numbers one by one, or random unit directions.

    Args:
        only: which of the names there are wanted.
    """
    found: list[tuple[str, str, np.ndarray]] = []
    for path, value in p.items():
        shape, size = np.shape(value), int(np.size(value))
        if size <= FEW:
            for place in np.ndindex(*shape):
                unit = np.zeros(shape)
                unit[place] = 1
                found.append((f"{path}[{','.join(map(str, place))}]" if shape else path, path, unit))
        else:
            rng = np.random.default_rng(zlib.crc32(path.encode()))
            for k in range(DIRECTIONS):
                drawn = rng.standard_normal(shape)
                found.append((f"{path} (random direction {k + 1})", path, drawn / np.linalg.norm(drawn)))
    found = [one for one in found if only(one[0])]
    tangents = {
        path: jnp.asarray(
            np.stack([d if path == own else np.zeros(np.shape(value)) for _, own, d in found]), value.dtype
        )
        for path, value in p.items()
        if found
    }
    return [name for name, _, _ in found], [path for _, path, _ in found], tangents


def _dot(gradients: Mapping[str, np.ndarray], tangents: Mapping[str, Array], k: int) -> float:
    return float(sum(np.sum(gradients[path] * np.asarray(t[k])) for path, t in tangents.items()))
