"""What a run keeps of its frames for the loss: the rows of a term, or their running sum.

Of a mean over F frames the loss wants sum_f x_f, and its cotangent is the same for every frame. So where the rows are
large they are added up segment by segment, on the way forth, and each segment is handed the one cotangent on the way
back: memory does not grow with the number of frames. Whatever else is made of a series (a variance, a correlation, a
mean squared displacement) takes all of its rows at the end, and these are counted.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int

from diffmd.adjoints.base import Choice, tree_bytes
from diffmd.adjoints.propagator import Propagator
from diffmd.dynamics.run.schedule import Segment, wanted_rows
from diffmd.neighbors import NeighborPlan
from diffmd.objective import P, Problem
from diffmd.system import Values

SUMMED_ABOVE = 16 << 20
"""Bytes of all rows of a term, past which they are added up instead of kept."""
_HELD = 64 << 20
"""Bytes of such rows that a segment holds until they are added."""


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """What of a problem's frames is kept, and how.

    Attributes:
        problem: whose.
        sizes: for each term, bytes of one row, of all replicas and tangents; empty where no term has two frames.
    """

    problem: Problem
    sizes: tuple[int, ...]

    @functools.cached_property
    def frames(self) -> list[Int[np.ndarray, "_frames"]]:
        """The steps that each term is measured at."""
        return self.problem.frames

    @functools.cached_property
    def summed(self) -> tuple[bool, ...]:
        """For each term, whether its rows are added up as they come."""
        if not self.sizes:
            return (False,) * len(self.problem.terms)
        totals = [size * len(steps) for size, steps in zip(self.sizes, self.frames, strict=True)]
        return tuple(
            term.adds_up and total > SUMMED_ABOVE for term, total in zip(self.problem.terms, totals, strict=True)
        )

    @functools.cached_property
    def bytes(self) -> int:
        """Of the rows at the end of the run, and of the sums with the rows that a segment adds to them."""
        found = 0
        for size, steps, summed in zip(self.sizes, self.frames, self.summed, strict=bool(self.sizes)):
            found += size * (1 + min(len(steps), self._together)) if summed else size * len(steps)
        return found

    @functools.cached_property
    def _together(self) -> int:
        """Frames of a segment at most, where rows are added up."""
        return max(1, _HELD // max(1, sum(size for size, s in zip(self.sizes, self.summed, strict=True) if s)))

    def longest(self, usual: int) -> int:
        """Steps of a segment, `usual` unless so many frames of it are too large to be held together."""
        if not any(self.summed):
            return usual
        strides = [leg.stride for leg in self.problem.legs if leg.stride and any(self.summed[k] for k in leg.active)]
        return min(usual, self._together * min(strides, default=usual))

    def warning(self, memory: int) -> str | None:
        """One sentence if the rows that are kept to the end take more than `memory` bytes."""
        each = [
            (size * len(steps), size, len(steps), term)
            for size, steps, term in zip(self.sizes, self.frames, self.problem.terms, strict=bool(self.sizes))
            if not term.adds_up
        ]
        if sum(one[0] for one in each) <= memory:
            return None
        total, size, count, term = max(each, key=lambda one: one[0])
        return f"{term.name}: {rows_sentence(total, size, count)}"


def rows_sentence(total: float, size: float, count: int) -> str:
    """What rows that are kept to the end take, and what to do about it."""
    return (
        f"{count} frames of {amount(size)} each are kept to the end of the run, {amount(total)} in all; measure "
        "fewer (frames: {from: 0, every: n} with a larger n), or take reduce: mean of an observable of single frames, "
        "which is added up on the way"
    )


def amount(count: float) -> str:
    """Bytes in MB or GB."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def kept_of(propagator: Propagator, p: Mapping[str, Any], base: Values, plan: NeighborPlan, copies: int = 1) -> Kept:
    """What a run keeps; only shapes are looked at.

    Args:
        p: as `propagator.spread` gives it, or the shapes of that.
        copies: of each row: the tangents beside it, or trajectories of a batch.
    """
    if max((len(steps) for steps in propagator.problem.frames), default=0) < 2:
        return Kept(propagator.problem, ())

    def measured(p: P, base: Values) -> Any:
        floats, step, _ = propagator.opened(p, base, plan)
        return propagator.measure(p, base, plan, floats, step)

    return Kept(propagator.problem, tuple(copies * tree_bytes(row) for row in jax.eval_shape(measured, dict(p), base)))


