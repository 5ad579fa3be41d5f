"""Sampling: the problem's own dynamics, of which positions are kept at the frames of the loss."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.adjoints.base import Progress, Say
from diffmd.adjoints.reweight.ensemble import Places, Sample
from diffmd.dynamics.frame import Frame
from diffmd.dynamics.run.host_loop import DivergedError
from diffmd.dynamics.run.schedule import Segment, legs, segments, wanted_rows
from diffmd.objective import P, Problem, Ready
from diffmd.programs import Program
from diffmd.simulation import Recorder, explain
from diffmd.system import State, Values


def _positions(frame: Frame, state: State) -> Array:
    return frame.positions


class Sampler:
    """Samples the ensemble of one problem. Keeps what it has compiled."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._recorder = Recorder(problem, _positions)
        self._to_held = Program(lambda p, base, x: jax.vmap(lambda one: problem.held(p, base, one))(x))

    @property
    def steps(self) -> Int[np.ndarray, "frames"]:
        """The steps of a sampling at which some term wants a frame."""
        return np.unique(np.concatenate(self._problem.frames))

    @property
    def choice(self) -> tuple[Places, ...]:
        """For each term the frames that its schedule asks for."""
        return tuple(tuple(int(i) for i in np.searchsorted(self.steps, own)) for own in self._problem.frames)

    def start(self, base: Values, last: Sample | None) -> Values:
        """The held values that a sampling starts from: the config's, or those after the sampling before it."""
        if last is None:
            return base
        return {
            **base,
            "system.positions": jnp.asarray(last.positions),
            "system.velocities": jnp.asarray(last.velocities),
        }

    def sample(self, ready: Ready, p: P, last: Sample | None, say: Say, progress: Progress) -> Sample:
        """Runs the dynamics at `p`, on from where `last` ended: the step goes on, too, and with it the noise.

        Raises:
            NumericalError: the run left the finite numbers.
        """
        problem, key = self._problem, ready.key
        control = ready.controls[problem.name]
        base = self.start(ready.values[problem.name], last)
        first = problem.first_step if last is None else last.step
        wanted = self.steps
        state = self._recorder.start(p, base, control)
        state = dataclasses.replace(state, step=jnp.asarray(first))
        pieces: list[Array] = []
        taken: list[int] = []
        if wanted[0] == 0:
            pieces.append(state.positions[None])
            taken.append(0)

        def accepted(segment: Segment, after: State, rows: Any) -> None:
            if rows is not None:
                pieces.append(rows)
                taken.extend(segment.frames)
            progress(segment.steps)

        plan = segments(legs(problem.steps, [wanted]), problem.longest(control.plan))
        try:
            end = self._recorder.run(p, base, key, control, state, plan, accepted, say)
        except DivergedError as failure:
            begun = dataclasses.replace(problem, first_step=first)
            raise explain(begun, p, base, key, control, failure) from failure
        whole = np.concatenate([np.asarray(self._held(p, base, piece)) for piece in pieces])
        return Sample(
            whole[wanted_rows(taken, wanted)],
            np.asarray(problem.held(p, base, end.positions)),
            np.asarray(end.velocities),
            int(end.step),
        )

    def _held(self, p: P, base: Values, positions: Float[Array, "frames atoms 3"]) -> Float[Array, "frames atoms 3"]:
        if not self._problem.parameters.touches(self._problem.name, "system.box"):
            return positions
        held: Array = self._to_held(dict(p), base, positions)
        return held
