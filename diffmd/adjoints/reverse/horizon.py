"""How many steps back a gradient needs: the horizon up to which truncated gradients agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

AGREE = 0.1
"""Relative distance within which two gradients agree."""

_SAME = 0.5
"""The same where the gradient grows without end: noise on the way there is never much smaller."""

_OUTGROWN = 10.0
"""Times its median so far that a size may be before growth has taken over."""

_KEPT = 4000
"""At so many numbers of steps, evenly spaced, the gradient so far is kept."""

_LOOKED_AT = 200
"""At so many of them at most, fewer where they are large, a search looks."""


@dataclasses.dataclass(frozen=True)
class Back:
    """The gradient that the last n steps of a run tell of.

    With G(n) what the last n steps, and the frames they lead to, add to the gradient on the way back, and phi(n) the
    fraction of the loss's frames among them (the mean over its terms), it is G(n) / phi(n). For a loss at the end of
    the run phi = 1, and this is the gradient with ``truncate: n``. For a loss over the run it is an estimate of that:
    what it would be if every stretch of n steps gave what the last one gives.

    Attributes:
        steps: n, rising; the last is the whole run.
        gradients: a sketch of the gradient for each n (see `probes.sketch`), then one number which is
            zero but for the whole run: the size of what the first state adds.
    """

    steps: Int[np.ndarray, "points"]
    gradients: Float[np.ndarray, "points numbers"]

    def within(self, truncate: int) -> Back:
        """Of at most so many steps."""
        kept = self.steps <= truncate
        return Back(self.steps[kept], self.gradients[kept])


def gathered_back(
    sketches: Float[np.ndarray, "stretches sketch"],
    lengths: Sequence[int],
    start: float,
    frames: Sequence[Int[np.ndarray, "_frames"]],
) -> Back:
    """What each number of last steps gives.

    Args:
        sketches: what each stretch of steps adds, in the order of time.
        lengths: steps of each stretch.
        start: the size of what the first state adds.
        frames: the steps at which each term is measured.
    """
    kept = np.unique(np.linspace(1, len(sketches), min(len(sketches), _KEPT)).astype(int)) - 1
    steps, count = np.cumsum(lengths[::-1], dtype=int)[kept], sum(lengths)
    sums = np.cumsum(np.asarray(sketches, float)[::-1], axis=0)[kept]
    among = [len(own) - np.searchsorted(np.sort(own), count - steps, side="right") for own in frames]
    fraction = np.mean([number / len(own) for number, own in zip(among, frames, strict=True)], axis=0)
    # The whole run has the frame at its start, too.
    fraction[steps == count] = 1.0
    whole = np.divide(sums, fraction[:, None], out=np.zeros_like(sums), where=fraction[:, None] > 0)
    return Back(steps, np.concatenate([whole, np.where(steps == count, start, 0.0)[:, None]], axis=1))


def calm_horizon(back: Back) -> int | None:
    """The fewest steps back from which on the gradient stays within 10 % of the whole one; None where that is zero."""
    size = _size(back.gradients[-1:])
    if not size.any():
        return None
    off = np.flatnonzero(_size(back.gradients - back.gradients[-1]) > AGREE * size)
    return int(back.steps[off[-1] + 1 if len(off) else 0])


def growing_horizon(back: Back) -> int:
    """The most steps back up to which the gradient is still what it was before its last growth.

    That is the largest n for which it agrees, to within half of it, with all those of n / 2 to n steps; or, where there
    is none, the largest for which it is not `outgrown`.
    """
    size = _size(back.gradients)
    for k in _looked_at(len(size))[::-1]:
        first = int(np.searchsorted(back.steps, back.steps[k] / 2))
        if k - first > 1 and np.max(_size(back.gradients[first:k] - back.gradients[k])) <= _SAME * size[k]:
            return int(back.steps[k])
    return int(back.steps[outgrown(size)])


def outgrown(size: Float[np.ndarray, "points"]) -> int:
    """The last place at which the size is not over ten times the median of those up to it."""
    held = [k for k in _looked_at(len(size)) if size[k] <= _OUTGROWN * np.median(size[: k + 1])]
    return int(max(held, default=0))


def _looked_at(count: int) -> Int[np.ndarray, "places"]:
    return np.unique(np.round(np.geomspace(1, max(count, 1), _LOOKED_AT)).astype(int)) - 1


def _size(rows: Float[np.ndarray, "points numbers"]) -> Float[np.ndarray, "points"]:
    """The Euclidean norm of each row, however large: chaos makes numbers whose squares are none."""
    largest = np.max(np.abs(rows), axis=1)
    unit = np.where(largest > 0, largest, 1.0)
    return np.asarray(unit * np.linalg.norm(rows / unit[:, None], axis=1))
