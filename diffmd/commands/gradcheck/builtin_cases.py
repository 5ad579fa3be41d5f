"""gradcheck's built-in set: small systems that together cover every potential, integrator, thermostat and observable.

Each case is a config, checked like any other. Steps are few, so that nothing is chaotic and every number is resolved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffmd.commands.gradcheck.builtin_observables import (
    FLUID,
    FLUID_SERIES,
    MOLECULES,
    MOLECULES_SERIES,
    in_every_reduction,
    named,
    over_the_series,
)

Data = dict[str, Any]

_VERLET: Data = {"kind": "velocity_verlet", "dt": 0.01}
_LANGEVIN: Data = {"kind": "langevin", "dt": 0.01, "friction": 1.5, "temperature": 0.8}
_LJ: Data = {
    "kind": "lennard_jones",
    "sigma": 1.0,
    "epsilon": 1.0,
    "cutoff": {"kind": "shifted_force", "distance": 1.9},
}
_ENERGY: Data = {"observable": {"kind": "potential_energy"}, "compare": "none"}
_THIRD: Data = {"from": 3, "every": 3}
"""Frames all of one stride from the first step on are one program's; each other schedule is compiled by itself."""


def _fluid(potential: Data, loss: list[Data], parameters: list[Any], **dynamics: Any) -> Data:
    """24 atoms of two types in a box."""
    return {
        "seed": 3,
        "system": {
            "box": [4.0, 4.2, 4.4],
            "atoms": [{"type": "A", "count": 14, "mass": 1.0}, {"type": "B", "count": 10, "mass": 2.0}],
            "positions": {"kind": "random", "min_distance": 0.95},
            "velocities": {"kind": "maxwell_boltzmann", "temperature": 0.6},
        },
        "potentials": {"lj": potential},
        "dynamics": {"integrator": _VERLET, "steps": 12, **dynamics},
        "loss": loss,
        "parameters": parameters,
    }


def _molecules(potentials: Data, loss: list[Data], parameters: list[Any], **dynamics: Any) -> Data:
    """The two triatomic molecules, bent, slightly out of their plane."""
    values = [
        [0.8, 0.75, 1.5],
        [1.5, 0.7, 1.52],
        [2.2, 0.95, 1.5],
        [0.8, 2.25, 1.5],
        [1.5, 2.2, 1.45],
        [2.1, 2.55, 1.6],
    ]
    return {
        "seed": 5,
        "system": {
            "box": [3.0, 3.0, 3.0],
            "atoms": [
                {"type": "C", "count": 1, "mass": 10.0},
                {"type": "O", "count": 1, "mass": 8.0},
                {"type": "C", "count": 2, "mass": 10.0},
                {"type": "O", "count": 1, "mass": 8.0},
                {"type": "C", "count": 1, "mass": 10.0},
            ],
            "positions": {"kind": "inline", "values": values},
            "velocities": {"kind": "zero"},
        },
        "potentials": potentials,
        "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.05}, "steps": 15, **dynamics},
        "loss": loss,
        "parameters": parameters,
    }


_BONDS: Data = {"kind": "harmonic_bond", "bonds": [[0, 1], [1, 2], [3, 4], [4, 5]], "r0": 0.65, "k": 90.0}
_ANGLES: Data = {"kind": "harmonic_angle", "angles": [[0, 1, 2], [3, 4, 5]], "theta0": 1.8, "k": 12.0}
_ENDS: Data = {"observable": {"kind": "distance", "pairs": [[0, 2], [3, 5]]}, "target": 1.0, "frames": _THIRD}
_TRIANGLE: Data = {"observable": {"kind": "distance", "pairs": [[0, 2], [2, 3], [3, 5]]}, "target": 1.0}
_RDF: Data = {
    "observable": {"kind": "rdf", "types": ["A", "B"], "range": [0.8, 1.9], "bins": 8, "width": 0.1},
    "frames": {"from": 4, "every": 4},
    "target": 1.0,
}


def _network(output: str, activations: list[str]) -> Data:
    return {
        "kind": "neural_bond",
        "bonds": [[0, 2], [3, 5]],
        "widths": [4],
        "activations": activations,
        "output": output,
    }


