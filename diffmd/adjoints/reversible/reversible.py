"""Reverse mode without stored states: integer dynamics is run back, bit for bit, and differentiated on the way.

The run is on integers (`fixed_point`) and keeps its last state, the rows that the loss asks for, and
the words that friction fills: memory does not grow with its length but by these. Then, stretch by stretch, the steps
are undone, and the cotangent is pulled through the floating-point step at the states that come back. So it is the
gradient of the fixed-point trajectory with roundings passed straight through, and differs from `reverse`'s as the
trajectories do. That the way back ends where the run began is checked, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.adjoints.base import Adjoint, Floats, Gradient, Progress, Say, Stored, merged, run_steps
from diffmd.adjoints.diagnosis.health import along_trajectory, worst
from diffmd.adjoints.method import MethodSpec, Resources, Setting
from diffmd.adjoints.options import AVERAGE, CLIP, REPLICAS, TRUNCATE, replicas_of
from diffmd.adjoints.propagator import Average, Propagator, Replicas, copies, propagator_of, replica_values
from diffmd.adjoints.replicas.mean import gathered, own_contributions
from diffmd.adjoints.reverse.programs import Programs
from diffmd.adjoints.reversible.damping import NEVER, interval
from diffmd.adjoints.reversible.fixed_point import RANGE, Extent, FixedState
from diffmd.adjoints.reversible.programs import Passes
from diffmd.adjoints.reversible.rolling import Rolled, Store
from diffmd.adjoints.storage.measurements import Cotangents, Kept, Measurements, kept_of
from diffmd.dynamics.base import Integrator, Thermostat
from diffmd.dynamics.run.host_loop import BlownUpError, ListControl, NonFiniteError
from diffmd.dynamics.run.leap import Leap
from diffmd.dynamics.run.schedule import Segment
from diffmd.dynamics.run.shape import Shape
from diffmd.errors import ConfigError, NumericalError
from diffmd.objective import Objective, P, Problem, Ready
from diffmd.potentials.base import EnergyPotential, Potential
from diffmd.spec import METHODS, quantity
from diffmd.system import Values

BITS = 40
LONGEST = 250
"""Steps of a stretch at most: so many states are held at a time."""


class Reversible(Adjoint):
    """Reverse mode over an objective, in memory that does not grow with the number of steps.

    Args:
        bits: positions and velocities are multiples of 2^-bits.
        truncate, clip: as in `Guard`, of the loss of one replica.
        replicas: independent runs side by side; None: the one run.

    Raises:
        ConfigError: a problem's dynamics cannot be undone, or precision is single.
    """

    def __init__(
        self,
        objective: Objective,
        bits: int = BITS,
        truncate: int | None = None,
        clip: float | None = None,
        replicas: Replicas | None = None,
    ) -> None:
        if jnp.finfo(jnp.zeros(()).dtype).bits < 64:
            raise ConfigError(_PRECISION, "precision")
        self._problems = objective.with_mode("reverse").problems
        for problem in self._problems:
            dynamics = problem.dynamics
            parts = (dynamics.integrator, dynamics.thermostat, dynamics.com_every, dynamics.forcefield.potentials)
            for refusal in refusals("dynamics", *parts):
                raise refusal
        self._replicas, self._truncate = replicas, truncate
        self._walks = {
            one.name: _Walk(propagator_of(one, replicas, truncate, clip), bits, replicas) for one in self._problems
        }

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`: one run, and one walk back.

        Raises:
            NumericalError: a number left the range of the integers, or the way back did not end at the start.
        """
        results = [walk.gradient(ready, p, say, progress) for walk in self._walks.values()]
        loss = sum(float(r[0]) for r in results)
        terms = [float(t) for r in results for t in np.asarray(r[1])]
        healths = [
            along_trajectory("cotangent", np.arange(len(r[3])), r[3][::-1], reverse=True, truncate=self._truncate)
            for r in results
        ]
        health = worst(healths, [problem.name for problem in self._problems])
        found = gathered(merged([r[2] for r in results]), merged([r[4] for r in results]), self._replicas)
        return found.of(loss, terms, health)

    def steps(self, p: P) -> int:
        """A run, and the walk back."""
        return 2 * run_steps(self._problems)

    def runs(self, p: P) -> float | None:
        """The run, and the way back that computes every step again (benchmarks/methods.py: 2.3), of every replica."""
        return 2.3 * copies(self._replicas)

    def stored(self, ready: Ready, p: P) -> Stored:
        """The states of a stretch, coming and going, what friction fills, and the norms, of the longest problem."""
        found = [walk.bytes(p, ready.values[name], ready.controls[name]) for name, walk in self._walks.items()]
        return Stored(float(max(found, default=0)), 0, "the last state", at_once=2 * copies(self._replicas))

    def temporary(self) -> int:
        """See `Adjoint`."""
        return max((walk.temporary() for walk in self._walks.values()), default=0)


