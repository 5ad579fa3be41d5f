"""Equilibration of replicas, side by side in one program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.adjoints.base import Floats
from diffmd.adjoints.propagator import Replicas, Replicated, replica_axes
from diffmd.dynamics.run.host_loop import ListControl, run_segments
from diffmd.dynamics.run.schedule import Segment, legs, segments
from diffmd.dynamics.run.shape import Shape
from diffmd.neighbors import NeighborPlan
from diffmd.objective import P, Problem
from diffmd.simulation import Recorder
from diffmd.system import Values


def equilibrate_replicas(
    problem: Problem,
    recorder: Recorder,
    steps: int,
    replicas: Replicas,
    p: P,
    base: Values,
    key: Array,
    control: ListControl,
    say: Callable[[str], None],
    progress: Callable[[int], None],
) -> Values:
    """What `simulation.equilibrate` makes of each replica with its key, to rounding; lists are built for all alike.

    Args:
        recorder: whose dynamics run; it keeps what is compiled.
        base: held values of the replicas (see `propagator.DRAWN`).
        progress: told of the steps of all replicas.

    Raises:
        DivergedError: a replica left the finite numbers, or blew up.
        NumericalError: lists cannot be mended.
    """
    propagator = Replicated(dataclasses.replace(problem, dynamics=recorder.dynamics, terms=()), replicas)
    arranged, copies = propagator.placed(base), propagator.spread(p)

    def compiled(what: Any, make: Callable[..., Any]) -> Any:
        return recorder.compiled((replicas, what), make)

    def opened(plan: NeighborPlan) -> Any:
        def start(p: P, base: Values) -> Any:
            floats, step, opening = propagator.opened(p, base, plan)
            return (floats, step), opening

        return compiled(("start", plan), start)(copies, arranged)

    def advance(shape: Shape, point: tuple[Floats, Array]) -> Any:
        def segment(p: P, base: Values, key: Array, floats: Floats, step: Array) -> Any:
            floats, step, rows, report = propagator.advance(p, base, key, shape, floats, step)
            return (floats, step), rows, report, None

        return compiled(shape, segment)(copies, arranged, key, *point)

    def accepted(segment: Segment, *_: object) -> None:
        progress(segment.steps * replicas.count)

    first = control.settle(recorder.dynamics.forcefield.cutoff, opened)
    planned = segments(legs(steps, []), problem.longest(control.plan))
    leap = problem.leap(p, base, recorder.dynamics)
    (floats, _) = run_segments(problem.name, first, planned, control, leap.over, advance, accepted, say)
    # Off the devices that ran them, so that they are no other than what a checkpoint gives.
    x, v = (jnp.asarray(np.asarray(array)) for array in floats[:2])
    held = jax.vmap(problem.held, (None, replica_axes(base), 0))
    return {**base, "system.positions": held(p, base, x), "system.velocities": v}
