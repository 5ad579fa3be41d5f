"""A config with learnt values put into it: what ``best.yaml`` and ``final.yaml`` are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffmd.config.build import BuiltSystem, Experiment
from diffmd.config.paths import put
from diffmd.objective import P
from diffmd.paths import last, parent, split
from diffmd.system import System


@dataclasses.dataclass(frozen=True)
class LearnedConfig:
    """Plain config data, and the files of weights that it names: file -> leaf -> array."""

    data: dict[str, Any]
    weights: dict[str, dict[str, np.ndarray]]


def with_learned(experiment: Experiment, data: Mapping[str, Any], p: P, weights_file: str) -> LearnedConfig:
    """The config `data` of an experiment with the values `p` in place of its own.

    Numbers stand where they stood; networks go to files called after `weights_file` (``weights.h5``). Starting
    positions and velocities that would be drawn anew from other numbers than these (a learnt box or mass), or that are
    learnt themselves, are written out.
    """
    changed = dict(data)
    weights: dict[str, dict[str, np.ndarray]] = {}
    for one in experiment.systems:
        bound = one.problem.values(p, one.values)
        learnt = {
            place.key
            for leaf in experiment.objective.parameters.leaves
            for place in leaf.places
            if place.system == one.name
        }
        for key in sorted(learnt):
            place = one.effective.config_path(key)
            value = np.asarray(bound[key])
            potential = _network(one, key)
            if potential is not None:
                name = _weights_name(weights_file, potential, experiment)
                changed = put(changed, f"{potential}.weights", {"kind": "file", "path": name})
                weights[name] = {last(k): np.asarray(v) for k, v in bound.items() if _network(one, k) == potential}
            elif key not in ("system.positions", "system.velocities"):
                changed = put(changed, place, value.tolist())
        for part in _to_write_out(learnt, one.problem.dynamics.system):
            place = one.effective.config_path(f"system.{part}")
            changed = put(changed, place, {"kind": "inline", "values": np.asarray(bound[f"system.{part}"]).tolist()})
    return LearnedConfig(changed, weights)


def _to_write_out(learnt: set[str], system: System) -> list[str]:
    masses = any(key in system.mass_paths for key in learnt)
    positions = bool({"system.positions", "system.box"} & learnt)
    velocities = "system.velocities" in learnt or masses
    return [name for name, wanted in (("positions", positions), ("velocities", velocities)) if wanted]


def _network(one: BuiltSystem, key: str) -> str | None:
    """The path of the potential whose network has a value (``potentials.nn.weights.0/weight``); None of others."""
    match split(key):
        case ["potentials", _, "weights", _]:
            return parent(parent(one.effective.config_path(key)))
    return None


def _weights_name(file: str, potential: str, experiment: Experiment) -> str:
    networks = {_network(one, key) for one in experiment.systems for key in one.values} - {None}
    stem, _, suffix = file.rpartition(".")
    return file if len(networks) == 1 else f"{stem}_{potential.replace('.', '_')}.{suffix}"
