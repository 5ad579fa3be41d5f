"""Reverse mode: the sweeps' adjoint through the scan of steps, segment by segment.

Forward segments hand back their vjp function, a pytree whose leaves are the stored states, while those fit the memory
budget; over it, only the state at each segment's start is kept and the segment is run again in the backward pass. The
backward pass walks the accepted segments and takes no decision of its own.
"""

from __future__ import annotations

import dataclasses
import math
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
    Measurements,
    Progress,
    Say,
    finish,
    join,
    merged,
    run_steps,
    split,
    tree_bytes,
)
from diffmd.adjoints.health import along_trajectory, worst
from diffmd.adjoints.method import MethodSpec, Resources
from diffmd.dynamics.march import ListControl, march
from diffmd.dynamics.schedule import Segment
from diffmd.dynamics.segment import Shape
from diffmd.neighbors import NeighborPlan
from diffmd.objective import Objective, P, Problem, Ready
from diffmd.spec import METHODS, quantity
from diffmd.system import State, Values


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How one problem is run: segment length, and whether residuals are stored or segments run again."""

    longest: int
    stored: bool


class Reverse(Adjoint):
    """Reverse mode over an objective, within `memory` bytes of stored states."""

    def __init__(self, objective: Objective, memory: int) -> None:
        self._problems = objective.with_mode("reverse").problems
        self._memory = memory // max(1, len(self._problems))
        self._compiled = {problem.name: _Compiled(problem) for problem in self._problems}
        self._layouts: dict[tuple[str, NeighborPlan, int], _Layout] = {}

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`: one run, and one walk back."""
        results = [self._one(problem, ready, p, say, progress) for problem in self._problems]
        loss = sum(float(r[0]) for r in results)
        terms = [float(t) for r in results for t in np.asarray(r[1])]
        health = worst([along_trajectory("cotangent", np.arange(len(r[3])), r[3][::-1], reverse=True) for r in results])
        return Gradient(loss, terms, merged([r[2] for r in results]), health)

    def steps(self, p: P) -> int:
        """A run, and the walk back."""
        return 2 * run_steps(self._problems)

    def _one(self, problem: Problem, ready: Ready, p: P, say: Say, progress: Progress) -> Any:
        compiled, base, control = self._compiled[problem.name], ready.values[problem.name], ready.controls[problem.name]
        cutoff = problem.dynamics.forcefield.cutoff
        floats, step, start_vjp = control.settle(cutoff, lambda plan: compiled.start(plan)(p, base))
        state = join(floats, problem.box_shape, step)
        layout = self._layout(problem, compiled, control, p, base, ready.key, state)
        rows = Measurements.empty(problem)
        first_vjp = None
        if problem.measures_start:
            first, first_vjp = compiled.measure(control.plan)(p, base, floats, step)
            rows.add_start(first)
        tape: list[tuple[Segment, Shape, Any, Array]] = []

        def advance(shape: Shape, state: State) -> Any:
            run = compiled.forward(shape) if layout.stored else compiled.run(shape)
            floats, step, out, report, vjp = run(p, base, ready.key, split(state), state.step)
            return join(floats, problem.box_shape, step), out, report, vjp

        def accepted(segment: Segment, shape: Shape, before: State, after: State, out: Any, vjp: Any) -> None:
            rows.add(segment, out)
            tape.append((segment, shape, vjp if layout.stored else split(before), before.step))
            progress(segment.steps)

        end = march(problem.name, state, problem.segments(layout.longest), control, advance, accepted, say)
        loss, terms, row_cts = compiled.finish(rows.choice)(rows.pieces)

        # Cotangents of the pieces, handed out from the last segment to the first.
        left = [list(cts) for cts in row_cts]
        ct: Floats = jax.tree.map(jnp.zeros_like, split(end))
        total = jax.tree.map(jnp.zeros_like, dict(p))
        norms: list[Array] = []
        for segment, shape, kept, step in reversed(tape):
            own = tuple(left[k].pop() for k in segment.active)
            back = compiled.backward(shape) if layout.stored else compiled.rerun(shape)
            inputs = (kept,) if layout.stored else (p, base, ready.key, kept, step)
            total, ct, probe = back(*inputs, ct, own, total)
            norms.append(probe)
            progress(segment.steps)
        if first_vjp is not None:
            total, ct = compiled.pull_measure(first_vjp, [cts.pop() for cts in left], ct, total)
        total = compiled.pull_start(start_vjp, ct, total)
        along = np.concatenate([np.asarray(n) for n in reversed(norms)]) if norms else np.zeros(0)
        return loss, terms, {path: np.asarray(value) for path, value in total.items()}, along

    def _layout(
        self, problem: Problem, compiled: _Compiled, control: ListControl, p: P, base: Values, key: Array, state: State
    ) -> _Layout:
        """Decided from what one segment would store, and from nothing that happened before: a resumed training
        cuts its runs as the unbroken one did."""
        known = (problem.name, control.plan, control.block)
        if known in self._layouts:
            return self._layouts[known]
        longest = problem.longest(control.plan)
        layout = _Layout(longest, True)
        planned = problem.segments(longest)
        if planned:
            sample = max(planned, key=lambda segment: segment.steps)
            shapes = jax.eval_shape(compiled.forward(control.shape(sample)), p, base, key, split(state), state.step)
            per_step = tree_bytes(shapes[-1]) / sample.steps
            if per_step * problem.steps > self._memory:
                layout = _Layout(
                    _checkpoint_length(problem.steps, tree_bytes(split(state)), per_step, self._memory), False
                )
        self._layouts[known] = layout
        return layout


