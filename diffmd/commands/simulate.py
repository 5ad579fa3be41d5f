"""``diffmd simulate``: runs the dynamics and writes the trajectory and its observables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffmd.commands.run.experiment import made_ready, starting_parameters
from diffmd.commands.run.recording import (
    Restart,
    link_first,
    record,
    recorder_of,
    segment_length,
    state_arrays,
    state_of,
    trajectory_name,
)
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import CommandResult, Request, typed
from diffmd.commands.run.session import Session
from diffmd.config.build import BuiltSystem, Experiment, build
from diffmd.dynamics.run.host_loop import ListControl
from diffmd.dynamics.run.schedule import Segment
from diffmd.io import checkpoint
from diffmd.io.rundir import CHECKPOINTS, EQUILIBRATED
from diffmd.io.trajectory import count_frames, read_trajectory
from diffmd.objective import P, Ready
from diffmd.system import State
from diffmd.units import SYSTEMS, Units


def simulate(request: Request, reporter: Reporter) -> CommandResult:
    """Runs every system of a config; raises the errors of `Session.open` and `record`."""
    with Session.open(request, reporter, "simulate") as session:
        if session.done is not None:
            return session.done
        experiment = build(session.loaded_config, allow_python=request.allow_python, loss=False)
        p = starting_parameters(experiment, session.learned)
        session.begin()
        session.run.update({"files": [trajectory_name(experiment, one) for one in experiment.systems]})
        ready = made_ready(experiment, p, session.reporter, session.folder / EQUILIBRATED)
        answer: dict[str, Any] = {}
        for one in experiment.systems:
            _one(session, experiment, one, ready, p, _restart(session, one))
            link_first(experiment, session.folder)
            answer[one.name] = _told(session, experiment, one)
        told = answer if len(answer) > 1 else next(iter(answer.values()))
        told = {**told, "output": str(session.folder)}
        lines = [_summary(name, of_system, SYSTEMS[session.config.units]) for name, of_system in answer.items()]
        return session.finish(CommandResult(told, [*lines, f"in {session.folder}"], typed("plot", session.folder)))


def _one(
    session: Session, experiment: Experiment, one: BuiltSystem, ready: Ready, p: P, restart: Restart | None
) -> None:
    every = session.config.output.every
    whole = segment_length(one, ready.controls[one.name], every) if restart is None else restart.longest

    def saved(segment: Segment, state: State) -> None:
        # Only where every longer run has a boundary, too: more steps go on as if they had always been asked for.
        if segment.steps == whole:
            meta = {"lists": ready.controls[one.name].to_json(), "longest": whole}
            checkpoint.save(_checkpoint_path(session, one), state_arrays(state), meta)
        session.check_stop()

    path = session.folder / trajectory_name(experiment, one)
    record(experiment, one, recorder_of(one), ready, p, path, every, session.reporter, saved, restart)


def _checkpoint_path(session: Session, one: BuiltSystem) -> Path:
    name = "checkpoint.h5" if one.name == "default" else f"checkpoint_{one.name}.h5"
    return session.folder / CHECKPOINTS / name


def _restart(session: Session, one: BuiltSystem) -> Restart | None:
    path = _checkpoint_path(session, one)
    if not session.resumed or not checkpoint.exists(path):
        return None
    saved = checkpoint.load(path)
    lists = ListControl.from_json(saved.meta["lists"])
    return Restart(state_of(saved.arrays, one), lists, saved.meta["longest"])


def _told(session: Session, experiment: Experiment, one: BuiltSystem) -> dict[str, Any]:
    path = session.folder / trajectory_name(experiment, one)
    trajectory = read_trajectory(path)
    last = {name: float(np.asarray(trajectory.observables[name][-1])) for name in _SCALARS}
    return {"frames": count_frames(path), "steps": int(trajectory.step[-1]), **last}


def _summary(name: str, told: Mapping[str, Any], units: Units) -> str:
    frames = f"{told['frames']} frame{'s' if told['frames'] != 1 else ''} to step {told['steps']}"
    temperature = f"{told['temperature']:.4g} {units.symbol('temperature') or ''}".rstrip()
    energy = f"{told['total_energy']:.6g} {units.symbol('energy') or ''}".rstrip()
    return f"{name}: {frames}; last temperature {temperature}, total energy {energy}"


_SCALARS = ("potential_energy", "kinetic_energy", "total_energy", "temperature")