@dataclasses.dataclass
class Measurements:
    """Rows of a run in the order they came, for `Propagator.finish`; of a summed term one piece, the sum so far.

    Attributes:
        kept: which terms are summed.
        lead: axes of an array before the frames': replicas, tangents, a batch.
    """

    kept: Kept
    lead: int
    pieces: list[list[Any]]
    taken: list[list[int]]

    @staticmethod
    def empty(kept: Kept, lead: int = 0) -> Measurements:
        """No rows yet."""
        terms = kept.problem.terms
        return Measurements(kept, lead, [[] for _ in terms], [[] for _ in terms])

    def add_start(self, rows: Sequence[Any]) -> None:
        """Adds step 0's, for every term."""
        for k, row in enumerate(rows):
            if not self.kept.summed[k]:
                self.pieces[k].append(row)
                self.taken[k].append(0)
            elif 0 in self.kept.frames[k]:
                self.pieces[k] = [row]

    def add(self, segment: Segment, rows: Sequence[Any]) -> None:
        """Adds a segment's, for its active terms."""
        programs = self.kept.problem.programs.scope("rows")
        added = programs.once(("added", self.lead), functools.partial(_added, axis=self.lead))
        for k, row in zip(segment.active, rows, strict=True):
            if not self.kept.summed[k]:
                self.pieces[k].append(row)
                self.taken[k].extend(segment.frames)
                continue
            asked = _asked(segment, self.kept.frames[k])
            if not asked.any():
                continue
            if not asked.all():
                row = jnp.take(row, np.flatnonzero(asked), axis=self.lead)
            # One after the other, so that the sum does not depend on where segments end; and done before the next
            # segment begins, which would not wait for it and leave rows behind.
            total = added(self.pieces[k][0] if self.pieces[k] else None, row)
            self.pieces[k] = [jax.block_until_ready(total)]

    @property
    def choice(self) -> Choice:
        """For each term the rows, of those taken, that its schedule asks for; of a summed term their number."""
        return tuple(
            len(steps) if summed else tuple(int(i) for i in wanted_rows(taken, steps))
            for summed, taken, steps in zip(self.kept.summed, self.taken, self.kept.frames, strict=True)
        )


class Cotangents:
    """The cotangents of a run's pieces, handed out from the last segment to the first, then to step 0."""

    def __init__(self, rows: Measurements, cotangents: Sequence[Sequence[Any]]) -> None:
        self._kept, self._lead = rows.kept, rows.lead
        self._left = [list(own) for own in cotangents]

    def of(self, segment: Segment) -> tuple[Any, ...]:
        """Those of a segment's rows, for its active terms."""
        return tuple(
            self._spread(self._left[k][0], _asked(segment, self._kept.frames[k]))
            if self._kept.summed[k]
            else self._left[k].pop()
            for k in segment.active
        )

    def of_start(self) -> list[Any]:
        """Those of step 0's rows, for every term."""
        out = []
        for own, summed, steps in zip(self._left, self._kept.summed, self._kept.frames, strict=True):
            if not summed:
                out.append(own.pop())
            else:
                out.append(own[0] if 0 in steps else jnp.zeros_like(own[0]))
        return out

    def _spread(self, cotangent: Array, asked: Bool[np.ndarray, "frames"]) -> Array:
        """The sum's cotangent for each of the frames that were asked for, zero for the others."""
        here = jnp.expand_dims(cotangent, self._lead)
        shape = (*here.shape[: self._lead], len(asked), *here.shape[self._lead + 1 :])
        mask = jnp.asarray(asked).reshape(-1, *(1,) * (here.ndim - self._lead - 1))
        return jnp.broadcast_to(here, shape) if asked.all() else jnp.where(mask, here, 0)


def _asked(segment: Segment, steps: Int[np.ndarray, "frames"]) -> Bool[np.ndarray, "taken"]:
    """Which of a segment's frames a schedule asks for."""
    return np.isin(np.asarray(segment.frames), steps)


def _added(total: Array | None, rows: Array, axis: int) -> Array:
    first = jnp.moveaxis(rows, axis, 0)
    start = jnp.zeros_like(first[0]) if total is None else total
    return lax.scan(lambda sum_, row: (sum_ + row, None), start, first)[0]
