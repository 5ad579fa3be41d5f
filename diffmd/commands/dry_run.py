"""``diffmd gradient --dry-run``: what each method would take on this machine, before it is run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import jax

from diffmd.adjoints.base import Adjoint
from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.method import MethodSpec
from diffmd.commands.experiment import (
    check_stop,
    copied,
    first_run,
    made_ready,
    method_spec,
    replicas_in,
    resources,
    starting_parameters,
)
from diffmd.commands.quiet import QuietReporter
from diffmd.commands.reporter import Reporter
from diffmd.commands.request import CommandResult, Request
from diffmd.config.build import Experiment, build
from diffmd.config.checks.check import require_loss
from diffmd.config.loading import load
from diffmd.errors import ConfigError, NumericalError
from diffmd.losses import END, Frames, LossTerm
from diffmd.objective import Objective, P, Problem, Ready
from diffmd.spec import METHODS

LENGTHS = (100, 300)
"""Steps of the two calibrations: the time of the whole lies on the line through theirs."""
_REPEATS = 3


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a method would take.

    Attributes:
        method: its name.
        memory: bytes of arrays at the peak: what is kept, and the buffers of the largest program as XLA planned them.
        forward_steps: the cost, in steps of the plain simulation.
        seconds: the same in wall time.
        note: what is kept, or why the method does not apply (then the numbers are None).
    """

    method: str
    memory: float | None
    forward_steps: float | None
    seconds: float | None
    note: str


def dry_run(request: Request, reporter: Reporter, method: str | None = None) -> CommandResult:
    """Calibrates every method that fits the config (or `method` alone) on a short run, and foretells the whole."""
    assert request.config is not None
    loaded = load(request.config, request.overrides)
    require_loss(loaded.config)
    with jax.enable_x64(loaded.config.precision == "double"):
        experiment = build(loaded, allow_python=request.allow_python)
        p = starting_parameters(experiment, None)
        quiet = QuietReporter(reporter)
        spec = method_spec(loaded.config, method)
        replicas = replicas_in(spec)
        ready = made_ready(experiment, p, quiet, None, replicas)
        names = [method] if method is not None else _names()
        lengths = _lengths(experiment.objective)
        shorts = [_shortened(experiment.objective, length) for length in lengths]
        alone = first_run(ready)

        def progress(done: int) -> None:
            check_stop(reporter)

        def plain(short: Objective) -> float:
            evaluator = Evaluator(short)
            return _timed(lambda: evaluator.one(copied(alone), p, quiet.message, progress))

        steps = sum(problem.steps for problem in experiment.objective.problems)
        longest = max(problem.steps for problem in experiment.objective.problems)
        whole = _extended([plain(short) for short in shorts], lengths, longest)
        per_step = whole / max(1, steps)
        reporter.start(len(names), "methods", "dry run")
        found = []
        for name in names:
            found.append(_forecast(name, experiment, shorts, lengths, ready, p, per_step, quiet, progress))
            reporter.advance(1)
        reporter.finish()
    answer = {"dry_run": True, "steps": steps, "methods": [dataclasses.asdict(one) for one in found]}
    lines = [f"{steps} steps; a step of the plain simulation takes {per_step * 1e3:.3g} ms", *map(_line, found)]
    return CommandResult(answer, lines, f"diffmd gradient {request.config}")


def _names() -> list[str]:
    return sorted(name for name in METHODS.members if name != "auto")


def _forecast(
    name: str,
    experiment: Experiment,
    shorts: Sequence[Objective],
    lengths: Sequence[int],
    ready: Ready,
    p: P,
    per_step: float,
    quiet: Reporter,
    progress: Callable[[int], None],
) -> Forecast:
    """One method's, from gradients of the short objectives."""
    problems = experiment.objective.problems
    steps, longest = sum(problem.steps for problem in problems), max(problem.steps for problem in problems)
    times, temporary = [], 0
    try:
        spec: MethodSpec = method_spec(experiment.loaded.config, name)
        count = replicas_in(spec)
        shared = ready if count is not None else first_run(ready)
        for short in shorts:
            calibrated = spec.adjoint(short, resources())
            times.append(_timed(_gradient_of(calibrated, shared, p, quiet, progress)))
            temporary = max(temporary, calibrated.temporary())
        whole = spec.adjoint(experiment.objective, resources()).stored(copied(shared), p)
    except (ConfigError, NumericalError) as problem:
        return Forecast(name, None, None, None, str(problem))
    cost = _extended(times, lengths, longest) / per_step + whole.repeats * steps * (count or 1)
    return Forecast(name, whole.bytes + temporary, cost, cost * per_step, whole.kept)


def _gradient_of(
    adjoint: Adjoint, ready: Ready, p: P, quiet: Reporter, progress: Callable[[int], None]
) -> Callable[[], object]:
    return lambda: adjoint.gradient(copied(ready), p, quiet.message, progress)


def _lengths(objective: Objective) -> list[int]:
    """Lengths of the calibrations: two, or one where the run itself is short."""
    longest = max(problem.steps for problem in objective.problems)
    return sorted({min(longest, length) for length in LENGTHS})


def _extended(times: Sequence[float], lengths: Sequence[int], steps: int) -> float:
    """Seconds of a run of `steps`, from those of runs of `lengths`."""
    if len(times) == 1 or lengths[-1] >= steps:
        return times[-1]
    slope = max((times[1] - times[0]) / (lengths[1] - lengths[0]), 0.5 * times[1] / lengths[1])
    return times[1] + slope * (steps - lengths[1])


def _shortened(objective: Objective, steps: int) -> Objective:
    """The same objective over at most so many steps."""
    return dataclasses.replace(objective, problems=tuple(_short_problem(one, steps) for one in objective.problems))


def _short_problem(problem: Problem, most: int) -> Problem:
    steps = min(problem.steps, most)
    terms = tuple(dataclasses.replace(term, frames=_short_frames(term, steps)) for term in problem.terms)
    return dataclasses.replace(problem, steps=steps, terms=terms)


def _short_frames(term: LossTerm, steps: int) -> Frames:
    """The term's schedule as far as it fits; as dense, where it begins later."""
    frames = term.frames
    if frames.start is None:
        return END
    start = min(frames.start, max(0, steps - 4 * frames.every))
    return Frames(
        start, None if frames.stop is None else min(frames.stop, steps), min(frames.every, max(1, steps // 4))
    )


def _timed(work: Callable[[], object]) -> float:
    """Seconds of the quickest call: the first compiles, and others share the machine with whatever else it does."""
    work()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _line(one: Forecast) -> str:
    if one.memory is None or one.forward_steps is None or one.seconds is None:
        return f"{one.method:18s} does not apply: {one.note}"
    kept = f"   ({one.note})" if one.note else ""
    cost = f"{one.forward_steps:12.0f} forward steps   {one.seconds:8.2f} s"
    return f"{one.method:18s} {one.memory / 1e6:10.1f} MB   {cost}{kept}"