def _at_rest(loss: list[Data], parameters: list[Any]) -> Data:
    """A triangle of three bonds, minimised to the last digit."""
    data = _molecules(
        {"bond": {**_BONDS, "bonds": [[0, 1], [1, 2], [0, 2]], "r0": [0.65, 0.7, 0.9]}},
        loss,
        parameters,
        integrator={"kind": "quickmin", "dt": 0.1, "max_step": 0.1},
        steps=150,
    )
    system = data["system"]
    start = {**system["positions"], "values": system["positions"]["values"][:3]}
    atoms = [{"type": name, "count": 1, "mass": mass} for name, mass in (("C", 10.0), ("O", 8.0), ("H", 4.0))]
    return {**data, "system": {**system, "box": None, "atoms": atoms, "positions": start}}


_TABLE: Data = {**_LJ, "sigma": {"A": 1.0, "B": 0.9, "A-B": 0.97}, "epsilon": {"A": 1.0, "B": 0.5}}
_RATES: Data = {"kind": "berendsen", "temperature": 0.9, "tau": 0.2}

_SPLINE: Data = {
    "kind": "spline_pair",
    "from": 1.05,
    "cutoff": 1.9,
    "values": [0.9, 0.3, -0.4, -0.2, 0.1, 0.05],
    "wall": 2.0,
}
_FENE: Data = {"kind": "fene_bond", "bonds": [[0, 1], [1, 2], [3, 4], [4, 5]], "k": 20.0, "r_max": 1.2}

DYNAMICS: Mapping[str, Data] = {
    "lennard_jones shifted_force, rescale, nearest_distance": _fluid(
        _LJ,
        [{"observable": {"kind": "nearest_distance"}, "target": 1.3}],
        ["potentials.lj", "system.positions", "dynamics.thermostat.temperature"],
        thermostat={"kind": "rescale", "temperature": 0.5},
    ),
    "lennard_jones by type, energies": _fluid(
        _TABLE,
        [
            {**_ENERGY, "frames": "all"},
            {"observable": {"kind": "total_energy"}, "frames": "all", "reduce": "variance", "compare": "none"},
            {"observable": {"kind": "kinetic_energy"}, "frames": "all", "reduce": "none", "target": 20.0},
        ],
        ["potentials.lj", "system.atoms.0.mass", "system.atoms.1.mass", "system.velocities", "system.box"],
    ),
    "lennard_jones switch, geometric mixing, cell list": _fluid(
        {
            **_TABLE,
            "sigma": {"A": 1.0, "B": 0.9},
            "mixing": "geometric",
            "cutoff": {"kind": "switch", "from": 1.3, "distance": 1.8},
        },
        [_RDF],
        ["potentials.lj", "system.box"],
        neighbors={"kind": "cell_list", "skin": 0.2},
    ),
    "lennard_jones without cutoff, no box, langevin": {
        **_fluid(
            {"kind": "lennard_jones", "sigma": 1.0, "epsilon": 1.0},
            [{"observable": {"kind": "temperature"}, "frames": _THIRD, "target": 0.7}],
            ["potentials.lj", "dynamics.integrator"],
            integrator=_LANGEVIN,
        ),
        "system": {
            "box": None,
            "atoms": [{"type": "A", "count": 8, "mass": 1.5}],
            "positions": {"kind": "chain", "bond_length": 1.1},
            "velocities": {"kind": "maxwell_boltzmann", "temperature": 0.6},
        },
    },
    "lennard_jones in a triclinic box, berendsen": {
        **_fluid(_LJ, [_ENERGY], ["potentials.lj", "system.box", "dynamics.thermostat"], thermostat=_RATES),
        "system": {
            "box": [[4.2, 0.0, 0.0], [1.4, 4.3, 0.0], [-0.9, 1.2, 4.4]],
            "atoms": [{"type": "A", "count": 20, "mass": 1.0}],
            "positions": {"kind": "random", "min_distance": 0.95},
            "velocities": {"kind": "maxwell_boltzmann", "temperature": 0.6},
        },
    },
    "harmonic_bond, harmonic_angle, berendsen": _molecules(
        {"bond": _BONDS, "angle": _ANGLES},
        [_ENDS],
        ["potentials.bond", "potentials.angle", "dynamics.thermostat", "system.positions", "dynamics.integrator.dt"],
        thermostat={"kind": "berendsen", "temperature": 0.01, "tau": 0.5},
    ),
    "harmonic_bond by term, harmonic_angle by type": _molecules(
        {
            "bond": {**_BONDS, "r0": [0.65, 0.7, 0.68, 0.66]},
            "angle": {**_ANGLES, "theta0": {"C-O-C": 1.8}, "k": {"C-O-C": 12.0}},
        },
        [_ENDS, {**_ENERGY, "frames": _THIRD, "weight": 0.1}],
        ["potentials.bond", "potentials.angle"],
    ),
    "neural_bond as a force": _molecules(
        {"bond": _BONDS, "nn": _network("force", ["tanh", "tanh"])}, [_TRIANGLE], ["potentials.nn.weights"]
    ),
    "neural_bond as an energy, langevin": _molecules(
        {"bond": _BONDS, "nn": _network("energy", ["silu", "identity"])},
        [_TRIANGLE],
        ["potentials.nn.weights", "potentials.bond"],
        integrator={"kind": "langevin", "dt": 0.05, "friction": 0.4, "temperature": 0.02},
    ),
    "lennard_jones and spline_pair": {
        **_fluid(_LJ, [_ENERGY], ["potentials.spline"]),
        "potentials": {"lj": _LJ, "spline": _SPLINE},
    },
    "spline_pair of two types, linear core": {
        **_fluid(_LJ, [_ENERGY], ["potentials.spline.values", "potentials.lj.sigma"]),
        "potentials": {"lj": _LJ, "spline": {**_SPLINE, "from": 0.8, "core": "linear", "types": ["A", "B"]}},
    },
    "fene_bond with repulsion": _molecules(
        {"bond": {**_FENE, "sigma": 0.7, "epsilon": 0.5}, "angle": _ANGLES},
        [_ENDS],
        ["potentials.bond", "system.positions"],
    ),
    "fene_bond by type and term": _molecules(
        {"bond": {**_FENE, "k": {"C-O": 20.0}, "r_max": [1.2, 1.3, 1.2, 1.25]}},
        [{**_ENDS, "target": 0.9}],
        ["potentials.bond"],
    ),
    "langevin, averages by reweight": {
        **_fluid(
            _LJ,
            [
                # Weights with which the terms have slopes of one size.
                {**_RDF, "target": 0.8, "frames": {"every": 4}, "weight": 80.0},
                {**_ENERGY, "frames": {"every": 2}, "reduce": "variance"},
                {
                    "observable": {"kind": "nearest_distance"},
                    "target": 1.0,
                    "frames": {"every": 2},
                    "reduce": "none",
                    "weight": 600.0,
                },
            ],
            ["potentials.lj", "system.box", "dynamics.integrator.temperature"],
            integrator=_LANGEVIN,
            steps=40,
        ),
        "gradient": {"method": "reweight"},
    },
    "quickmin, frequencies, implicit": _at_rest(
        [
            {"observable": {"kind": "distance", "pairs": [[0, 1], [0, 2]]}, "target": 1.2},
            {"observable": {"kind": "frequencies"}, "target": [1.5, 4.0, 5.0], "weight": 0.01},
        ],
        ["potentials.bond", "system.atoms.0.mass"],
    ),
}

