"""Forward mode: tangents carried along with the trajectory, in batches; memory does not grow with its length."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.adjoints.base import (
    Adjoint,
    Floats,
    Gradient,
    Health,
    Measurements,
    Progress,
    Say,
    basis,
    finish,
    flat_size,
    join,
    run_steps,
    split,
    unflatten,
)
from diffmd.adjoints.health import along_trajectory, worst
from diffmd.adjoints.method import MethodSpec, Resources
from diffmd.dynamics.march import march
from diffmd.dynamics.schedule import Segment
from diffmd.dynamics.segment import Shape
from diffmd.neighbors import NeighborPlan
from diffmd.objective import Objective, P, Problem, Ready
from diffmd.spec import METHODS, quantity
from diffmd.system import Values

_POINTS = 50
"""Segments that a run is cut into at least, so that the tangent's growth can be seen."""


class Forward(Adjoint):
    """Forward mode over an objective, `batch` tangents at once."""

    def __init__(self, objective: Objective, batch: int) -> None:
        self._problems = objective.with_mode("forward").problems
        self._batch = batch
        self._made: dict[Any, Any] = {}

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`: one run with tangents for every `batch` parameters."""
        size = flat_size(p)
        slopes: list[np.ndarray] = []
        healths: list[Health] = []
        for start in range(0, size, self._batch):
            tangents = basis(p, start, min(start + self._batch, size))
            loss, terms, slope, health = self.directional(ready, p, tangents, say, progress)
            slopes.append(slope)
            healths.append(health)
        return Gradient(loss, terms, unflatten(p, np.concatenate(slopes)), worst(healths))

    def steps(self, p: P) -> int:
        """A run for every `batch` parameters."""
        return -(-flat_size(p) // self._batch) * run_steps(self._problems)

    def directional(
        self, ready: Ready, p: P, tangents: P, say: Say, progress: Progress
    ) -> tuple[float, list[float], Float[np.ndarray, "tangents"], Health]:
        """Loss, terms, the loss's derivative along each tangent (stacked first), and the tangents' health."""
        parts = [self._one(problem, ready, p, tangents, say, progress) for problem in self._problems]
        loss = sum(float(part[0]) for part in parts)
        terms = [float(t) for part in parts for t in np.asarray(part[1])]
        slope = np.sum([np.asarray(part[2]) for part in parts], axis=0)
        return loss, terms, slope, worst([part[3] for part in parts])

    def _once(self, name: Any, make: Any) -> Any:
        if name not in self._made:
            self._made[name] = jax.jit(make)
        return self._made[name]

    def _one(self, problem: Problem, ready: Ready, p: P, tangents: P, say: Say, progress: Progress) -> Any:
        base, control, key = ready.values[problem.name], ready.controls[problem.name], ready.key

        def start(plan: NeighborPlan) -> Any:
            def first(p: P, tangents: P, base: Values) -> Any:
                out = _pushed(lambda q: split(problem.start(q, base, plan)), (dict(p),), (dict(tangents),))
                return (*out, jnp.asarray(problem.first_step)), problem.opened(p, base, plan)[1]

            return self._once((problem.name, "start", plan), first)

        def measure(p: P, tangents: P, base: Values, floats: Floats, tfloats: Floats, step: Array) -> Any:
            def at(q: P, f: Floats) -> Any:
                return problem.measure(q, base, plan, join(f, problem.box_shape, step))

            return _pushed(at, (dict(p), floats), (dict(tangents), tfloats))

        def run(shape: Shape) -> Any:
            def segment(
                p: P, tangents: P, base: Values, key: Array, floats: Floats, tfloats: Floats, step: Array
            ) -> Any:
                def one(q: P, f: Floats) -> Any:
                    state, rows, report = problem.advance(q, base, key, shape, join(f, problem.box_shape, step))
                    return (split(state), rows), (state.step, report)

                def push(tq: P, tf: Floats) -> Any:
                    return jax.jvp(one, (dict(p), floats), (tq, tf), has_aux=True)

                (floats_, rows), (tfloats_, trows), (step_, report) = jax.vmap(push, out_axes=(None, 0, None))(
                    dict(tangents), tfloats
                )
                # Of the loss's own kind of tangent: positions and velocities, all tangents together.
                norm = jnp.sqrt(jnp.sum(tfloats_[0] ** 2) + jnp.sum(tfloats_[1] ** 2))
                return floats_, tfloats_, step_, rows, trows, report, norm

            return self._once((problem.name, "run", shape), segment)

        cutoff = problem.dynamics.forcefield.cutoff
        floats, tfloats, step = control.settle(cutoff, lambda plan: start(plan)(p, tangents, base))
        plan = control.plan
        rows, trows = Measurements.empty(problem), Measurements.empty(problem)
        if problem.measures_start:
            first, tfirst = self._once((problem.name, "measure", plan), measure)(
                p, tangents, base, floats, tfloats, step
            )
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

        longest = min(problem.longest(plan), max(1, -(-problem.steps // _POINTS)))
        march(problem.name, (floats, tfloats, step), problem.segments(longest), control, advance, accepted, say)
        choice, started = rows.choice, problem.measures_start

        def finished(pieces: Any, tpieces: Any) -> Any:
            def one(own: Any) -> Any:
                return finish(problem, choice, own, start=started)

            def push(moving: Any) -> Any:
                return jax.jvp(one, (pieces,), (moving,))

            (loss, terms), (slope, _) = jax.vmap(push, out_axes=(None, 0))(tpieces)
            return loss, terms, slope

        loss, terms, slope = self._once((problem.name, "finish", choice), finished)(rows.pieces, trows.pieces)
        steps, norms = np.array([s for s, _ in points]), np.array([float(n) for _, n in points])
        return loss, terms, slope, along_trajectory("tangent", steps, norms, reverse=False)


def _pushed(function: Any, primals: Any, tangents: Any) -> Any:
    """The function's value, and its derivative along each of the stacked tangents."""
    return jax.vmap(lambda *moving: jax.jvp(function, primals, moving), out_axes=(None, 0))(*tangents)


@METHODS.register
class ForwardSpec(MethodSpec):
    """Forward mode: tangents carried along with the trajectory; memory does not grow with its length."""

    method: Literal["forward"] = "forward"
    batch: int = quantity(16, doc="How many tangents are carried at once.", gt=0)

    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """See `MethodSpec`."""
        return Forward(objective, self.batch)
