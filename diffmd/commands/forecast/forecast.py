"""What a gradient method would take on this machine: a short gradient that is timed, or a rule of thumb."""

from __future__ import annotations

import dataclasses
import time

import jax
import jax.numpy as jnp

from diffmd.adjoints.base import Adjoint, Stored
from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.method import MethodSpec
from diffmd.commands.forecast.calibration import short_length, shortened, timed
from diffmd.commands.run.experiment import (
    check_replicas,
    check_stop,
    copied,
    explained,
    made_ready,
    method_spec,
    replicas_in,
    resources,
    unequilibrated,
)
from diffmd.commands.run.nested import NestedReporter
from diffmd.commands.run.reporter import Reporter
from diffmd.config.build import Experiment
from diffmd.dynamics.run.host_loop import DivergedError
from diffmd.errors import NumericalError
from diffmd.objective import P, Ready

_REPEATS = 3
_PATIENCE = 1.0
"""Seconds after which a calibration is not repeated once more."""
_WHOLE = 3.0
"""Seconds that the plain run may take for a method to be run as a whole, where short runs tell nothing."""
_ARRAYS = 4
"""Buffers of a plain run, in neighbour matrices of numbers: 3.3 for 50 atoms, 4.5 for 500, as XLA plans them."""


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a method would take.

    Attributes:
        method: its name.
        memory: bytes of arrays at the peak: what is kept, and the buffers of the largest program.
        forward_steps: the cost, in steps of the plain simulation; None where it cannot be foretold.
        seconds: the same in wall time, once all is compiled.
        note: what is kept, and what cannot be foretold; or why the method does not apply (then all numbers are None).
        measured: whether a gradient was timed; else the cost is a rule of thumb (`Adjoint.runs`), and so are buffers.
    """

    method: str
    memory: float | None
    forward_steps: float | None
    seconds: float | None
    note: str
    measured: bool


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A method that fits the config, and what its gradient of the whole run keeps."""

    name: str
    spec: MethodSpec
    whole: Adjoint
    kept: Stored


class Forecaster:
    """The calibrations of one config.

    The plain simulation is timed when it is made; from the start as drawn, where it can be run from there, and else
    from the equilibrated one.
    """

    def __init__(self, experiment: Experiment, p: P, reporter: Reporter) -> None:
        self._experiment, self._p, self._reporter = experiment, p, reporter
        self._quiet = NestedReporter(reporter)
        self._alone = unequilibrated(experiment)
        self._length = short_length(experiment.objective, self._alone.controls)
        self._short = shortened(experiment.objective, self._length)
        self._evaluator = Evaluator(self._short)
        pairs = max(
            one.problem.dynamics.system.size * self._alone.controls[one.name].plan.capacity
            for one in experiment.systems
        )
        self._buffers = float(_ARRAYS * pairs * jnp.result_type(float).itemsize)
        self._took = 0.0
        self.steps = sum(problem.steps for problem in experiment.objective.problems)
        self._plain = self._plain_seconds()
        self.per_step = self._plain / max(1, sum(problem.steps for problem in self._short.problems))
        """Seconds that a step of the plain simulation takes."""

    def candidate(self, name: str) -> Candidate:
        """Raises ConfigError where the method does not fit."""
        spec = method_spec(self._experiment.loaded.config, name)
        check_replicas(self._experiment, self._p, replicas_in(spec))
        whole = spec.adjoint(self._experiment.objective, resources())
        return Candidate(name, spec, whole, whole.stored(copied(self._ready(spec)), self._p))

    def forecast(self, one: Candidate, left: float) -> Forecast:
        """What the method would take: from a gradient that is timed, if `left` seconds are enough for one.

        Raises:
            NumericalError: the gradient could not be computed.
        """
        begun = time.perf_counter()
        if left < self._took or not (one.kept.scales or self.per_step * self.steps < _WHOLE):
            return self._estimated(one)
        found = self._measured(one)
        self._took = time.perf_counter() - begun
        return found

    def _measured(self, one: Candidate) -> Forecast:
        ready = self._ready(one.spec)
        adjoint = one.spec.adjoint(self._short, resources()) if one.kept.scales else one.whole

        def gradient() -> object:
            # Without what the one before it sampled.
            adjoint.restore({})
            return adjoint.gradient(copied(ready), self._p, self._quiet.message, self._progress)

        spent = timed(gradient, _REPEATS, _PATIENCE)
        buffers = float(adjoint.temporary())
        short = adjoint.stored(copied(ready), self._p)
        self._buffers = buffers / short.at_once
        if not one.kept.scales:
            return self._told(one, spent / self.per_step, buffers, True)
        cost = spent / self._plain * self.steps
        cost += (one.kept.repeats - short.repeats) * self.steps * (replicas_in(one.spec) or 1)
        # What a segment would store is a buffer where it is run again, and segments of the whole run are longer.
        longer = max(
            problem.longest(ready.controls[problem.name].plan) for problem in self._experiment.objective.problems
        )
        buffers *= max(1.0, longer / self._length) if one.kept.repeats else 1.0
        return self._told(one, cost, buffers, True)

    def _estimated(self, one: Candidate) -> Forecast:
        runs = one.whole.runs(self._p)
        cost = None if runs is None else (runs + one.kept.repeats * (replicas_in(one.spec) or 1)) * self.steps
        return self._told(one, cost, self._buffers * one.kept.at_once, False)

    def _told(self, one: Candidate, cost: float | None, buffers: float, measured: bool) -> Forecast:
        # On a CPU a program begins before the buffers of the one before it have been given back.
        at_once = 2 if one.kept.in_a_row and jax.default_backend() == "cpu" else 1
        note = one.kept.kept
        if cost is None:
            note += "; the cost cannot be foretold: the run, and solves that hang on where it ends"
        seconds = None if cost is None else cost * self.per_step
        return Forecast(one.name, one.kept.bytes + at_once * buffers, cost, seconds, note, measured)

    def _ready(self, spec: MethodSpec) -> Ready:
        count = replicas_in(spec)
        return self._alone if count is None else unequilibrated(self._experiment, count)

    def _progress(self, done: int) -> None:
        check_stop(self._reporter)

    def _plain_seconds(self) -> float:
        def run() -> object:
            return self._evaluator.one(copied(self._alone), self._p, self._quiet.message, self._progress)

        try:
            return timed(run, _REPEATS, _PATIENCE)
        except NumericalError:
            # Equilibration may be what makes the start fit for the run.
            self._alone = made_ready(self._experiment, self._p, self._reporter)
        try:
            return timed(run, _REPEATS, _PATIENCE)
        except DivergedError as failure:
            raise explained(self._experiment, self._alone, self._p, failure) from failure
