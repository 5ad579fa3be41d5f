"""A short run of an objective that is timed, to tell how long the whole would take."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping

import numpy as np

from diffmd.dynamics.run.host_loop import ListControl
from diffmd.losses import END, Frames, LossTerm
from diffmd.objective import Objective, Problem

_PAIRS = 10_000_000
"""Pairs of a neighbour matrix times steps: a plain run of so many takes some tenths of a second on a CPU."""
_SHORTEST, _LONGEST = 10, 500
_FRAMES = 4
"""Frames that a short run takes at least, where the loss is of frames."""


def short_length(objective: Objective, controls: Mapping[str, ListControl]) -> int:
    """Steps of a short run: so that it takes a moment, with room for the frames of every term."""
    longest = max(problem.steps for problem in objective.problems)
    pairs = max(one.dynamics.system.size * controls[one.name].plan.capacity for one in objective.problems)
    wanted = [int(np.clip(_PAIRS // max(pairs, 1), _SHORTEST, _LONGEST))]
    wanted += [
        min(_fewest(term) * term.frames.every, 2 * _LONGEST)
        for one in objective.problems
        for term in one.terms
        if term.frames.start is not None
    ]
    return min(longest, max(wanted))


def shortened(objective: Objective, steps: int) -> Objective:
    """The same objective over at most so many steps."""
    return dataclasses.replace(objective, problems=tuple(_short_problem(one, steps) for one in objective.problems))


def _short_problem(problem: Problem, most: int) -> Problem:
    steps = min(problem.steps, most)
    part = steps / max(1, problem.steps)
    terms = tuple(dataclasses.replace(term, frames=short_frames(term, steps, part)) for term in problem.terms)
    return dataclasses.replace(problem, steps=steps, terms=terms)


def short_frames(term: LossTerm, steps: int, part: float) -> Frames:
    """The term's schedule in a `part` of the run, of `steps` steps: as dense, over the same part of it, with as many
    frames as the term needs."""
    frames, fewest = term.frames, _fewest(term)
    if frames.start is None:
        return END
    every = min(frames.every, max(1, steps // fewest))
    start = min(int(frames.start * part), max(0, steps - fewest * every))
    stop = None if frames.stop is None else min(steps, max(int(frames.stop * part), start + fewest * every))
    return Frames(start, stop, every)


def _fewest(term: LossTerm) -> int:
    """Frames that a term needs at least."""
    return max(_FRAMES, term.least_frames, term.lags or 0)


def timed(work: Callable[[], object], repeats: int, patience: float) -> float:
    """Seconds of the quickest of a few calls, after one that compiles; fewer calls where they take longer."""
    work()
    times: list[float] = []
    while len(times) < repeats and sum(times) < patience:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