_OBSERVED = ["potentials.lj.sigma", "system.atoms.0.mass", "system.box", "system.positions"]
_OBSERVED_MOLECULES = ["potentials.bond.r0", "potentials.angle.theta0", "system.positions"]
_BENT: Data = {"bond": _BONDS, "angle": _ANGLES}

CASES: Mapping[str, Data] = {
    **DYNAMICS,
    **{
        f"{named(one)}, in every reduction": _fluid(_LJ, in_every_reduction(one), _OBSERVED, thermostat=_RATES)
        for one in FLUID
    },
    "correlations and fluctuations": _fluid(_LJ, over_the_series(FLUID_SERIES), _OBSERVED, thermostat=_RATES),
    **{
        f"{named(one)}, in every reduction": _molecules(
            _BENT, in_every_reduction(one), _OBSERVED_MOLECULES, steps=12, thermostat={**_RATES, "tau": 0.5}
        )
        for one in MOLECULES
    },
    "flexibility": _molecules(_BENT, over_the_series(MOLECULES_SERIES), _OBSERVED_MOLECULES, steps=12),
}

ONE_A_FAMILY: Sequence[str] = (
    "lennard_jones shifted_force, rescale, nearest_distance",
    "lennard_jones switch, geometric mixing, cell list",
    "harmonic_bond, harmonic_angle, berendsen",
    "neural_bond as an energy, langevin",
    "spline_pair of two types, linear core",
    "fene_bond by type and term",
    "langevin, averages by reweight",
    "quickmin, frequencies, implicit",
    "potential_energy, pressure, in every reduction",
    "correlations and fluctuations",
    "angle, dihedral, in every reduction",
)
"""Of each family of potentials, integrators, thermostats, observables and gradient methods one case: what is checked
in a minute or two."""
