"""A frame of diffmd's own trajectory.h5md, which knows types and masses of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffmd.errors import ConfigError
from diffmd.io.structures.base import Structure, pick_frame
from diffmd.io.trajectory import read_trajectory
from diffmd.units import Units


def read_trajectory_frame(path: Path, frame: int, units: Units) -> Structure:
    """Frame `frame` of diffmd's own trajectory. Raises ConfigError, OutputError."""
    run = read_trajectory(path)
    if run.units.name != units.name:
        raise ConfigError(f"{path} is in {run.units.name} units, the config in {units.name}")
    k = pick_frame(len(run), frame, path)
    return Structure(
        np.asarray(run.positions[k], float),
        np.asarray(run.velocities[k], float),
        None if run.box is None else np.asarray(run.box[k], float),
        tuple(run.species),
        (None,) * len(run.species),
        np.asarray(run.topology.masses, float),
        np.asarray(run.topology.charges, float),
        int(run.step[k]),
    )
