"""How fast this process simulates and differentiates an experiment: a case of ``diffmd bench``."""

from __future__ import annotations

import dataclasses
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.commands.benchmark.apart import PINS
from diffmd.commands.benchmark.liquids import liquid
from diffmd.commands.run.devices import choose_device
from diffmd.commands.run.experiment import copied, explained, made_ready, resources, starting_parameters
from diffmd.commands.run.failures import in_sentences
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import Request
from diffmd.config.build import BuiltSystem, Experiment, build
from diffmd.config.loading import LoadedConfig, load, load_data
from diffmd.dynamics.run.host_loop import DivergedError
from diffmd.objective import P, Ready
from diffmd.programs import Program
from diffmd.system import Values

_SETTLING = 4
"""Runs, at most, in which list capacities and block lengths are found, before any is timed."""
_FEWEST, _MOST = 3, 25
_PATIENCE = 6.0
"""Seconds after which no further repeat begins, where nobody says how many."""


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed, and how.

    Attributes:
        request: what the command was asked: ``--set``, device, whether Python files are allowed.
        name: what it is called.
        liquid: a config file, or the number of atoms of a built-in liquid.
        precision: ``double`` or ``single``.
        threads: how many cores the process may use.
        repeats: how often; None: as often as a few seconds allow.
        start: where equilibrated atoms are kept, so that cases of one name start from the same.
        folder: the run directory.
    """

    request: Request
    name: str
    liquid: Path | int
    precision: str
    threads: int
    repeats: int | None
    start: Path
    folder: Path

    @property
    def loaded(self) -> LoadedConfig:
        """The config, in the precision of the case."""
        if isinstance(self.liquid, int):
            return load_data({**liquid(self.liquid), "precision": self.precision})
        return load(self.liquid, (*self.request.overrides, f"precision={self.precision}"))


def speed(case: Case, reporter: Reporter) -> dict[str, Any]:
    """Times a case; to be run in a process of its own, whose peak memory it tells and whose programs it compiles anew.

    The plain run, its gradient by reverse mode and a list build are timed in turns once all is compiled and lists are
    settled. What they are is told by `diffmd.commands.benchmark.bench`.

    Raises:
        NumericalError: the run or its gradient left the finite numbers, or memory ran out.
    """
    jax.config.update("jax_enable_compilation_cache", False)
    with (
        in_sentences(case.folder),
        jax.default_device(choose_device(case.request.device)),
        jax.enable_x64(case.precision == "double"),
    ):
        experiment = build(case.loaded, allow_python=case.request.allow_python)
        p = starting_parameters(experiment, None)
        ready = made_ready(experiment, p, reporter, case.start)
        try:
            return _measured(case, experiment, ready, p, reporter)
        except DivergedError as failure:
            raise explained(experiment, ready, p, failure) from failure


def _measured(case: Case, experiment: Experiment, ready: Ready, p: P, reporter: Reporter) -> dict[str, Any]:
    evaluator, reverse = Evaluator(experiment.objective), Reverse(experiment.objective, resources().memory)
    forward = Run(copied(ready), lambda own: evaluator.one(own, p, reporter.message, _nothing))
    gradient = Run(copied(ready), lambda own: reverse.gradient(own, p, reporter.message, _nothing))
    first = {"forward": forward.settle(), "gradient": gradient.settle()}
    builds = forward.builds()
    lists = {name: _list_build(one, forward.ready, p) for one in experiment.systems if builds[name := one.name]}
    times = _in_turns({"forward": forward, "gradient": gradient, **lists}, case.repeats)
    median = {name: statistics.median(own) for name, own in times.items()}
    problems = experiment.objective.problems
    steps = sum(problem.steps for problem in problems)
    moves = sum(problem.steps * problem.dynamics.system.size for problem in problems)
    kept = reverse.stored(copied(gradient.ready), p).bytes
    return {
        "case": case.name,
        "atoms": sum(problem.dynamics.system.size for problem in problems),
        "steps": steps,
        "precision": case.precision,
        "threads": case.threads,
        "pinned": PINS,
        "repeats": len(times["forward"]),
        "forward_s": median["forward"],
        "forward_min_s": min(times["forward"]),
        "forward_max_s": max(times["forward"]),
        "gradient_s": median["gradient"],
        "gradient_min_s": min(times["gradient"]),
        "gradient_max_s": max(times["gradient"]),
        "ratio": median["gradient"] / median["forward"],
        "steps_per_s": steps / median["forward"],
        "ns_per_atom_step": 1e9 * median["forward"] / max(1, moves),
        "list_builds": sum(builds.values()),
        "list_build_s": {name: median[name] for name in lists},
        "list_share": sum(builds[name] * median[name] for name in lists) / median["forward"],
        "forward_compile_s": max(0.0, first["forward"] - median["forward"]),
        "gradient_compile_s": max(0.0, first["gradient"] - median["gradient"]),
        "forward_buffers_mb": evaluator.temporary() / 1e6,
        "gradient_buffers_mb": (kept + reverse.temporary()) / 1e6,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run that starts with the capacities and block lengths that the one before it ended with."""

    ready: Ready
    work: Callable[[Ready], object]

    def __call__(self) -> None:
        self.work(self.ready)

    def settle(self) -> float:
        """Runs until nothing about lists is changed by a run; the seconds that the first took."""
        start = time.perf_counter()
        self()
        took, known = time.perf_counter() - start, None
        for _ in range(_SETTLING):
            if known == (known := [control.to_json() for control in self.ready.controls.values()]):
                break
            self()
        return took

    def builds(self) -> dict[str, int]:
        """The lists that a run builds, of each system."""
        before = {name: control.built for name, control in self.ready.controls.items()}
        self()
        return {name: control.built - before[name] for name, control in self.ready.controls.items()}


def _list_build(one: BuiltSystem, ready: Ready, p: P) -> Callable[[], object]:
    """One build of a system's list, compiled by itself, where its run starts."""
    problem, plan = one.problem, ready.controls[one.name].plan
    values = problem.values(p, ready.values[one.name])

    def build_list(values: Values) -> object:
        x, box = values["system.positions"], problem.box(values)
        return problem.dynamics.forcefield.neighbors(plan, x, box)

    program = Program(build_list)
    jax.block_until_ready(program(values))
    return lambda: jax.block_until_ready(program(values))


def _in_turns(works: Mapping[str, Callable[[], object]], repeats: int | None) -> dict[str, list[float]]:
    """Seconds of each, one after another, so that what else the machine does falls on all."""
    times: dict[str, list[float]] = {name: [] for name in works}
    begun, done = time.perf_counter(), 0
    while done < (repeats or _FEWEST) or (repeats is None and done < _MOST and time.perf_counter() - begun < _PATIENCE):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
        done += 1
    return times


def _nothing(steps: int) -> None:
    pass
