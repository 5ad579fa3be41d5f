"""``diffmd gradcheck``: every gradient method against finite differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffmd.adjoints.check import Row, check
from diffmd.adjoints.methods import MethodSpec, ReverseSpec
from diffmd.adjoints.zeros import parameter_slopes
from diffmd.commands.builtin_cases import CASES
from diffmd.commands.experiment import (
    changed_options,
    check_stop,
    copied,
    explained,
    made_ready,
    resources,
    starting_parameters,
)
from diffmd.commands.facts import Facts, facts_of
from diffmd.commands.quiet import QuietReporter
from diffmd.commands.reporter import Reporter
from diffmd.commands.request import CommandResult, Request, typed
from diffmd.commands.session import Session
from diffmd.config.build import Experiment, build
from diffmd.config.checks.check import require_loss, warnings
from diffmd.config.checks.methods import method_problems
from diffmd.config.loading import LoadedConfig, load_data
from diffmd.config.schema import Config
from diffmd.dynamics.march import DivergedError
from diffmd.errors import ConfigError
from diffmd.io.results import write_gradcheck
from diffmd.io.values import plain
from diffmd.objective import P, Ready
from diffmd.spec import METHODS as KINDS

METHODS = ("reverse", "forward", "reversible", "implicit", "reweight")
"""What can be checked, where it fits the config; finite differences are the judge, of reweight those on
the same frames."""
_OF_ANOTHER = ("truncate", "clip", "replicas")
"""Options that change what a gradient is of."""


def gradcheck(
    request: Request, reporter: Reporter, methods: Sequence[str] = (), rtol: float | None = None
) -> CommandResult:
    """Checks a config, or without one the built-in set; exit code 4 unless every row agrees."""
    chosen = _methods(methods)
    if rtol is not None and not rtol > 0:
        raise ConfigError(f"--rtol {rtol:g}: the relative tolerance is more than 0")
    options = {"methods": ",".join(chosen), "rtol": str(rtol)}
    with Session.open(request, reporter, "gradcheck", options) as session:
        if session.done is not None:
            return session.done
        if session.loaded is not None:
            require_loss(session.config)
            for warning in [*warnings(session.config), *_left_out(session.config)]:
                session.reporter.warning(warning)
            cases: Mapping[str, LoadedConfig] = {Path(str(request.config)).stem: session.loaded}
        else:
            cases = {name: load_data(data) for name, data in CASES.items()}
        fitting = {name: _fitting(loaded, chosen, session.loaded is not None) for name, loaded in cases.items()}
        built = {name: build(loaded, allow_python=request.allow_python) for name, loaded in cases.items()}
        start = {name: starting_parameters(experiment, session.learned) for name, experiment in built.items()}
        session.begin()
        rows: list[Row] = []
        session.reporter.start(len(cases), "cases", "gradcheck")
        for name, experiment in built.items():
            found = _case(session, name, experiment, start[name], fitting[name], rtol)
            rows += found
            bad = sum(row.verdict != "agrees" for row in found)
            session.reporter.advance(1, f"{name}: {len(found) - bad} of {len(found)} agree")
            check_stop(session.reporter)
        session.reporter.finish()
        passed = all(row.verdict == "agrees" for row in rows)
        facts = {name: facts_of(loaded) for name, loaded in cases.items()}
        told = [{**plain(dataclasses.asdict(row)), **_unit(facts[row.case], row)} for row in rows]
        answer = {"passed": passed, "rows": told}
        write_gradcheck(session.folder, answer)
        agree = sum(row.verdict == "agrees" for row in rows)
        lines = [f"{agree} of {len(rows)} rows agree with finite differences", f"in {session.folder}"]
        following = typed("inspect", session.folder)
        if passed and session.loaded is not None:
            following = typed("gradient" if session.config.train is None else "train", request.config)
        return session.finish(CommandResult(answer, lines, following, 0 if passed else 4))


def _unit(facts: Facts, row: Row) -> dict[str, str]:
    """The unit of the parameter of a row, where it has one."""
    unit = facts.unit(row.parameter)
    return {} if unit is None else {"unit": unit}


def _methods(methods: Sequence[str]) -> tuple[str, ...]:
    for method in methods:
        if method.replace("_", "-") == "finite-difference":
            raise ConfigError("--method finite-difference: it is what the others are checked against; leave it out")
        if method not in METHODS:
            raise ConfigError(f"--method {method}: there are {', '.join(METHODS)}")
    return tuple(dict.fromkeys(methods))


def _left_out(config: Config) -> list[str]:
    """A warning for each option of the config's gradient that makes it another than that of one run."""
    return [
        f"gradcheck is about the exact gradient of one run; gradient.{name} is left out"
        for name in changed_options(config.gradient)
        if name in _OF_ANOTHER
    ]


def _fitting(loaded: LoadedConfig, asked: Sequence[str], own: bool) -> tuple[str, ...]:
    """The methods, of those asked for or of all, that fit a config; of the user's `own` none that was asked for is left
    out in silence."""
    fitting = []
    # Of averages over the ensemble, and not of one run: what is checked by itself is what the config asks for.
    configured = vars(loaded.config.gradient)["method"]
    for method in asked or ((configured,) if configured == "reweight" else METHODS):
        spec = KINDS.members[method]()
        assert isinstance(spec, MethodSpec)
        refused = next(method_problems(loaded.config, spec), None)
        if refused is None:
            fitting.append(method)
        elif asked and own:
            raise ConfigError(f"--method {method}: {refused.message}", refused.path)
    return tuple(fitting)


def _case(
    session: Session, name: str, experiment: Experiment, p: P, methods: Sequence[str], rtol: float | None
) -> list[Row]:
    quiet = QuietReporter(session.reporter)
    ready = made_ready(experiment, p, quiet)
    spec = experiment.loaded.config.gradient
    memory = resources().memory if not isinstance(spec, ReverseSpec) or spec.memory == "auto" else spec.memory

    def fresh() -> Ready:
        return copied(ready)

    def progress(done: int) -> None:
        check_stop(session.reporter)

    try:
        balance = session.loaded is None
        odd = parameter_slopes(experiment.objective, p, experiment.values)
        return check(
            name,
            experiment.objective,
            fresh,
            p,
            methods,
            memory,
            rtol,
            quiet.message,
            progress,
            balance=balance,
            odd=odd,
        )
    except DivergedError as failure:
        raise explained(experiment, ready, p, failure) from failure
