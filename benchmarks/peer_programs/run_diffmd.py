"""diffmd's part of benchmarks/peers.py: makes the start that all programs share, and times runs and gradients from it.

    python run_diffmd.py FOLDER double|single            (one request a line on standard input: see `answered`)
    python run_diffmd.py FOLDER --start ATOMS

The start is what `diffmd bench` starts from: FOLDER gets its checkpoint, and ``start.npz`` with what another program
needs to know of the system, and the temperature that the run ends at.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np
from answering import answered

import diffmd
from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.commands.benchmark.liquids import liquid
from diffmd.commands.benchmark.speed import Run
from diffmd.commands.run.experiment import copied, made_ready, resources, starting_parameters
from diffmd.commands.run.reporter import SilentReporter
from diffmd.config.build import build
from diffmd.config.loading import load_data

CHECKPOINT, START = "equilibrated.h5", "start.npz"


def make_start(folder: Path, atoms: int) -> None:
    """Equilibrates, and writes what it starts from."""
    data = liquid(atoms)
    measured = {**data, "loss": [{"observable": {"kind": "temperature"}, "frames": "end", "compare": "none"}]}
    with jax.enable_x64(True):
        experiment = build(load_data(measured))
        p = starting_parameters(experiment, None)
        ready = made_ready(experiment, p, SilentReporter(), folder / CHECKPOINT)
        (values,) = ready.values.values()
        end, _ = Evaluator(experiment.objective).one(copied(ready), p, _nothing, _nothing)
        (lj,) = data["potentials"].values()
        dynamics: dict[str, Any] = data["dynamics"]
        np.savez(
            folder / START,
            positions=np.asarray(values["system.positions"]),
            velocities=np.asarray(values["system.velocities"]),
            box=np.asarray(values["system.box"]),
            mass=data["system"]["atoms"][0]["mass"],
            sigma=lj["sigma"],
            epsilon=lj["epsilon"],
            cutoff=lj["cutoff"]["distance"],
            skin=dynamics.get("neighbors", {}).get("skin", 0.3),
            dt=dynamics["integrator"]["dt"],
            steps=dynamics["steps"],
            rescaled_to=(dynamics.get("thermostat") or {}).get("temperature", np.nan),
            end=end,
        )


def serve(folder: Path, precision: str) -> None:
    """Answers requests."""
    with jax.enable_x64(precision == "double"):
        experiment = build(load_data({**liquid(len(np.load(folder / START)["positions"])), "precision": precision}))
        p = starting_parameters(experiment, None)
        ready = made_ready(experiment, p, SilentReporter(), folder / CHECKPOINT)
        evaluator, reverse = Evaluator(experiment.objective), Reverse(experiment.objective, resources().memory)
        forward = Run(copied(ready), lambda own: evaluator.one(own, p, _nothing, _nothing))
        gradient = Run(copied(ready), lambda own: reverse.gradient(own, p, _nothing, _nothing))
        forward.settle(), gradient.settle()
        works = {"forward": forward, "gradient": gradient}
        answered(f"diffmd {diffmd.__version__} (jax {jax.__version__}, {precision})", works)


def _nothing(*_: object) -> None:
    pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("precision", nargs="?", default="double")
    parser.add_argument("--start", type=int, metavar="ATOMS")
    options = parser.parse_args()
    if options.start:
        make_start(options.folder, options.start)
    else:
        serve(options.folder, options.precision)
