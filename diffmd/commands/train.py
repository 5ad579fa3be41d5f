"""``diffmd train``: optimises the parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffmd.adjoints.base import Gradient, Health
from diffmd.adjoints.diagnosis.health import noise
from diffmd.adjoints.diagnosis.zeros import parameter_slopes, zero_warnings
from diffmd.commands.look.labels import labels_of
from diffmd.commands.run.experiment import (
    adjoint_of,
    check_replicas,
    differentiated,
    first_run,
    made_ready,
    replicas_in,
    samples_in,
    starting_parameters,
)
from diffmd.commands.run.nested import NestedReporter
from diffmd.commands.run.readable import value_text
from diffmd.commands.run.recording import link_first, record, recorder_of, trajectory_name
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import CommandResult, Request, typed
from diffmd.commands.run.session import Session
from diffmd.commands.updates import Watched
from diffmd.config.build import Experiment, build
from diffmd.config.checks.check import require_loss, warnings
from diffmd.config.learned import with_learned
from diffmd.config.limits import limit_of
from diffmd.config.sections.train import TrainSpec
from diffmd.config.writing import write_text as yaml_text
from diffmd.config.yaml_reader import read_file
from diffmd.dynamics.run.host_loop import ListControl
from diffmd.errors import ConfigError, NumericalError
from diffmd.io import checkpoint
from diffmd.io.files import renaming, write_text
from diffmd.io.results import LEARNED, WEIGHTS, write_learned, write_weights
from diffmd.io.rundir import BEST, CHECKPOINT, CONFIG, EQUILIBRATED, FINAL
from diffmd.io.training import Epoch, TrainingLog, read_metrics
from diffmd.io.values import dataset_name, refer
from diffmd.objective import P, Ready
from diffmd.training.loop import EpochRecord, Progress, epoch
from diffmd.training.optimizers import Optimizer, OptimizerSpec
from diffmd.training.rules import Rule, Rules

_ADJOINT = "adjoint/"
"""Under which the checkpoint has what the gradient method keeps from one gradient to the next."""
_FAR = 0.5
"""Of a number's start: training that took it further may be why a run fails."""
_SHOWN = 3
"""Numbers that a message names."""


def train(request: Request, reporter: Reporter) -> CommandResult:
    """Trains until the epochs are done or patience is over; a checkpoint after every epoch."""
    with Session.open(request, reporter, "train") as session:
        if session.done is not None:
            return session.done
        require_loss(session.config)
        spec = session.config.train
        if spec is None:
            raise ConfigError("is missing: write `train:` with epochs and optimizer", "train")
        for warning in warnings(session.config):
            session.reporter.warning(warning)
        experiment = build(session.loaded_config, allow_python=request.allow_python)
        start = starting_parameters(experiment, session.learned)
        run = _Training(session, experiment, spec, start)
        run.first_trajectory()
        progress = run.train()
        run.last_files(progress)
        return session.finish(run.result(progress))


def rules_of(experiment: Experiment) -> Rules:
    """What the optimiser must respect of each parameter."""
    return Rules(
        {
            leaf.path: Rule(
                leaf.selection.lower,
                leaf.selection.upper,
                leaf.selection.transform == "positive",
                leaf.selection.learning_rate,
            )
            for leaf in experiment.objective.parameters.leaves
        }
    )


