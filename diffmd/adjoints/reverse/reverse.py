"""Reverse mode: the sweeps' adjoint through the scan of steps, segment by segment.

Forward segments hand back their vjp function, a pytree whose leaves are the stored states, while those fit the memory
budget; over it, only states at the segments' starts (or at every so many of them) are kept and segments are run again
in the backward pass. The backward pass walks the accepted segments and takes no decision of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from pydantic import Field

from diffmd.adjoints.base import (
    Adjoint,
    Floats,
    Gradient,
    Health,
    Progress,
    Say,
    Stored,
    merged,
    run_steps,
    tree_bytes,
)
from diffmd.adjoints.diagnosis.health import along_trajectory, worst
from diffmd.adjoints.method import MethodSpec, Resources
from diffmd.adjoints.options import AVERAGE, CLIP, REPLICAS, TRUNCATE, replicas_of
from diffmd.adjoints.propagator import Average, Propagator, Replicas, copies, propagator_of
from diffmd.adjoints.replicas.mean import gathered, own_contributions
from diffmd.adjoints.replicas.mesh import memories
from diffmd.adjoints.reverse.horizon import gathered_back
from diffmd.adjoints.reverse.programs import Programs
from diffmd.adjoints.storage.checkpoints import Layout, layout
from diffmd.adjoints.storage.footprint import in_a_row
from diffmd.adjoints.storage.measurements import Cotangents, Kept, Measurements, kept_of
from diffmd.dynamics.run.host_loop import ListControl, run_segments
from diffmd.dynamics.run.probes import PROBES
from diffmd.dynamics.run.schedule import Segment
from diffmd.dynamics.run.shape import Shape
from diffmd.neighbors import NeighborPlan
from diffmd.objective import Objective, P, Ready
from diffmd.spec import METHODS, quantity
from diffmd.system import Values

_WITHIN = 10
"""In so many places at least the derivative is looked at within the steps that it is truncated to."""

_Point = tuple[Floats, Array]
"""A state on the way: what is differentiated, and its step."""


@dataclasses.dataclass(frozen=True)
class _Done:
    """A segment that was run: its vjp, or the point it started from, or (within a group) neither."""

    segment: Segment
    shape: Shape
    vjp: Any
    start: _Point | None


class Reverse(Adjoint):
    """Reverse mode over an objective, within `memory` bytes of stored states on each device.

    Args:
        replicas: independent runs side by side; None: the one run.
        truncate, clip: as in `Guard`, of the loss of one replica.
    """

    def __init__(
        self,
        objective: Objective,
        memory: int,
        replicas: Replicas | None = None,
        truncate: int | None = None,
        clip: float | None = None,
    ) -> None:
        self._problems = objective.with_mode("reverse").problems
        self._memory = memory * (memories(replicas.devices) if replicas else 1) // max(1, len(self._problems))
        self._replicas, self._truncate = replicas, truncate
        self._propagators = {one.name: propagator_of(one, replicas, truncate, clip) for one in self._problems}
        self._programs = {name: Programs(propagator) for name, propagator in self._propagators.items()}
        self.layouts: dict[tuple[str, NeighborPlan, int], Layout] = {}
        self._kept: dict[str, Kept] = {}
        self._warned: set[str] = set()

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`: one run, and one walk back."""
        results = [self._one(propagator, ready, p, say, progress) for propagator in self._propagators.values()]
        loss = sum(float(r[0]) for r in results)
        terms = [float(t) for r in results for t in np.asarray(r[1])]
        health = worst([r[3] for r in results], [problem.name for problem in self._problems])
        found = gathered(merged([r[2] for r in results]), merged([r[4] for r in results]), self._replicas)
        return found.of(loss, terms, health)

    def steps(self, p: P) -> int:
        """A run, and the walk back."""
        return 2 * run_steps(self._problems)

    def runs(self, p: P) -> float | None:
        """The run and the way back (benchmarks/methods.py: 2.7), of every replica."""
        return 2.7 * copies(self._replicas)

    def stored(self, ready: Ready, p: P) -> Stored:
        """States, residuals and rows of the problem that takes most. Residuals of segments that are run again are
        buffers of the program that does it."""
        found, many = [], False
        for propagator in self._propagators.values():
            base, control = (
                propagator.placed(ready.values[propagator.problem.name]),
                ready.controls[propagator.problem.name],
            )
            point = self._opened(propagator, ready, p)
            chosen = self.layout(propagator, control, propagator.spread(p), base, ready.key, point)
            # Rows and their cotangents.
            rows = 2 * self._kept_of(propagator, control, propagator.spread(p), base).bytes
            found.append((chosen.kept + rows, chosen))
            many = many or in_a_row(propagator.problem, chosen.longest)
        most, chosen = max(found, key=lambda one: one[0])
        repeats = 0 if chosen.stored else 1 if chosen.group == 1 else 2
        kept = f"{chosen.name} checkpoints" if repeats else "every step"
        return Stored(most, repeats, kept, in_a_row=many, at_once=2 * copies(self._replicas))

    def planned(self, ready: Ready, p: P) -> int | None:
        """See `Adjoint`: of the longest segments, on and back."""
        found = [0]
        for propagator in self._propagators.values():
            problem, q, programs = propagator.problem, propagator.spread(p), self._programs[propagator.problem.name]
            base, control = propagator.placed(ready.values[problem.name]), ready.controls[problem.name]
            floats, step = self._opened(propagator, ready, p)
            chosen = self.layout(propagator, control, q, base, ready.key, (floats, step))
            segments = problem.segments(chosen.longest)
            if not segments:
                continue
            shape = self._probed(control.in_blocks(max(segments, key=lambda segment: segment.steps)))
            given = (q, base, ready.key, floats, step)
            run = programs.forward(shape) if chosen.stored else programs.run(shape)
            _, _, rows, _, vjp = run.outputs(*given)
            if chosen.stored:
                back = programs.backward(shape).planned(vjp, floats, rows, q)
            else:
                back = programs.rerun(shape).planned(*given, floats, rows, q)
            found += [run.planned(*given), back]
        return max(found)

    def _opened(self, propagator: Propagator, ready: Ready, p: P) -> _Point:
        problem, q, start = propagator.problem, propagator.spread(p), self._programs[propagator.problem.name].start
        base, control = propagator.placed(ready.values[problem.name]), ready.controls[problem.name]
        cutoff = problem.dynamics.forcefield.cutoff
        floats, step, _ = control.settle(cutoff, lambda plan: start(plan)(q, base))
        return floats, step

    def temporary(self) -> int:
        """See `Adjoint`."""
        return max(programs.temporary() for programs in self._programs.values())

    def _one(self, propagator: Propagator, ready: Ready, p: P, say: Say, progress: Progress) -> Any:
        problem = propagator.problem
        programs, control = self._programs[problem.name], ready.controls[problem.name]
        leap = problem.leap(p, ready.values[problem.name])
        p, base = propagator.spread(p), propagator.placed(ready.values[problem.name])
        cutoff = problem.dynamics.forcefield.cutoff
        start = programs.start(control.plan)
        if not start.begun:
            # Beside the first state's program. What that makes is known by its shapes alone.
            (floats, step, _), _ = start.outputs(p, base)
            self._prepare(propagator, control, p, base, ready.key, (floats, step))
        floats, step, start_vjp = control.settle(cutoff, lambda plan: programs.start(plan)(p, base))
        chosen = self._prepare(propagator, control, p, base, ready.key, (floats, step))
        planned = problem.segments(chosen.longest)
        kept = self._kept_of(propagator, control, p, base)
        if (warning := kept.warning(self._memory // 2)) and warning not in self._warned:
            say(warning)
            self._warned.add(warning)
        rows = Measurements.empty(kept, lead=0 if propagator is propagator.one else 1)
        first_vjp = None
        if problem.measures_start:
            first, first_vjp = programs.measure(control.plan)(p, base, floats, step)
            rows.add_start(first)
        tape: list[_Done] = []

        def advance(shape: Shape, point: _Point) -> Any:
            run = programs.forward(self._probed(shape)) if chosen.stored else programs.run(shape)
            floats, step, out, report, vjp = run(p, base, ready.key, *point)
            return (floats, step), out, report, vjp

        def accepted(segment: Segment, shape: Shape, before: _Point, after: _Point, out: Any, vjp: Any) -> None:
            rows.add(segment, out)
            keep = not chosen.stored and len(tape) % chosen.group == 0
            tape.append(_Done(segment, self._probed(shape), vjp, before if keep else None))
            progress(segment.steps)

        end, _ = run_segments(
            problem.name, (floats, step), planned, control, leap.over, advance, accepted, say, in_blocks=True
        )
        loss, terms, row_cts = programs.finish(rows.choice)(rows.pieces, ready.factors.get(problem.name))

        def back(row_cts: Any, progress: Progress) -> tuple[P, P, list[Array]]:
            """What the parameters get from cotangents of the rows, before and after the first state's; the probes."""
            cotangents = Cotangents(rows, row_cts)
            ct: Floats = jax.tree.map(_zeros, end)
            total = jax.tree.map(_zeros, dict(p))
            probes: list[Array] = []
            for first_of_group in reversed(range(0, len(tape), chosen.group)):
                group = tape[first_of_group : first_of_group + chosen.group]
                starts = [] if chosen.stored else _starts(programs, p, base, ready.key, group)
                for number, done in reversed(list(enumerate(group))):
                    own = cotangents.of(done.segment)
                    if chosen.stored:
                        total, ct, probe = programs.backward(done.shape)(done.vjp, ct, own, total)
                    else:
                        again = programs.rerun(done.shape)
                        total, ct, probe = again(p, base, ready.key, *starts[number], ct, own, total)
                    probes.append(probe)
                    progress(done.segment.steps)
            stepped = total
            if first_vjp is not None:
                total, ct = programs.pull_measure(first_vjp, cotangents.of_start(), ct, total)
            return stepped, programs.pull_start(start_vjp, ct, total), probes[::-1]

        stepped, total, probes = back(row_cts, progress)
        own = own_contributions(self._replicas, programs, rows, total, lambda cts: back(cts, lambda _: None)[1])
        lengths = [steps for done in tape for steps in done.shape.stretches]
        return loss, terms, total, self._health(propagator, lengths, probes, total, stepped), own

    def _probed(self, shape: Shape) -> Shape:
        """The shape, with a few probes in what a truncated derivative reaches over."""
        short = None if self._truncate is None else max(1, self._truncate // _WITHIN)
        return dataclasses.replace(shape, stretch=short)

    def _health(
        self, propagator: Propagator, lengths: Sequence[int], probes: Sequence[Array], total: P, stepped: P
    ) -> Health:
        """Of one problem, from what each stretch of so many steps left on the way back, in the order of time."""
        along = np.concatenate([np.asarray(probe) for probe in probes]) if probes else np.zeros((0, PROBES))
        added = [np.asarray(total[path]) - np.asarray(stepped[path]) for path in total]
        start = float(
            np.linalg.norm([np.linalg.norm(a if propagator is propagator.one else a.sum(axis=0)) for a in added])
        )
        back = gathered_back(along[:, 1:], lengths, start, propagator.problem.frames)
        steps, norm = np.cumsum(lengths[::-1], dtype=int) - 1, along[::-1, 0]
        return along_trajectory("cotangent", steps, norm, reverse=True, truncate=self._truncate, back=back)

    def _prepare(
        self, propagator: Propagator, control: ListControl, p: P, base: Values, key: Array, point: Any
    ) -> Layout:
        """The layout of a run, whose longest segment is begun to be compiled, on and back, where it is not yet."""
        chosen = self.layout(propagator, control, p, base, key, point)
        planned = propagator.problem.segments(chosen.longest)
        if planned and chosen.stored and propagator is propagator.one:
            shape = self._probed(control.in_blocks(max(planned, key=lambda segment: segment.steps)))
            self._programs[propagator.problem.name].prepare(shape, p, base, key, *point)
        return chosen

    def layout(
        self, propagator: Propagator, control: ListControl, p: P, base: Values, key: Array, point: Any
    ) -> Layout:
        """How states are kept, where a run begins at `point` (arrays, or the shapes of some).

        Decided from what one segment would store, and from nothing that happened before: a resumed training
        cuts its runs as the unbroken one did.
        """
        problem = propagator.problem
        known = (problem.name, control.plan, control.block)
        if known in self.layouts:
            return self.layouts[known]
        kept = self._kept_of(propagator, control, p, base)
        longest = kept.longest(problem.longest(control.plan))
        planned = problem.segments(longest)
        residual = 0.0
        if planned:
            sample = max(planned, key=lambda segment: segment.steps)
            forward = self._programs[problem.name].forward(self._probed(control.in_blocks(sample)))
            residual = tree_bytes(forward.outputs(p, base, key, *point)[-1]) / sample.steps
        left = max(0, self._memory - 2 * kept.bytes)
        self.layouts[known] = layout(problem.steps, tree_bytes(point[0]), residual, longest, left)
        return self.layouts[known]

    def _kept_of(self, propagator: Propagator, control: ListControl, p: P, base: Values) -> Kept:
        name = propagator.problem.name
        if name not in self._kept:
            self._kept[name] = kept_of(propagator, p, base, control.plan)
        return self._kept[name]


def _zeros(like: Array) -> Array:
    """Zeros of an array's shape and dtype, on its devices; JAX's own would be a compiled program for each shape."""
    zeros = np.zeros(like.shape, like.dtype)
    return jnp.asarray(zeros) if len(like.devices()) == 1 else jax.device_put(zeros, like.sharding)


def _starts(programs: Programs, p: P, base: Values, key: Array, group: Sequence[_Done]) -> list[_Point]:
    """Where each segment of a group starts; the group is run again from the one point of it that was kept."""
    first = group[0].start
    assert first is not None
    out = [first]
    for done in group[:-1]:
        floats, step, *_ = programs.run(dataclasses.replace(done.shape, stretch=None))(p, base, key, *out[-1])
        out.append((floats, step))
    return out


@METHODS.register
class ReverseSpec(MethodSpec):
    """Reverse mode through the trajectory: one backward pass, whatever the number of parameters."""

    method: Literal["reverse"] = "reverse"
    memory: Literal["auto"] | Annotated[int, Field(gt=0)] = quantity(
        "auto",
        doc="Bytes that stored states may take; beyond it segments are run again in the backward pass, from "
        "checkpoints placed as the square root or in levels. auto: half of the memory that the device has.",
        unit="bytes",
    )
    truncate: int | None = TRUNCATE
    clip: float | None = CLIP
    replicas: int | None = REPLICAS
    average: Average = AVERAGE

    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """See `MethodSpec`."""
        memory = resources.memory if self.memory == "auto" else self.memory
        return Reverse(objective, memory, replicas_of(self.replicas, self.average), self.truncate, self.clip)
