"""What `diffmd gradient --dry-run` foretells, held against what the gradient then takes (on Linux).

    python benchmarks/dry_run.py [CASE...] [--method NAME]

A process for each case makes the forecasts; then each method that applies runs in a process of its own, which compiles,
gives back what that took, and measures further gradients: memory is the peak of the resident set during one above what
is resident before it, so arrays, buffers and what Python adds, without the program itself, the largest of a few; cost
is its time in steps of the plain simulation, the best of as many in turns. Ratios are forecast over measured: memory
should be within 30 %, cost within a factor of two, of what the dry run timed (`measured`). Peaks of less than a few MB
drown in the rest of the process.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from diffmd.adjoints.evaluate import Evaluator
from diffmd.commands.forecast.dry_run import dry_run
from diffmd.commands.run.experiment import (
    copied,
    first_run,
    made_ready,
    method_spec,
    replicas_in,
    resources,
    starting_parameters,
)
from diffmd.commands.run.reporter import SilentReporter
from diffmd.commands.run.request import Request
from diffmd.config.build import build
from diffmd.config.loading import load

CONFIGS = Path(__file__).parent.parent / "configs"
_LANGEVIN = "dynamics.integrator={kind: langevin, dt: 0.02, friction: 1.0, temperature: 0.3}"
_SHORT = "dynamics.equilibration.steps=500"
_FRAMES = "loss=[{observable: {kind: nearest_distance}, frames: {every: 5}, target: 0.5}]"
_MINIMISED = (
    "system.velocities.temperature=0.2",
    "dynamics.equilibration.thermostat.temperature=0.1",
    "dynamics.integrator={kind: quickmin, dt: 0.02, max_step: 0.05}",
    "dynamics.equilibration.integrator={kind: velocity_verlet, dt: 0.004}",
    "loss=[{observable: {kind: nearest_distance}, frames: end, target: 1.0}]",
    "gradient={method: implicit}",
)
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "lj_fluid": ("lj_fluid.yaml", ()),
    "lj_liquid": ("lj_liquid.yaml", ("dynamics.steps=100", _SHORT)),
    "bond_angle": ("bond_angle.yaml", ()),
    "long": ("lj_fluid.yaml", (_LANGEVIN, "dynamics.thermostat=null", "dynamics.steps=5000", _FRAMES)),
    "large": ("lj_liquid.yaml", ("dynamics.steps=1000", _SHORT)),
    "minimum": ("lj_liquid.yaml", (_SHORT, *_MINIMISED)),
    "root": ("lj_liquid.yaml", ("dynamics.steps=500", _SHORT, "gradient={method: reverse, memory: 15000000}")),
    "levels": ("lj_liquid.yaml", ("dynamics.steps=500", _SHORT, "gradient={method: reverse, memory: 2000000}")),
    "replicas": (
        "lj_fluid.yaml",
        (_LANGEVIN, "dynamics.thermostat=null", "dynamics.steps=1000", "gradient={method: reverse, replicas: 16}"),
    ),
}
_TURNS = 3
_ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Arrays have pages of their own, so that those of one gradient are gone before the next (glibc would keep them)."""


def forecasts(case: str, method: str | None) -> list[dict[str, Any]]:
    """The dry run's rows."""
    file, overrides = CASES[case]
    answer = dry_run(Request(CONFIGS / file, overrides), SilentReporter(), method).answer
    rows: list[dict[str, Any]] = answer["methods"]
    return rows


def measured(case: str, method: str) -> dict[str, float]:
    """Bytes, steps of the plain simulation, and seconds of one gradient, all compiled."""
    file, overrides = CASES[case]
    loaded = load(CONFIGS / file, overrides)
    with jax.enable_x64(loaded.config.precision == "double"):
        experiment = build(loaded)
        p = starting_parameters(experiment, None)
        spec = method_spec(loaded.config, method)
        ready = made_ready(experiment, p, SilentReporter(), None, replicas_in(spec))
        evaluator, adjoint = Evaluator(experiment.objective), spec.adjoint(experiment.objective, resources())
        alone, steps = first_run(ready), sum(problem.steps for problem in experiment.objective.problems)

        def gradient() -> object:
            adjoint.restore({})
            return adjoint.gradient(copied(ready), p, _quiet, _nothing)

        def plain() -> object:
            return evaluator.one(copied(alone), p, _quiet, _nothing)

        whole, run, peaks = [], [], []
        gradient(), plain()
        for _ in range(_TURNS):
            before = _settled()
            whole.append(_seconds(gradient))
            peaks.append(_resident("VmHWM") - before)
            run.append(_seconds(plain))
    return {"memory": max(peaks), "forward_steps": min(whole) / min(run) * steps, "seconds": min(whole)}


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _settled() -> float:
    """Gives free memory back, forgets the peak so far, and says what is resident."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _resident("VmRSS")


def _resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _quiet(text: str) -> None:
    print(f"    {text}", file=sys.stderr)


def _nothing(steps: int) -> None:
    pass


def _apart(*own: str) -> Any:
    """What another process of this script answers."""
    command = [sys.executable, __file__, *own, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **_ALLOCATION})
    return json.loads(done.stdout)


def _compared(case: str, method: str | None) -> None:
    """Prints a line for each method."""
    for row in _apart(case, *(() if method is None else ("--method", method))):
        if row["memory"] is None:
            continue
        real = _apart(case, "--method", row["method"], "--measure")
        memory = f"{row['memory'] / 1e6:9.1f} {real['memory'] / 1e6:9.1f} {row['memory'] / real['memory']:6.2f}"
        cost, actual = row["forward_steps"], real["forward_steps"]
        print(
            f"{case:10s} {row['method']:18s} {memory} {cost:10.0f} {actual:10.0f} {cost / actual:6.2f}   {row['note']}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--method", help="this one alone")
    parser.add_argument("--measure", action="store_true", help="measure one method of one case, in this process")
    parser.add_argument("--json", action="store_true", help="answer for one case, in this process")
    options = parser.parse_args()
    if options.json:
        (only,) = options.cases
        told = measured(only, options.method) if options.measure else forecasts(only, options.method)
        print(json.dumps(told))
    else:
        print(
            f"{'':29s} {'memory/MB':>9s} {'measured':>9s} {'ratio':>6s} {'steps':>10s} {'measured':>10s} {'ratio':>6s}"
        )
        for one in options.cases:
            _compared(one, options.method)