class _Training:
    """One training in its run directory."""

    def __init__(self, session: Session, experiment: Experiment, spec: TrainSpec, start: P) -> None:
        self.session, self.experiment, self.spec, self.start = session, experiment, spec, start
        assert isinstance(spec.optimizer, OptimizerSpec)
        self.optimizer: Optimizer = spec.optimizer.optimizer(rules_of(experiment), spec.clip)
        self.adjoint = adjoint_of(session.config.gradient, experiment)
        self.replicas = replicas_in(session.config.gradient)
        check_replicas(experiment, start, self.replicas)
        data = session.loaded_config.data
        self.units = labels_of(session.loaded_config).named_units(start)
        self.limits = {path: limit_of(data, path, np.ndim(value)) for path, value in start.items()}
        session.begin()
        session.tell_devices(self.replicas)
        self.ready = made_ready(experiment, start, session.reporter, session.folder / EQUILIBRATED, self.replicas)
        self.watched = _watched(experiment, spec, start, self.units)
        self.recorders = {one.name: recorder_of(one) for one in experiment.systems}
        self.warned: set[str] = set()
        self.noisy = False
        self.doubted = False
        self.losses: list[float] = []
        stems = ("trajectory", "trajectory_first")
        self.trajectories = [trajectory_name(experiment, one, stem) for one in experiment.systems for stem in stems]
        session.run.update({"files": self.trajectories})

    @property
    def _checkpoint(self) -> Path:
        return self.session.folder / CHECKPOINT

    def first_trajectory(self) -> None:
        """The trajectory with the starting parameters: the "before"."""
        self._trajectories("trajectory_first", self.start, keep=self.session.resumed)

    def train(self) -> Progress:
        """The epochs that are still to do."""
        progress, log = self._begin()
        self._reached = progress
        reporter = self.session.reporter
        reporter.start(max(self.spec.epochs - progress.epoch, 0), "epochs", "train")
        with log:
            try:
                self._check_limits(progress)
                while progress.epoch < self.spec.epochs and not self._patience_over(progress):
                    progress = self._epoch(progress, log)
            except NumericalError:
                # What was learned before the training left its bounds is not lost with it.
                if self._reached.best_epoch:
                    self.learned_files(self._reached)
                raise
        reporter.finish()
        if progress.epoch < self.spec.epochs:
            reporter.message(f"stopped after epoch {progress.epoch}: no better loss for {self.spec.patience} epochs")
        return progress

    def _epoch(self, progress: Progress, log: TrainingLog) -> Progress:
        """One epoch, its record and its checkpoint."""
        if self._each_epoch:
            quiet = NestedReporter(self.session.reporter)
            controls = self.ready.controls
            self.ready = made_ready(self.experiment, progress.p, quiet, None, self.replicas, controls)
        progress, row = epoch(progress, self.optimizer, self._differentiate, self.spec.min_delta)
        self._reached = progress
        self._warn(row.result, row.p)
        self._warn_of_update(row.p, progress.p)
        self.losses.append(row.result.loss)
        log.append(_logged(row))
        self._save(progress)
        self._check_limits(progress)
        self.session.reporter.advance(1, f"loss {row.result.loss:.6g}")
        if progress.epoch < self.spec.epochs:
            self.session.check_stop()
        return progress

    def last_files(self, progress: Progress) -> None:
        """The learned configs, and the trajectory with the best parameters: the "after"."""
        self.learned_files(progress)
        self._trajectories("trajectory", progress.best_p, keep=False)

    def learned_files(self, progress: Progress) -> None:
        """best.yaml, final.yaml, their weights, and the numbers as arrays."""
        folder = self.session.folder
        write_learned(folder / LEARNED, _arrays(progress.best_p), _arrays(progress.p), self.units)
        data = read_file(folder / CONFIG).data
        written: list[str] = []
        for name, p, file in ((BEST, progress.best_p, WEIGHTS), (FINAL, progress.p, f"final_{WEIGHTS}")):
            learned = with_learned(self.experiment, data, p, file)
            written += learned.weights
            self.session.run.update({"files": [*self.trajectories, *written]})
            for weights, leaves in learned.weights.items():
                write_weights(folder / weights, leaves)
            write_text(folder / name, yaml_text(learned.data))

    def result(self, progress: Progress) -> CommandResult:
        """The answer."""
        folder = self.session.folder
        last = self.losses[-1] if self.losses else self._last_loss()
        answer = {
            "loss": last,
            "best_loss": progress.best if progress.best_epoch else None,
            "epochs": progress.epoch,
            "parameters": _referred(progress.p, "final"),
            "best_parameters": _referred(progress.best_p, "best"),
            **({"units": self.units} if self.units else {}),
            "output": str(folder),
        }
        ended = "" if last is None else f", last {last:.6g} in epoch {progress.epoch}"
        lines = [f"{progress.epoch} epochs; best loss {progress.best:.6g} in epoch {progress.best_epoch}{ended}"]
        if not progress.best_epoch:
            lines = ["0 epochs: nothing was learned"]
        for path, value in progress.best_p.items():
            if np.size(value) == 1:
                unit = self.units.get(path)
                start, last_value = _one(self.start[path], unit), _one(progress.p[path], unit)
                lines.append(f"{path}: {start} -> {_one(value, unit)} (last {last_value})")
        return CommandResult(answer, [*lines, f"in {folder}"], typed("plot", folder))

    def _last_loss(self) -> float | None:
        done = read_metrics(self.session.folder)
        return done[-1]["loss"] if done else None

    @property
    def _each_epoch(self) -> bool:
        sections = [one.effective.dynamics.equilibration for one in self.experiment.systems]
        return any(section is not None and section.each_epoch for section in sections)

    def _patience_over(self, progress: Progress) -> bool:
        return self.spec.patience is not None and progress.waited >= self.spec.patience

    def _differentiate(self, p: P) -> Gradient:
        try:
            return differentiated(self.adjoint, self.experiment, self.ready, p, NestedReporter(self.session.reporter))
        except NumericalError as problem:
            raise NumericalError(f"epoch {self._reached.epoch + 1}: {problem}{self._gone(p)}") from problem

    def _gone(self, p: P) -> str:
        """Which numbers the updates took far from their start, as what may well be the cause of a failure."""
        gone = [
            f"{path} from {_one(self.start[path], self.units.get(path))} to {_one(value, self.units.get(path))}"
            for path, value in p.items()
            if np.size(value) == 1 and np.all(np.abs(value - self.start[path]) > _FAR * np.abs(self.start[path]))
        ]
        if not gone:
            return ""
        return f". The updates took {', '.join(gone[:_SHOWN])}: take a smaller train.optimizer.learning_rate"

    def _begin(self) -> tuple[Progress, TrainingLog]:
        folder = self.session.folder
        if self.session.resumed and checkpoint.exists(self._checkpoint):
            saved = checkpoint.load(self._checkpoint)
            progress = Progress.from_arrays(self.optimizer, self.start, saved.arrays)
            controls = {name: ListControl.from_json(text) for name, text in saved.meta["lists"].items()}
            self.ready = dataclasses.replace(self.ready, controls=controls)
            self.adjoint.restore(
                {
                    name.removeprefix(_ADJOINT): np.asarray(array)
                    for name, array in saved.arrays.items()
                    if name.startswith(_ADJOINT)
                }
            )
            return progress, TrainingLog.resume(folder, progress.epoch)
        terms = sum(len(problem.terms) for problem in self.experiment.objective.problems)
        shapes = {path: np.asarray(value) for path, value in self.start.items()}
        errors = samples_in(self.session.config.gradient)
        log = TrainingLog.create(folder, terms, shapes, errors=errors, units=self.units)
        return Progress.start(self.optimizer, self.start), log

    def _save(self, progress: Progress) -> None:
        lists = {name: control.to_json() for name, control in self.ready.controls.items()}
        kept = {f"{_ADJOINT}{name}": array for name, array in self.adjoint.saved().items()}
        checkpoint.save(self._checkpoint, progress.to_arrays() | kept, {"lists": lists})

    def _check_limits(self, progress: Progress) -> None:
        """Raises NumericalError where an update left what the config may say, such as a mass below zero."""
        for path, value in progress.p.items():
            refusal = self.limits[path].refusal(np.asarray(value))
            if refusal:
                raise NumericalError(
                    f"after epoch {progress.epoch} {path} {refusal}: give it `transform: positive` or `lower` under "
                    "`parameters`, or take a smaller learning rate; "
                    f"--parameters {self.session.folder}@best starts from the best so far"
                )

    def _warn(self, result: Gradient, p: P) -> None:
        slopes = parameter_slopes(self.experiment.objective, p, self.experiment.values)
        for path, warning in zero_warnings(result, slopes).items():
            # Once all of it and once some of it: how many entries they are may change with every epoch.
            known = f"{path} {'whole' if not np.any(result.gradients[path]) else 'part'}"
            if known not in self.warned:
                self.warned.add(known)
                self.session.reporter.warning(warning)
        sentence = noise(result)
        if sentence is not None and not self.noisy:
            self.session.reporter.warning(f"epoch {self._reached.epoch}: {sentence}")
        self.noisy = sentence is not None
        doubts = result.health.doubts
        if doubts and not self.doubted:
            self.session.reporter.warning(f"epoch {self._reached.epoch}: {'. '.join(doubts)}")
        self.doubted = bool(doubts)

    def _warn_of_update(self, before: P, after: P) -> None:
        """Warns, once of each parameter and kind, of a step that left all reason."""
        for one in self.watched:
            found = one.too_far(np.asarray(before[one.path]), np.asarray(after[one.path]))
            for kind, sentence in (("far", found), ("angle", one.no_angle(np.asarray(after[one.path])))):
                if sentence is not None and f"{one.path} {kind}" not in self.warned:
                    self.warned.add(f"{one.path} {kind}")
                    self.session.reporter.warning(f"epoch {self._reached.epoch}: {sentence}")

    def _trajectories(self, stem: str, p: P, *, keep: bool) -> None:
        """Writes a trajectory of each system under another name until it is whole."""
        values = first_run(self.ready).values
        if self._each_epoch:
            values = made_ready(self.experiment, p, NestedReporter(self.session.reporter)).values
        for one in self.experiment.systems:
            path = self.session.folder / trajectory_name(self.experiment, one, stem)
            if keep and path.exists():
                continue
            ready = Ready(values, {one.name: one.control(values[one.name])}, self.ready.key)
            every = self.session.config.output.every
            with renaming(path) as part:
                stop = lambda *_: self.session.check_stop()  # noqa: E731
                quiet, recorder = NestedReporter(self.session.reporter), self.recorders[one.name]
                record(self.experiment, one, recorder, ready, p, part, every, quiet, stop)
            link_first(self.experiment, self.session.folder, stem)


