"""Experiments made ready to be differentiated, from shipped configs or small ones written as data."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from diffmd.adjoints.base import Gradient
from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.forward import Forward
from diffmd.adjoints.gradcheck.check import check
from diffmd.adjoints.gradcheck.verdicts import Row
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.commands.run.experiment import copied, made_ready, starting_parameters
from diffmd.commands.run.reporter import SilentReporter
from diffmd.config.build import Experiment, build
from diffmd.config.loading import load, load_data
from diffmd.objective import P, Ready

CONFIGS = Path(__file__).parents[2] / "configs"
PLENTY = 1 << 30


def nothing(*_: object) -> None:
    """Listens to nothing."""


@dataclasses.dataclass(frozen=True)
class Case:
    """An experiment, its parameters, and what its runs start from."""

    experiment: Experiment
    p: P
    ready: Ready

    def fresh(self) -> Ready:
        """A start whose list controls no other run adapts."""
        return copied(self.ready)

    def reverse(self, p: P | None = None, memory: int = PLENTY) -> Gradient:
        return Reverse(self.experiment.objective, memory).gradient(self.fresh(), p or self.p, nothing, nothing)

    def forward(self, batch: int = 16) -> Gradient:
        return Forward(self.experiment.objective, batch).gradient(self.fresh(), self.p, nothing, nothing)

    def loss(self, p: P | None = None) -> float:
        return Evaluator(self.experiment.objective).one(self.fresh(), p or self.p, nothing, nothing)[0]

    def rows(self, methods: Sequence[str] = ("reverse", "forward"), relative: float | None = None) -> list[Row]:
        """gradcheck's rows."""
        objective = self.experiment.objective
        losses = {"case": None}
        return check(losses, objective, self.fresh, self.p, methods, PLENTY, relative, nothing, nothing)


def ready(config: Mapping[str, Any] | str, *overrides: str) -> Case:
    """A shipped config by name with `--set`s, or a config as data, in the precision that is in force."""
    loaded = load(CONFIGS / f"{config}.yaml", overrides) if isinstance(config, str) else load_data(config)
    experiment = build(loaded)
    p = starting_parameters(experiment, None)
    return Case(experiment, p, made_ready(experiment, p, SilentReporter()))


FLUID: dict[str, Any] = {
    "seed": 2,
    "system": {
        "box": [4.0, 4.2, 4.4],
        "atoms": [{"type": "A", "count": 7, "mass": 1.0}, {"type": "B", "count": 5, "mass": 2.0}],
        "positions": {"kind": "random", "min_distance": 1.0},
        "velocities": {"kind": "maxwell_boltzmann", "temperature": 0.6},
    },
    "potentials": {
        "lj": {
            "kind": "lennard_jones",
            "sigma": 1.0,
            "epsilon": 1.0,
            "cutoff": {"kind": "shifted_force", "distance": 1.9},
        }
    },
    "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.01}, "steps": 12},
    "loss": [{"observable": {"kind": "potential_energy"}, "compare": "none"}],
    "parameters": ["potentials.lj"],
}

MOLECULE: dict[str, Any] = {
    "seed": 5,
    "system": {
        "box": [3.0, 3.0, 3.0],
        "atoms": [{"type": "C", "count": 1, "mass": 10.0}, {"type": "O", "count": 3, "mass": 8.0}],
        "positions": {
            "kind": "inline",
            "values": [[0.8, 0.75, 1.5], [1.5, 0.7, 1.52], [2.2, 0.95, 1.5], [2.3, 1.6, 1.7]],
        },
        "velocities": {"kind": "zero"},
    },
    "potentials": {
        "bond": {"kind": "harmonic_bond", "bonds": [[0, 1], [1, 2], [2, 3]], "r0": 0.65, "k": 90.0},
        "angle": {"kind": "harmonic_angle", "angles": [[0, 1, 2], [1, 2, 3]], "theta0": [1.8, 1.9], "k": 12.0},
    },
    "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.05}, "steps": 12},
    "loss": [{"observable": {"kind": "distance", "pairs": [[0, 2], [1, 3]]}, "target": 1.0}],
    "parameters": ["potentials.angle.theta0"],
}


def changed(data: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """A copy with values put in by path; a double underscore stands for the dot."""
    out = copy.deepcopy(dict(data))
    for path, value in values.items():
        *above, last = path.split("__")
        place: Any = out
        for key in above:
            place = place[int(key) if isinstance(place, list) else key]
        place[int(last) if isinstance(place, list) else last] = value
    return out


def flat(gradients: Mapping[str, Any]) -> np.ndarray:
    """All numbers of a gradient, path by path."""
    return np.concatenate([np.ravel(np.asarray(gradients[path])) for path in sorted(gradients)])


def apart(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    """The largest difference of two gradients, relative to the largest number in either."""
    x, y = flat(a), flat(b)
    return float(np.max(np.abs(x - y)) / max(np.max(np.abs(x)), np.max(np.abs(y)), 1e-300))


def moved(p: P, path: str, by: float) -> dict[str, Any]:
    """The parameters with one of them shifted."""
    return {**p, path: jnp.asarray(p[path] + by)}
