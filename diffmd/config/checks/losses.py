"""Loss terms: frames within the run, targets that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from diffmd.config.curves import read_curve
from diffmd.config.effective import EffectiveSystem
from diffmd.config.sections.loss import FramesSpec, LossTermSpec, TargetFileSpec
from diffmd.config.terms import frames_of
from diffmd.errors import ConfigError
from diffmd.losses import LossTerm, frame_steps
from diffmd.observables.base import Observable, SeriesObservable


def loss_problems(one: EffectiveSystem, folder: Path) -> Iterator[ConfigError]:
    """What is wrong with the terms of a system's loss."""
    for number, term in enumerate(one.loss):
        path = f"{one.loss_path}.{number}"
        if isinstance(term.frames, FramesSpec):
            yield from _frames(term.frames, one.dynamics.steps, f"{path}.frames")
        yield from _target(term, folder, f"{path}.target")


def _frames(frames: FramesSpec, steps: int, path: str) -> Iterator[ConfigError]:
    if frames.from_ > steps:
        yield ConfigError(f"{frames.from_} is beyond the run, which ends at step {steps}", f"{path}.from")
    elif frames.to is not None and frames.to > steps:
        yield ConfigError(f"{frames.to} is beyond the run, which ends at step {steps}", f"{path}.to")
    elif frames.to is not None and frames.to < frames.from_:
        yield ConfigError(f"{frames.to} comes before `from`, {frames.from_}", f"{path}.to")


def _target(term: LossTermSpec, folder: Path, path: str) -> Iterator[ConfigError]:
    if term.compare == "none" and term.target is not None:
        yield ConfigError("compare: none takes the value itself; leave the target out or choose a comparison", path)
    if term.compare != "none" and term.target is None:
        yield ConfigError(
            f"is missing: compare: {term.compare} needs a target; compare: none takes the value itself", path
        )
    if isinstance(term.target, TargetFileSpec):
        file = folder / Path(term.target.path).expanduser()
        if file.is_file():
            try:
                read_curve(file)
            except ConfigError as problem:
                yield ConfigError(problem.message, f"{path}.path")
    if isinstance(term.target, list) and _ragged(term.target):
        yield ConfigError("the rows of an array must be of one length, and not empty", path)
    if isinstance(term.target, (int, float)) and term.compare == "kullback_leibler":
        yield ConfigError("compare: kullback_leibler takes a distribution: an array or a curve", path)
    if term.compare == "relative" and term.target == 0:
        yield ConfigError("compare: relative divides by the target, which is 0; use absolute or squared", path)


def _ragged(rows: object) -> bool:
    if not isinstance(rows, list):
        return False
    shapes = {len(row) if isinstance(row, list) else None for row in rows}
    return len(shapes) != 1 or any(_ragged(row) for row in rows)


def series_problems(
    one: EffectiveSystem, observables: Mapping[str, Observable | SeriesObservable]
) -> Iterator[ConfigError]:
    """Reductions and numbers of frames that do not go with the observables, of those that could be built."""
    for number, term in enumerate(one.loss):
        path = f"{one.loss_path}.{number}"
        observable = observables.get(f"{path}.observable")
        if observable is None:
            continue
        form = LossTerm(
            path, observable, frames_of(term.frames), term.reduce, term.compare, None, term.weight, term.lags
        )
        try:
            steps = frame_steps(form, one.dynamics.steps)
        except ConfigError:
            # `loss_problems` says so.
            continue
        try:
            form.check_series(len(steps))
        except ConfigError as problem:
            yield problem
