"""``diffmd simulate``: runs the dynamics and writes the trajectory and its observables."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffmd.commands.experiment import made_ready, starting_parameters
from diffmd.commands.recording import Restart, record, state_arrays, state_of, trajectory_name
from diffmd.commands.reporter import Reporter
from diffmd.commands.request import CommandResult, Request
from diffmd.commands.session import Session
from diffmd.config.build import BuiltSystem, Experiment, build
from diffmd.dynamics.march import ListControl
from diffmd.dynamics.schedule import Segment
from diffmd.io import checkpoint
from diffmd.io.rundir import CHECKPOINTS
from diffmd.io.trajectory import count_frames, read_trajectory
from diffmd.objective import P, Ready
from diffmd.system import State


def simulate(request: Request, reporter: Reporter) -> CommandResult:
    """Runs every system of a config; raises the errors of `Session.open` and `record`."""
    with Session.open(request, reporter, "simulate") as session:
        if session.done is not None:
            return session.done
        experiment = build(session.loaded_config, allow_python=request.allow_python)
        session.run.update({"files": [trajectory_name(experiment, one) for one in experiment.systems]})
        p = starting_parameters(experiment, session.learned)
        restarts = {one.name: _restart(session, one) for one in experiment.systems}
        if all(restarts.values()):
            ready = Ready(
                experiment.values, {name: r.control for name, r in restarts.items() if r is not None}, experiment.key
            )
        else:
            ready = made_ready(experiment, p, session.reporter)
        answer: dict[str, Any] = {}
        for one in experiment.systems:
            _one(session, experiment, one, ready, p, restarts[one.name])
            answer[one.name] = _told(session, experiment, one)
        told = answer if len(answer) > 1 else next(iter(answer.values()))
        told = {**told, "output": str(session.folder)}
        lines = [
            f"{name}: {a['frames']} frames to step {a['steps']}; last temperature {a['temperature']:.4g}, "
            f"total energy {a['total_energy']:.6g}"
            for name, a in answer.items()
        ]
        return session.finish(CommandResult(told, [*lines, f"in {session.folder}"], f"diffmd plot {session.folder}"))


def _one(
    session: Session, experiment: Experiment, one: BuiltSystem, ready: Ready, p: P, restart: Restart | None
) -> None:
    every = session.config.output.every
    whole = max(every, one.problem.longest(ready.controls[one.name].plan) // every * every)

    def saved(segment: Segment, state: State) -> None:
        # Only where every longer run has a boundary, too: more steps go on as if they had always been asked for.
        if segment.steps == whole:
            _save(session, one, state, ready.controls[one.name], ready)
        session.check_stop()

    path = session.folder / trajectory_name(experiment, one)
    record(experiment, one, ready, p, path, every, session.reporter, saved, restart)


def _checkpoint_path(session: Session, one: BuiltSystem) -> Any:
    return session.folder / CHECKPOINTS / ("checkpoint.h5" if one.name == "default" else f"{one.name}.h5")


def _save(session: Session, one: BuiltSystem, state: State, control: ListControl, ready: Ready) -> None:
    held = {key: np.asarray(ready.values[one.name][f"system.{key}"]) for key in ("positions", "velocities")}
    arrays = state_arrays(state) | {f"start/{key}": value for key, value in held.items()}
    checkpoint.save(_checkpoint_path(session, one), arrays, {"lists": control.to_json()})


def _restart(session: Session, one: BuiltSystem) -> Restart | None:
    path = _checkpoint_path(session, one)
    if not session.resumed or not checkpoint.exists(path):
        return None
    saved = checkpoint.load(path)
    return Restart(state_of(saved.arrays, one), ListControl.from_json(saved.meta["lists"]))


def _told(session: Session, experiment: Experiment, one: BuiltSystem) -> dict[str, Any]:
    path = session.folder / trajectory_name(experiment, one)
    trajectory = read_trajectory(path)
    last = {name: float(np.asarray(trajectory.observables[name][-1])) for name in _SCALARS}
    return {"frames": count_frames(path), "steps": int(trajectory.step[-1]), **last}


_SCALARS = ("potential_energy", "kinetic_energy", "total_energy", "temperature")
