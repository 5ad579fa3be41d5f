"""The stationarity condition: gradients of minimised structures, without going back through the search.

At a minimum x* of the potential energy the forces vanish, F(x*, p) = 0, and they do so next to p. With H = -dF/dx, the
matrix of second derivatives,

    H dx*/dp = dF/dp,     dL/dp = (dL/dp at fixed x) + lambda^T dF/dp,     H lambda = dL/dx,

one linear solve whatever the number of parameters. The run finds the minimum, Newton steps polish it
(`stationary`), and the loss is taken there. Of the starting point x* keeps the centre of mass, where no
outer field acts, and nothing else; with a learnt box it moves along as fractional coordinates do. A loss that hangs on
how a free structure is turned is refused: that depends on the way to the minimum.

Griewank and Faure, Numer. Algorithms 30, 113 (2002), doi:10.1023/A:1016051717120; Blondel et al., NeurIPS 2022,
arXiv:2105.15183.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from diffmd.adjoints.base import Adjoint, Gradient, Health, Progress, Say, Stored, merged, run_steps
from diffmd.adjoints.implicit.stationary import Adrift, NotHeld, Point, Saddle, Surface, polished, solved
from diffmd.adjoints.method import MethodSpec, Resources, Setting
from diffmd.dynamics.run.host_loop import ListControl
from diffmd.dynamics.run.schedule import Leg, segments
from diffmd.dynamics.run.shape import Opening
from diffmd.errors import ConfigError, NumericalError
from diffmd.forcefield import Neighbors
from diffmd.neighbors import NeighborPlan
from diffmd.objective import Objective, P, Problem, Ready
from diffmd.observables.base import SeriesObservable
from diffmd.parameters import Parameters, Selection
from diffmd.simulation import Recorder
from diffmd.spec import METHODS, quantity
from diffmd.system import State, Values

_VECTORS = 16
"""Structures that a linear solve holds: its own vectors, and the free motions with their images."""


class Implicit(Adjoint):
    """Gradients at the minimum; `tolerance` is the largest force left there, None: what rounding leaves."""

    def __init__(self, objective: Objective, tolerance: float | None) -> None:
        self._problems = objective.with_mode("reverse").problems
        self._tolerance = tolerance
        self._recorders = {problem.name: Recorder(problem) for problem in self._problems}
        self._programs = {problem.name: _Programs(problem) for problem in self._problems}

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`, both at the polished minimum.

        Raises:
            NumericalError: the run does not end near a minimum, or the loss looks at what nothing holds in place.
        """
        results = [self._one(problem, ready, p, say, progress) for problem in self._problems]
        loss = sum(float(r[0]) for r in results)
        terms = [float(t) for r in results for t in np.asarray(r[1])]
        place = int(np.argmax([float(r[3].norm[0]) for r in results]))
        health = results[place][3].of(self._problems[place].name if len(results) > 1 else None)
        return Gradient(loss, terms, merged([r[2] for r in results]), health)

    def steps(self, p: P) -> int:
        """One run."""
        return run_steps(self._problems)

    def stored(self, ready: Ready, p: P) -> Stored:
        """The vectors of a linear solve. How many products with H it takes is known at the minimum alone."""
        largest = max(problem.dynamics.system.size for problem in self._problems)
        size = float(_VECTORS * 3 * largest * np.dtype(float).itemsize)
        return Stored(size, 0, "vectors of a solve", scales=False, in_a_row=True)

    def planned(self, ready: Ready, p: P) -> int | None:
        """See `Adjoint`: of what is compiled at the minimum."""
        return max(
            self._programs[one.name].planned(p, ready.values[one.name], ready.controls[one.name].plan)
            for one in self._problems
        )

    def temporary(self) -> int:
        """See `Adjoint`."""
        return max(programs.temporary() for programs in self._programs.values())

    def _one(self, problem: Problem, ready: Ready, p: P, say: Say, progress: Progress) -> Any:
        base, control = ready.values[problem.name], ready.controls[problem.name]
        programs, recorder = self._programs[problem.name], self._recorders[problem.name]
        state = recorder.start(p, base, control)
        start = np.asarray(state.positions)
        plan = segments([Leg(problem.steps, 0, ())], problem.longest(control.plan)) if problem.steps else []
        end = np.asarray(
            recorder.run(
                p, base, ready.key, control, state, plan, lambda segment, *_: progress(segment.steps), say
            ).positions
        )
        where = "" if problem.name == "default" else f"system {problem.name}: "
        try:
            point, forces = polished(programs.surface(p, base, control), end, self._tolerance)
        except Saddle as failure:
            raise NumericalError(
                f"{where}the run ends where the energy curves downwards, with a largest force of {failure.force:.3g}: "
                "a saddle point, or not yet near a minimum; use more dynamics.steps, or a less symmetric start"
            ) from failure
        except NotHeld as failure:
            raise NumericalError(
                f"{where}the run does not end near a minimum: its largest force is {failure.force:.3g}, and from there "
                f"no less than {failure.least:.3g} is reached; use more dynamics.steps or a larger gradient.tolerance"
            ) from failure
        held = programs.held(p, base, point.x)
        factors = ready.factors.get(problem.name)
        (loss, terms), (slope, explicit) = programs.loss(
            np.zeros_like(point.x), p, held, base, point.neighbors, factors
        )
        try:
            noise = programs.rounding(point, p, held, base, slope, factors)
            solution = solved(point, np.asarray(slope, dtype=float), noise, start)
        except Saddle as failure:
            raise NumericalError(
                f"{where}the run ends at a saddle point: the energy curves downwards in some direction, although no "
                "atom is pushed; use a less symmetric start"
            ) from failure
        except Adrift as failure:
            what = "how the whole is turned" if failure.turned else "where the whole lies, though the search moved it"
            raise NumericalError(
                f"{where}the loss looks at what nothing holds in place: {what}, which "
                "costs no energy; measure what is the same however it is turned and wherever it lies, such as "
                "distances, or an rmsd with superpose: true"
            ) from failure
        except NotHeld as failure:
            raise NumericalError(
                f"{where}the loss looks at what nothing holds in place, such as the distance of atoms out of each "
                f"other's reach: the structure is no function of the parameters there (the linear solve leaves "
                f"{failure.least:.1e} of its right-hand side)"
            ) from failure
        adjoint, pull = (jnp.asarray(array, point.forces.dtype) for array in (solution.adjoint, solution.pull))
        moved = programs.shift(p, held, base, point.neighbors, adjoint, pull)
        limit = float(base["dynamics.integrator.max_step"])
        health = _health(forces, float(np.max(np.abs(point.x - end), initial=0)), solution.left, limit)
        return loss, terms, {path: np.asarray(explicit[path]) + np.asarray(moved[path]) for path in p}, health


