"""``diffmd bench``: this machine's speed: a step of the simulation, and what a gradient costs beside it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.reverse import Reverse
from diffmd.commands.experiment import check_stop, copied, made_ready, resources, starting_parameters
from diffmd.commands.quiet import QuietReporter
from diffmd.commands.reporter import Reporter
from diffmd.commands.request import CommandResult, Request
from diffmd.commands.session import Session
from diffmd.config.build import Experiment, build
from diffmd.config.checks.check import require_loss
from diffmd.config.loading import LoadedConfig, load_data

_REPEATS = 3


def _liquid(count: int, precision: str) -> dict[str, Any]:
    return {
        "seed": 1,
        "precision": precision,
        "system": {
            "atoms": [{"type": "A", "count": count, "mass": 1.0}],
            "positions": {"kind": "lattice", "lattice": "fcc", "density": 0.8442},
            "velocities": {"kind": "maxwell_boltzmann", "temperature": 1.4},
        },
        "potentials": {
            "lj": {
                "kind": "lennard_jones",
                "sigma": 1.0,
                "epsilon": 1.0,
                "cutoff": {"kind": "switch", "distance": 2.5, "from": 2.2},
            }
        },
        "dynamics": {
            "integrator": {"kind": "velocity_verlet", "dt": 0.002},
            "steps": 50,
            "neighbors": {"kind": "auto", "skin": 0.3},
        },
        "loss": [{"observable": {"kind": "potential_energy"}, "compare": "none"}],
        "parameters": ["potentials.lj"],
    }


_SIZES = (500, 4000)


def bench(request: Request, reporter: Reporter) -> CommandResult:
    """Times a config, or Lennard-Jones liquids of a few sizes in double precision."""
    with Session.open(request, reporter, "bench") as session:
        if session.done is not None:
            return session.done
        cases: Mapping[str, LoadedConfig]
        if session.loaded is not None:
            require_loss(session.config)
            cases = {Path(str(request.config)).stem: session.loaded}
        else:
            cases = {f"lj_liquid_{size}": load_data(_liquid(size, "double")) for size in _SIZES}
        built = {name: build(loaded, allow_python=request.allow_python) for name, loaded in cases.items()}
        session.begin()
        session.reporter.start(len(cases), "cases", "bench")
        rows = []
        for name, experiment in built.items():
            rows.append(_measured(name, experiment, session))
            session.reporter.advance(1, _line(rows[-1]))
            check_stop(session.reporter)
        session.reporter.finish()
        answer = {"device": f"{session.device.platform} ({session.device.device_kind})", "cases": rows}
        lines = [_line(row) for row in rows]
        return session.finish(CommandResult(answer, [*lines, f"in {session.folder}"], "diffmd gradcheck"))


def _measured(name: str, experiment: Experiment, session: Session) -> dict[str, Any]:
    p = starting_parameters(experiment, None)
    quiet = QuietReporter(session.reporter)
    ready = made_ready(experiment, p, quiet)
    evaluator = Evaluator(experiment.objective)
    reverse = Reverse(experiment.objective, resources().memory)

    def progress(done: int) -> None:
        check_stop(session.reporter)

    forward = _median(lambda: evaluator.one(copied(ready), p, quiet.message, progress))
    gradient = _median(lambda: reverse.gradient(copied(ready), p, quiet.message, progress))
    steps = sum(problem.steps for problem in experiment.objective.problems)
    atoms = sum(problem.dynamics.system.size for problem in experiment.objective.problems)
    return {
        "case": name,
        "atoms": atoms,
        "steps": steps,
        "forward_s": forward,
        "gradient_s": gradient,
        "ratio": gradient / forward,
        "steps_per_s": steps / forward,
    }


def _median(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['case']}: {row['atoms']} atoms, {row['steps_per_s']:.0f} steps/s, "
        f"a gradient costs {row['ratio']:.2f} simulations"
    )
