"""Forward mode beside reverse mode, by the number of parameters: where `method: auto` changes from one to the other.

    python benchmarks/methods.py [--repeats N] [--steps N] [--counts N...]

A Lennard-Jones mixture of 200 atoms of eight types, each with its own sigma and epsilon, of which the first so many are
learnt; the potential energy at the end. Prints a line a count: the cost of either gradient in runs of the plain
simulation (the best of a few, in turns), that of `reversible`, and which of the first two is cheaper.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.forward import Forward
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.adjoints.reversible.reversible import Reversible
from diffmd.commands.run.experiment import copied, made_ready, starting_parameters
from diffmd.commands.run.reporter import SilentReporter
from diffmd.config.build import Experiment, build
from diffmd.config.loading import load_data

TYPES = "ABCDEFGH"
COUNTS = (1, 2, 3, 4, 8, 16)


def experiment_of(count: int, steps: int) -> Experiment:
    """A liquid-like box at density 0.6 with `count` learnt numbers."""
    atoms = 200
    edge = float((atoms / 0.6) ** (1 / 3))
    paths = [f"potentials.lj.{key}.{kind}" for kind in TYPES for key in ("sigma", "epsilon")]
    each = [{"type": kind, "count": atoms // len(TYPES), "mass": 1.0} for kind in TYPES]
    data: dict[str, Any] = {
        "seed": 1,
        "system": {
            "box": [edge] * 3,
            "atoms": each,
            "positions": {"kind": "random", "min_distance": 0.85},
            "velocities": {"kind": "maxwell_boltzmann", "temperature": 1.0},
        },
        "potentials": {
            "lj": {
                "kind": "lennard_jones",
                "sigma": dict.fromkeys(TYPES, 1.0),
                "epsilon": dict.fromkeys(TYPES, 1.0),
                "cutoff": {"kind": "shifted_force", "distance": 2.5},
            }
        },
        "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.001}, "steps": steps},
        "loss": [{"observable": {"kind": "potential_energy"}, "compare": "none"}],
        "parameters": paths[:count],
    }
    return build(load_data(data))


def measure(count: int, steps: int, repeats: int) -> str:
    """One line."""
    with jax.enable_x64(True):
        experiment = experiment_of(count, steps)
        objective, p = experiment.objective, starting_parameters(experiment, None)
        ready = made_ready(experiment, p, SilentReporter())
        evaluator, forward, reverse = Evaluator(objective), Forward(objective, None), Reverse(objective, 1 << 30)
        reversible = Reversible(objective)
        run, pushed, pulled, undone = _quickest(
            [
                lambda: evaluator.one(copied(ready), p, _quiet, _nothing),
                lambda: forward.gradient(copied(ready), p, _quiet, _nothing),
                lambda: reverse.gradient(copied(ready), p, _quiet, _nothing),
                lambda: reversible.gradient(copied(ready), p, _quiet, _nothing),
            ],
            repeats,
        )
    cheaper = "forward" if pushed <= pulled else "reverse"
    costs = f"forward={pushed / run:6.2f} reverse={pulled / run:6.2f} reversible={undone / run:6.2f} runs"
    return f"parameters={count:2d} {costs}   {cheaper}"


def _quickest(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """The best wall time of each, measured in turns, so that what else the machine does falls on all."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for work, own in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            # The first turn compiles.
            own += [time.perf_counter() - start] if turn else []
    return [min(own) for own in times]


def _quiet(text: str) -> None:
    print(f"    {text}", file=sys.stderr)


def _nothing(steps: int) -> None:
    pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help=f"at most {2 * len(TYPES)}")
    options = parser.parse_args()
    for number in options.counts:
        print(measure(number, options.steps, options.repeats), flush=True)
