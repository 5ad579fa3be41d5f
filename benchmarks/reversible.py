"""Whether `reversible` comes back, how its memory grows with the number of steps, and its time beside `reverse`'s.

    python benchmarks/reversible.py [--steps N] [--atoms N] [--memory BYTES]

100 Lennard-Jones atoms (shifted force, cutoff 2.5) under Langevin dynamics, the potential energy at the end by sigma
and epsilon. Each line is a process of its own: `reversible` over a hundredth of the steps and over all of them, then
`reverse` over all of them within a small budget of stored states, so with checkpoints. It prints steps; returned
(reversible raises unless the walk back ends at the start, bit for bit); peak_mb, the process's peak memory, and
grown_mb, by how much the gradient raised it; and wall_s and cpu_s, the time of one gradient with its compilation.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import jax

from diffmd.adjoints.base import Adjoint
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.adjoints.reversible.reversible import Reversible
from diffmd.commands.run.experiment import copied, made_ready, starting_parameters
from diffmd.commands.run.reporter import SilentReporter
from diffmd.config.build import Experiment, build
from diffmd.config.loading import load_data


def experiment_of(atoms: int, steps: int) -> Experiment:
    """A liquid-like box at density 0.6."""
    edge = float((atoms / 0.6) ** (1 / 3))
    return build(
        load_data(
            {
                "seed": 1,
                "system": {
                    "box": [edge] * 3,
                    "atoms": [{"type": "A", "count": atoms, "mass": 1.0}],
                    "positions": {"kind": "random", "min_distance": 0.85},
                    "velocities": {"kind": "maxwell_boltzmann", "temperature": 1.0},
                },
                "potentials": {
                    "lj": {
                        "kind": "lennard_jones",
                        "sigma": 1.0,
                        "epsilon": 1.0,
                        "cutoff": {"kind": "shifted_force", "distance": min(2.5, edge / 2)},
                    }
                },
                "dynamics": {
                    "integrator": {"kind": "langevin", "dt": 0.002, "friction": 1.0, "temperature": 1.0},
                    "steps": steps,
                },
                "loss": [{"observable": {"kind": "potential_energy"}, "compare": "none"}],
                "parameters": ["potentials.lj"],
            }
        )
    )


def measure(method: str, atoms: int, steps: int, memory: int) -> str:
    """One line."""
    with jax.enable_x64(True):
        experiment = experiment_of(atoms, steps)
        objective = experiment.objective
        adjoint: Adjoint = Reversible(objective) if method == "reversible" else Reverse(objective, memory)
        p = starting_parameters(experiment, None)
        ready = made_ready(experiment, p, SilentReporter())
        before, start, busy = _peak(), time.perf_counter(), time.process_time()
        adjoint.gradient(copied(ready), p, _quiet, _nothing)
        wall, busy = time.perf_counter() - start, time.process_time() - busy
        peak = _peak()
    returned = " returned=True" if method == "reversible" else ""
    memory_used = f"peak_mb={peak:.0f} grown_mb={peak - before:.0f}"
    return f"{method:10s} steps={steps}{returned} {memory_used} wall_s={wall:.1f} cpu_s={busy:.1f}"


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _quiet(text: str) -> None:
    print(f"    {text}", file=sys.stderr)


def _nothing(steps: int) -> None:
    pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--atoms", type=int, default=100)
    parser.add_argument("--memory", type=int, default=16_000_000, help="bytes of stored states that reverse may keep")
    parser.add_argument("--method", choices=("reversible", "reverse"), help="one line, in this process")
    options = parser.parse_args()
    if options.method:
        print(measure(options.method, options.atoms, options.steps, options.memory), flush=True)
    else:
        for method, steps in (
            ("reversible", max(1, options.steps // 100)),
            ("reversible", options.steps),
            ("reverse", options.steps),
        ):
            own = ["--method", method, "--steps", str(steps), "--atoms", str(options.atoms)]
            subprocess.run([sys.executable, __file__, *own, "--memory", str(options.memory)], check=True)