def _checkpoint_length(steps: int, state: float, per_step: float, memory: int) -> int:
    """The longest segment with steps / L starts and L steps' residuals in memory; sqrt where nothing fits."""
    best = max(1, round(math.sqrt(steps * state / max(per_step, 1))))
    # per_step L^2 - memory L + steps state <= 0
    root = memory**2 - 4 * per_step * steps * state
    if root > 0:
        best = max(best, min(1000, int((memory + math.sqrt(root)) / (2 * per_step))))
    return best


class _Compiled:
    """The jitted functions of one problem, made when first asked for."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._made: dict[Any, Any] = {}

    def _once(self, name: Any, make: Any) -> Any:
        if name not in self._made:
            self._made[name] = jax.jit(make)
        return self._made[name]

    def start(self, plan: Any) -> Any:
        """(p, base) -> (floats, step, vjp), opening."""

        def start(p: P, base: Values) -> Any:
            def first(q: P) -> Any:
                state, opening = self._problem.opened(q, base, plan)
                return split(state), (state.step, opening)

            floats, vjp, (step, opening) = jax.vjp(first, p, has_aux=True)
            return (floats, step, vjp), opening

        return self._once(("start", plan), start)

    def measure(self, plan: Any) -> Any:
        """(p, base, floats, step) -> rows of step 0, vjp."""

        def measure(p: P, base: Values, floats: Floats, step: Array) -> Any:
            def at(q: P, f: Floats) -> Any:
                return self._problem.measure(q, base, plan, join(f, self._problem.box_shape, step))

            return jax.vjp(at, p, floats)

        return self._once(("measure", plan), measure)

    def _differentiable(self, shape: Shape, base: Values, key: Array, step: Array) -> Any:
        def segment(p: P, floats: Floats, probes: Array | None) -> Any:
            state = join(floats, self._problem.box_shape, step)
            after, rows, report = self._problem.advance(p, base, key, shape, state, probes)
            return (split(after), rows), (after.step, report)

        return segment

    def forward(self, shape: Shape) -> Any:
        """(p, base, key, floats, step) -> floats, step, rows, report, vjp."""

        def forward(p: P, base: Values, key: Array, floats: Floats, step: Array) -> Any:
            probes = jnp.zeros((shape.steps,), floats[0].dtype)
            segment = self._differentiable(shape, base, key, step)
            (floats, rows), vjp, (step, report) = jax.vjp(segment, p, floats, probes, has_aux=True)
            return floats, step, rows, report, vjp

        return self._once(("forward", shape), forward)

    def run(self, shape: Shape) -> Any:
        """As `forward`, without the vjp."""

        def run(p: P, base: Values, key: Array, floats: Floats, step: Array) -> Any:
            (floats, rows), (step, report) = self._differentiable(shape, base, key, step)(p, floats, None)
            return floats, step, rows, report, None

        return self._once(("run", shape), run)

    def backward(self, shape: Shape) -> Any:
        """(vjp, cotangent of floats, of rows, running total) -> total, cotangent of floats, norms."""

        def backward(vjp: Any, ct: Floats, rows: Any, total: Any) -> Any:
            dp, dfloats, probes = vjp((ct, rows))
            return jax.tree.map(jnp.add, total, dict(dp)), dfloats, probes

        return self._once(("backward", shape), backward)

    def rerun(self, shape: Shape) -> Any:
        """As `backward`, from the segment's start instead of its vjp."""

        def rerun(
            p: P, base: Values, key: Array, floats: Floats, step: Array, ct: Floats, rows: Any, total: Any
        ) -> Any:
            probes = jnp.zeros((shape.steps,), floats[0].dtype)
            segment = self._differentiable(shape, base, key, step)
            _, vjp, _ = jax.vjp(segment, p, floats, probes, has_aux=True)
            dp, dfloats, norms = vjp((ct, rows))
            return jax.tree.map(jnp.add, total, dict(dp)), dfloats, norms

        return self._once(("rerun", shape), rerun)

    def finish(self, choice: Any) -> Any:
        """(pieces) -> loss, terms, cotangents of the pieces."""

        def finished(pieces: Any) -> Any:
            start = self._problem.measures_start
            loss, vjp, terms = jax.vjp(lambda q: finish(self._problem, choice, q, start=start), pieces, has_aux=True)
            return loss, terms, vjp(jnp.ones_like(loss))[0]

        return self._once(("finish", choice), finished)

    def pull_measure(self, vjp: Any, rows: Any, ct: Floats, total: Any) -> Any:
        """Adds what step 0's measurement depends on."""

        def pull(vjp: Any, rows: Any, ct: Floats, total: Any) -> Any:
            dp, dfloats = vjp(rows)
            return jax.tree.map(jnp.add, total, dict(dp)), jax.tree.map(jnp.add, ct, dfloats)

        return self._once("pull_measure", pull)(vjp, rows, ct, total)

    def pull_start(self, vjp: Any, ct: Floats, total: Any) -> Any:
        """Adds what the first state depends on."""
        return self._once("pull_start", lambda v, c, t: jax.tree.map(jnp.add, t, dict(v(c)[0])))(vjp, ct, total)


@METHODS.register
class ReverseSpec(MethodSpec):
    """Reverse mode through the trajectory: one backward pass, whatever the number of parameters."""

    method: Literal["reverse"] = "reverse"
    memory: Literal["auto"] | Annotated[int, Field(gt=0)] = quantity(
        "auto",
        doc="Bytes that stored states may take; beyond it segments are recomputed in the backward pass. "
        "auto: half of the memory that the device has.",
        unit="bytes",
    )

    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """See `MethodSpec`."""
        return Reverse(objective, resources.memory if self.memory == "auto" else self.memory)
