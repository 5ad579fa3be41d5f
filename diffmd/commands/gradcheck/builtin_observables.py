"""The observables of gradcheck's built-in set, each in every reduction over time.

A case is some observables: all their reductions are terms of one loss, which the check weights so that none of their
derivatives is lost in another's. Observables of a series take no reduction and share a case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Data = dict[str, Any]

_FRAMES: Data = {"from": 2, "to": 12, "every": 2}
"""Not from the start, where a deviation from the start has a cusp."""

_REDUCTIONS: Mapping[str, Data] = {
    "mean": {"compare": "none"},
    "none": {"compare": "squared", "target": 0.4},
    "variance": {"compare": "none"},
    "max": {"compare": "none"},
    "correlation": {"compare": "none", "lags": 2},
}

_REFERENCE: Data = {
    "kind": "inline",
    "values": [[0.8, 0.7, 1.4], [1.5, 0.8, 1.5], [2.2, 0.9, 1.7], [0.8, 2.2, 1.5], [1.5, 2.3, 1.3], [2.1, 2.5, 1.6]],
}

_NEAR: Data = {"distance": 1.5, "width": 0.4}

FLUID: Sequence[Sequence[Data]] = (
    ({"kind": "nearest_distance"}, {"kind": "distance", "pairs": [[0, 1], [2, 20]]}),
    ({"kind": "kinetic_energy"}, {"kind": "temperature"}, {"kind": "total_energy"}),
    ({"kind": "potential_energy", "potential": "lj"}, {"kind": "pressure"}, {"kind": "pressure", "temperature": 0.7}),
    (
        {"kind": "rdf", "types": ["A", "B"], "range": [0.8, 1.9], "bins": 8, "width": 0.1},
        {"kind": "coordination", "types": ["A", "B"], "distance": 1.4, "width": 0.1},
    ),
    (
        {"kind": "stress_tensor"},
        {"kind": "density", "of": "mass"},
        {"kind": "density_fluctuation", "cells": [2, 2, 2], "softness": 0.2},
    ),
    ({"kind": "structure_factor", "range": [1.4, 4.0], "bins": 4}, {"kind": "tetrahedral_order", "types": ["A"]}),
    (
        {"kind": "steinhardt", "l": 6, "neighbors": _NEAR},
        {"kind": "steinhardt", "l": 4, "order": "w", "average": "global", "neighbors": _NEAR},
    ),
)
FLUID_SERIES: Sequence[Data] = (
    {"kind": "vacf", "lags": 4, "normalized": True, "remove_com": True, "types": ["B"]},
    {"kind": "vacf_spectrum", "lags": 4},
    {"kind": "msd", "lags": 4},
    {"kind": "diffusion_green_kubo", "lags": 4},
    {"kind": "diffusion_einstein", "from": 2, "to": 4},
    {"kind": "heat_capacity", "temperature": 0.7, "per_atom": True},
    {"kind": "compressibility", "cells": [2, 2, 2], "softness": 0.2},
    {"kind": "binder_cumulant", "observable": {"kind": "temperature"}},
)
MOLECULES: Sequence[Sequence[Data]] = (
    (
        {"kind": "angle", "triples": [[0, 1, 2], [3, 4, 5]]},
        {"kind": "dihedral", "quadruples": [[0, 1, 3, 4], [2, 1, 4, 5]], "output": "vector"},
    ),
    ({"kind": "rmsd", "reference": _REFERENCE, "unwrap": False}, {"kind": "drmsd", "reference": _REFERENCE}),
    (
        {"kind": "radius_of_gyration", "molecules": 2},
        {"kind": "gyration_tensor", "unwrap": False},
        {"kind": "end_to_end", "molecules": 2},
    ),
    ({"kind": "asphericity", "molecules": 2}, {"kind": "shape_anisotropy", "unwrap": False}),
    (
        {"kind": "contacts", "pairs": [[0, 3], [2, 5]], "distance": 1.4, "width": 0.2},
        {
            "kind": "native_contacts",
            "reference": {"kind": "start"},
            "cutoff": 1.2,
            "separation": 0,
            "factor": 1.2,
            "width": 0.2,
        },
    ),
    (
        {"kind": "straightness", "centers": [[0, 1], [2], [5], [4, 3]], "measure": "cosine"},
        {"kind": "nematic_order", "axes": [[0, 2], [3, 5], [1, 4]]},
    ),
    ({"kind": "frequencies", "modes": [8, 9, 10, 11]},),
)
MOLECULES_SERIES: Sequence[Data] = ({"kind": "rmsf", "atoms": [0, 1, 2, 3], "unwrap": False},)


def in_every_reduction(observables: Sequence[Data]) -> list[Data]:
    """A loss with a term for each reduction of each observable."""
    return [
        {"observable": one, "frames": _FRAMES, "reduce": reduce, **rest}
        for one in observables
        for reduce, rest in _REDUCTIONS.items()
    ]


def over_the_series(observables: Sequence[Data]) -> list[Data]:
    """A loss with a term for each observable of a series."""
    return [{"observable": one, "frames": {"from": 1, "to": 12}, "compare": "none"} for one in observables]


def named(observables: Sequence[Data]) -> str:
    """The kinds, each once."""
    return ", ".join(dict.fromkeys(one["kind"] for one in observables))
