"""Running one system and writing its trajectory."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.box import Box
from diffmd.commands.run.experiment import explained
from diffmd.commands.run.reporter import Reporter
from diffmd.config.build import BuiltSystem, Experiment
from diffmd.dynamics.frame import Frame
from diffmd.dynamics.run.host_loop import DivergedError, ListControl, NonFiniteError
from diffmd.dynamics.run.schedule import Segment
from diffmd.io.files import link
from diffmd.io.h5md import STANDARD, Column, Frames, Topology, TrajectoryWriter
from diffmd.objective import P, Ready
from diffmd.observables.base import dimension_of
from diffmd.simulation import Recorder, recording, whole_frame
from diffmd.system import State

Saved = Callable[[Segment, State], None]
"""Told after each segment whose frames are on disk, with the state after it."""


@dataclasses.dataclass(frozen=True)
class Restart:
    """Where a run that was stopped goes on: the state, how lists were built, and the length of its segments."""

    state: State
    control: ListControl
    longest: int


def segment_length(one: BuiltSystem, control: ListControl, every: int) -> int:
    """Steps of a segment of a run that begins with `control` and records every `every`-th step.

    Frames further apart are reached in several: checkpoints, progress and Ctrl-C wait for no frame.
    """
    longest = one.problem.longest(control.plan)
    return longest // every * every if every <= longest else longest


def trajectory_name(experiment: Experiment, one: BuiltSystem, stem: str = "trajectory") -> str:
    """``trajectory.h5md``, or ``trajectory_NAME.h5md`` where there are several systems."""
    return f"{stem}.h5md" if len(experiment.systems) == 1 else f"{stem}_{one.name}.h5md"


def link_first(experiment: Experiment, folder: Path, stem: str = "trajectory") -> None:
    """Where there are several systems, gives the first one's trajectory the name that the only one would have.

    Raises OutputError.
    """
    if len(experiment.systems) > 1:
        link(folder / f"{stem}.h5md", trajectory_name(experiment, experiment.systems[0], stem))


def recorder_of(one: BuiltSystem) -> Recorder:
    """What runs a system and keeps of each frame what its trajectory file takes; runs that share it share its compiled
    programs."""
    dynamics = one.problem.dynamics

    def keep(frame: Frame, state: State) -> dict[str, Array]:
        temperature = dynamics.temperature(frame.masses, frame.velocities)
        extra = {name: observable.measure(frame) for name, observable in one.recorded.items()}
        return {**whole_frame(frame, state), "temperature": temperature, **extra}

    return Recorder(one.problem, keep)


def record(
    experiment: Experiment,
    one: BuiltSystem,
    recorder: Recorder,
    ready: Ready,
    p: P,
    path: Path,
    every: int,
    reporter: Reporter,
    saved: Saved,
    restart: Restart | None = None,
) -> State:
    """Runs one system's trajectory and writes every `every`-th frame, step 0 included, to `path`.

    Args:
        recorder: the system's, of `recorder_of`.

    Raises:
        NumericalError: the run left the finite numbers; the frames before are on disk.
        OutputError: the file cannot be written.
    """
    problem, base, control = one.problem, ready.values[one.name], ready.controls[one.name]
    dynamics = problem.dynamics
    dt = float(problem.values(p, base)["dynamics.integrator.dt"])
    time = functools.partial(dynamics.time, dt=dt)
    first: Mapping[str, Any] | None = None
    if restart is None:
        longest = segment_length(one, control, every)
        recorder.prepare(p, base, ready.key, control, recording(problem.steps, every, longest))
        state = recorder.start(p, base, control)
        first = recorder.first(p, base, control, state)
        recorded = experiment.loaded.config.output.observables
        columns = {name: Column(np.shape(first[name]), dimension_of(recorded[name])) for name in one.recorded}
        writer = TrajectoryWriter.create(
            path,
            topology(one, problem.values(p, base)),
            dynamics.system.units,
            np.asarray(state.positions).dtype,
            {**STANDARD, **columns},
            spacing=every * dt,
        )
    else:
        # As the run began: a capacity that grew since then must not cut the rest of it otherwise.
        state, control, longest = restart.state, restart.control, restart.longest
        ready.controls[one.name] = control
        writer = TrajectoryWriter.resume(path, int(state.step))
    offset = problem.first_step
    with writer:
        if first is not None:
            if not all(np.isfinite(np.asarray(first[name])).all() for name in ("forces", "potential_energy")):
                raise explained(experiment, ready, p, NonFiniteError(one.name, Segment(0, 0, 0, ())))
            writer.append(_frames({k: np.asarray(v)[None] for k, v in first.items()}, [offset], time, state.box))
        plan = recording(problem.steps, every, longest, int(state.step) - offset)
        reporter.start(sum(s.steps for s in plan), "steps", "simulate" if len(experiment.systems) == 1 else one.name)

        def accepted(segment: Segment, after: State, rows: Any) -> None:
            if rows is not None and len(segment.frames):
                steps = [offset + step for step in segment.frames]
                writer.append(_frames({k: np.asarray(v) for k, v in rows.items()}, steps, time, after.box))
            reporter.advance(segment.steps)
            saved(segment, after)

        try:
            end = recorder.run(p, base, ready.key, control, state, plan, accepted, reporter.message)
        except DivergedError as failure:
            raise explained(experiment, ready, p, failure) from failure
        reporter.finish()
    return end


def topology(one: BuiltSystem, values: Mapping[str, Array]) -> Topology:
    """What a trajectory file says of the atoms."""
    system = one.problem.dynamics.system
    return Topology(
        system.types,
        system.type_names,
        system.host_masses(values),
        system.host_charges(values),
        one.bonds,
        one.problem.box_shape != "none",
        one.names,
    )


def _frames(
    rows: Mapping[str, np.ndarray], steps: list[int], time: Callable[[np.ndarray], np.ndarray], box: Box
) -> Frames:
    own = {"positions", "velocities", "forces", "box"}
    return Frames(
        np.asarray(steps),
        time(np.asarray(steps)),
        rows["positions"],
        rows["velocities"],
        rows["forces"],
        rows["box"] if box.periodic else None,
        {name: value for name, value in rows.items() if name not in own},
    )


def state_arrays(state: State) -> dict[str, np.ndarray]:
    """A state for a checkpoint."""
    return {
        "positions": np.asarray(state.positions),
        "velocities": np.asarray(state.velocities),
        "forces": np.asarray(state.forces),
        "box": np.asarray(state.box.vectors),
        "step": np.asarray(state.step),
    }


def state_of(arrays: Mapping[str, Any], one: BuiltSystem) -> State:
    """The reverse of `state_arrays`."""
    x, v, f, h, step = (jnp.asarray(arrays[k]) for k in ("positions", "velocities", "forces", "box", "step"))
    return State(x, v, f, Box(h, one.problem.box_shape), step)
