"""Parameters -> trajectory -> loss, over one or several systems: the one function that is differentiated.

An adjoint receives `Problem`s: `start`, `advance` (a segment of steps, measured), `finish` (measurements -> loss). It
knows nothing of integrators or potentials, and they know nothing of it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from diffmd.box import Box, BoxShape, fractional, transform, widths
from diffmd.dynamics.dynamics import Dynamics
from diffmd.dynamics.frame import Frame
from diffmd.dynamics.run.guard import UNGUARDED, Guard
from diffmd.dynamics.run.host_loop import ListControl
from diffmd.dynamics.run.leap import Leap
from diffmd.dynamics.run.schedule import Leg, Segment, legs, segments, usual_length
from diffmd.dynamics.run.segment import run_segment
from diffmd.dynamics.run.shape import Measure, Opening, Report, Shape
from diffmd.losses import LossTerm, Rows, evaluate, frame_steps
from diffmd.neighbors import NeighborPlan
from diffmd.observables.base import Observable, SeriesObservable
from diffmd.parameters import Parameters
from diffmd.potentials.sweep import Mode
from diffmd.programs import ProgramCache
from diffmd.system import OF_STATE, State, Values

P = Mapping[str, Array]


def _observe(observable: Observable | SeriesObservable) -> Measure:
    def measure(frame: Frame, state: State) -> Rows:
        return observable.measure(frame)

    return measure


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """One system's trajectory and its loss.

    Attributes:
        name, weight: in the objective's sum.
        dynamics: production dynamics, whose force field carries the derivative of its mode.
        terms: the loss's.
        steps: number of steps.
        parameters: all of the objective's; those of this system are bound into `values`.
        box_shape: ``none``, ``orthorhombic`` or ``triclinic``.
        first_step: number of the first step: an earlier run's last, where this one goes on from it. Frames of the
            loss count from 0 all the same.
    """

    name: str
    weight: float
    dynamics: Dynamics
    terms: tuple[LossTerm, ...]
    steps: int
    parameters: Parameters
    box_shape: BoxShape
    first_step: int = 0

    def with_mode(self, mode: Mode) -> Problem:
        """The same problem, whose sweeps carry the derivative of a mode; one object for each mode."""
        return self._of_modes[mode]

    @functools.cached_property
    def _of_modes(self) -> Mapping[Mode, Problem]:
        fields = {mode: self.dynamics.forcefield.with_mode(mode) for mode in get_args(Mode)}
        return {
            mode: dataclasses.replace(self, dynamics=dataclasses.replace(self.dynamics, forcefield=field))
            for mode, field in fields.items()
        }

    @functools.cached_property
    def programs(self) -> ProgramCache:
        """The compiled programs of this problem, which all methods share that ask for the same ones."""
        return ProgramCache()

    @property
    def frames(self) -> list[np.ndarray]:
        """The steps that each term is measured at."""
        return [frame_steps(term, self.steps) for term in self.terms]

    @property
    def legs(self) -> list[Leg]:
        """The evenly measured stretches of the run."""
        return legs(self.steps, self.frames)

    def segments(self, longest: int) -> list[Segment]:
        """The run cut into segments."""
        return segments(self.legs, longest)

    def longest(self, plan: NeighborPlan) -> int:
        """Steps between two looks of the host, if nothing else limits them."""
        return usual_length(self.dynamics.system.size * plan.capacity)

    @property
    def learns_box(self) -> bool:
        """Whether a parameter changes the box, so that the box of a state has a derivative."""
        return self.box_shape != "none" and self.parameters.touches(self.name, "system.box")

    def _differentiable(self, state: State) -> State:
        """The state, whose box is a constant to every derivative unless a parameter changes it: the box's cotangent
        costs a sweep as much as the rest."""
        return state if self.learns_box else dataclasses.replace(state, box=lax.stop_gradient(state.box))

    def values(self, p: P, base: Values) -> Values:
        """This system's values with the parameters in their places.

        Where the box is learnt, atoms keep their fractional coordinates: x = x0 H0^-1 H, with the held box H0. Learnt
        positions x0 are those in that box: with a box that is learnt, too, they move along with it like any others.
        """
        bound = self.parameters.bind(self.name, p, base)
        if self.learns_box:
            old, new = self.box(base), self.box(bound)
            # Shifts by x0 H0^-1 (H - H0), so that an unchanged box moves nothing, not even the last bit.
            moved = transform(fractional(old, bound["system.positions"]), new.vectors - old.vectors)
            bound["system.positions"] = bound["system.positions"] + moved
        return bound

    def held(self, p: P, base: Values, positions: Float[Array, "atoms 3"]) -> Float[Array, "atoms 3"]:
        """The held positions which `values` turns into `positions`: the reverse of what a learnt box does to them."""
        if not self.learns_box:
            return positions
        old, new = self.box(base), self.box(self.parameters.bind(self.name, p, base))
        return positions + transform(fractional(new, positions), old.vectors - new.vectors)

    def leap(self, p: P, base: Values, dynamics: Dynamics | None = None) -> Leap:
        """What says whether an atom went too far in a step of a run, of these dynamics or of `dynamics`. Of replicas,
        which come first in the held values, the first speaks for all."""
        state = {key: base[key] for key in ("system.positions", "system.velocities")}
        first = {key: array[0] if array.ndim == 3 else array for key, array in state.items()}
        values = self.parameters.bind(self.name, p, {**base, **first})
        return Leap(dynamics or self.dynamics, values, self.box(values))

    def box(self, values: Values) -> Box:
        """The box that the values describe: of box vectors, the lower triangle. The rest is zero and stays so when the
        box is learnt, since turning all vectors changes nothing."""
        h = values.get("system.box", np.ones(3))
        # On the host an operation of JAX would be a compiled program of its own.
        xp = jnp if isinstance(h, jax.core.Tracer) else np
        return Box(jnp.asarray(xp.diag(h) if h.ndim == 1 else xp.tril(h), dtype=float), self.box_shape)

    def start(self, p: P, base: Values, plan: NeighborPlan) -> State:
        """The state before the first step, where the plan is known to have room."""
        return self.opened(p, base, plan)[0]

    def opened(self, p: P, base: Values, plan: NeighborPlan) -> tuple[State, Opening]:
        """The state before the first step, and what tells whether its forces miss no pair (`ListControl.settle`)."""
        values = self.values(p, base)
        box = self.box(values)
        neighbors = self.dynamics.forcefield.neighbors(plan, values["system.positions"], box)
        reach = lax.stop_gradient(jnp.min(widths(box)) / 2) if box.periodic else jnp.asarray(jnp.inf)
        state = self.dynamics.start(values, neighbors, box, jnp.asarray(self.first_step))
        return state, Opening(neighbors.needed, reach)

    def advance(
        self,
        p: P,
        base: Values,
        key: Array,
        shape: Shape,
        state: State,
        probes: Float[Array, "stretches probes"] | None = None,
        guard: Guard = UNGUARDED,
    ) -> tuple[State, tuple[object, ...], Report]:
        """A segment of steps; its rows are those of the terms `shape.active`."""
        shared = {id(term.observable): _observe(term.observable) for term in self.terms}
        measures = tuple(shared[id(term.observable)] for term in self.terms)
        values, state = self.values(p, base), self._differentiable(state)
        return run_segment(self.dynamics, measures, shape, values, key, state, probes, guard, self.watched)

    @property
    def watched(self) -> tuple[str, ...]:
        """Values that steps read and parameters fill: not those that the first state is made of."""
        touched = {place.key for leaf in self.parameters.leaves for place in leaf.places if place.system == self.name}
        return tuple(sorted(touched - OF_STATE))

    def measure(self, p: P, base: Values, plan: NeighborPlan, state: State) -> list[Rows]:
        """Every term's measurement of one state (step 0's, which no segment measures)."""
        values, state = self.values(p, base), self._differentiable(state)
        neighbors = self.dynamics.forcefield.neighbors(plan, state.positions, state.box)
        frame = self.dynamics.frame(values, state, neighbors)
        observables = {id(term.observable): term.observable for term in self.terms}
        taken = {key: observable.measure(frame) for key, observable in observables.items()}
        return [taken[id(term.observable)] for term in self.terms]

    @property
    def measures_start(self) -> bool:
        """Whether any term wants step 0."""
        return any(len(f) and f[0] == 0 for f in self.frames)

    def finish(
        self, rows: Sequence[Rows], factors: Float[Array, "terms"] | None = None
    ) -> tuple[Float[Array, ""], Float[Array, "terms"]]:
        """This system's loss, times its weight, and its terms; `factors` are those of `Ready`."""
        loss, terms = evaluate(self.terms, rows)
        if factors is not None:
            terms = factors * terms
            loss = jnp.sum(terms)
        return self.weight * loss, self.weight * terms


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """The sum of problems that share one dictionary of parameters."""

    problems: tuple[Problem, ...]
    parameters: Parameters

    def with_mode(self, mode: Mode) -> Objective:
        """The same objective, whose sweeps carry the derivative of a mode."""
        return dataclasses.replace(self, problems=tuple(problem.with_mode(mode) for problem in self.problems))


@dataclasses.dataclass
class Ready:
    """What a run of an objective starts from: each system's held values, list control and random key.

    Attributes:
        factors: by system, of the terms of its loss, where another loss is wanted than the objective's own. Programs
            take them as arguments, so that all losses of the same terms share them. They are neither for replicas nor
            for averages (reweight).
    """

    values: dict[str, Values]
    controls: dict[str, ListControl]
    key: Array
    factors: Mapping[str, Float[Array, "terms"]] = dataclasses.field(default_factory=dict)
