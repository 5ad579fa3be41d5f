"""``diffmd scan``: loss and gradient along a grid of one parameter's values."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from diffmd.adjoints.diagnosis.zeros import parameter_slopes, slope_sentence
from diffmd.commands.look.labels import labels_of
from diffmd.commands.run.experiment import (
    adjoint_of,
    check_replicas,
    copied,
    differentiated,
    made_ready,
    replicas_in,
    starting_parameters,
)
from diffmd.commands.run.nested import NestedReporter
from diffmd.commands.run.readable import value_text
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import CommandResult, Request, typed
from diffmd.commands.run.session import Session
from diffmd.config.build import Experiment, build
from diffmd.config.checks.check import require_loss, warnings
from diffmd.config.checks.temperatures import temperature_problems
from diffmd.config.effective import effective_systems
from diffmd.config.limits import limit_of
from diffmd.config.schema import Config
from diffmd.errors import ConfigError, NumericalError
from diffmd.io import checkpoint
from diffmd.io.results import Scan, write_scan
from diffmd.io.rundir import CHECKPOINT, EQUILIBRATED
from diffmd.io.values import plain
from diffmd.paths import assigned, select, sliced, split
from diffmd.quantities import QuantityError, read_number
from diffmd.units import Units

_GRID = re.compile(r"(?P<start>[^:]+):(?P<stop>[^:]+):(?P<number>\d+)")
_MOST = 1_000_000


@dataclasses.dataclass(frozen=True)
class Over:
    """``--over PATH=START:STOP:NUM`` as it was written."""

    text: str
    path: str
    start: str
    stop: str
    number: int

    @staticmethod
    def parse(text: str) -> Over:
        """Raises ConfigError unless `text` has that form."""
        path, grid = assigned(text.strip()) or ("", "")
        match = _GRID.fullmatch(grid)
        if not match:
            raise ConfigError(f"--over {text}: write PATH=START:STOP:NUM, such as potentials.lj.sigma=0.4:0.6:21")
        try:
            split(path)
        except ConfigError as problem:
            raise ConfigError(f"--over {text}: {problem.message}") from None
        number = int(match["number"])
        if not 1 <= number <= _MOST:
            raise ConfigError(f"--over {text}: the number of points is {number}; take 1 to {_MOST}")
        return Over(text, path, match["start"].strip(), match["stop"].strip(), number)

    def grid(self, dimension: str, units: Units) -> Grid:
        """The grid of a parameter of a dimension. Raises ConfigError for an end that is no such number."""
        start, stop = (self._end(end, dimension, units) for end in (self.start, self.stop))
        return Grid(self.path, np.linspace(start, stop, self.number))

    def _end(self, text: str, dimension: str, units: Units) -> float:
        try:
            value = read_number(text, dimension, units)
        except QuantityError as problem:
            raise ConfigError(f"--over {self.text}: {problem}") from None
        if not np.isfinite(value):
            raise ConfigError(f"--over {self.text}: {text!r} is not finite")
        return value


@dataclasses.dataclass(frozen=True)
class Grid:
    """The values of a scan, ends included."""

    path: str
    values: Float[np.ndarray, "points"]


def scan(request: Request, reporter: Reporter, over: str) -> CommandResult:
    """Loss and gradient at each point of `over`; a point that fails is null, and the scan goes on."""
    wanted = Over.parse(over)
    with Session.open(request, reporter, "scan", {"over": over}) as session:
        if session.done is not None:
            return session.done
        labels = labels_of(session.loaded_config)
        grid = wanted.grid(labels.dimension(wanted.path), labels.units)
        _require(session.config, grid)
        _require_moving(session.config, grid)
        for warning in warnings(session.config):
            session.reporter.warning(warning)
        experiment = build(session.loaded_config, allow_python=request.allow_python, scanned=grid.path)
        start = starting_parameters(experiment, session.learned)
        path = _scanned(experiment, grid)
        grid = dataclasses.replace(grid, path=path)
        _check_values(grid, session.loaded_config.data, np.ndim(start[path]), over)
        replicas = replicas_in(session.config.gradient)
        check_replicas(experiment, start, replicas)
        adjoint = adjoint_of(session.config.gradient, experiment)
        session.begin()
        session.tell_devices(replicas)
        ready = made_ready(experiment, start, session.reporter, session.folder / EQUILIBRATED, replicas)
        shape = np.shape(start[path])
        unit = labels.unit(path)
        done = _restored(session, grid, shape, unit)
        session.reporter.start(len(grid.values) - len(done.value), "points", "scan")
        try:
            for value in grid.values[len(done.value) :]:
                p = {**start, path: jnp.full(shape, value, start[path].dtype)}
                loss, slope = float("nan"), np.full(shape, np.nan)
                # Every point stands for itself, whichever were computed before it.
                adjoint.restore({})
                try:
                    result = differentiated(adjoint, experiment, copied(ready), p, NestedReporter(session.reporter))
                    loss, slope = result.loss, result.gradients[path]
                    odd = parameter_slopes(experiment.objective, p, experiment.values).get(path)
                    if odd is not None and odd.infinite:
                        # The rest of the derivative is no gradient.
                        slope = np.full(shape, np.nan)
                        session.reporter.warning(f"no gradient at {value:.6g}: {slope_sentence(path, odd)}")
                except NumericalError as failure:
                    session.reporter.warning(f"{path} = {value_text(value, unit)}: {failure}")
                done = Scan(
                    grid.path,
                    np.append(done.value, value),
                    np.append(done.loss, loss),
                    np.concatenate([done.gradient, np.asarray(slope)[None]]),
                    unit,
                )
                arrays = {"value": done.value, "loss": done.loss, "gradient": done.gradient}
                checkpoint.save(session.folder / CHECKPOINT, arrays)
                session.reporter.advance(1, f"loss {loss:.6g}")
                session.check_stop()
        finally:
            # A scan that was stopped can be drawn as far as it came.
            if len(done.value):
                write_scan(session.folder, done)
        session.reporter.finish()
        failed = int(np.sum(~np.isfinite(done.loss)))
        lines = [f"{len(done.value)} points of {path}, {failed} failed", f"in {session.folder}"]
        if failed == len(done.value):
            raise NumericalError(f"every point of the scan over {path} failed; see {session.folder}/run.log")
        return session.finish(CommandResult(_answer(done), lines, typed("plot", session.folder)))


def _require(config: Config, grid: Grid) -> None:
    entry = [grid.path] if not config.parameters else list(config.parameters)
    require_loss(config.model_copy(update={"parameters": entry}))


def _require_moving(config: Config, grid: Grid) -> None:
    """Raises ConfigError where a scan over a temperature leaves one in the loss behind."""
    for problem in temperature_problems(config, effective_systems(config), [grid.path]):
        raise problem


def _check_values(grid: Grid, data: Mapping[str, Any], dimensions: int, over: str) -> None:
    """Raises ConfigError where the config could not have a value of the grid."""
    refusal = limit_of(data, grid.path, dimensions).refusal(grid.values)
    if refusal:
        raise ConfigError(f"--over {over}: {grid.path} {refusal}")


def _scanned(experiment: Experiment, grid: Grid) -> str:
    """The path of the parameter that is scanned, as reports have it."""
    stem, brackets = sliced(grid.path)
    leaves = [leaf.path for leaf in experiment.objective.parameters.leaves]
    found = [path for path in leaves if path == f"{stem}[{brackets}]"]
    if brackets is None:
        found = [
            path for path in select(stem, leaves) if len(split(path)) == len(split(stem)) and sliced(path)[1] is None
        ]
    if len(found) != 1:
        raise ConfigError(f"--over {grid.path} names no single value; scan one of its leaves")
    return found[0]


def _restored(session: Session, grid: Grid, shape: tuple[int, ...], unit: str | None) -> Scan:
    path = session.folder / CHECKPOINT
    if session.resumed and checkpoint.exists(path):
        arrays = checkpoint.load(path).arrays
        value, loss, slope = (np.asarray(arrays[name]) for name in ("value", "loss", "gradient"))
        return Scan(grid.path, value, loss, slope, unit)
    return Scan(grid.path, np.zeros(0), np.zeros(0), np.zeros((0, *shape)), unit)


def _answer(done: Scan) -> dict[str, Any]:
    points = [
        {"value": float(v), "loss": plain(float(loss)), "gradient": plain(g)}
        for v, loss, g in zip(done.value, done.loss, done.gradient, strict=True)
    ]
    return {"path": done.path, **({} if done.unit is None else {"unit": done.unit}), "points": points}
