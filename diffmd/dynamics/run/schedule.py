"""Which steps are measured, and how a run is cut into segments so that few shapes ever compile."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

_MOST_LEGS = 8


@dataclasses.dataclass(frozen=True)
class Leg:
    """A stretch of steps that is measured evenly: every `stride` steps (0: never), by the measures `active`."""

    steps: int
    stride: int
    active: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Segment:
    """A piece of a leg: `start` is the number of steps done before it."""

    start: int
    steps: int
    stride: int
    active: tuple[int, ...]

    @property
    def frames(self) -> range:
        """The steps that it measures."""
        return range(self.start + self.stride, self.start + self.steps + 1, self.stride) if self.stride else range(0)


def legs(steps: int, frames: Sequence[Int[np.ndarray, "_frames"]]) -> list[Leg]:
    """Cuts steps 1 to `steps` into evenly measured legs.

    Args:
        frames: for each measure, the steps after which it is taken. Step 0 is not part of any leg.

    Where schedules do not fit together into a few legs, one leg measures everything at their common stride, and rows
    that nobody asked for are dropped by `wanted_rows`.
    """
    at: dict[int, list[int]] = {}
    for measure, own in enumerate(frames):
        for step in own:
            if step > 0:
                at.setdefault(int(step), []).append(measure)
    out: list[Leg] = []
    done = 0
    for step in sorted(at):
        gap, active = step - done, tuple(at[step])
        if out and out[-1].stride == gap and out[-1].active == active:
            out[-1] = dataclasses.replace(out[-1], steps=out[-1].steps + gap)
        else:
            out.append(Leg(gap, gap, active))
        done = step
    if done < steps:
        out.append(Leg(steps - done, 0, ()))
    if len(out) > _MOST_LEGS:
        stride = functools.reduce(math.gcd, at)
        last = max(at)
        everything = tuple(sorted({k for active in at.values() for k in active}))
        out = [Leg(last, stride, everything)] + ([Leg(steps - last, 0, ())] if last < steps else [])
    return out


def segments(plan: Iterable[Leg], longest: int, start: int = 0) -> list[Segment]:
    """Cuts legs into segments of at most `longest` steps, of as few different lengths as can be.

    Args:
        start: steps done before the first leg.
    """
    out: list[Segment] = []
    done = start

    def add(steps: int, stride: int, active: tuple[int, ...]) -> None:
        nonlocal done
        out.append(Segment(done, steps, stride, active))
        done += steps

    for leg in plan:
        if leg.stride and leg.stride <= longest:
            for intervals in _parts(leg.steps // leg.stride, max(1, longest // leg.stride)):
                add(intervals * leg.stride, leg.stride, leg.active)
            continue
        for _ in range(leg.steps // leg.stride if leg.stride else 1):
            pieces = _parts(leg.stride or leg.steps, longest)
            for steps in pieces[:-1]:
                add(steps, 0, ())
            add(pieces[-1], pieces[-1] if leg.stride else 0, leg.active)
    return out


def _parts(total: int, most: int) -> list[int]:
    """`total` cut into parts of `most` and a rest: a longer run has the same boundaries."""
    full, rest = divmod(total, most)
    return [most] * full + ([rest] if rest else [])


def wanted_rows(taken: Sequence[int], wanted: Int[np.ndarray, "frames"]) -> Int[np.ndarray, "frames"]:
    """Positions in the steps `taken` of the steps `wanted`."""
    return np.searchsorted(np.asarray(taken), wanted)


def usual_length(pairs: int) -> int:
    """Steps of a segment such that it takes a fraction of a second on a CPU: the host looks up that often.

    Args:
        pairs: size of the neighbour matrix, atoms times K.
    """
    return int(np.clip(100_000_000 // max(pairs, 1), 10, 1000))
