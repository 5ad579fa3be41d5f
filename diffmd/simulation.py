"""Running a problem's dynamics for its own sake: recorded frames, equilibration, the first step that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.causes import broken, causes, described
from diffmd.diagnosis import forces_by_potential
from diffmd.dynamics.dynamics import Dynamics
from diffmd.dynamics.frame import Frame
from diffmd.dynamics.run.host_loop import DivergedError, ListControl, run_segments
from diffmd.dynamics.run.leap import Leap
from diffmd.dynamics.run.schedule import Leg, Segment, legs, segments
from diffmd.dynamics.run.segment import run_segment
from diffmd.dynamics.run.shape import Measure, Opening, Shape
from diffmd.errors import NumericalError
from diffmd.neighbors import NeighborPlan
from diffmd.objective import P, Problem
from diffmd.programs import Program
from diffmd.system import State, Values

Say = Callable[[str], None]


class Recorder:
    """Runs a problem and hands over what a measure keeps of each recorded frame. Keeps what it has compiled."""

    def __init__(self, problem: Problem, measure: Measure | None = None, dynamics: Dynamics | None = None) -> None:
        self._problem = problem
        self._dynamics = dynamics or problem.dynamics
        self._measures: tuple[Measure, ...] = () if measure is None else (measure,)
        self._programs = problem.programs.scope("record", self._dynamics, measure)

    @property
    def dynamics(self) -> Dynamics:
        """The dynamics that it runs."""
        return self._dynamics

    def start(self, p: P, base: Values, control: ListControl) -> State:
        """The state at the values' positions and velocities."""

        def attempt(plan: NeighborPlan) -> tuple[State, Opening]:
            opened: tuple[State, Opening] = self._opened(plan)(p, base)
            return opened

        return control.settle(self._dynamics.forcefield.cutoff, attempt)

    def prepare(self, p: P, base: Values, key: Array, control: ListControl, plan: Sequence[Segment]) -> None:
        """Starts to compile the longest of the segments of `plan`, beside what comes before it."""
        if plan:
            program = self._segment(control.shape(max(plan, key=lambda segment: segment.steps)))
            if not program.begun:
                state, _ = self._opened(control.plan).outputs(p, base)
                program.prepare(p, base, key, state)

    def _opened(self, plan: NeighborPlan) -> Program:
        def start(p: P, base: Values) -> tuple[State, Opening]:
            return self._problem.opened(p, base, plan)

        return self.compiled(("start", plan), start)

    def _segment(self, shape: Shape) -> Program:
        def segment(p: P, base: Values, key: Array, state: State) -> Any:
            values = self._problem.values(p, base)
            return run_segment(self._dynamics, self._measures, shape, values, key, state)

        return self.compiled(shape, segment)

    def first(self, p: P, base: Values, control: ListControl, state: State) -> Any:
        """The frame of a state itself."""

        plan = control.plan

        def measure(p: P, base: Values, state: State) -> Any:
            values = self._problem.values(p, base)
            neighbors = self._dynamics.forcefield.neighbors(plan, state.positions, state.box)
            return self._measures[0](self._dynamics.frame(values, state, neighbors), state)

        return self.compiled(("first", plan), measure)(p, base, state)

    def run(
        self,
        p: P,
        base: Values,
        key: Array,
        control: ListControl,
        state: State,
        plan: Sequence[Segment],
        accepted: Callable[[Segment, State, Any], None],
        say: Say,
    ) -> State:
        """Runs the segments of `plan`; `accepted` gets each with the state after it and its rows (or None)."""

        def advance(shape: Shape, state: State) -> Any:
            after, rows, report = self._segment(shape)(p, base, key, state)
            return after, rows, report, None

        def hand_over(segment: Segment, shape: Shape, before: State, after: State, rows: Any, extra: None) -> None:
            accepted(segment, after, rows[0] if rows else None)

        leap = self._problem.leap(p, base, self._dynamics)
        return run_segments(self._problem.name, state, plan, control, leap.over, advance, hand_over, say)

    def compiled(self, name: Hashable, function: Callable[..., Any]) -> Program:
        """The program of that name; `function` is compiled if there is none yet."""
        return self._programs.once(name, function)


def recording(steps: int, every: int, longest: int, start: int = 0) -> list[Segment]:
    """Segments of a run from step `start` to `steps` that record every `every` steps, counted from step 0."""
    frames = np.arange(0, steps + 1, every)
    return segments(legs(steps - start, [frames[frames > start] - start]), max(longest, 1), start)


def whole_frame(frame: Frame, state: State) -> dict[str, Array]:
    """What a trajectory file keeps of a frame."""
    kinetic = jnp.sum(frame.masses[:, None] * frame.velocities**2) / 2
    potential = frame.potential_energy()
    return {
        "positions": frame.positions,
        "velocities": frame.velocities,
        "forces": state.forces,
        "box": frame.box.vectors,
        "potential_energy": potential,
        "kinetic_energy": kinetic,
        "total_energy": kinetic + potential,
    }


def equilibrate(
    problem: Problem,
    recorder: Recorder,
    steps: int,
    p: P,
    base: Values,
    key: Array,
    control: ListControl,
    say: Say,
    progress: Callable[[int], None],
) -> Values:
    """The values with positions and velocities replaced by those after `steps` steps of the recorder's dynamics.

    Nothing is differentiated: the parameters act on what comes out of it.
    """
    if not steps:
        return base

    def planned() -> list[Segment]:
        return segments(legs(steps, []), problem.longest(control.plan))

    def accepted(segment: Segment, after: State, rows: Any) -> None:
        progress(segment.steps)

    recorder.prepare(p, base, key, control, planned())
    state = recorder.start(p, base, control)
    try:
        end = recorder.run(p, base, key, control, state, planned(), accepted, say)
    except DivergedError as problem_:
        raise explain(problem, p, base, key, control, problem_, recorder.dynamics) from problem_
    positions = problem.held(p, base, end.positions)
    return {**base, "system.positions": positions, "system.velocities": end.velocities}


