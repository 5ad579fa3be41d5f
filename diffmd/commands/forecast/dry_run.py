"""``diffmd gradient --dry-run``: what each method would take on this machine, before it is run, and which to take."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable

import jax

from diffmd.adjoints.base import flat_size
from diffmd.adjoints.choice import of_the_path, recommended
from diffmd.commands.forecast.forecast import Candidate, Forecast, Forecaster
from diffmd.commands.run.experiment import left_out, method_spec, starting_parameters
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import CommandResult, Request, typed
from diffmd.config.build import build
from diffmd.config.checks.check import require_loss
from diffmd.config.loading import load, located
from diffmd.config.schema import Config
from diffmd.config.start_files import start_notes
from diffmd.errors import ConfigError, NumericalError
from diffmd.objective import Objective
from diffmd.spec import METHODS

_BUDGET = 12.0
"""Seconds after which no method is timed any more."""
_NOT_THROUGH_STEPS = ("reweight", "implicit")
"""Methods for which options such as `truncate`, of derivatives through steps, have no meaning."""


def dry_run(request: Request, reporter: Reporter, method: str | None = None) -> CommandResult:
    """Foretells what every method that fits the config (or `method` alone) would take, and recommends one.

    A short plain run is timed, and a short gradient of each method while there is time: of the config's own first,
    then of the recommended one. What others cost is told by a rule of thumb.
    """
    begun = time.perf_counter()
    assert request.config is not None
    loaded = load(request.config, request.overrides)
    require_loss(loaded.config)
    with located(loaded), jax.enable_x64(loaded.config.precision == "double"):
        for note in start_notes(loaded.config, loaded.folder):
            reporter.warning(note)
        configured = str(vars(method_spec(loaded.config, method))["method"])
        experiment = build(loaded, allow_python=request.allow_python)
        p = starting_parameters(experiment, None)
        numbers = flat_size(p)
        own = of_the_path(numbers) if configured == "auto" else configured
        reporter.message(_first_line(experiment.objective, numbers))
        names = sorted(name for name in METHODS.members if name != "auto")
        asked = names if method is None else [own]
        reporter.start(1 + len(asked), "methods", "timing")
        work = Forecaster(experiment, p, reporter)
        reporter.advance(1, "the plain simulation")
        fitting, found = _sorted_out(work, names)
        advised = recommended(
            {name: one.kept for name, one in fitting.items() if _keeps_options(loaded.config, name, own)},
            numbers,
            work.steps,
            _frames(experiment.objective),
        )
        first = [own] if advised is None else [own, advised.method]
        for name in dict.fromkeys(name for name in (*first, *asked) if name in asked):
            if name in fitting:
                left = _BUDGET - (time.perf_counter() - begun)
                found[name] = _forecast(work, fitting[name], left)
            reporter.advance(1, name)
        reporter.finish()
    methods = [found[name] for name in asked]
    answer = {
        "dry_run": True,
        "steps": work.steps,
        "methods": [dataclasses.asdict(one) for one in methods],
        "recommended": None if advised is None else dataclasses.asdict(advised),
    }
    lines = [f"{work.steps} steps; a step of the plain simulation takes {work.per_step * 1e3:.3g} ms"]
    lines += [*map(_line, methods)]
    if any(one.memory is not None and not one.measured for one in methods):
        lines.append("~: about, by a rule of thumb; the others were timed, over fewer steps")
    if advised is not None:
        lines.append(f"Recommended: {advised.method}. {advised.reason[0].upper()}{advised.reason[1:]}.")
    other = ("--method", advised.method) if advised is not None and advised.method != configured else ()
    return CommandResult(answer, lines, typed("gradient", request.config, *other))


def _first_line(objective: Objective, numbers: int) -> str:
    atoms = sum(problem.dynamics.system.size for problem in objective.problems)
    steps = sum(problem.steps for problem in objective.problems)
    learnt = f"{numbers} number{'s' if numbers > 1 else ''} to learn"
    return f"{atoms} atoms, {steps} steps, {learnt}; timing short runs, which takes about {_BUDGET:.0f} s"


def _sorted_out(work: Forecaster, names: Iterable[str]) -> tuple[dict[str, Candidate], dict[str, Forecast]]:
    """The methods that fit, and for those that do not, why."""
    fitting: dict[str, Candidate] = {}
    refused: dict[str, Forecast] = {}
    for name in names:
        try:
            fitting[name] = work.candidate(name)
        except ConfigError as problem:
            refused[name] = Forecast(name, None, None, None, str(problem), False)
    return fitting, refused


def _keeps_options(config: Config, name: str, own: str) -> bool:
    """Whether a method heeds the options that the config gives to its own."""
    return name in (own, *_NOT_THROUGH_STEPS) or not left_out(config, name)


def _forecast(work: Forecaster, one: Candidate, left: float) -> Forecast:
    try:
        return work.forecast(one, left)
    except NumericalError as problem:
        return Forecast(one.name, None, None, None, str(problem), True)


def _frames(objective: Objective) -> int:
    """Frames of the loss, of the term that has fewest."""
    return min((len(own) for problem in objective.problems for own in problem.frames), default=0)


def _line(one: Forecast) -> str:
    if one.memory is None:
        return f"{one.method:18s} does not apply: {one.note}"
    about = " " if one.measured else "~"
    sentence = f"{one.method:18s} {about}{one.memory / 1e6:10.1f} MB"
    if one.forward_steps is None or one.seconds is None:
        return f"{sentence}   ({one.note})"
    kept = f"   ({one.note})" if one.note else ""
    return f"{sentence}   {about}{one.forward_steps:12.0f} forward steps   {about}{one.seconds:8.2f} s{kept}"
