"""Experiments made from plain data, and their trajectories as arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmd.config.build import BuiltSystem, Experiment, build
from diffmd.config.loading import load_data
from diffmd.dynamics.run.host_loop import ListControl
from diffmd.dynamics.run.schedule import Segment
from diffmd.simulation import Recorder, recording, whole_frame
from diffmd.system import State, Values

VERLET = {"kind": "velocity_verlet", "dt": 0.004}
SWITCH = {"kind": "switch", "distance": 1.7, "from": 1.4}


def experiment(system: dict, potentials: dict, dynamics: dict | None = None, **sections: Any) -> Experiment:
    """The experiment of a config; call it inside the precision that is wanted."""
    data = {
        "units": "reduced",
        "system": system,
        "potentials": potentials,
        "dynamics": {"integrator": VERLET, "steps": 10} | (dynamics or {}),
        "loss": [{"observable": {"kind": "potential_energy"}, "compare": "none"}],
        "parameters": [],
    }
    return build(load_data(data | sections))


def liquid(
    dynamics: dict | None = None, *, temperature: float = 1.4, cutoff: Any = SWITCH, **sections: Any
) -> Experiment:
    """108 Lennard-Jones atoms that leave their crystal."""
    return experiment(
        {
            "atoms": [{"type": "A", "count": 108, "mass": 1.0}],
            "positions": {"kind": "lattice", "lattice": "fcc", "density": 0.8442},
            "velocities": {"kind": "maxwell_boltzmann", "temperature": temperature, "remove_com": True},
        },
        {"lj": {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0, "cutoff": cutoff}},
        dynamics,
        **sections,
    )


def dimers(pairs: int, bond: dict, dynamics: dict | None = None, **fields: Any) -> Experiment:
    """Pairs of atoms at distance 1 along x, each pair bonded, without periodicity."""
    x = [[float(k % 2), 3.0 * (k // 2), 0.0] for k in range(2 * pairs)]
    system = {
        "box": None,
        "atoms": [{"type": "A", "count": 2 * pairs, "mass": 1.0}],
        "positions": {"kind": "inline", "values": x},
        "velocities": {"kind": "zero"},
    }
    bonds = [[2 * k, 2 * k + 1] for k in range(pairs)]
    return experiment(system | fields, {"bond": {"kind": "harmonic_bond", "bonds": bonds} | bond}, dynamics)


@dataclasses.dataclass
class Run:
    """A trajectory: arrays by name with a frame a row, step 0 included, the last state, and what was said."""

    frames: dict[str, np.ndarray]
    end: State
    said: list[str]
    control: ListControl

    def __getitem__(self, name: str) -> np.ndarray:
        return self.frames[name]


@dataclasses.dataclass
class Runner:
    """Runs one system of an experiment. Keeps what it has compiled."""

    one: BuiltSystem

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.one.problem, whole_frame)

    def __call__(
        self,
        steps: int,
        every: int = 1,
        *,
        seed: int = 1,
        longest: int = 1000,
        control: ListControl | None = None,
        values: Values | None = None,
        state: State | None = None,
    ) -> Run:
        base = dict(self.one.values) | {k: jnp.asarray(v) for k, v in (values or {}).items()}
        control = control or self.one.control(base)
        state = self.recorder.start({}, base, control) if state is None else state
        start = int(state.step)
        rows = [jax.tree.map(lambda a: np.asarray(a)[None], self.recorder.first({}, base, control, state))]
        said: list[str] = []

        def accepted(segment: Segment, after: State, new: Any) -> None:
            if new is not None:
                rows.append(jax.tree.map(np.asarray, new))

        plan = recording(start + steps, every, longest, start)
        end = self.recorder.run({}, base, jax.random.key(seed), control, state, plan, accepted, said.append)
        return Run(jax.tree.map(lambda *r: np.concatenate(r), *rows), end, said, control)


def runner(built: Experiment) -> Runner:
    """Runs the only system of an experiment."""
    return Runner(built.systems[0])
