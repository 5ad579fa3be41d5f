"""``diffmd gradcheck``: every gradient method against finite differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from diffmd.adjoints.gradcheck.verdicts import Row
from diffmd.commands.benchmark.apart import usable_cores
from diffmd.commands.gradcheck.groups import Group, built_in
from diffmd.commands.gradcheck.side_by_side import side_by_side
from diffmd.commands.gradcheck.work import METHODS, Check, Checked, Task
from diffmd.commands.look.labels import Labels
from diffmd.commands.run.experiment import changed_options
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import CommandResult, Request, typed
from diffmd.commands.run.session import Session
from diffmd.config.checks.check import require_loss, warnings
from diffmd.config.schema import Config
from diffmd.errors import ConfigError
from diffmd.io.results import write_gradcheck
from diffmd.io.values import plain

_OF_ANOTHER = ("truncate", "clip", "replicas")
"""Options that change what a gradient is of."""


def gradcheck(
    request: Request,
    reporter: Reporter,
    methods: Sequence[str] = (),
    rtol: float | None = None,
    full: bool = False,
    only: str | None = None,
) -> CommandResult:
    """Checks a config, or without one the built-in set; exit code 4 unless every row agrees.

    Args:
        full: all of the built-in set, and not one case a family.
        only: a part of, or a glob for, the names of cases of all of the built-in set; of a config, of its parameters.
    """
    chosen = _methods(methods)
    _check_options(request, rtol, full)
    options = {"methods": ",".join(chosen), "rtol": str(rtol), "full": str(full), "only": only or ""}
    with Session.open(request, reporter, "gradcheck", options) as session:
        if session.done is not None:
            return session.done
        if session.loaded is None:
            check = Check(request, chosen, rtol, None, None, True)
            tasks = [Task(group, None) for group in built_in(full, only)]
            if not any(check.fitting(task.group.load()) for task in tasks):
                raise ConfigError(f"nothing to check: none of these cases takes --method {', '.join(chosen)}")
        else:
            loaded = session.loaded
            require_loss(loaded.config)
            for warning in [*warnings(loaded.config), *_left_out(loaded.config)]:
                session.reporter.warning(warning)
            check = Check(request, chosen, rtol, only, session.learned, False)
            group = Group({Path(str(request.config)).stem: None}, lambda: loaded)
            # What is wrong with it is said before anything is written.
            tasks = [Task(group, check.prepared(group))]
        session.begin()
        found = _all(session, check, tasks)
        rows = [row for case, checked in found.items() for row in checked.rows if row.case == case]
        passed = all(row.verdict == "agrees" for row in rows)
        printed = [{**plain(dataclasses.asdict(row)), **_unit(found[row.case].labels, row)} for row in rows]
        answer = {"passed": passed, "rows": printed}
        write_gradcheck(session.folder, answer)
        agree = sum(row.verdict == "agrees" for row in rows)
        lines = [f"{agree} of {len(rows)} rows agree with finite differences", f"in {session.folder}"]
        following = typed("inspect", session.folder)
        if passed and session.loaded is not None:
            following = typed("gradient" if session.config.train is None else "train", request.config)
        return session.finish(CommandResult(answer, lines, following, 0 if passed else 4))


def _check_options(request: Request, rtol: float | None, full: bool) -> None:
    """Raises ConfigError where options do not fit each other."""
    if rtol is not None and not rtol > 0:
        raise ConfigError(f"--rtol {rtol:g}: the relative tolerance is more than 0")
    if full and request.config is not None:
        raise ConfigError("--full is all of the built-in set; leave it out, or the config")
    if request.parameters is not None and request.config is None:
        raise ConfigError("--parameters: the built-in set starts from values of its own; name a config")


def _all(session: Session, check: Check, tasks: Sequence[Task]) -> dict[str, Checked]:
    """What was found of each case, in their order; said as it comes."""
    cases = [case for task in tasks for case in task.group.losses]
    workers = min(len(usable_cores()), len(tasks))
    if session.loaded is None:
        session.reporter.message(f"{len(cases)} cases{f', {workers} at a time' if workers > 1 else ''}")
    session.reporter.start(len(cases), "cases", "gradcheck")
    found: dict[str, Checked] = {}

    def work(task: Task, reporter: Reporter) -> Checked:
        return check.checked(task, workers, reporter)

    def record(task: Task, checked: Checked) -> None:
        for case in task.group.losses:
            found[case] = checked
            session.reporter.message(checked.line(case))
            session.reporter.advance(1)

    # Those with the most cases first, so that none of them stands alone at the end.
    longest = sorted(tasks, key=lambda task: -len(task.group.losses))
    double = session.precision == "double"
    side_by_side(work, longest, workers, session.reporter, record, session.device, double)
    session.reporter.finish()
    return {case: found[case] for case in cases}


def _unit(labels: Labels, row: Row) -> dict[str, str]:
    """The unit of the parameter of a row, where it has one."""
    unit = labels.unit(row.parameter)
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