class _Programs:
    """The compiled functions of one problem."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._cache = problem.programs.scope("implicit")
        self.held = self._cache.once("held", problem.held)
        self.loss = self._cache.once("loss", self._loss)
        self.shift = self._cache.once("shift", jax.grad(self._work))
        self._product = self._cache.once("product", self._times)

    def planned(self, p: P, base: Values, plan: NeighborPlan) -> int:
        """Bytes of the largest program's buffers, were it run."""
        x, look = base["system.positions"], self._look(plan)
        (forces, neighbors), _ = look.outputs(x, p, base)
        return max(
            look.planned(x, p, base),
            self._product.planned(x, p, base, neighbors, forces),
            self.loss.planned(x, p, x, base, neighbors, None),
            self.shift.planned(p, x, base, neighbors, forces, jax.ShapeDtypeStruct((3,), forces.dtype)),
        )

    def temporary(self) -> int:
        """Bytes of the largest program's buffers."""
        return self._cache.temporary()

    def surface(self, p: P, base: Values, control: ListControl) -> Surface:
        """The forces, and the products of H with a vector, at any structure."""
        masses = np.asarray(self._problem.dynamics.system.masses(self._problem.values(p, base)), dtype=float)

        def at(x: Float[np.ndarray, "atoms 3"]) -> Point:
            forces, neighbors = control.settle(None, lambda plan: self._look(plan)(x, p, base))

            def product(v: Float[np.ndarray, "n3"]) -> Float[np.ndarray, "n3"]:
                tangent = jnp.asarray(v.reshape(x.shape), x.dtype)
                return np.asarray(self._product(x, p, base, neighbors, tangent), dtype=float).reshape(-1)

            return Point(x, masses, np.asarray(forces), neighbors, product)

        return at

    def _look(self, plan: NeighborPlan) -> Any:
        """(x, p, base) -> (forces, neighbors), opening."""

        def look(x: Array, p: P, base: Values) -> tuple[tuple[Array, Neighbors], Opening]:
            box = self._problem.box(self._problem.values(p, base))
            neighbors = self._problem.dynamics.forcefield.neighbors(plan, x, box)
            # Whether the box has room for the cutoff was asked when the run began.
            return (self._forces(x, p, base, neighbors), neighbors), Opening(neighbors.needed, jnp.asarray(jnp.inf))

        return self._cache.once(("look", plan), look)

    def _forces(self, x: Array, p: P, base: Values, neighbors: Neighbors) -> Array:
        values = self._problem.values(p, base)
        return self._problem.dynamics.forcefield.forces(values, x, self._problem.box(values), neighbors)

    def _times(self, x: Array, p: P, base: Values, neighbors: Neighbors, v: Array) -> Array:
        """H v: H is symmetric, so that the adjoint of the forces gives it."""
        return -jax.vjp(lambda y: self._forces(y, p, base, neighbors), x)[1](v)[0]

    def _loss(self, zero: Array, p: P, held: Array, base: Values, neighbors: Neighbors, factors: Array | None) -> Any:
        """(loss, terms) of the structure at rest, and their derivative by its positions and, at fixed (fractional)
        positions, by the parameters."""
        problem = self._problem

        def measured(by: Array, p: P) -> tuple[Array, tuple[Array, Array]]:
            values = problem.values(p, {**base, "system.positions": held})
            x, step = values["system.positions"] + by, jnp.asarray(problem.first_step + problem.steps)
            state = State(x, jnp.zeros_like(x), jnp.zeros_like(x), problem.box(values), step)
            frame = problem.dynamics.frame(values, state, neighbors)
            rows = [jax.tree.map(lambda row: row[None], term.observable.measure(frame)) for term in problem.terms]
            loss, terms = problem.finish(rows, factors)
            return loss, (loss, terms)

        slopes, out = jax.grad(measured, argnums=(0, 1), has_aux=True)(zero, dict(p))
        return out, slopes

    def rounding(self, point: Point, p: P, held: Array, base: Values, slope: Array, factors: Array | None) -> float:
        """What rounding of the coordinates makes of a component of the loss's slope, times a hundred.

        The slope of an energy is zero at its minimum: nothing is left of it but rounding.
        """
        size = float(np.max(np.abs(point.x), initial=0))
        drawn = np.random.default_rng(2).standard_normal(point.x.shape)
        aside = np.asarray(point.epsilon**0.5 * size * drawn, point.x.dtype)
        _, (other, _) = self.loss(aside, p, held, base, point.neighbors, factors)
        change = float(np.linalg.norm(np.asarray(other, dtype=float) - np.asarray(slope, dtype=float)))
        return 100 * point.epsilon**0.5 * change / float(np.linalg.norm(drawn))

    def _work(self, p: P, held: Array, base: Values, neighbors: Neighbors, adjoint: Array, pull: Array) -> Array:
        """lambda . F at the held structure, which moves along with the box, and pull . sum m (start - x), which is zero
        but hangs on the masses."""
        values = self._problem.values(p, {**base, "system.positions": held})
        x, start = values["system.positions"], self._problem.values(p, base)["system.positions"]
        shift = self._problem.dynamics.system.masses(values) @ (start - x)
        return jnp.sum(adjoint * self._forces(x, p, base, neighbors)) + jnp.sum(pull * shift)