class _Walk:
    """The run of one problem, or of its replicas, and the walk back."""

    def __init__(self, propagator: Propagator, bits: int, replicas: Replicas | None) -> None:
        self._propagator, self._replicas = propagator, replicas
        self._problem: Problem = propagator.problem
        self._bits = bits
        self._programs = Programs(propagator)
        self._passes = Passes(propagator, bits)
        self._warned: set[str] = set()
        self._known: Kept | None = None

    def _longest(self, control: ListControl) -> int:
        """Steps of a stretch, fewer where atoms are many."""
        return min(self._problem.longest(control.plan), LONGEST)

    def bytes(self, p: P, base: Values, control: ListControl) -> int:
        """What is kept: two stretches of positions, velocities and kicks, the words, a norm a step, and rows with
        their cotangents."""
        kept = self._kept(jax.eval_shape(self._propagator.spread, p), base, control)
        states = 2 * 3 * (kept.longest(self._longest(control)) + 1) * 3 * self._problem.dynamics.system.size
        copies = 1 if self._replicas is None else self._replicas.count
        return 8 * (copies * states + self._problem.steps) + self._lost_bits(p, base).stored.nbytes + 2 * kept.bytes

    def _kept(self, p: Mapping[str, Any], base: Values, control: ListControl) -> Kept:
        """What of the frames is kept."""
        if self._known is None:
            self._known = kept_of(self._propagator, p, base, control.plan)
        return self._known

    def temporary(self) -> int:
        """Bytes of the largest program's buffers."""
        return max(self._programs.temporary(), self._passes.temporary())

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Any:
        """Loss, terms, gradients, the cotangent's norm at the start of each step, shares of replicas' own losses."""
        problem, programs, passes = self._problem, self._programs, self._passes
        lost_bits, leap = self._lost_bits(p, ready.values[problem.name]), problem.leap(p, ready.values[problem.name])
        p, base = self._propagator.spread(p), self._propagator.placed(ready.values[problem.name])
        control, key = ready.controls[problem.name], ready.key
        cutoff = problem.dynamics.forcefield.cutoff
        floats, step, start_vjp = control.settle(cutoff, lambda plan: programs.start(plan)(p, base))
        kept = self._kept(p, base, control)
        longest = kept.longest(self._longest(control))
        planned = problem.segments(longest)
        self._check_start(floats, planned)
        start, shown, extent = passes.begin(control.plan)(p, base, key, floats, step)
        self._check_extent(extent, leap, planned[0] if planned else Segment(0, 0, 0, ()))
        if lost_bits.stored.size and (warning := lost_bits.warning()) not in self._warned:
            say(warning)
            self._warned.add(warning)
        rows = Measurements.empty(kept, lead=0 if self._replicas is None else 1)
        first_vjp = None
        if problem.measures_start:
            first, first_vjp = programs.measure(control.plan)(p, base, shown, step)
            rows.add_start(first)

        state = start
        tape: list[tuple[Segment, Shape]] = []
        for segment in planned:
            rolled = self._rolled(p, base, key, control, leap, state, lost_bits, longest, segment, True, say)
            if segment.stride:

                def measured(shape: Shape, rolled: Rolled = rolled, first: Array = state.step) -> Any:
                    return passes.measure(shape)(p, base, key, rolled.on_the_way, first)

                rows.add(segment, control.roomy(segment, measured, say)[0])
            tape.append((segment, control.shape(segment)))
            state = rolled.state
            progress(segment.steps)
        loss, terms, row_cts = programs.finish(rows.choice)(rows.pieces, ready.factors.get(problem.name))

        def back(row_cts: Any, progress: Progress) -> tuple[P, list[Any]]:
            """What the parameters get from cotangents of the rows, and the norms."""
            cotangents = Cotangents(rows, row_cts)
            ct: Floats = jax.tree.map(jnp.zeros_like, floats)
            total = jax.tree.map(jnp.zeros_like, dict(p))
            norms: list[Any] = []
            at, whole = state, True
            for segment, shape in reversed(tape):
                own = cotangents.of(segment)
                # Of its own, so that each stretch comes back with the program that it went with.
                then = ListControl(shape.plan, shape.block)
                rolled = self._rolled(p, base, key, then, leap, at, lost_bits, longest, segment, False, say)
                whole = whole and bool(rolled.whole)
                at = rolled.state

                def pulled(
                    shape: Shape, rolled: Rolled = rolled, own: Any = own, ct: Floats = ct, total: Any = total
                ) -> Any:
                    return passes.pull(shape)(p, base, key, rolled.on_the_way, rolled.state.step, ct, own, total)

                total, ct, norm, _ = then.roomy(segment, pulled, say)
                norms.append(np.asarray(norm))
                progress(segment.steps)
            self._check_returned(start, at, whole)
            if first_vjp is not None:
                total, ct = programs.pull_measure(first_vjp, cotangents.of_start(), ct, total)
            return programs.pull_start(start_vjp, ct, total), norms[::-1]

        total, norms = back(row_cts, progress)
        own = own_contributions(self._replicas, programs, rows, total, lambda cts: back(cts, lambda _: None)[0])
        return loss, terms, total, np.concatenate(norms) if norms else np.zeros(0), own

    def _rolled(
        self,
        p: P,
        base: Values,
        key: Array,
        control: ListControl,
        leap: Leap,
        state: FixedState,
        lost_bits: Store,
        longest: int,
        segment: Segment,
        forward: bool,
        say: Say,
    ) -> Rolled:
        """A segment, on or back, on lists that had room."""
        steps, on = jnp.asarray(segment.steps), jnp.asarray(forward)
        within = lost_bits.of(segment, longest)

        def attempt(shape: Shape) -> tuple[Rolled, Any]:
            rolled: Rolled = self._passes.roll(shape.plan, longest)(p, base, key, state, within, steps, on)
            return rolled, rolled.needed

        rolled, _ = control.roomy(segment, attempt, say)
        self._check_extent(rolled.extent, leap, segment)
        if forward:
            lost_bits.keep(segment, rolled.lost_bits)
        return rolled

    def _lost_bits(self, p: P, base: Values) -> Store:
        """Room for what damping takes away, known before the run."""
        problem = self._problem
        size, every = problem.dynamics.system.size, NEVER
        base = base if self._replicas is None else replica_values(base, 0)
        if "O" in problem.dynamics.integrator.splitting:
            values = problem.values(p, base)
            numbers = problem.dynamics.numbers(values, "integrator")
            units = problem.dynamics.system.units
            factor, _ = problem.dynamics.integrator.bath(
                numbers, problem.dynamics.system.masses(values), units.boltzmann
            )
            every = interval(float(factor))
        if every == 0:
            raise NumericalError(
                "friction stops the atoms within a step (friction times dt is over 36), which cannot be undone; use a "
                "smaller dynamics.integrator.dt or friction, or gradient: {method: reverse}"
            )
        count = None if self._replicas is None else self._replicas.count
        return Store.empty(every, problem.first_step, problem.steps, size, count)

    def _check_start(self, floats: Floats, planned: Sequence[Segment]) -> None:
        """Raises where the first positions or velocities are no numbers, or too large."""
        largest = max(float(jnp.max(jnp.abs(a), initial=0)) for a in floats[:2])
        if not np.isfinite(largest):
            raise NonFiniteError(self._problem.name, planned[0] if planned else Segment(0, 0, 0, ()))
        if largest * 2.0**self._bits > RANGE:
            raise NumericalError(self._too_large(largest, "at the start"))

    def _check_extent(self, extent: Extent, leap: Leap, segment: Segment) -> None:
        """Raises where a stretch's numbers did not fit, or an atom went too far in a step."""
        if not np.isfinite(force := float(extent.force)):
            raise NonFiniteError(self._problem.name, segment)
        # A force that does not fit throws its atom so far in the step to come.
        thrown = 0.0 if bool(extent.fits) else force * leap.time_step
        if leap.over(furthest := max(float(extent.furthest), thrown) * 2.0**-self._bits):
            raise BlownUpError(self._problem.name, segment, furthest)
        where = f"between steps {segment.start} and {segment.start + segment.steps}"
        if float(extent.moving) > RANGE:
            raise NumericalError(self._too_large(float(extent.moving) * 2.0**-self._bits, where))
        if not bool(extent.fits):
            raise NumericalError(
                f"a force is too large for integers of 2^-{self._bits} {where}: in half a step it would change a "
                f"velocity by {force * 2.0**-self._bits:.3g}; look for atoms on top of each other, use a smaller "
                "dynamics.integrator.dt, fewer gradient.bits, or gradient: {method: reverse}"
            )

    def _too_large(self, largest: float, where: str) -> str:
        return (
            f"a position or velocity of {largest:.3g} {where} does not fit into integers of 2^-{self._bits}, which end "
            f"at {RANGE * 2.0**-self._bits:.3g}; use fewer gradient.bits, or gradient: {{method: reverse}}"
        )

    def _check_returned(self, start: FixedState, end: FixedState, whole: bool) -> None:
        """Raises unless the walk back ended where the run began."""
        pairs = list(zip(jax.tree.leaves(start), jax.tree.leaves(end), strict=True))
        wrong = sum(int(np.sum(np.asarray(a) != np.asarray(b))) for a, b in pairs)
        if wrong or not whole:
            count = sum(int(np.size(a)) for a, _ in pairs)
            raise NumericalError(
                f"the way back did not return to the start: {wrong} of {count} integers of the state are others, so "
                "this gradient would be wrong; a force that is not the same bit for bit when it is computed again (a "
                "potential of your own, a device that adds in no fixed order) cannot be undone: use "
                "gradient: {method: reverse}"
            )