def explain(
    problem: Problem,
    p: P,
    base: Values,
    key: Array,
    control: ListControl,
    failure: DivergedError,
    dynamics: Dynamics | None = None,
) -> NumericalError:
    """Runs again up to the segment that failed, then step by step, and says which step, atoms and potential it was, and
    what the numbers of the start make the likely cause."""
    dynamics = dynamics or problem.dynamics
    recorder, leap = Recorder(problem, None, dynamics), problem.leap(p, base, dynamics)
    state = recorder.start(p, base, control)
    step = failure.segment.start
    quiet: list[str] = []
    if _finite(state) and step:
        plan = segments([Leg(step, 0, ())], problem.longest(control.plan))
        try:
            state = recorder.run(p, base, key, control, state, plan, lambda *_: None, quiet.append)
        except DivergedError as earlier:
            # Other segments than those of the run that failed have other last bits.
            return explain(problem, p, base, key, control, earlier, dynamics)
    single_step = Shape(1, 0, 1 if control.plan.is_list else 0, (), control.plan)

    def single(p: P, base: Values, key: Array, state: State) -> State:
        return run_segment(dynamics, (), single_step, problem.values(p, base), key, state)[0]

    advance = recorder.compiled(("single", single_step), single)
    after, far = state, np.zeros(problem.dynamics.system.size)
    for _ in range(failure.segment.steps if _finite(state) else 0):
        state, after = after, advance(p, base, key, after)
        step += 1
        far = np.linalg.norm(np.asarray(after.positions - state.positions, float), axis=1)
        if not _finite(after) or leap.over(float(far.max(initial=0))):
            break
    at_start = problem.values(p, base)
    own = dynamics is problem.dynamics
    where = f"at step {step + own * problem.first_step}" if step else "at the start"
    where += "" if own else " of the equilibration"
    if _finite(after) and leap.over(float(far.max(initial=0))):
        what = _blown_up(at_start, problem, control, state, far, leap, where)
    else:
        what = _not_finite(at_start, problem, control, state, after, where)
    likely = causes(problem, at_start, dynamics, moved=step > 0)
    return NumericalError(f"{what}. Likely: {'; '.join(likely)}" if likely else what)


def _finite(state: State) -> bool:
    return all(np.isfinite(a).all() for a in (state.positions, state.velocities, state.forces))


def _blown_up(
    at_start: Values, problem: Problem, control: ListControl, state: State, far: np.ndarray, leap: Leap, step: str
) -> str:
    """Who went too far from `state`, and which potential pushed it most there."""
    system, atom = problem.dynamics.system, int(np.argmax(far))
    push = _pushes(problem, at_start, control, state)
    hardest = max(push, key=lambda name: push[name][atom])
    by = f", pushed by potentials.{hardest}" if push[hardest][atom] > 0 else ""
    unit = f" {system.units.symbol('length')}" if system.units.named else ""
    scale = "neighbours are {} apart" if leap.scale == leap.spacing else "the longest cutoff is {}"
    return (
        f"the run blew up {step}: atom {described(system, atom)} went {far[atom]:.3g}{unit} in one step{by}, where "
        f"{scale.format(f'{leap.scale:.3g}{unit}')}"
    )


def _not_finite(at_start: Values, problem: Problem, control: ListControl, state: State, after: State, step: str) -> str:
    """The atoms that left the finite numbers, the potential that pushed them hardest just before, and what of it is not
    finite."""
    push = _pushes(problem, at_start, control, state)
    lost = ~np.isfinite(np.concatenate([after.positions, after.velocities, after.forces], axis=1)).all(axis=1)
    for size in push.values():
        lost = lost if np.isfinite(size).all() else ~np.isfinite(size)
    if not lost.any():
        # Step by step the last bits differ, and a run on the edge may stay finite: the fastest atom is the one.
        speed = np.linalg.norm(after.velocities, axis=1)
        lost = speed == speed.max(initial=0)
    atoms = ", ".join(str(k) for k in np.flatnonzero(lost)[:4]) + (", ..." if lost.sum() > 4 else "")
    hardest = max(push, key=lambda name: push[name].max(initial=0))
    seen = {**at_start, "system.positions": after.positions}
    what = broken(problem, seen) or broken(problem, {**at_start, "system.positions": state.positions})
    hand_over = (
        f"the run's numbers became infinite or undefined {step} (atoms {atoms}; pushed hardest by potentials.{hardest})"
    )
    return f"{hand_over}: {what}" if what else hand_over


def _pushes(problem: Problem, at_start: Values, control: ListControl, state: State) -> dict[str, np.ndarray]:
    """The size of each potential's force on each atom; infinite where it is no number."""
    neighbors = problem.dynamics.forcefield.neighbors(control.plan, state.positions, state.box)
    forces = forces_by_potential(problem, {**at_start, "system.positions": state.positions}, neighbors)
    sizes = {name: np.linalg.norm(force, axis=1) for name, force in forces.items()}
    return {name: np.where(np.isfinite(size), size, np.inf) for name, size in sizes.items()}
