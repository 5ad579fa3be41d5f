"""The check of one group of cases: its config built, its methods chosen, its rows, and the line that tells of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from diffmd.adjoints.diagnosis.zeros import parameter_slopes
from diffmd.adjoints.gradcheck.check import check, directions
from diffmd.adjoints.gradcheck.verdicts import Row
from diffmd.adjoints.methods import MethodSpec, ReverseSpec
from diffmd.commands.gradcheck.groups import Group, fits, matching
from diffmd.commands.look.labels import Labels, labels_of
from diffmd.commands.run.experiment import (
    check_stop,
    copied,
    explained,
    made_ready,
    resources,
    starting_parameters,
)
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import Request
from diffmd.config.build import Experiment, build
from diffmd.config.checks.methods import method_problems
from diffmd.config.loading import LoadedConfig
from diffmd.dynamics.run.host_loop import DivergedError
from diffmd.errors import ConfigError
from diffmd.objective import P, Ready
from diffmd.spec import METHODS as KINDS

METHODS = ("reverse", "forward", "reversible", "implicit", "reweight")
"""What can be checked, where it fits the config; finite differences are the judge, of reweight those on
the same frames."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A group's config built, its parameters, and the methods that fit it."""

    experiment: Experiment
    p: P
    methods: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A group, and what was prepared of it before the run began; None: it is prepared where it is checked."""

    group: Group
    prepared: Prepared | None


@dataclasses.dataclass(frozen=True, eq=False)
class Checked:
    """A group's rows, what the units of its parameters are found in, the seconds it took, and how many cases it is."""

    rows: list[Row]
    labels: Labels
    seconds: float
    cases: int

    def line(self, case: str) -> str:
        """What is said of one of its cases."""
        own = [row for row in self.rows if row.case == case]
        agree = sum(row.verdict == "agrees" for row in own)
        sentence = f"{agree} of {len(own)} agree" if own else "no method that was asked for fits"
        beside = f", with {self.cases - 1} more" if self.cases > 1 else ""
        return f"{case}: {sentence} ({self.seconds:.1f} s{beside})"


@dataclasses.dataclass(frozen=True, eq=False)
class Check:
    """What is asked of every group.

    Attributes:
        methods: those asked for; none: all that fit.
        rtol: relative tolerance; None: the precision's.
        only: a pattern for the names of parameters; None: all.
        learned: path -> value of ``--parameters``; None without.
        built_in: whether it is the built-in set, whose terms are balanced, and where a method that does not fit is
            left out in silence.
    """

    request: Request
    methods: Sequence[str]
    rtol: float | None
    only: str | None
    learned: Mapping[str, np.ndarray] | None
    built_in: bool

    def prepared(self, group: Group) -> Prepared:
        """A group made ready to be checked. Raises ConfigError."""
        loaded = group.load()
        methods = self.fitting(loaded)
        experiment = build(loaded, allow_python=self.request.allow_python)
        p = starting_parameters(experiment, self.learned)
        if self.only is not None:
            matching(self.only, directions(p)[0], "parameter of this config")
        return Prepared(experiment, p, methods)

    def checked(self, task: Task, workers: int, reporter: Reporter) -> Checked:
        """A group's rows; `workers` such tasks share the memory."""
        began = time.monotonic()
        prepared = task.prepared or self.prepared(task.group)
        rows = self._rows(task.group, prepared, workers, reporter) if prepared.methods else []
        return Checked(rows, labels_of(prepared.experiment.loaded), time.monotonic() - began, len(task.group.losses))

    def _rows(self, group: Group, prepared: Prepared, workers: int, reporter: Reporter) -> list[Row]:
        experiment, p = prepared.experiment, prepared.p
        ready = made_ready(experiment, p, reporter)
        spec = experiment.loaded.config.gradient
        memory = resources().memory if not isinstance(spec, ReverseSpec) or spec.memory == "auto" else spec.memory

        def fresh() -> Ready:
            return copied(ready)

        def progress(done: int) -> None:
            check_stop(reporter)

        try:
            return check(
                group.losses,
                experiment.objective,
                fresh,
                p,
                prepared.methods,
                memory // workers,
                self.rtol,
                reporter.message,
                progress,
                balanced=self.built_in,
                odd=parameter_slopes(experiment.objective, p, experiment.values),
                only=self._wanted,
            )
        except DivergedError as failure:
            raise explained(experiment, ready, p, failure) from failure

    @property
    def _wanted(self) -> Callable[[str], bool]:
        pattern = self.only
        return (lambda name: True) if pattern is None else (lambda name: fits(pattern, name))

    def fitting(self, loaded: LoadedConfig) -> tuple[str, ...]:
        """The methods, of those asked for or of all, that fit a config; of a user's own none that was asked for is left
        out in silence."""
        fitting = []
        # Of averages over the ensemble, and not of one run: what is checked by itself is what the config asks for.
        configured = vars(loaded.config.gradient)["method"]
        for method in self.methods or ((configured,) if configured == "reweight" else METHODS):
            spec = KINDS.members[method]()
            assert isinstance(spec, MethodSpec)
            refused = next(method_problems(loaded.config, spec), None)
            if refused is None:
                fitting.append(method)
            elif self.methods and not self.built_in:
                raise ConfigError(f"--method {method}: {refused.message}", refused.path)
        return tuple(fitting)
