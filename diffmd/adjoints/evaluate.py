"""The loss alone, of one set of parameters or of many at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.adjoints.base import Floats, Progress, Say
from diffmd.adjoints.propagator import Propagator, Replicas, propagator_of
from diffmd.adjoints.replicas.own_losses import own_losses, reduced_observables
from diffmd.adjoints.storage.measurements import Kept, Measurements, kept_of
from diffmd.dynamics.run.host_loop import run_segments
from diffmd.dynamics.run.schedule import Segment
from diffmd.dynamics.run.shape import Opening, Report, Shape
from diffmd.neighbors import NeighborPlan
from diffmd.objective import Objective, P, Ready
from diffmd.programs import Program
from diffmd.system import Values


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """What runs at several parameters gave.

    Attributes:
        losses, terms: nan where a run left the finite numbers, unless all of them did.
        observables: of each problem each term's reduced observable, parameters and then replicas first; without
            replicas nothing.
    """

    losses: Float[np.ndarray, "batch"]
    terms: Float[np.ndarray, "batch terms"]
    observables: list[list[Array]]


class Evaluator:
    """Runs the objective forward. `many` runs a batch of parameters side by side, one program for all of them."""

    def __init__(self, objective: Objective, replicas: Replicas | None = None) -> None:
        self._replicas = replicas
        self._propagators = [propagator_of(problem, replicas) for problem in objective.problems]
        self._own = Program(self._own_of)
        self._kept: dict[tuple[str, int], Kept] = {}

    def one(self, ready: Ready, p: P, say: Say, progress: Progress) -> tuple[float, list[float]]:
        """Loss and terms at `p`."""
        batch = {path: jnp.asarray(np.asarray(value)[None]) for path, value in p.items()}
        losses, terms = self.many(ready, batch, say, progress)
        return float(losses[0]), [float(t) for t in terms[0]]

    def many(
        self, ready: Ready, batch: P, say: Say, progress: Progress
    ) -> tuple[Float[np.ndarray, "batch"], Float[np.ndarray, "batch terms"]]:
        """Losses and terms of each row of `batch`: nan where a run left the finite numbers, unless all of them did."""
        evaluated = self.evaluated(ready, batch, say, progress)
        return evaluated.losses, evaluated.terms

    def evaluated(self, ready: Ready, batch: P, say: Say, progress: Progress) -> Evaluated:
        """The same, with the reduced observables of replicas."""
        out = [self._run(propagator, ready, batch, say, progress) for propagator in self._propagators]
        losses, terms = np.sum([o[0] for o in out], axis=0), np.concatenate([o[1] for o in out], axis=1)
        return Evaluated(losses, terms, [o[2] for o in out])

    def own_losses(self, evaluated: Evaluated, about: Evaluated) -> Float[np.ndarray, "batch replicas"]:
        """The losses of replicas apart (see `replicas.own_losses`); `about` is of the one set of parameters where the
        gradient is taken. No columns without replicas."""
        if self._replicas is None:
            return np.zeros((len(evaluated.losses), 0))
        return np.asarray(self._own(evaluated.observables, about.observables))

    def _own_of(self, observables: list[list[Array]], about: list[list[Array]]) -> Array:
        assert self._replicas is not None
        average = self._replicas.average

        def one(observables: list[list[Array]]) -> Array:
            parts = [
                own_losses(propagator.problem, average, ys, [y[0] for y in y0s])
                for propagator, ys, y0s in zip(self._propagators, observables, about, strict=True)
            ]
            return jnp.sum(jnp.stack(parts), axis=0)

        return jax.vmap(one)(observables)

    def stored(self, ready: Ready, p: P, batch: int) -> int:
        """Bytes of the frames that `many` keeps of a batch, of the problem that takes most."""
        return max(self._kept_of(propagator, ready, p, batch).bytes for propagator in self._propagators)

    def _kept_of(self, propagator: Propagator, ready: Ready, p: Mapping[str, Any], batch: int) -> Kept:
        name = propagator.problem.name
        if (name, batch) not in self._kept:
            spread, plan = jax.eval_shape(propagator.spread, dict(p)), ready.controls[name].plan
            self._kept[name, batch] = kept_of(propagator, spread, ready.values[name], plan, batch)
        return self._kept[name, batch]

    def temporary(self) -> int:
        """Bytes of the largest program's buffers."""
        return max(propagator.programs("evaluate").temporary() for propagator in self._propagators)

    def _run(self, propagator: Propagator, ready: Ready, batch: P, say: Say, progress: Progress) -> Any:
        problem, programs = propagator.problem, propagator.programs("evaluate")
        base, control, key = propagator.placed(ready.values[problem.name]), ready.controls[problem.name], ready.key

        def start(plan: NeighborPlan) -> Any:
            def first(p: P, base: Values) -> tuple[Floats, Opening]:
                floats, _, opening = propagator.opened(propagator.spread(p), base, plan)
                return floats, opening

            def all_first(batch: P, base: Values) -> tuple[tuple[Floats, Array], Opening]:
                floats, openings = jax.vmap(first, (0, None))(batch, base)
                # Boxes displaced to either side of one that just fits: the widest speaks for them.
                opening = Opening(jnp.max(openings.needed, 0), jnp.max(openings.reach))
                return (floats, jnp.asarray(problem.first_step)), opening

            return programs.once(("start", plan), all_first)

        def measure(batch: P, base: Values, floats: Floats, step: Array) -> Any:
            return jax.vmap(lambda p, f: propagator.measure(propagator.spread(p), base, plan, f, step))(batch, floats)

        def run(shape: Shape) -> Any:
            def segment(batch: P, base: Values, key: Array, floats: Floats, step: Array) -> Any:
                def one(p: P, floats: Floats) -> Any:
                    return propagator.advance(propagator.spread(p), base, key, shape, floats, step)

                floats, steps, rows, reports = jax.vmap(one)(batch, floats)
                # A run that left the finite numbers has lost its own loss; the others go on beside it. The same of one
                # that blew up, of whose displaced neighbours one did not.
                finite = reports.finite
                report = Report(
                    jnp.max(jnp.where(finite, reports.displacement2, 0)),
                    jnp.min(jnp.where(finite, reports.furthest2, jnp.inf)),
                    jnp.max(jnp.where(finite[:, None], reports.needed, 0), 0),
                    jnp.any(finite),
                    jnp.max(reports.builds),
                )
                return floats, steps[0], rows, report

            return programs.once(("run", shape), segment)

        floats, step = control.settle(problem.dynamics.forcefield.cutoff, lambda plan: start(plan)(batch, base))
        plan = control.plan
        count = len(next(iter(batch.values())))
        kept = self._kept_of(
            propagator, ready, {path: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for path, x in batch.items()}, count
        )
        rows = Measurements.empty(kept, lead=1 if propagator is propagator.one else 2)
        if problem.measures_start:
            rows.add_start(programs.once(("measure", plan), measure)(batch, base, floats, step))

        def advance(shape: Shape, state: Any) -> Any:
            floats, step = state
            floats, step, out, report = run(shape)(batch, base, key, floats, step)
            return (floats, step), out, report, None

        def accepted(segment: Segment, shape: Shape, before: Any, after: Any, out: Any, extra: Any) -> None:
            rows.add(segment, out)
            progress(segment.steps)

        planned = problem.segments(kept.longest(problem.longest(plan)))
        leap = problem.leap({path: jnp.asarray(np.asarray(x)[0]) for path, x in batch.items()}, base)
        run_segments(problem.name, (floats, step), planned, control, leap.over, advance, accepted, say)
        choice = rows.choice

        def finished(pieces: Any, factors: Array | None) -> Any:
            def one(own: Any) -> Any:
                apart = [] if self._replicas is None else reduced_observables(problem, choice, own)
                return *propagator.finish(choice, own, factors), apart

            return jax.vmap(one)(pieces)

        ending, factors = programs.once(("finish", choice), finished), ready.factors.get(problem.name)
        losses, terms, apart = ending(rows.pieces, factors)
        return np.asarray(losses), np.asarray(terms), apart
