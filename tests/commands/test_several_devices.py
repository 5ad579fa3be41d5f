"""Replicas shared out among several devices, which a process without accelerators can have, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.commanded import Listener, request, written
from support.objectives import MOLECULE, changed

from diffmd.commands.gradient import gradient

COUNT = 4
BONDS = changed(
    MOLECULE,
    potentials={"bond": MOLECULE["potentials"]["bond"]},
    parameters=["potentials.bond.r0", "potentials.bond.k"],
    system__velocities={"kind": "maxwell_boltzmann", "temperature": 0.02},
    dynamics__integrator={"kind": "langevin", "dt": 0.05, "friction": 0.5, "temperature": 0.02},
    dynamics__equilibration={"steps": 3},
    dynamics__steps=6,
    loss=[{"observable": {"kind": "distance", "pairs": [[0, 2], [1, 3]]}, "target": 1.0}],
    gradient={"method": "reverse", "replicas": COUNT},
)


@pytest.mark.slow
def test_two_devices_give_what_one_gives(tmp_path: Path):
    config, two = written(tmp_path, BONDS), tmp_path / "two"
    arguments = ("gradient", str(config), "--json", "--device", "cpu", "-o", str(two))
    command = [sys.executable, "-c", "from diffmd.cli import main; main()", *arguments]
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert run.returncode == 0, run.stderr
    assert json.loads((two / "run.json").read_text())["replica_devices"] == 2
    assert "4 replicas on 2 devices" in (two / "run.log").read_text()

    found, wanted = json.loads(run.stdout), gradient(request(config, tmp_path / "one"), Listener()).answer
    assert "replica_devices" not in json.loads((tmp_path / "one" / "run.json").read_text())
    assert found["sign_agreement"] == wanted["sign_agreement"]
    for name in ("gradients", "standard_error"):
        for path, value in wanted[name].items():
            np.testing.assert_allclose(found[name][path], value, rtol=1e-9)
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-12)
    np.testing.assert_allclose(found["health"]["norm"], wanted["health"]["norm"], rtol=1e-9)