_PRECISION = "the integers of gradient method reversible have 64 bits; set precision: double"


def refusals(
    path: str,
    integrator: Integrator,
    thermostat: Thermostat | None,
    com_every: int,
    potentials: Mapping[str, Potential],
) -> Iterator[ConfigError]:
    """What of a system's dynamics (at `path` in the config) cannot be undone, each with a sentence."""
    if not integrator.splitting:
        yield ConfigError(
            "gradient method reversible cannot run this integrator backwards; use velocity_verlet or langevin, or "
            "gradient: {method: reverse}",
            f"{path}.integrator",
        )
    if thermostat is not None:
        yield ConfigError(
            "gradient method reversible cannot undo a thermostat that scales velocities by the temperature, since the "
            "scale is lost; use integrator: {kind: langevin, ...}, no thermostat, or gradient: {method: reverse}",
            f"{path}.thermostat",
        )
    if com_every:
        yield ConfigError(
            "gradient method reversible cannot put a removed centre-of-mass motion back; set it to 0 (velocity Verlet "
            "keeps the momentum), or use gradient: {method: reverse}",
            f"{path}.remove_com_motion",
        )
    for name, potential in potentials.items():
        if isinstance(potential, EnergyPotential) and potential.cutoff is not None:
            yield ConfigError(
                "gradient method reversible needs forces that do not depend on the order of a neighbour list, which an "
                "energy of all atoms within a cutoff does; leave its cutoff out, or use gradient: {method: reverse}",
                name,
            )


@METHODS.register
class ReversibleSpec(MethodSpec):
    """Reverse mode by running the steps back bit for bit: memory does not grow with the number of steps.

    For velocity_verlet and langevin without a thermostat, in double precision.
    """

    method: Literal["reversible"] = "reversible"
    bits: int = quantity(
        BITS,
        doc="Positions and velocities are whole multiples of 2^-bits units of length and of length/time; at 40 bits, "
        "of 9e-13, they end at 2e6.",
        ge=24,
        le=52,
    )
    truncate: int | None = TRUNCATE
    clip: float | None = CLIP
    replicas: int | None = REPLICAS
    average: Average = AVERAGE

    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """See `MethodSpec`."""
        return Reversible(objective, self.bits, self.truncate, self.clip, replicas_of(self.replicas, self.average))

    def problems(self, settings: Sequence[Setting]) -> Iterator[ConfigError]:
        """See `MethodSpec`."""
        for one in settings:
            if one.precision != "double":
                yield ConfigError(_PRECISION, "precision")
                return
        for one in settings:
            parts = (one.integrator, one.thermostat, one.com_every, one.potentials)
            yield from refusals(one.dynamics_path, *parts)
