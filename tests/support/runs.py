"""Runs that never ran: directories with files such as the commands leave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from diffmd import __version__
from diffmd.io.h5md import Frames, Topology, TrajectoryWriter
from diffmd.io.results import Gradients, Scan, write_gradients, write_scan
from diffmd.io.training import Epoch, TrainingLog
from diffmd.units import REDUCED, Units

LJ = """\
units: reduced
potentials:
  lj: {kind: lennard_jones, sigma: 0.5345, epsilon: 0.2}
  angle: {kind: harmonic_angle, angles: [[0, 1, 2]], theta0: 1.9, k: 10.0}
  nn: {kind: neural_bond, bonds: [[0, 2]], widths: [5]}
dynamics:
  thermostat: {kind: rescale, temperature: 0.01}
loss:
  - {observable: {kind: nearest_distance}, frames: end, target: 0.5, compare: absolute}
"""


def make_run(folder: Path, config: str = LJ, command: str = "train") -> Path:
    """An empty run directory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config)
    record = {"command": command, "status": "finished", "versions": {"diffmd": __version__}}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def lattice(cells: int, edge: float) -> np.ndarray:
    """An fcc lattice of cells^3 cubic cells."""
    base = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    corners = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    return (corners + base).reshape(-1, 3) * edge


def write_trajectory(
    path: Path,
    positions: np.ndarray,
    box: np.ndarray | None,
    *,
    types: list[str] | None = None,
    bonds: np.ndarray | None = None,
    units: Units = REDUCED,
    every: int = 10,
) -> None:
    """A trajectory of given positions (frames, atoms, 3), with made-up energies."""
    frames, atoms = positions.shape[:2]
    types = types or ["A"] * atoms
    names = tuple(dict.fromkeys(types))
    topology = Topology(
        types=np.array([names.index(name) for name in types]),
        type_names=names,
        masses=np.ones(atoms),
        charges=np.zeros(atoms),
        bonds=np.zeros((0, 2), int) if bonds is None else bonds,
        periodic=box is not None,
    )
    time = np.arange(frames) * every * 0.02
    kinetic = 0.75 + 0.1 * np.sin(7 * time)
    potential = -5 - 0.1 * np.sin(7 * time)
    observables = {
        "potential_energy": potential,
        "kinetic_energy": kinetic,
        "total_energy": potential + kinetic,
        "temperature": kinetic * 2 / 3,
    }
    with TrajectoryWriter.create(path, topology, units) as writer:
        zero = np.zeros_like(positions)
        step = np.arange(frames) * every
        writer.append(Frames(step, time, positions, zero, zero, box, observables))


def write_training(folder: Path, parameters: dict[str, np.ndarray], gradients: dict[str, np.ndarray], loss) -> None:
    """A training record; every array has an epoch a row."""
    first = {path: values[0] for path, values in parameters.items()}
    with TrainingLog.create(folder, 1, first) as log:
        for row, value in enumerate(loss):
            g = {path: values[row] for path, values in gradients.items()}
            norm = float(np.sqrt(sum(np.sum(x**2) for x in g.values())))
            p = {path: values[row] for path, values in parameters.items()}
            log.append(Epoch(row + 1, float(value), np.array([value]), p, g, norm, 0.1))


def write_angle_scan(folder: Path, points: int = 60) -> None:
    """A scan with the signs of the bond-angle example, one point failed."""
    value = np.radians(np.linspace(3, 180, points))
    distance = 1.4 * np.sin(value / 2)
    gradient = np.sign(distance - 1) * 0.7 * np.cos(value / 2)
    loss = np.abs(distance - 1)
    loss[-3], gradient[-3] = np.nan, np.nan
    write_scan(folder, Scan("potentials.angle.theta0", value, loss, gradient))


def write_some_gradients(folder: Path) -> None:
    """Gradients of everything, with the norm along the trajectory."""
    rng = np.random.default_rng(0)
    gradients = {
        "potentials.lj.sigma": np.array(0.912),
        "potentials.lj.epsilon": np.array(-0.0023),
        "system.positions": rng.normal(size=(50, 3)),
        "dynamics.thermostat.temperature": np.array(0.0),
    }
    step = np.arange(0, 501, 5)
    health = {
        "kind": "cotangent",
        "step": step,
        "norm": np.exp((500 - step) / 120) * (1 + 0.2 * np.sin(step / 9)),
        "growth_rate": 0.008,
        "advice": "The cotangent grows 60-fold over the run: still moderate; check it with gradcheck.",
    }
    write_gradients(folder / "gradients.h5", Gradients(0.089, np.array([0.089]), gradients, gradients, {}, {}, health))
