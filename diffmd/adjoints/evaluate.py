"""The loss alone, of one set of parameters or of many at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.adjoints.base import Floats, Measurements, Progress, Say
from diffmd.adjoints.flow import Flow, Replicas, flow_of
from diffmd.adjoints.programs import ProgramCache
from diffmd.dynamics.march import march
from diffmd.dynamics.schedule import Segment
from diffmd.dynamics.segment import Opening, Report, Shape
from diffmd.neighbors import NeighborPlan
from diffmd.objective import Objective, P, Ready
from diffmd.system import Values


class Evaluator:
    """Runs the objective forward. `many` runs a batch of parameters side by side, one program for all of them."""

    def __init__(self, objective: Objective, replicas: Replicas | None = None) -> None:
        self._flows = [flow_of(problem, replicas) for problem in objective.problems]
        self._cache = ProgramCache()

    def one(self, ready: Ready, p: P, say: Say, progress: Progress) -> tuple[float, list[float]]:
        """Loss and terms at `p`."""
        batch = {path: jnp.asarray(value)[None] for path, value in p.items()}
        losses, terms = self.many(ready, batch, say, progress)
        return float(losses[0]), [float(t) for t in terms[0]]

    def many(
        self, ready: Ready, batch: P, say: Say, progress: Progress
    ) -> tuple[Float[np.ndarray, "batch"], Float[np.ndarray, "batch terms"]]:
        """Losses and terms of each row of `batch`: nan where a run left the finite numbers, unless all of them did."""
        out = [self._run(flow, ready, batch, say, progress) for flow in self._flows]
        return np.sum([o[0] for o in out], axis=0), np.concatenate([o[1] for o in out], axis=1)

    def temporary(self) -> int:
        """Bytes of the largest program's buffers."""
        return self._cache.temporary()

    def _once(self, name: Any, make: Any) -> Any:
        return self._cache.once(name, make)

    def _run(self, flow: Flow, ready: Ready, batch: P, say: Say, progress: Progress) -> Any:
        problem = flow.problem
        base, control, key = flow.placed(ready.values[problem.name]), ready.controls[problem.name], ready.key

        def start(plan: NeighborPlan) -> Any:
            def first(p: P, base: Values) -> tuple[Floats, Opening]:
                floats, _, opening = flow.opened(flow.spread(p), base, plan)
                return floats, opening

            def all_first(batch: P, base: Values) -> tuple[tuple[Floats, Array], Opening]:
                floats, openings = jax.vmap(first, (0, None))(batch, base)
                # Boxes displaced to either side of one that just fits: the widest speaks for them.
                opening = Opening(jnp.max(openings.needed, 0), jnp.max(openings.reach))
                return (floats, jnp.asarray(problem.first_step)), opening

            return self._once((problem.name, "start", plan), all_first)

        def measure(batch: P, base: Values, floats: Floats, step: Array) -> Any:
            return jax.vmap(lambda p, f: flow.measure(flow.spread(p), base, plan, f, step))(batch, floats)

        def run(shape: Shape) -> Any:
            def segment(batch: P, base: Values, key: Array, floats: Floats, step: Array) -> Any:
                def one(p: P, floats: Floats) -> Any:
                    return flow.advance(flow.spread(p), base, key, shape, floats, step)

                floats, steps, rows, reports = jax.vmap(one)(batch, floats)
                # A run that left the finite numbers has lost its own loss; the others go on beside it.
                finite = reports.finite
                report = Report(
                    jnp.max(jnp.where(finite, reports.displacement2, 0)),
                    jnp.max(jnp.where(finite[:, None], reports.needed, 0), 0),
                    jnp.any(finite),
                )
                return floats, steps[0], rows, report

            return self._once((problem.name, "run", shape), segment)

        floats, step = control.settle(problem.dynamics.forcefield.cutoff, lambda plan: start(plan)(batch, base))
        plan = control.plan
        rows = Measurements.empty(problem)
        if problem.measures_start:
            rows.add_start(self._once((problem.name, "measure", plan), measure)(batch, base, floats, step))

        def advance(shape: Shape, state: Any) -> Any:
            floats, step = state
            floats, step, out, report = run(shape)(batch, base, key, floats, step)
            return (floats, step), out, report, None

        def accepted(segment: Segment, shape: Shape, before: Any, after: Any, out: Any, extra: Any) -> None:
            rows.add(segment, out)
            progress(segment.steps)

        march(problem.name, (floats, step), problem.segments(problem.longest(plan)), control, advance, accepted, say)
        choice = rows.choice

        def finished(pieces: Any) -> Any:
            return jax.vmap(lambda own: flow.finish(choice, own))(pieces)

        losses, terms = self._once((problem.name, "finish", choice), finished)(rows.pieces)
        return np.asarray(losses), np.asarray(terms)