def _watched(experiment: Experiment, spec: TrainSpec, start: P, units: Mapping[str, str]) -> list[Watched]:
    common = vars(spec.optimizer).get("learning_rate")
    return [
        Watched(
            leaf.path,
            np.asarray(start[leaf.path]),
            units.get(leaf.path),
            common if leaf.selection.learning_rate is None else leaf.selection.learning_rate,
            "train.optimizer.learning_rate" if leaf.selection.learning_rate is None else "learning_rate",
        )
        for leaf in experiment.objective.parameters.leaves
    ]


def _logged(row: EpochRecord) -> Epoch:
    return Epoch(
        row.epoch,
        row.result.loss,
        np.asarray(row.result.terms),
        _arrays(row.p),
        row.result.gradients,
        row.norm,
        row.wall,
        row.result.standard_error,
        _health(row.result.health),
    )


def _health(health: Health) -> dict[str, Any]:
    """What an epoch's line has of it: what the method can tell, in a few numbers and a sentence."""
    told = {name: vars(health)[name] for name in ("growth_rate", "horizon", "effective_samples", "advice")}
    return {name: value for name, value in told.items() if value is not None}


def _arrays(p: P) -> dict[str, np.ndarray]:
    return {path: np.asarray(value) for path, value in p.items()}


def _referred(p: P, group: str) -> dict[str, Any]:
    return {path: refer(value, LEARNED, dataset_name(group, path)) for path, value in p.items()}


def _one(value: Any, unit: str | None) -> str:
    return value_text(float(np.ravel(value)[0]), unit)
