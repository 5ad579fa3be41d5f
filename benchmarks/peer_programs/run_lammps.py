"""LAMMPS's part of benchmarks/peers.py: ``lj/cut``, in a process (of so many MPI ranks) for each run.

    python run_lammps.py FOLDER THREADS

Needs ``lmp``, and for several threads ``mpiexec``, on the PATH. What is timed is its own loop time: the steps alone,
without reading and setting up. A fluid whose velocities diffmd rescales in each step has ``fix temp/rescale`` do so.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from answering import answered

INPUT = """\
units lj
atom_style atomic
read_data {folder}/lammps.data
pair_style lj/cut {cutoff}
pair_coeff 1 1 {epsilon} {sigma}
neighbor {skin} bin
neigh_modify every 1 delay 0 check yes
timestep {dt}
fix move all nve
{thermostat}
thermo {steps}
run {steps}
"""
RESCALED = "fix rescale all temp/rescale 1 {0} {0} 0.0 1.0"


def write_input(folder: Path) -> None:
    """The input script and its data file."""
    start = {name: value.item() if value.ndim == 0 else value for name, value in np.load(folder / "start.npz").items()}
    thermostat = "" if np.isnan(start["rescaled_to"]) else RESCALED.format(start["rescaled_to"])
    text = INPUT.format(folder=folder, thermostat=thermostat, **start)
    (folder / "in.lammps").write_text(text, encoding="utf-8")
    edges = [f"0 {edge:.17g} {axis}lo {axis}hi" for axis, edge in zip("xyz", start["box"], strict=True)]
    inside = start["positions"] % start["box"]
    atoms = [f"{n} 1 {x:.17g} {y:.17g} {z:.17g}" for n, (x, y, z) in enumerate(inside, 1)]
    speeds = [f"{n} {x:.17g} {y:.17g} {z:.17g}" for n, (x, y, z) in enumerate(start["velocities"], 1)]
    sections = {"Masses": [f"1 {start['mass']}"], "Atoms": atoms, "Velocities": speeds}
    head = ["A liquid", "", f"{len(atoms)} atoms", "1 atom types", *edges]
    lines = [line for name, rows in sections.items() for line in ("", name, "", *rows)]
    (folder / "lammps.data").write_text("\n".join([*head, *lines, ""]), encoding="utf-8")


def run(folder: Path, threads: int) -> dict[str, Any]:
    """Seconds of the loop, and the temperature at its end."""
    ranks = ["mpiexec", "-n", str(threads), "-bind-to", "core"] if threads > 1 else []
    command = [*ranks, "lmp", "-in", str(folder / "in.lammps"), "-log", "none"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    loop = re.search(r"^Loop time of (\S+) on", done.stdout, re.MULTILINE)
    assert loop is not None, done.stdout
    last = done.stdout[: loop.start()].split("\n")[-2].split()
    return {"seconds": float(loop.group(1)), "temperature": float(last[1])}


def version() -> str:
    """As it calls itself."""
    told = subprocess.run(["lmp", "-h"], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    found = re.search(r"Simulator - (.*)", told)
    return f"LAMMPS {found.group(1)}" if found else "LAMMPS"


if __name__ == "__main__":
    where, count = Path(sys.argv[1]), int(sys.argv[2])
    write_input(where)
    answered(version(), {"forward": lambda: run(where, count)})