def _health(forces: Sequence[float], moved: float, residual: float, limit: float) -> Health:
    advice = (
        f"The run ended with a largest force of {forces[0]:.2e}, polished to {forces[-1]:.2e} by moving atoms no "
        f"further than {moved:.2e}; the linear solve left {residual:.1e} of its right-hand side."
    )
    if moved > limit:
        advice += " That is far: the run may have been on its way to another minimum; use more dynamics.steps."
    return Health("residual", np.arange(len(forces), dtype=float), np.asarray(forces), None, None, advice)


@METHODS.register
class ImplicitSpec(MethodSpec):
    """The derivative of a minimised structure: the run (integrator: quickmin) ends at a minimum of the energy, which
    the parameters move. It costs a linear solve, and no memory of the run. The centre of mass stays where the search
    held it; a loss that changes as a free structure turns is refused."""

    method: Literal["implicit"] = "implicit"
    tolerance: Literal["auto"] | Annotated[float, Field(gt=0)] = quantity(
        "auto",
        doc="The minimum is polished until no component of a force is larger; auto: as small as rounding leaves it.",
        unit="energy/length",
    )

    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """See `MethodSpec`."""
        return Implicit(objective, None if self.tolerance == "auto" else self.tolerance)

    def problems(self, settings: Sequence[Setting]) -> Iterator[ConfigError]:
        """Runs that do not minimise, losses of more than the last structure, and what a minimum does not hang on."""
        for setting in settings:
            if not setting.integrator.minimizes:
                yield ConfigError(
                    "implicit differentiates minimised structures; use `integrator: {kind: quickmin, dt: ..., "
                    "max_step: ...}`, or method reverse",
                    f"{setting.dynamics_path}.integrator",
                )
            for term in setting.terms:
                if isinstance(term.observable, SeriesObservable) or not term.at_end:
                    yield ConfigError(
                        "implicit knows the minimum alone, where the run ends, not the way to it; measure it with "
                        "frames: end",
                        term.path,
                    )
                elif not term.observable.configurational:
                    yield ConfigError(
                        "a minimised structure is at rest, and this looks at velocities or the time; "
                        f"{term.observable.made_configurational}",
                        term.path,
                    )
            names = _of_no_account(setting)
            for path in setting.parameters:
                try:
                    found = Parameters.create([Selection(path)], {"": names}).leaves
                except ConfigError:
                    continue
                yield ConfigError(
                    f"{path}: the gradient with respect to {found[0].path} is exactly zero by implicit; a minimum does "
                    "not depend on where the search for it began, nor on how it went. Leave it out",
                    "parameters",
                )


def _of_no_account(setting: Setting) -> dict[str, str]:
    """Paths of what a minimum does not depend on, by themselves."""
    numbers = [f"{setting.dynamics_path}.integrator.{name}" for name in setting.integrator.parameters]
    paths = [f"{setting.system_path}.positions", f"{setting.system_path}.velocities", *numbers]
    return {path: path for path in paths}
