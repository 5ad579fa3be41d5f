"""What a gradient costs beside the plain simulation: forward and reverse in one process.

    python benchmarks/gradient_cost.py [--repeats N]

Prints a line a case with forward_s and gradient_s (median wall times after compilation), their ratio, and peak_mb (the
process's peak memory so far). lj_fluid runs its 500 steps; lj_liquid 100 steps of its 500 atoms, from its lattice.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax

from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.commands.run.experiment import copied, made_ready, starting_parameters
from diffmd.commands.run.reporter import SilentReporter
from diffmd.config.build import build
from diffmd.config.loading import load

CONFIGS = Path(__file__).parent.parent / "configs"
CASES = {
    "lj_fluid": ("lj_fluid.yaml", ()),
    "lj_liquid": ("lj_liquid.yaml", ("dynamics.steps=100", "dynamics.equilibration.steps=500")),
}


def measure(name: str, repeats: int) -> str:
    """One line."""
    file, overrides = CASES[name]
    loaded = load(CONFIGS / file, overrides)
    with jax.enable_x64(loaded.config.precision == "double"):
        experiment = build(loaded)
        p = starting_parameters(experiment, None)
        ready = made_ready(experiment, p, SilentReporter())
        evaluator, reverse = Evaluator(experiment.objective), Reverse(experiment.objective, 1 << 30)
        forward, gradient = _medians(
            lambda: evaluator.one(copied(ready), p, _quiet, _nothing),
            lambda: reverse.gradient(copied(ready), p, _quiet, _nothing),
            repeats,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    times = f"forward_s={forward:.4f} gradient_s={gradient:.4f} ratio={gradient / forward:.2f}"
    return f"{name:10s} {times} peak_mb={peak:.0f}"


def _medians(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median wall times, measured in turns, so that what else the machine does falls on both."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for work, own in zip((first, second), times, strict=True):
            start = time.perf_counter()
            work()
            # The first turn compiles.
            own += [time.perf_counter() - start] if turn else []
    return statistics.median(times[0]), statistics.median(times[1])


def _quiet(text: str) -> None:
    print(f"    {text}", file=sys.stderr)


def _nothing(steps: int) -> None:
    pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    options = parser.parse_args()
    for case in options.cases:
        print(measure(case, options.repeats), flush=True)
