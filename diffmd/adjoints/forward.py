"""Forward mode: tangents carried along with the trajectory, in batches.

Memory does not grow with its length, but by the rows (and a tangent of each) that a loss wants together at its end.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from diffmd.adjoints.base import (
    Adjoint,
    Floats,
    Gradient,
    Health,
    Progress,
    Say,
    Stored,
    basis,
    flat_size,
    run_steps,
    unflatten,
)
from diffmd.adjoints.diagnosis.health import along_trajectory, worst
from diffmd.adjoints.method import MethodSpec, Resources
from diffmd.adjoints.options import AVERAGE, REPLICAS, TRUNCATE, replicas_of
from diffmd.adjoints.propagator import Average, Propagator, Replicas, copies, propagator_of
from diffmd.adjoints.replicas.mean import gathered
from diffmd.adjoints.replicas.mesh import memories
from diffmd.adjoints.replicas.own_losses import own_losses, reduced_observables
from diffmd.adjoints.storage.footprint import state_bytes
from diffmd.adjoints.storage.measurements import Kept, Measurements, kept_of
from diffmd.dynamics.run.host_loop import run_segments
from diffmd.dynamics.run.schedule import Segment
from diffmd.dynamics.run.shape import Shape
from diffmd.neighbors import NeighborPlan
from diffmd.objective import Objective, P, Ready
from diffmd.spec import METHODS, quantity
from diffmd.system import Values

MOST = 16
"""Tangents carried at once, where memory is no concern."""
_ARRAYS = 24
"""Arrays of pairs that a sweep makes of one tangent, at most: an upper estimate."""
_NEIGHBORS = 200
"""Places in a row of a list: an upper estimate."""


class Forward(Adjoint):
    """Forward mode over an objective.

    Args:
        batch: how many tangents are carried at once; None: as many, up to `MOST`, as fit into `memory` bytes
            of a device.
        replicas: independent runs side by side; None: the one run.
        truncate: as in `Guard`.
        points: segments that a run is cut into at least, so that the tangent's growth can be seen.
    """

    def __init__(
        self,
        objective: Objective,
        batch: int | None,
        memory: int = 1 << 30,
        replicas: Replicas | None = None,
        truncate: int | None = None,
        points: int = 50,
    ) -> None:
        self._points = points
        self._problems = objective.with_mode("forward").problems
        self._batch, self._memory = batch, memory
        self._replicas, self._truncate = replicas, truncate
        self._propagators = [propagator_of(problem, replicas, truncate) for problem in self._problems]
        self._kept: dict[tuple[str, int], Kept] = {}
        self._warned: set[str] = set()

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`: one run with tangents for every `batch` parameters."""
        size, batch = flat_size(p), self._size(p)
        pushed = [
            self._pushed(ready, p, basis(p, start, min(start + batch, size)), say, progress)
            for start in range(0, size, batch)
        ]
        contributions = _by_path(p, np.concatenate([one.contributions for one in pushed]), self._replicas)
        own = _by_path(p, np.concatenate([one.own for one in pushed]), self._replicas)
        found = gathered(contributions, own, self._replicas)
        health = worst([one.health for one in pushed])
        loss, terms = pushed[0].loss, pushed[0].terms
        return found.of(loss, terms, health)

    def steps(self, p: P) -> int:
        """A run for every `batch` parameters."""
        return -(-flat_size(p) // self._size(p)) * run_steps(self._problems)

    def runs(self, p: P) -> float | None:
        """A run for every batch, and two thirds of one for every number (benchmarks/methods.py), of every replica."""
        size = flat_size(p)
        return (-(-size // self._size(p)) + 0.65 * size) * copies(self._replicas)

    def _size(self, p: P) -> int:
        """How many tangents are carried at once."""
        if self._batch is not None:
            return self._batch
        copies = 1 if self._replicas is None else self._replicas.count // memories(self._replicas.devices)
        itemsize = jax.tree.leaves(dict(p))[0].dtype.itemsize
        sizes = [problem.dynamics.system.size for problem in self._problems]
        pairs = max(size * min(size, _NEIGHBORS) for size in sizes)
        return max(1, min(MOST, self._memory // (pairs * copies * itemsize * _ARRAYS)))

    def directional(
        self, ready: Ready, p: P, tangents: P, say: Say, progress: Progress
    ) -> tuple[float, list[float], Float[np.ndarray, "tangents"], Health]:
        """Loss, terms, the loss's derivative along each tangent (stacked first), and the tangents' health."""
        one = self._pushed(ready, p, tangents, say, progress)
        slopes = one.contributions if self._replicas is None else one.contributions.sum(axis=1)
        return one.loss, one.terms, slopes, one.health

    def _pushed(self, ready: Ready, p: P, tangents: P, say: Say, progress: Progress) -> _Pushed:
        parts = [self._one(propagator, ready, p, tangents, say, progress) for propagator in self._propagators]
        loss = sum(float(part[0]) for part in parts)
        terms = [float(t) for part in parts for t in np.asarray(part[1])]
        contributions, own = (np.sum([np.asarray(part[k]) for part in parts], axis=0) for k in (2, 3))
        health = worst([part[4] for part in parts], [problem.name for problem in self._problems])
        return _Pushed(loss, terms, contributions, own, health)

    def stored(self, ready: Ready, p: P) -> Stored:
        """A state before and after a segment, and rows, with all tangents, of the problem that takes most."""
        batch = min(flat_size(p), self._size(p))
        found = [0]
        for propagator in self._propagators:
            base, control = ready.values[propagator.problem.name], ready.controls[propagator.problem.name]
            rows = self._kept_of(propagator, ready, p, batch).bytes
            found.append((1 + batch) * 2 * state_bytes(propagator, p, base, control) + rows)
        side = (1 + batch) * copies(self._replicas)
        kept = f"{batch} tangent{'s' if batch > 1 else ''} at once"
        return Stored(float(max(found)), 0, kept, in_a_row=True, at_once=side)

    def _kept_of(self, propagator: Propagator, ready: Ready, p: P, tangents: int) -> Kept:
        name = propagator.problem.name
        if (name, tangents) not in self._kept:
            spread, plan = jax.eval_shape(propagator.spread, dict(p)), ready.controls[name].plan
            # Beside each row its tangents, and at the end its cotangent.
            self._kept[name, tangents] = kept_of(propagator, spread, ready.values[name], plan, 2 + tangents)
        return self._kept[name, tangents]

    def temporary(self) -> int:
        """Bytes of the largest program's buffers."""
        return max(propagator.programs("forward").temporary() for propagator in self._propagators)

    def _one(self, propagator: Propagator, ready: Ready, p: P, tangents: P, say: Say, progress: Progress) -> Any:
        problem, programs = propagator.problem, propagator.programs("forward")
        base, control, key = propagator.placed(ready.values[problem.name]), ready.controls[problem.name], ready.key

        def start(plan: NeighborPlan) -> Any:
            def first(p: P, tangents: P, base: Values) -> Any:
                def floats(q: P) -> Floats:
                    return propagator.opened(propagator.spread(q), base, plan)[0]

                out = _along(floats, (dict(p),), (dict(tangents),))
                opening = propagator.opened(propagator.spread(p), base, plan)[2]
                return (*out, jnp.asarray(problem.first_step)), opening

            return programs.once(("start", plan), first)

        def measure(p: P, tangents: P, base: Values, floats: Floats, tfloats: Floats, step: Array) -> Any:
            def at(q: P, f: Floats) -> Any:
                return propagator.measure(propagator.spread(q), base, plan, f, step)

            return _along(at, (dict(p), floats), (dict(tangents), tfloats))

        def run(shape: Shape) -> Any:
            def segment(
                p: P, tangents: P, base: Values, key: Array, floats: Floats, tfloats: Floats, step: Array
            ) -> Any:
                def one(q: P, f: Floats) -> Any:
                    after, done, rows, report = propagator.advance(propagator.spread(q), base, key, shape, f, step)
                    return (after, rows), (done, report)

                def push(tq: P, tf: Floats) -> Any:
                    return jax.jvp(one, (dict(p), floats), (tq, tf), has_aux=True)

                (floats_, rows), (tfloats_, trows), (step_, report) = jax.vmap(push, out_axes=(None, 0, None))(
                    dict(tangents), tfloats
                )
                # Of the loss's own kind of tangent: positions and velocities, all tangents together.
                norm = jnp.sqrt(jnp.sum(tfloats_[0] ** 2) + jnp.sum(tfloats_[1] ** 2))
                return floats_, tfloats_, step_, rows, trows, report, norm

            return programs.once(("run", shape), segment)

        cutoff = problem.dynamics.forcefield.cutoff
        floats, tfloats, step = control.settle(cutoff, lambda plan: start(plan)(p, tangents, base))
        plan = control.plan
        kept = self._kept_of(propagator, ready, p, len(next(iter(tangents.values()))))
        if (warning := kept.warning(self._memory)) and warning not in self._warned:
            say(warning)
            self._warned.add(warning)
        lead = 0 if propagator is propagator.one else 1
        rows, trows = Measurements.empty(kept, lead), Measurements.empty(kept, lead + 1)
        if problem.measures_start:
            first, tfirst = programs.once(("measure", plan), measure)(p, tangents, base, floats, tfloats, step)
            rows.add_start(first)
            trows.add_start(tfirst)
        points: list[tuple[int, Any]] = []

        def advance(shape: Shape, state: Any) -> Any:
            *out, rows, trows, report, norm = run(shape)(p, tangents, base, key, *state)
            return tuple(out), rows, report, (trows, norm)

        def accepted(segment: Segment, shape: Shape, before: Any, after: Any, out: Any, extra: Any) -> None:
            rows.add(segment, out)
            trows.add(segment, extra[0])
            points.append((segment.start + segment.steps, extra[1]))
            progress(segment.steps)

        longest = min(kept.longest(problem.longest(plan)), max(1, -(-problem.steps // self._points)))
        planned, leap = problem.segments(longest), problem.leap(p, base)
        run_segments(problem.name, (floats, tfloats, step), planned, control, leap.over, advance, accepted, say)
        choice = rows.choice

        def finished(pieces: Any, tpieces: Any, factors: Array | None) -> Any:
            loss, pull, terms = jax.vjp(lambda own: propagator.finish(choice, own, factors), pieces, has_aux=True)
            (cotangents,) = pull(jnp.ones_like(loss))
            # Each replica's share of the slope is what its own rows give to it.
            contributions = _paired(cotangents, tpieces, 1 if self._replicas is None else 2)
            if self._replicas is None or self._replicas.average == "loss":
                return loss, terms, contributions, contributions
            about = reduced_observables(problem, choice, pieces)

            def mean(own: Any) -> Array:
                observables = reduced_observables(problem, choice, own)
                return jnp.mean(own_losses(problem, "observable", observables, about))

            value, pull = jax.vjp(mean, pieces)
            return loss, terms, contributions, _paired(pull(jnp.ones_like(value))[0], tpieces, 2)

        ending, factors = programs.once(("finish", choice), finished), ready.factors.get(problem.name)
        loss, terms, contributions, own = ending(rows.pieces, trows.pieces, factors)
        steps, norms = np.array([s for s, _ in points]), np.array([float(n) for _, n in points])
        health = along_trajectory("tangent", steps, norms, reverse=False, truncate=self._truncate)
        return loss, terms, contributions, own, health


@dataclasses.dataclass(frozen=True)
class _Pushed:
    """What one batch of tangents gave; `contributions`, and those of replicas' own losses, are (tangents,), or
    (tangents, replicas)."""

    loss: float
    terms: list[float]
    contributions: np.ndarray
    own: np.ndarray
    health: Health


def _along(function: Any, primals: Any, tangents: Any) -> Any:
    """The function's value, and its derivative along each of the stacked tangents."""
    return jax.vmap(lambda *moving: jax.jvp(function, primals, moving), out_axes=(None, 0))(*tangents)


def _paired(cotangents: Any, tangents: Any, kept: int) -> Array:
    """Sum of cotangent times tangent over all arrays and axes, but the first `kept` of the tangents."""
    pairs = zip(jax.tree.leaves(cotangents), jax.tree.leaves(tangents), strict=True)
    return sum((jnp.sum(c[None] * t, axis=tuple(range(kept, t.ndim))) for c, t in pairs), jnp.zeros(()))


def _by_path(p: P, contributions: np.ndarray, replicas: Replicas | None) -> dict[str, np.ndarray]:
    """Shares of each flattened parameter (replicas second) by path, in its shape, replicas first."""
    if replicas is None:
        return unflatten(p, contributions)
    each = [unflatten(p, contributions[:, r]) for r in range(replicas.count)]
    return {path: np.stack([one[path] for one in each]) for path in p}


@METHODS.register
class ForwardSpec(MethodSpec):
    """Forward mode: tangents carried along with the trajectory; memory does not grow with its length, but by the frames
    of terms that want all of them at the end (series, and reductions other than the mean)."""

    method: Literal["forward"] = "forward"
    batch: Annotated[int, Field(gt=0)] | Literal["auto"] = quantity(
        "auto", doc="How many tangents are carried at once; auto: as many, up to 16, as fit into half of the memory."
    )
    truncate: int | None = TRUNCATE
    replicas: int | None = REPLICAS
    average: Average = AVERAGE

    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """See `MethodSpec`."""
        batch = None if self.batch == "auto" else self.batch
        return Forward(objective, batch, resources.memory, replicas_of(self.replicas, self.average), self.truncate)
