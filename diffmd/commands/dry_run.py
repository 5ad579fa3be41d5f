"""``diffmd gradient --dry-run``: what each method would take on this machine, before it is run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import jax

from diffmd.adjoints.base import Adjoint, Stored
from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.method import MethodSpec
from diffmd.commands.experiment import (
    check_replicas,
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
from diffmd.commands.request import CommandResult, Request, typed
from diffmd.config.build import Experiment, build
from diffmd.config.checks.check import require_loss
from diffmd.config.loading import load
from diffmd.config.start_files import start_notes
from diffmd.errors import ConfigError, NumericalError
from diffmd.losses import END, Frames, LossTerm
from diffmd.objective import Objective, P, Problem, Ready
from diffmd.spec import METHODS

LENGTHS = (100, 300)
"""Steps of the two calibrations at least: the time of the whole lies on the line through theirs."""
_FRAMES = 4
"""Frames that a calibration takes, where the loss is of frames."""
_REPEATS = 3
_PATIENCE = 5.0
"""Seconds after which a calibration is not repeated once more."""
_WHOLE = 60.0
"""Seconds that a plain run may take for a method to be run as a whole, where short runs tell nothing."""


@dataclasses.dataclass(frozen=True)
class _Calibration:
    """A run of the objective, or of its first `steps`, without a gradient."""

    objective: Objective
    steps: int
    plain: Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a method would take.

    Attributes:
        method: its name.
        memory: bytes of arrays at the peak: what is kept, and the buffers of the largest program as XLA planned them.
        forward_steps: the cost, in steps of the plain simulation; None where it cannot be foretold.
        seconds: the same in wall time, once all is compiled.
        note: what is kept, and what cannot be foretold; or why the method does not apply (then all numbers are None).
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
    for note in start_notes(loaded.config, loaded.folder):
        reporter.warning(note)
    with jax.enable_x64(loaded.config.precision == "double"):
        experiment = build(loaded, allow_python=request.allow_python)
        p = starting_parameters(experiment, None)
        quiet = QuietReporter(reporter)
        spec = method_spec(loaded.config, method)
        replicas = replicas_in(spec)
        check_replicas(experiment, p, replicas)
        ready = made_ready(experiment, p, quiet, None, replicas)
        names = [method] if method is not None else _names()
        alone = first_run(ready)

        def progress(done: int) -> None:
            check_stop(reporter)

        def calibration(steps: int) -> _Calibration:
            short = _shortened(experiment.objective, steps)
            evaluator = Evaluator(short)
            return _Calibration(short, steps, lambda: evaluator.one(copied(alone), p, quiet.message, progress))

        steps = sum(problem.steps for problem in experiment.objective.problems)
        longest = max(problem.steps for problem in experiment.objective.problems)
        shorts = [calibration(length) for length in _lengths(experiment.objective)]
        times = [_in_turns(short.plain)[0] for short in shorts]
        per_step = _extended(times, [short.steps for short in shorts], longest) / max(1, steps)
        reporter.start(len(names), "methods", "dry run")
        found = []
        for name in names:
            found.append(_forecast(name, experiment, shorts, calibration, ready, p, per_step, quiet, progress))
            reporter.advance(1)
        reporter.finish()
    answer = {"dry_run": True, "steps": steps, "methods": [dataclasses.asdict(one) for one in found]}
    lines = [f"{steps} steps; a step of the plain simulation takes {per_step * 1e3:.3g} ms", *map(_line, found)]
    return CommandResult(answer, lines, typed("gradient", request.config))


def _names() -> list[str]:
    return sorted(name for name in METHODS.members if name != "auto")


def _forecast(
    name: str,
    experiment: Experiment,
    shorts: Sequence[_Calibration],
    calibration: Callable[[int], _Calibration],
    ready: Ready,
    p: P,
    per_step: float,
    quiet: Reporter,
    progress: Callable[[int], None],
) -> Forecast:
    """One method's: memory from the plans of its programs, cost from gradients of the short objectives."""
    problems = experiment.objective.problems
    steps, longest = sum(problem.steps for problem in problems), max(problem.steps for problem in problems)
    gradients, plains, repeats, temporary = [], [], 0, 0
    try:
        spec: MethodSpec = method_spec(experiment.loaded.config, name)
        count = replicas_in(spec)
        shared = ready if count is not None else first_run(ready)
        whole = spec.adjoint(experiment.objective, resources())
        kept, planned = whole.stored(copied(shared), p), whole.planned(copied(shared), p)
        if not kept.scales:
            if per_step * steps > _WHOLE:
                note = f"{kept.kept}; the cost cannot be foretold: the run, and solves that hang on where it ends"
                return Forecast(name, _memory(kept, planned or 0), None, None, note)
            shorts = [calibration(longest)]
        for short in shorts:
            calibrated = spec.adjoint(short.objective, resources())
            spent, plain = _in_turns(_gradient_of(calibrated, shared, p, quiet, progress), short.plain)
            gradients.append(spent)
            plains.append(plain)
            repeats = calibrated.stored(copied(shared), p).repeats
            temporary = max(temporary, calibrated.temporary() if planned is None else planned)
    except (ConfigError, NumericalError) as problem:
        return Forecast(name, None, None, None, str(problem))
    lengths = [short.steps for short in shorts]
    cost = steps * _extended(gradients, lengths, longest) / _extended(plains, lengths, longest)
    cost += (kept.repeats - repeats) * steps * (count or 1)
    return Forecast(name, _memory(kept, temporary), cost, cost * per_step, kept.kept)


