"""A term that is not finite is named, with what it divides by."""

from __future__ import annotations

import copy
from pathlib import Path

import jax
import numpy as np
import pytest
from support.commanded import written
from support.objectives import MOLECULE, changed

from diffmd.commands.run.lost_terms import lost_terms
from diffmd.config.build import build
from diffmd.config.loading import load, load_data

SERIES = [
    {"kind": "temperature"},
    {"kind": "vacf", "normalized": True},
    {"kind": "binder_cumulant", "observable": {"kind": "distance", "pairs": [[0, 1]]}, "centered": True},
    {"kind": "heat_capacity"},
]


@pytest.mark.parametrize("place", [1, 2, 3])
def test_frames_at_rest(place: int) -> None:
    """Identical frames of atoms at rest: the series say 0/0, and the first of them is named."""
    data = copy.deepcopy(changed(MOLECULE, parameters=["potentials.bond.k"]))
    chosen = [SERIES[0], *SERIES[place:]]
    data["loss"] = [{"observable": one, "frames": "all", "compare": "none"} for one in chosen]
    with jax.enable_x64(True):
        experiment = build(load_data(data))
        problem, values = experiment.systems[0].problem, experiment.systems[0].values
        n = len(values["system.positions"])
        rows = [
            np.zeros(4),
            {"velocities": np.zeros((4, n, 3)), "time": np.arange(4.0)},
            {"parameter": np.ones(4)},
            {"energy": np.ones(4), "temperature": np.zeros(4)},
        ]
        _, terms = problem.finish(jax.tree.map(jax.numpy.asarray, [rows[0], *rows[place:]]))
    told = lost_terms(experiment, [float(term) for term in terms])
    assert told.startswith(
        f"loss.1 ({SERIES[place]['kind']}) is not finite although the trajectory is: as a rule it divides by"
    )


def test_several_systems_and_distributions() -> None:
    data = copy.deepcopy(changed(MOLECULE, parameters=[]))
    curve = {"kind": "vacf", "lags": 2}
    data["loss"] = [
        {"observable": {"kind": "potential_energy"}, "target": 0.0},
        {"observable": curve, "target": [1.0, 0.5], "compare": "kullback_leibler", "frames": "all"},
    ]
    system = {"system": data.pop("system")}
    data["systems"] = {"cold": system, "hot": system}
    with jax.enable_x64(True):
        experiment = build(load_data(data))
    lost, large = float("nan"), 1e308
    told = lost_terms(experiment, [1.0, 1.0, lost, 1.0])
    assert told.startswith("loss.0 (potential_energy) in system hot is not finite")
    assert "no distribution" in lost_terms(experiment, [1.0, lost, 1.0, 1.0])
    told = lost_terms(experiment, [large, large, 1.0, 1.0])
    assert told.startswith("the loss is not finite although each of its terms is")


def test_velocities_that_were_not_to_be_read(tmp_path: Path) -> None:
    code = "def rate(frame, types, p):\n    return (frame.velocities * frame.positions).sum()\n"
    code += "def size(frame, types, p):\n    return 0 * frame.positions.sum()\n"
    (tmp_path / "mine.py").write_text(code)
    kinds = [{"kind": "python", "function": f"./mine.py:{name}", "configurational": True} for name in ("rate", "size")]
    loss = [{"observable": kind, "compare": "none"} for kind in kinds]
    with jax.enable_x64(True):
        experiment = build(load(written(tmp_path, changed(MOLECULE, loss=loss)), []))
        lost = float("nan")
        assert "its function reads velocities" in lost_terms(experiment, [lost, 1.0])
        assert "as a rule it divides by what is zero" in lost_terms(experiment, [1.0, lost])
