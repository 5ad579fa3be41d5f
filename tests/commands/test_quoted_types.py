"""Types called as force fields call them, through every command: learned, stored, drawn, resumed, scanned."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import h5py
import pytest
from support.commanded import Listener, request, same, written

from diffmd.commands.gradient import gradient
from diffmd.commands.look.inspect import inspect
from diffmd.commands.look.plot import plot
from diffmd.commands.run.learned import learned_values
from diffmd.commands.scan import scan
from diffmd.commands.simulate import simulate
from diffmd.commands.train import train

TYPES = ("C.2", "DNA-N*", "CALA/CB", "X:3")
SIGMA = {**dict.fromkeys(TYPES, 0.3), "C.2-DNA-N*": 0.32}
PATHS = ['["C.2"]', '["DNA-N*"]', '["CALA/CB"]', '["X:3"]', '["C.2-DNA-N*"]']
PATHS = [f"potentials.lj.sigma{key}" for key in PATHS]
CUTOFF = {"kind": "shifted_force", "distance": 1.2}
DATA: dict[str, Any] = {
    "units": "md",
    "system": {
        "box": None,
        "atoms": [{"type": name, "count": 1, "mass": 10.0} for name in TYPES],
        "positions": {"kind": "chain", "bond_length": 0.33},
    },
    "potentials": {"lj": {"kind": "lennard_jones", "sigma": SIGMA, "epsilon": 0.5, "cutoff": CUTOFF}},
    "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.002}, "steps": 2},
    "output": {"every": 1},
    "loss": [{"observable": {"kind": "potential_energy"}, "target": -1.0}],
    "parameters": ["potentials.lj.sigma"],
    "train": {"epochs": 2, "optimizer": {"kind": "adam", "learning_rate": 0.001}},
}


@pytest.mark.slow
def test_every_command_takes_them(tmp_path: Path):
    config, fit = written(tmp_path, DATA), tmp_path / "fit"
    answer = train(request(config, fit), Listener()).answer
    assert sorted(answer["parameters"]) == sorted(PATHS)

    # best.yaml runs as it stands, and has the loss that was the best.
    simulate(request(fit / "best.yaml", tmp_path / "best"), Listener())
    again = gradient(request(fit / "best.yaml", tmp_path / "again"), Listener()).answer
    assert again["loss"] == pytest.approx(answer["best_loss"], rel=1e-12)
    assert again["gradients"].keys() == answer["parameters"].keys()
    with h5py.File(tmp_path / "again" / "gradients.h5") as file:
        group = file["gradients/potentials/lj/sigma"]
        assert set(group) == {"C.2", "DNA-N*", "CALA%2FCB", "X:3", "C.2-DNA-N*"}

    train(request(config, fit, "train.epochs=3", resume=True), Listener())
    train(request(config, tmp_path / "whole", "train.epochs=3"), Listener())
    same(fit / "training.h5", tmp_path / "whole" / "training.h5")
    assert sorted(learned_values(f"{fit}@last")) == sorted(PATHS)

    learned = request(config, tmp_path / "on", 'potentials.lj.sigma["C.2"]=0.31', parameters=f"{fit}@1")
    assert gradient(learned, Listener()).answer["parameters"][PATHS[0]] == 0.3

    for number, (over, path) in enumerate(((PATHS[0], PATHS[0]), ("potentials.lj.sigma.CALA/CB", PATHS[2]))):
        run = tmp_path / f"scan{number}"
        assert scan(request(config, run), Listener(), f"{over}=0.29:0.3:2").answer["path"] == path
        plot(run)
    plot(fit)
    plot(fit, kind="rdf", types=("C.2", "CALA/CB"))
    (row,) = inspect([fit])
    assert sorted(row["parameters"]) == sorted(PATHS)
    with (fit / "plots" / "parameters.csv").open() as stream:
        header = next(csv.reader(stream))
    assert all(f"{path} (nm)" in header for path in PATHS)