def _memory(kept: Stored, temporary: int) -> float:
    """Bytes at the peak, from what is kept and the buffers of the largest program."""
    at_once = 2 if kept.in_a_row and jax.default_backend() == "cpu" else 1
    return kept.bytes + at_once * temporary


def _gradient_of(
    adjoint: Adjoint, ready: Ready, p: P, quiet: Reporter, progress: Callable[[int], None]
) -> Callable[[], object]:
    def gradient() -> object:
        # Without what the one before it sampled.
        adjoint.restore({})
        return adjoint.gradient(copied(ready), p, quiet.message, progress)

    return gradient


def _lengths(objective: Objective) -> list[int]:
    """Lengths of the calibrations: two, or one where the run itself is short; with frames as far apart as its own."""
    longest = max(problem.steps for problem in objective.problems)
    apart = max(
        (term.frames.every for one in objective.problems for term in one.terms if term.frames.start is not None),
        default=1,
    )
    stretched = max(1.0, _FRAMES * apart / LENGTHS[0])
    return sorted({min(longest, int(length * stretched)) for length in LENGTHS})


def _extended(times: Sequence[float], lengths: Sequence[int], steps: int) -> float:
    """Seconds of a run of `steps`, from those of runs of `lengths`: on the line through them."""
    if len(times) == 1 or lengths[-1] >= steps:
        return times[-1]
    slope = max((times[1] - times[0]) / (lengths[1] - lengths[0]), 0.5 * times[1] / lengths[1])
    return times[1] + slope * (steps - lengths[1])


def _shortened(objective: Objective, steps: int) -> Objective:
    """The same objective over at most so many steps."""
    return dataclasses.replace(objective, problems=tuple(_short_problem(one, steps) for one in objective.problems))


def _short_problem(problem: Problem, most: int) -> Problem:
    steps = min(problem.steps, most)
    part = steps / max(1, problem.steps)
    terms = tuple(dataclasses.replace(term, frames=_short_frames(term, steps, part)) for term in problem.terms)
    return dataclasses.replace(problem, steps=steps, terms=terms)


def _short_frames(term: LossTerm, steps: int, part: float) -> Frames:
    """The term's schedule in a `part` of the run, of `steps` steps: as dense, over the same part of it."""
    frames = term.frames
    if frames.start is None:
        return END
    every = min(frames.every, max(1, steps // _FRAMES))
    start = min(int(frames.start * part), max(0, steps - _FRAMES * every))
    stop = None if frames.stop is None else min(steps, max(int(frames.stop * part), start + _FRAMES * every))
    return Frames(start, stop, every)


def _in_turns(*works: Callable[[], object]) -> list[float]:
    """Seconds of the quickest call of each, called in turns: the first compiles, and others share the machine."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    while len(times[0]) < _REPEATS and sum(map(sum, times)) < _PATIENCE:
        for work, own in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            own.append(time.perf_counter() - start)
    return [min(own) for own in times]


def _line(one: Forecast) -> str:
    if one.memory is None:
        return f"{one.method:18s} does not apply: {one.note}"
    told = f"{one.method:18s} {one.memory / 1e6:10.1f} MB"
    if one.forward_steps is None or one.seconds is None:
        return f"{told}   ({one.note})"
    kept = f"   ({one.note})" if one.note else ""
    return f"{told}   {one.forward_steps:12.0f} forward steps   {one.seconds:8.2f} s{kept}"
